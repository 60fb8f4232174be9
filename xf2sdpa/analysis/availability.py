"""Conditions that ask whether xformers is there, and for nothing else: no setting, no person, no device has a say."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence

from xf2sdpa.analysis.api import is_ours

_DEEPEST = 2
"""How many variables a condition is followed through."""


def asks_for_package(test: ast.expr, flags: Mapping[str, Sequence[ast.expr | None]], depth: int = 0) -> bool | None:
    """What a condition says where xformers is there: True or False; None if it is not known to ask for that alone.

    `find_spec("xformers") is not None`, its negation, and a variable that is called like a flag of xformers and is set
    to such a question, to True or to False.

    Args:
        test: the condition.
        flags: the values that each variable of the module is set to.
        depth: how many variables have been followed already.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        asked = asks_for_package(test.operand, flags, depth)
        return None if asked is None else not asked
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Is | ast.IsNot):
        other = test.comparators[0]
        none = isinstance(other, ast.Constant) and other.value is None and _finds_spec(test.left)
        return isinstance(test.ops[0], ast.IsNot) if none else None
    if isinstance(test, ast.Name):
        name, values = test.id.lower(), flags.get(test.id, ())
        is_flag = "xformers" in name and "use" not in name and bool(values) and depth < _DEEPEST
        return True if is_flag and all(_is_flags_value(value, flags, depth) for value in values) else None
    return True if _finds_spec(test) else None


def depends_on_more(around: Iterable[ast.AST], asks: Callable[[ast.expr], bool | None]) -> bool:
    """Whether a statement runs by what a person, a setting or a device says, and not only by whether xformers is there.

    Args:
        around: all that it stands in, as far as the scope of what it sets.
        asks: what a condition says where xformers is there; None if it may ask for more.
    """
    for node in around:
        if isinstance(node, ast.If | ast.While) and asks(node.test) is None:
            return True
        if isinstance(node, ast.For | ast.AsyncFor | ast.match_case | ast.FunctionDef | ast.AsyncFunctionDef):
            return True
        if isinstance(node, ast.Try | ast.With):  # `if OFF: raise ImportError` above the import
            parts = (part for statement in node.body for part in ast.walk(statement))
            if any(isinstance(part, ast.Raise | ast.Assert) for part in parts):
                return True
    return False


def _is_flags_value(value: ast.expr | None, flags: Mapping[str, Sequence[ast.expr | None]], depth: int) -> bool:
    if isinstance(value, ast.Constant):
        return isinstance(value.value, bool)
    return value is not None and asks_for_package(value, flags, depth + 1) is True


def _finds_spec(node: ast.expr) -> bool:
    """Whether an expression is `find_spec("xformers")`."""
    if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
        return False
    first, function = node.args[0], node.func
    named = isinstance(first, ast.Constant) and isinstance(first.value, str) and is_ours(first.value)
    return named and getattr(function, "attr", getattr(function, "id", "")) == "find_spec"
