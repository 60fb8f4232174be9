"""What is left of a guard whose import cannot fail any more: the way that it takes when nothing fails."""

from __future__ import annotations

import ast
import itertools
import textwrap

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.imports import ImportNode, guards_around
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.edits.kinds import AddImport
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
    """Put what a guard does when nothing fails in its place; whether that can be written down."""
    returns = [statement for statement in left if isinstance(statement, ast.Return)][:1]
    after = [*guard.orelse, *guard.finalbody] if isinstance(guard, ast.Try) else []
    if returns and after:
        return False
    texts = [_text_of(file, statement) for statement in (*returns, *after)]
    if None in texts:
        return False
    return file.replace(guard, "\n".join(text for text in texts if text), code, keeping=(*returns, *after))


def _text_of(file: FileDraft, statement: ast.stmt) -> str | None:
    """The text of a statement, for another indentation; None where something in it changes, or its strings would."""
    parts = list(ast.walk(statement))
    edited = {id(edit.node) for edit in file.edits if not isinstance(edit, AddImport)}
    if any(id(part) in edited or (isinstance(part, ast.Call) and _looks_up(part)) for part in parts):
        return None
    strings = (part for part in parts if isinstance(part, ast.Constant | ast.JoinedStr))
    if getattr(statement, "decorator_list", ()) or any(part.end_lineno != part.lineno for part in strings):
        return None
    lines = file.lines[statement.lineno - 1 : statement.end_lineno]
    if lines[0][: statement.col_offset].strip() or ";" in lines[-1]:
        return source_of(statement, file.lines) if len(lines) == 1 else None
    above = itertools.takewhile(
        lambda line: line.lstrip().startswith("#"), reversed(file.lines[: statement.lineno - 1])
    )
    comments = list(above)[::-1]
    if any(len(line) - len(line.lstrip()) < statement.col_offset for line in comments):
        return None
    return textwrap.dedent("".join([*comments, *lines])).rstrip()


def _looks_up(call: ast.Call) -> bool:
    """Whether a call is a question about xformers, which may be answered yet."""
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Constant) and isinstance(first.value, str) and is_ours(first.value)
