"""Whether evaluating an expression can have side effects."""

from __future__ import annotations

import ast


def is_idle(node: ast.expr) -> bool:
    """Whether evaluating an expression certainly has no side effect: it holds no call, `await`, `:=` or `yield`."""
    return not any(isinstance(part, ast.Call | ast.Await | ast.NamedExpr | ast.Yield) for part in ast.walk(node))
