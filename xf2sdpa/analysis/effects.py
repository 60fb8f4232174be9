"""Whether evaluating an expression can have side effects, or fail."""

from __future__ import annotations

import ast

_PARSING = frozenset({"int", "float", "index"})
"""Functions that take not every value."""
_FAILING = (ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift, ast.MatMult)


def is_idle(node: ast.expr) -> bool:
    """Whether evaluating an expression certainly has no side effect: it holds no call, `await`, `:=` or `yield`."""
    return not any(isinstance(part, ast.Call | ast.Await | ast.NamedExpr | ast.Yield) for part in ast.walk(node))


def may_fail(node: ast.expr) -> bool:
    """Whether evaluating words may raise: a division, an index, a number made of text.

    Names, attributes and calls of functions that make words are taken to be there, and to be given what they take.
    """
    return any(_may_fail(part) for part in ast.walk(node))


def _may_fail(part: ast.AST) -> bool:
    if isinstance(part, ast.BinOp):
        right = part.right.value if isinstance(part.right, ast.Constant) else None
        fits = isinstance(part.left, ast.JoinedStr) or isinstance(getattr(part.left, "value", None), str)
        known = (isinstance(right, int) and right > 0) or (isinstance(part.op, ast.Mod) and fits)  # "%s" % x
        return isinstance(part.op, _FAILING) and not known
    if isinstance(part, ast.Subscript):
        return not (isinstance(part.slice, ast.Slice) or _is_of_parts(part))
    if isinstance(part, ast.Call):
        name = getattr(part.func, "attr", None) or getattr(part.func, "id", "")
        return name in _PARSING
    return False


def _is_of_parts(part: ast.Subscript) -> bool:
    """`text.split("+")[0]`, `sys.version_info[0]`, `get_device_capability()[1]`: there are so many parts."""
    if not (isinstance(part.slice, ast.Constant) and part.slice.value in (0, 1)):
        return False
    whole = part.value.func if isinstance(part.value, ast.Call) else part.value
    first = part.slice.value == 0
    name = getattr(whole, "attr", "")
    return name in ("version_info", "get_device_capability") or (first and name in ("split", "partition", "rpartition"))
