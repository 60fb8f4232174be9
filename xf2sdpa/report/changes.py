"""What a changed file's edits are in whole lines, for formats that carry fixes."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xf2sdpa.model import FileResult, Run, Span


@dataclass(frozen=True)
class Hunk:
    """Lines `first` to `last` of the old text, both included and from 1, become `text`, line ends included.

    Nothing goes where `last` is `first - 1`: `text` then comes in front of line `first`.
    """

    first: int
    last: int
    text: str


def split_lines(text: str) -> list[str]:
    """The lines of a text with their ends, as git, patch and SARIF count them: only a newline ends one."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


def hunks(old: str, new: str) -> list[Hunk]:
    """The changes between two texts; none where lines end in a bare carriage return, which nobody counts alike."""
    if "\r" in old.replace("\r\n", ""):
        return []
    before, after = split_lines(old), split_lines(new)
    return [
        Hunk(first + 1, end, "".join(after[start:stop]))
        for kind, first, end, start, stop in difflib.SequenceMatcher(None, before, after).get_opcodes()
        if kind != "equal"
    ]


def widened(found: Sequence[Hunk], old: str) -> list[Hunk]:
    """The same changes, each with a line before it where it would only insert or only delete, or one after it.

    A reviewer's suggestion replaces lines, at least one, by lines, at least one.
    """
    lines = split_lines(old)
    wide: list[Hunk] = []
    for hunk in found:
        if hunk.text and hunk.first <= hunk.last:
            made = hunk
        elif hunk.first > 1:
            made = Hunk(hunk.first - 1, hunk.last, lines[hunk.first - 2] + hunk.text)
        else:
            made = Hunk(hunk.first, hunk.last + 1, hunk.text + "".join(lines[hunk.last : hunk.last + 1]))
        if wide and made.first <= wide[-1].last:
            previous = wide.pop()
            kept = "".join(lines[previous.last : hunk.first - 1])
            made = Hunk(previous.first, made.last, previous.text + kept + hunk.text)
        wide.append(made)
    return [hunk for hunk in wide if hunk.text]


def fixable(run: Run) -> Iterator[FileResult]:
    """The changed files that a fix of their own lines makes right: not those that wait for a new helper module."""
    waiting = {user for copy in run.copies if copy.old is None for user in copy.modules}
    return (result for result in run.changed if result.path not in waiting)


class Moved:
    """Where lines of a file are after its rewrite."""

    def __init__(self, result: FileResult) -> None:
        self._ends, self._shifts, shift = [0], [0], 0
        for hunk in hunks(result.old, result.new) if result.changed else ():
            shift += len(split_lines(hunk.text)) - (hunk.last - hunk.first + 1)
            self._ends.append(hunk.last)
            self._shifts.append(shift)

    def span(self, span: Span) -> Span:
        """A stretch of the old text that no edit touched, as it lies in the new one."""
        shift = self._shifts[bisect.bisect_left(self._ends, span.line) - 1]
        return Span(span.line + shift, span.column, span.end_line + shift, span.end_column)
