"""A notebook's JSON: where the sources of its cells stand in it, and others in their place.

Our own splice. `nbformat` and `json` read a notebook into objects and write those anew: with their own indentation,
escapes, order of keys and end of file. Here only the source of a cell that changes is written anew, and of that only
the lines that are new; everything else stays as it was, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_WHITE = re.compile(r"[ \t\r\n]*")
_LINE = re.compile(r"(?:[^\\]|\\[^n])*(?:\\n|\Z)")
"""A line of a string as JSON spells it, up to the escape that ends it."""
_PYTHON = re.compile(r"i?python\d*|xeus-python|pyodide|xpython", re.IGNORECASE)
_FORMAT = 4
_IDS_SINCE = 5
"""The minor version of format 4 from which on each cell has an id."""


class NotNotebook(Exception):
    """What a file holds is no notebook that can be worked on; the message says why."""


@dataclass(frozen=True)
class Cell:
    """A code cell.

    Attributes:
        index: its place among all cells of the notebook, from 0.
        source: its code.
        start: where its JSON object starts in the notebook's text.
        end: and where that ends.
        value: start and end of its source there; None if it has none.
        keys: the keys of the object, in their order.
        python: whether it says nothing of another language.
        has_outputs: whether results of a run are kept with it.
    """

    index: int
    source: str
    start: int
    end: int
    value: tuple[int, int] | None
    keys: tuple[str, ...]
    python: bool = True
    has_outputs: bool = False


@dataclass(frozen=True)
class NewCell:
    """A code cell to put in: before the cell of this index, behind all if there are not so many."""

    before: int
    source: str
    name: str
    """Its id, where the notebook's format has ids."""


