"""What a guard becomes once it is known whether its import fails: the statements that run then, without the frame."""

from __future__ import annotations

import ast

from xf2sdpa.analysis.imports import ImportNode, guards_around
from xf2sdpa.analysis.names import called_name
from xf2sdpa.edits.kinds import TakeHandler, Unguard
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.messages import only_tells


def take_out(file: FileDraft, statement: ImportNode, code: str) -> bool:
    """Take an import that nothing needs out of a guard that does more than set a flag.

    Where nothing else in the guard can fail, its success path takes its place; else the guard keeps its frame.
    """
    inner = guards_around(file.names, statement)[-1]
    left = [s for s in inner.body if s is not statement and not file.is_gone(s)]
    narrow = not isinstance(inner, ast.If) and _catches_missing_packages(inner)
    sure = all(_cannot_fail(s, narrow=narrow) for s in left)
    if not isinstance(inner, ast.If) and statement in inner.body and sure and not _ends_with_more(inner):
        return _take_success_path(file, inner, left, code)
    return file.drop_names(statement, {alias.asname or alias.name for alias in statement.names}, code)


def _ends_with_more(guard: ast.Try | ast.With) -> bool:
    """Whether a guard has a `finally`, which runs whatever is raised, and an `else` that may raise something."""
    if isinstance(guard, ast.With) or not guard.finalbody:
        return False
    return not all(_cannot_fail(statement, narrow=False) for statement in guard.orelse)


def _catches_missing_packages(guard: ast.Try | ast.With) -> bool:
    """Whether a guard catches nothing but a failed import."""
    if isinstance(guard, ast.With):
        context = guard.items[0].context_expr
        kinds = context.args if isinstance(context, ast.Call) else []
    else:
        given = [handler.type for handler in guard.handlers]
        kinds = [kind for one in given for kind in (one.elts if isinstance(one, ast.Tuple) else [one]) if kind]
        kinds = kinds if all(given) else []
    return bool(kinds) and all(called_name(kind) in ("ImportError", "ModuleNotFoundError") for kind in kinds)


def _cannot_fail(statement: ast.stmt, *, narrow: bool) -> bool:
    """Whether nothing that a guard catches can come of a statement.

    Args:
        statement: what stands in the guard.
        narrow: whether it catches failed imports alone.
    """
    if isinstance(statement, ast.Assign):
        return all(_is_plain(target) or narrow for target in statement.targets) and _is_constant(statement.value)
    if isinstance(statement, ast.AnnAssign):
        return isinstance(statement.target, ast.Name) and _is_constant(statement.value)
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
    file.take_away(guard, besides=[s for s in (*left, *after) if not isinstance(s, ast.Pass)])
    return True


def can_take_handler(guard: ast.Try) -> bool:
    """Whether what a guard does when its first statement fails can stand alone: nothing in it asks for the error."""
    handler = guard.handlers[0]
    return not guard.finalbody and handler.name is None and not any(map(_asks_for_the_error, ast.walk(handler)))


def _asks_for_the_error(node: ast.AST) -> bool:
    """`raise` alone, or a call that prints, logs or returns the error that is being handled."""
    if isinstance(node, ast.Raise):
        return node.exc is None
    return isinstance(node, ast.Call) and called_name(node.func) in ("exc_info", "print_exc", "format_exc", "exception")


def take_handler(file: FileDraft, guard: ast.Try, code: str) -> bool:
    """Let a guard that fails at its first statement become what its handler does; whether it will."""
    if not file.ask(TakeHandler(guard), code):
        return False
    kept = []
    for statement in guard.handlers[0].body:
        if isinstance(statement, ast.Pass) or only_tells(file, statement):
            file.drop(statement, code)
        else:
            kept.append(statement)
    file.take_away(guard, besides=kept)
    return True


def _is_plain(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) or (isinstance(target, ast.Tuple) and all(map(_is_plain, target.elts)))


def _is_constant(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Tuple) and all(map(_is_constant, value.elts)))
