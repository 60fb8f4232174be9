"""Whether evaluating an expression can do anything besides giving a value."""

from __future__ import annotations

import ast


def is_idle(node: ast.expr) -> bool:
    """Whether evaluating an expression can have no effect."""
    return not any(isinstance(part, ast.Call | ast.Await | ast.NamedExpr | ast.Yield) for part in ast.walk(node))
