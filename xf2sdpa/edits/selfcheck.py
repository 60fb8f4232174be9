"""The check that every run makes of its own rewrite before anything is written.

The new text equals the old one outside the edited spans; its program is the old one with the edits made, and nothing
else; calls that are left are still xformers' to the byte; and analysing it again finds nothing to do. That it parses
is known by then, as the caller has analysed it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from xf2sdpa.analysis.spans import split_lines
from xf2sdpa.edits.expected import expected
from xf2sdpa.edits.kinds import AddImport, Edit, InsertBefore, StatementEdit, Within


class CheckFailed(Exception):
    """The rewrite is wrong; nothing may be written."""


def check(old: str, new: str, edits: Sequence[Edit], further: Sequence[Edit], top: int = 1) -> None:
    """Check a text. `edits` turned `old` into `new`; `further` are the edits that `new` would need in turn.

    `top` is the line above which a new first import stands at the latest: below comments and the docstring.

    Raises:
        CheckFailed: the message says what is wrong.
    """
    if further:
        raise CheckFailed("a second run would change the file again")
    if not _same_outside(old, new, list(_kept(old, edits, top))):
        raise CheckFailed("text outside the edits changed")


def check_program(old: ast.Module, edits: Sequence[Edit], new: ast.Module) -> None:
    """Check that the new text is the old program with the edits made, and nothing else.

    Raises:
        CheckFailed: the line of the new text where it differs, as far as that can be said.
    """
    wanted = expected(old, edits)
    if _same_trees(wanted, new):
        return
    pairs = zip(wanted.body, new.body, strict=False)
    lines = (found.lineno for one, found in pairs if not _same_trees(one, found))
    place = next(lines, new.body[-1].lineno if new.body else 1)
    raise CheckFailed(f"the new text is not what the edits ask for, line {place}")


def _same_trees(one: ast.AST, other: ast.AST) -> bool:
    """Whether `ast.dump` would show two trees alike, found out in a fifth of the time."""
    waiting: list[tuple[Any, Any]] = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        if left.__class__ is not right.__class__:
            return False
        if isinstance(left, ast.AST):
            waiting.extend((getattr(left, name, None), getattr(right, name, None)) for name in left._fields)
        elif isinstance(left, list):
            if len(left) != len(right):
                return False
            waiting.extend(zip(left, right, strict=True))
        elif left is not right and repr(left) != repr(right):
            return False
    return True


def check_left(first: Sequence[str], second: Sequence[str]) -> None:
    """Check that every call that is left is still a call of xformers, to the byte, in the new text.

    Args:
        first: the source of each call that is left.
        second: the same of a look at the new text.

    Raises:
        CheckFailed: the message shows the call.
    """
    if lost := Counter(first) - Counter(second):
        raise CheckFailed(f"a call that is left is no longer xformers': {next(iter(lost))[:80]}")


def _same_outside(old: str, new: str, kept: Sequence[str]) -> bool:
    """Whether the new text contains the kept pieces in order, the first at its start and the last at its end."""
    if not (new.startswith(kept[0]) and new.endswith(kept[-1])):
        return False
    position = len(kept[0])
    for piece in kept[1:-1]:
        found = new.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return (len(kept) == 1 and old == new) or position <= len(new) - len(kept[-1])


def _kept(old: str, edits: Sequence[Edit], top: int) -> Iterator[str]:
    """The pieces of the old text between the edits."""
    starts = _line_starts(old)
    spans = [_span(old, starts, edit) for edit in edits]
    if any(isinstance(edit, AddImport) and edit.after is None for edit in edits):
        spans += [(start, start) for start in starts[:top]]
    spans.sort()
    position = 0
    for first, last in spans:
        if first > position:
            yield old[position:first]
        elif position == 0:
            yield ""
        position = max(position, last)
    yield old[position:]


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in split_lines(text):
        starts.append(starts[-1] + len(line))
    return starts


def _span(old: str, starts: Sequence[int], edit: Edit) -> tuple[int, int]:
    if isinstance(edit, AddImport):
        line = edit.after.end_lineno or 0 if edit.after is not None else 0
        place = starts[line]
        return place, place
    node = edit.node
    end_line = node.end_lineno or node.lineno
    if isinstance(edit, InsertBefore):
        return starts[_statement_lines(old, starts, edit.node)[0] - 1], starts[node.lineno - 1]
    if isinstance(edit, StatementEdit | Within):
        first, last = _statement_lines(old, starts, node)
        return starts[first - 1], starts[last]
    return _offset(old, starts, node.lineno, node.col_offset), _offset(old, starts, end_line, node.end_col_offset or 0)


def _statement_lines(old: str, starts: Sequence[int], node: ast.expr | ast.stmt) -> tuple[int, int]:
    """The lines of a statement, with comments around it, and with the line that opens its block if it is the first."""
    first, last = node.lineno, node.end_lineno or node.lineno
    while first > 1 and _is_comment_or_blank(old[starts[first - 2] : starts[first - 1]]):
        first -= 1
    if first > 1 and old[starts[first - 2] : starts[first - 1]].rstrip().endswith(":"):
        first -= 1
        while first > 1 and _is_comment_or_blank(old[starts[first - 2] : starts[first - 1]]):
            first -= 1
    while last < len(starts) - 1 and _is_comment_or_blank(old[starts[last] : starts[last + 1]]):
        last += 1
    return first, last


def _is_comment_or_blank(line: str) -> bool:
    stripped = line.strip()
    return not stripped or stripped.startswith("#")


def _offset(old: str, starts: Sequence[int], line: int, column: int) -> int:
    """The index in the text of a line and a column, which `ast` counts in UTF-8 bytes."""
    text = old[starts[line - 1] : starts[line]]
    return starts[line - 1] + (
        column if text.isascii() else len(text.encode("utf-8", "surrogatepass")[:column].decode("utf-8", "replace"))
    )
