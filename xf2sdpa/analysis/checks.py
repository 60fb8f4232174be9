"""The checks that a rewrite writes into code, so that no assumption breaks in silence; and how a later run knows them.

A check is `if attn_bias is not None: raise NotImplementedError("… (xf2sdpa)")`. It is no `assert`, for `python -O`
drops those.
"""

from __future__ import annotations

import ast

MARK = "(xf2sdpa)"
"""How the message of each check ends."""


def is_check(statement: ast.stmt) -> bool:
    """Whether a statement is such a check."""
    if not (isinstance(statement, ast.If) and len(statement.body) == 1 and not statement.orelse):
        return False
    raised = statement.body[0].exc if isinstance(statement.body[0], ast.Raise) else None
    first = raised.args[0] if isinstance(raised, ast.Call) and raised.args else None
    return isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.endswith(MARK)
