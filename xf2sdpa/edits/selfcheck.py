"""The check that every run makes of its own rewrite before anything is written.

The new text equals the old one outside the edited spans, calls that are left are still xformers' to the byte, and
analysing it again finds nothing to do. That it parses is known by then, as the caller has analysed it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xf2sdpa.analysis.spans import split_lines
from xf2sdpa.edits.kinds import AddImport, Edit, StatementEdit


class CheckFailed(Exception):
    """The rewrite is wrong; nothing may be written."""


@dataclass(frozen=True)
class Look:
    """What one look of the rules at a text came to: the edits asked for, and the source of each call that is left."""

    edits: Sequence[Edit]
    left: Sequence[str]


def check(old: str, new: str, first: Look, second: Look) -> None:
    """Check a rewrite: `first` is the look at `old` that made `new`, `second` the look at that.

    Raises:
        CheckFailed: the message says what is wrong.
    """
    edits, further = first.edits, second.edits
    if lost := Counter(first.left) - Counter(second.left):
        raise CheckFailed(f"a call that is left is no longer xformers': {next(iter(lost))[:80]}")
    if further:
        raise CheckFailed("a second run would change the file again")
    if not _same_outside(old, new, list(_kept(old, edits))):
        raise CheckFailed("text outside the edits changed")


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


def _kept(old: str, edits: Sequence[Edit]) -> Iterator[str]:
    """The pieces of the old text between the edits."""
    starts = _line_starts(old)
    spans = sorted(_span(old, starts, edit) for edit in edits)
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
    if isinstance(edit, StatementEdit):
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
