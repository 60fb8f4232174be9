"""What is left of a guard whose import cannot fail any more: the way that it takes when nothing fails."""

from __future__ import annotations

import ast

from xf2sdpa.analysis.imports import ImportNode, guards_around
from xf2sdpa.edits.kinds import Unguard
from xf2sdpa.rulekit.draft import FileDraft


def take_out(file: FileDraft, statement: ImportNode, code: str) -> bool:
    """Take an import that nothing needs out of a guard that does more than set a flag.

    Where nothing else in the guard can fail, its success path takes its place; else the guard keeps its frame.
    """
    inner = guards_around(file.names, statement)[-1]
    left = [s for s in inner.body if s is not statement and not file.is_gone(s)]
    if not isinstance(inner, ast.If) and statement in inner.body and all(map(_cannot_fail, left)):
        return _take_success_path(file, inner, left, code)
    return file.drop_names(statement, {alias.asname or alias.name for alias in statement.names}, code)


def _cannot_fail(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Return) and isinstance(statement.value, ast.Constant)
    )


def _take_success_path(file: FileDraft, guard: ast.Try | ast.With, left: list[ast.stmt], code: str) -> bool:
    """Let a guard become what it does when nothing fails; whether that can be said."""
    returns = any(isinstance(statement, ast.Return) for statement in left)
    after = [*guard.orelse, *guard.finalbody] if isinstance(guard, ast.Try) else []
    if (returns and after) or not file.ask(Unguard(guard), code):
        return False
    for statement in guard.body:
        if (statement not in left or isinstance(statement, ast.Pass)) and not file.is_gone(statement):
            file.drop(statement, code)
    file.take_away(guard)
    for statement in (*left, *after):
        if not isinstance(statement, ast.Pass):
            file.give_back(statement)
    return True