@dataclass(frozen=True)
class Book:
    """A notebook's text, and what stands where in it.

    Attributes:
        text: the JSON document.
        cells: the code cells.
        spans: where each cell of any kind starts and ends.
        minor: the minor version of its format.
        python: whether its kernel is one for Python.
        ids: the ids of its cells.
    """

    text: str
    cells: list[Cell] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    minor: int = 0
    python: bool = True
    ids: frozenset[str] = frozenset()

    def edited(self, sources: Mapping[int, str], new: Sequence[NewCell] = (), gone: Sequence[int] = ()) -> str:
        """The text with other sources for some cells, by their index, with new cells and without others."""
        by_index = {cell.index: cell for cell in self.cells}
        edits = [(*value, self._spelt(*value, s)) for i, s in sources.items() if (value := by_index[i].value)]
        edits += [(*self._with_comma(index), "") for index in gone]
        edits += [self._inserted(cell) for cell in new]
        text = self.text
        for start, end, spelt in sorted(edits, reverse=True):
            text = text[:start] + spelt + text[end:]
        return text

    def lines_in_file(self) -> dict[int, tuple[int, ...]]:
        """For each code cell by its index, the line of the text, from 1, that each line of its source stands in."""
        found: dict[int, tuple[int, ...]] = {}
        place, line = 0, 1
        for cell in self.cells:
            lines: list[int] = []
            start, end = cell.value or (cell.start, cell.start)
            for first, last in _strings(self.text[start:end], 0) if cell.value else ():
                line += self.text.count("\n", place, start + first)
                place = start + first
                lines += [line] * len(_LINE.findall(self.text[start + first + 1 : start + last - 1])[:-1] or [0])
            found[cell.index] = tuple(lines) or (1 + self.text.count("\n", 0, cell.start),)
        return found

    def _spelt(self, start: int, end: int, source: str) -> str:
        """A source in the form that the old one has: one string, or a list of lines."""
        raw = self.text[start:end]
        known: dict[str, str] = {}
        strings = list(_strings(raw, 0))
        for first, last in strings:
            for line in _LINE.findall(raw[first + 1 : last - 1]):
                known.setdefault(json.loads(f'"{line}"'), line)
        lines = [known.get(line) or self._escaped(line) for line in lines_of(source)]
        if raw.startswith('"'):
            return f'"{"".join(lines)}"'
        if not lines:
            return "[]"
        if not strings:
            return json.dumps(lines_of(source), ensure_ascii=self._is_ascii)
        head, tail = raw[: strings[0][0]], raw[strings[-1][1] :]
        between = raw[strings[0][1] : strings[1][0]] if len(strings) > 1 else "," + head[1:]
        return head + between.join(f'"{line}"' for line in lines) + tail

    def _escaped(self, line: str) -> str:
        return json.dumps(line, ensure_ascii=self._is_ascii)[1:-1]

    @property
    def _is_ascii(self) -> bool:
        """Whether what is not ASCII is escaped here."""
        return self.text.isascii() and "\\u" in self.text

    def _with_comma(self, index: int) -> tuple[int, int]:
        """Where a cell stands, with the comma that parts it from the one before, or from the next."""
        start, end = self.spans[index]
        if index:
            return self.spans[index - 1][1], end
        return start, self.spans[1][0] if len(self.spans) > 1 else end

    def _inserted(self, cell: NewCell) -> tuple[int, int, str]:
        at = min(cell.before, len(self.spans))
        beside = self.spans[min(at, len(self.spans) - 1)]
        first = self.text[: self.spans[0][0]]
        lead = first[len(first.rstrip(" \t\r\n")) :]
        apart = self.text[self.spans[0][1] : self.spans[1][0]] if len(self.spans) > 1 else "," + lead
        spelt = self._object(cell, beside, lead)
        return (*((beside[0],) * 2), spelt + apart) if at < len(self.spans) else (*((beside[1],) * 2), apart + spelt)

    def _object(self, cell: NewCell, beside: tuple[int, int], lead: str) -> str:
        """A cell as JSON, written as the one beside it."""
        made: dict[str, Any] = {"cell_type": "code", "execution_count": None}
        if self.minor >= _IDS_SINCE or self.ids:
            made["id"] = self._free_id(cell.name)
        made |= {"metadata": {}, "outputs": [], "source": lines_of(cell.source)}
        order = max((c.keys for c in self.cells), key=lambda keys: len(made.keys() & set(keys)), default=())
        made = {**{key: made[key] for key in order if key in made}, **made}
        raw = self.text[slice(*beside)]
        inner = _WHITE.match(raw, 1)
        white = inner[0] if inner else ""
        if "\n" not in white:
            parts = (", ", ": ") if re.search(r'":\s', raw) else (",", ":")
            return json.dumps(made, ensure_ascii=self._is_ascii, separators=parts)
        margin = lead.rpartition("\n")[2]
        step = white.rpartition("\n")[2][len(margin) :]
        spelt = json.dumps(made, ensure_ascii=self._is_ascii, indent=step or 1)
        return spelt.replace("\n", ("\r\n" if "\r\n" in white else "\n") + margin)

    def _free_id(self, name: str) -> str:
        found, number = name, 1
        while found in self.ids:
            number += 1
            found = f"{name}-{number}"
        return found


