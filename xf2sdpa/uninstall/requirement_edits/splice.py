"""A stretch of a text that is replaced, what a file requires, and how the lines around a stretch are found."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Splice:
    """New text in the place of the characters from `start` up to, not including, `end`."""

    start: int
    end: int
    text: str = ""


@dataclass(frozen=True)
class Requirement:
    """A package that a file requires.

    Attributes:
        said: what stands there: `xformers>=1; python_version < '3.12'`; of a package that is a key, `name version`.
        start: where `said` begins in the text; of a key's version where the version does.
        end: where it ends.
        style: how versions are written: `pip`, `conda`, `poetry`; empty where none can be.
        going: the splices that take it out; empty where no splice does.
        fixed: whether hashes hold it to its version.
        place: the extra or group that it belongs to, as its file names it.
        head: where it is said first, if not at `start`: a header that names it.
    """

    said: str
    start: int
    end: int
    style: str
    going: tuple[Splice, ...]
    fixed: bool = False
    place: str = ""
    head: int | None = None

    @property
    def shown_at(self) -> int:
        """The place that a person is sent to."""
        return self.start if self.head is None else self.head


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """The text with all splices made; they must not overlap."""
    for splice in sorted(splices, key=lambda splice: splice.start, reverse=True):
        text = text[: splice.start] + splice.text + text[splice.end :]
    return text


def line_start(text: str, place: int) -> int:
    """Where the line of a place begins."""
    return max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1


def line_end(text: str, place: int) -> int:
    """Where the line of a place ends, its newline included."""
    end = text.find("\n", place)
    return len(text) if end < 0 else end + 1


def whole_lines(text: str, start: int, end: int) -> Splice:
    """The splice that takes out all lines of a stretch."""
    return Splice(line_start(text, start), line_end(text, end))


def without_item(text: str, items: Sequence[tuple[int, int]], index: int, *, is_tuple: bool = False) -> Splice:
    """The splice that takes one item out of a list in brackets, with its comma and what is said beside it.

    Args:
        text: the file's.
        items: where each item of the list stands.
        index: which one goes.
        is_tuple: whether the list needs a comma behind a single item.
    """
    start, end = items[index]
    after = len(text) - len(text[end:].lstrip(" \t"))
    comma = text[after : after + 1] == ","
    behind = after + 1 if comma else end
    rest = text[behind : line_end(text, behind)].strip()
    alone = not text[line_start(text, start) : start].strip() and (not rest or rest.startswith("#"))
    if alone and (comma or index == len(items) - 1):
        return whole_lines(text, start, end)
    if comma:
        return Splice(start, len(text) - len(text[behind:].lstrip(" \t")))
    before = items[index - 1][1] if index and not is_tuple else start
    return Splice(before, end)


class Lines:
    """The numbers of lines, from 1, of places in a text."""

    def __init__(self, text: str) -> None:
        self._ends = [place for place, letter in enumerate(text) if letter == "\n"]

    def at(self, place: int) -> int:
        """The line of a place."""
        return bisect.bisect_left(self._ends, place) + 1
