"""What a condition says: whether it is true, where constants decide that, and which rank it states for a variable."""

from __future__ import annotations

import ast
from collections.abc import Callable

from xf2sdpa.analysis.values import NoneValue, Scalar, Tensor, Value

_COMPARE: dict[type[ast.cmpop], Callable[[object, object], bool]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Is: lambda a, b: a is b,
    ast.IsNot: lambda a, b: a is not b,
}


def truth(test: ast.expr, evaluate: Callable[[ast.expr], Value]) -> bool | None:
    """True or False where the known values decide a condition; None where they do not."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = truth(test.operand, evaluate)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        found = [truth(value, evaluate) for value in test.values]
        decisive = isinstance(test.op, ast.Or)
        if decisive in found:
            return decisive
        return None if None in found else not decisive
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _compare(test, evaluate)
    value = evaluate(test)
    if isinstance(value, Scalar) and value.is_constant:
        return bool(value.value)
    return False if isinstance(value, NoneValue) else None


def _compare(test: ast.Compare, evaluate: Callable[[ast.expr], Value]) -> bool | None:
    left, right = evaluate(test.left), evaluate(test.comparators[0])
    operator = type(test.ops[0])
    if isinstance(right, NoneValue) and operator in (ast.Is, ast.IsNot):
        if isinstance(left, NoneValue):
            return operator is ast.Is
        return operator is ast.IsNot if isinstance(left, Tensor | Scalar) and _is_something(left) else None
    constants = [side.value for side in (left, right) if isinstance(side, Scalar) and side.is_constant]
    return _COMPARE[operator](*constants) if operator in _COMPARE and len(constants) == 2 else None


def _is_something(value: Value) -> bool:
    return not isinstance(value, Scalar) or value.is_constant


def stated_rank(test: ast.expr, holds: bool) -> tuple[str, int] | None:
    """The variable whose rank a condition states, and the rank; None if it states none.

    `q.ndim == 4`, `q.dim() == 4`, `len(q.shape) == 4` and `out.size() == (b, n, h, d)` state one if the condition
    `holds`; the same with `!=` if it does not hold.
    """
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
        return None
    if not isinstance(test.ops[0], ast.Eq if holds else ast.NotEq):
        return None
    right = test.comparators[0]
    if isinstance(right, ast.Tuple) and not any(isinstance(e, ast.Starred) for e in right.elts):
        shape = _attribute_of(test.left, "shape")
        return (shape, len(right.elts)) if shape else None
    name = _rank_of(test.left)
    if name and isinstance(right, ast.Constant) and isinstance(right.value, int):
        return name, right.value
    return None


def stated_none(test: ast.expr, holds: bool) -> tuple[str, bool] | None:
    """The variable that `x is None` or `x is not None` is about, and whether it is None where the condition `holds`."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.left, ast.Name)):
        return None
    right = test.comparators[0]
    if (
        not isinstance(test.ops[0], ast.Is | ast.IsNot)
        or not isinstance(right, ast.Constant)
        or right.value is not None
    ):
        return None
    return test.left.id, isinstance(test.ops[0], ast.Is) is holds


def _rank_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1:
            return _attribute_of(node.args[0], "shape")
        return _attribute_of(node.func, "dim") or _attribute_of(node.func, "ndimension")
    return _attribute_of(node, "ndim")


def _attribute_of(node: ast.expr, attribute: str) -> str | None:
    if isinstance(node, ast.Call) and attribute == "shape" and not node.args:  # q.size()
        node, attribute = node.func, "size"
    if isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.value, ast.Name):
        return node.value.id
    return None


def is_main_guard(statement: ast.stmt) -> bool:
    """Whether a statement is `if __name__ == "__main__":`, perhaps with further conditions."""
    return isinstance(statement, ast.If) and any(
        isinstance(part, ast.Constant) and part.value == "__main__" for part in ast.walk(statement.test)
    )