def lines_of(source: str) -> list[str]:
    """The lines of a source with their ends, as notebooks list them; none of an empty one."""
    lines = [f"{line}\n" for line in source.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def read_book(text: str) -> Book:
    """Find the cells in a notebook's text.

    Raises:
        NotNotebook: it is no JSON, is in another format than 4, or has no cells where they belong.
    """
    try:
        top, _ = _object(text, _skip(text, 0))
        _check(text, top)
        return _book(text, top)
    except (RecursionError, MemoryError):
        raise NotNotebook("nests too deep to be read") from None
    except json.JSONDecodeError as error:
        raise NotNotebook(f"is no JSON: {error.msg}, line {error.lineno} column {error.colno}") from None


def _check(text: str, top: Mapping[str, tuple[int, int]]) -> None:
    json.loads(text)  # also what is not looked at below
    version = _value(text, top, "nbformat")
    if "worksheets" in top or (isinstance(version, int) and version < _FORMAT):
        raise NotNotebook(f"is in format {version}; `jupyter nbconvert --to notebook --inplace` brings it to {_FORMAT}")
    if version != _FORMAT:
        raise NotNotebook(f"says nothing of format {_FORMAT}, which notebooks are in today")
    if "cells" not in top or text[top["cells"][0]] != "[":
        raise NotNotebook("has no list of cells")


def _book(text: str, top: Mapping[str, tuple[int, int]]) -> Book:
    minor = _value(text, top, "nbformat_minor")
    metadata = _value(text, top, "metadata")
    spans = list(_elements(text, top["cells"][0]))
    cells, ids = [], set()
    for index, (start, end) in enumerate(spans):
        if text[start] != "{":
            raise NotNotebook(f"has something else as cell {index + 1}")
        keys, _ = _object(text, start)
        ids.add(str(_value(text, keys, "id")))
        if _value(text, keys, "cell_type") == "code":
            cells.append(_cell(text, index, (start, end), keys))
    return Book(
        text, cells, spans, minor if isinstance(minor, int) else 0, _is_python(metadata), frozenset(ids - {"None"})
    )


def _cell(text: str, index: int, span: tuple[int, int], keys: Mapping[str, tuple[int, int]]) -> Cell:
    source = _value(text, keys, "source")
    lines = source if isinstance(source, list) else [source or ""]
    if not all(isinstance(line, str) for line in lines):
        raise NotNotebook(f"has a source that is no text, in cell {index + 1}")
    metadata = _value(text, keys, "metadata")
    of_editor = metadata.get("vscode") if isinstance(metadata, dict) else None
    language = of_editor.get("languageId", "python") if isinstance(of_editor, dict) else "python"
    outputs = bool(_value(text, keys, "outputs"))
    return Cell(index, "".join(lines), *span, keys.get("source"), tuple(keys), language == "python", outputs)


def _is_python(metadata: Any) -> bool:
    """Whether a notebook's metadata speak of Python, or of no language."""
    said = metadata if isinstance(metadata, dict) else {}
    kernel, language = (
        part if isinstance(part := said.get(key), dict) else {} for key in ("kernelspec", "language_info")
    )
    name = language.get("name") or kernel.get("language") or "python"
    return _PYTHON.fullmatch(str(name)) is not None


# -- walking over JSON: what matters is entered, the rest passed over by the library's own scanner -------------------


def _value(text: str, keys: Mapping[str, tuple[int, int]], key: str) -> Any:
    """What stands under a key of an object; None if it has no such key."""
    return json.loads(text[slice(*keys[key])]) if key in keys else None


def _skip(text: str, place: int) -> int:
    match = _WHITE.match(text, place)
    return match.end() if match else place


_DECODER = json.JSONDecoder()


def _object(text: str, place: int) -> tuple[dict[str, tuple[int, int]], int]:
    """Where the value of each key of an object stands, and where the object ends."""
    found: dict[str, tuple[int, int]] = {}
    if text[place : place + 1] != "{":
        _DECODER.raw_decode(text, place)
        raise NotNotebook("is JSON, but no notebook")
    place = _skip(text, place + 1)
    while text[place : place + 1] not in {"}", ""}:
        key, place = _DECODER.raw_decode(text, place)
        place = _skip(text, _expected(text, _skip(text, place), ":"))
        _, end = _DECODER.raw_decode(text, place)
        found.pop(str(key), None)  # of two the last counts
        found[str(key)] = place, end
        place = _skip(text, end)
        if text[place : place + 1] != "}":
            place = _skip(text, _expected(text, place, ","))
    return found, _expected(text, place, "}")


def _elements(text: str, place: int) -> Iterator[tuple[int, int]]:
    """Where each element of a list stands."""
    place = _skip(text, place + 1)
    while text[place : place + 1] not in {"]", ""}:
        _, end = _DECODER.raw_decode(text, place)
        yield place, end
        place = _skip(text, end)
        if text[place : place + 1] != "]":
            place = _skip(text, _expected(text, place, ","))


def _strings(text: str, place: int) -> Iterator[tuple[int, int]]:
    """Where each string of a source stands: the only one, or those of a list."""
    if text[place] == "[":
        yield from _elements(text, place)
    else:
        yield place, len(text)


def _expected(text: str, place: int, character: str) -> int:
    if text[place : place + 1] != character:
        raise json.JSONDecodeError(f"expecting {character!r}", text, place)
    return place + 1
