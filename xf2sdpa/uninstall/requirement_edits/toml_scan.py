"""Where keys and values stand in a TOML document that is known to be one; what they mean, the parser says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from xf2sdpa.files.pyproject import parse_toml

_Part = TypeVar("_Part")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (
    re.compile(r'"""(?:\\.|[^\\])*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\\n])*"'),
    re.compile(r"'[^'\n]*'"),
)
_SCALAR = re.compile(r"[^,\]}#\r\n]+")


@dataclass(frozen=True)
class Value:
    """A value: where it stands, and of a list the items, of an inline table the pairs."""

    start: int
    end: int
    items: tuple[Value, ...] | None = None
    pairs: tuple[Pair, ...] | None = None


@dataclass(frozen=True)
class Pair:
    """A key and its value; the path leads there from the top of the document, or of the inline table."""

    path: tuple[str, ...]
    start: int
    value: Value


@dataclass
class Table:
    """A header with the pairs below it; the first of a document has none."""

    path: tuple[str, ...]
    start: int
    end: int
    """Where the last pair ends, or the header where there is none."""
    pairs: list[Pair] = field(default_factory=list)


def tables(text: str) -> list[Table]:
    """The tables of a document.

    Raises:
        ValueError: it is no TOML, or is not understood here.
    """
    parse_toml(text)
    try:
        return _Scanner(text).tables()
    except (IndexError, RecursionError):
        raise ValueError("is not understood") from None


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def tables(self) -> list[Table]:
        found = [Table((), 0, 0)]
        while self._skip(_SPACE) < len(self._text):
            start = self._at
            if self._text[start] == "[":
                double = self._text.startswith("[[", start)
                self._at += 1 + double
                path = self._path()
                self._take("]]" if double else "]")
                found.append(Table(path, start, self._at))
            else:
                pair = self._pair()
                found[-1].pairs.append(pair)
                found[-1].end = pair.value.end
        return found

    def _pair(self) -> Pair:
        start = self._at
        path = self._path()
        self._take("=")
        self._skip(_BLANK)
        return Pair(path, start, self._value())

    def _path(self) -> tuple[str, ...]:
        keys = []
        while True:
            self._skip(_BLANK)
            start = self._at
            if self._text[start] in "\"'":
                self._match(_STRINGS[2 if self._text[start] == '"' else 3])
                keys.append(str(next(iter(parse_toml(f"{self._text[start : self._at]} = 0")))))
            else:
                self._match(_BARE)
                keys.append(self._text[start : self._at])
            self._skip(_BLANK)
            if self._text[self._at : self._at + 1] != ".":
                return tuple(keys)
            self._at += 1

    def _value(self) -> Value:
        start = self._at
        letter = self._text[start]
        if letter == "[":
            items = tuple(self._list("]", self._value))
            return Value(start, self._at, items=items)
        if letter == "{":
            pairs = tuple(self._list("}", self._pair))
            return Value(start, self._at, pairs=pairs)
        if letter in "\"'":
            triple = self._text.startswith(letter * 3, start)
            self._match(_STRINGS[(letter == "'") + 2 * (not triple)])
            return Value(start, self._at)
        said = _SCALAR.match(self._text, start)
        if said is None:
            raise ValueError("is not understood")
        self._at = start + len(said[0].rstrip())
        return Value(start, self._at)

    def _list(self, closing: str, part: Callable[[], _Part]) -> Iterator[_Part]:
        self._at += 1
        while True:
            self._skip(_SPACE)
            if self._text[self._at] == closing:
                self._at += 1
                return
            yield part()
            self._skip(_SPACE)
            if self._text[self._at] == ",":
                self._at += 1

    def _skip(self, what: re.Pattern[str]) -> int:
        found = what.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at

    def _match(self, what: re.Pattern[str]) -> None:
        found = what.match(self._text, self._at)
        if found is None:
            raise ValueError("is not understood")
        self._at = found.end()

    def _take(self, word: str) -> None:
        self._skip(_BLANK)
        if not self._text.startswith(word, self._at):
            raise ValueError("is not understood")
        self._at += len(word)
