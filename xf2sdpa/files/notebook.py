"""A notebook as one module text, and back: the text of its code cells in their order, each below a line that names it.

The line is a call that no rule knows, so that no edit reaches over it. What IPython takes and Python does not is masked
(`magics`). Lines of the text below such a line are the lines of the cell, one by one.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xf2sdpa.files.cells import Book, Cell, NewCell, NotNotebook, read_book
from xf2sdpa.files.magics import Masked, cell_magic, masked
from xf2sdpa.files.reading import read_regular
from xf2sdpa.files.source import UNREADABLE, Source, SourceError, decode, read

PATTERN = "*.ipynb"
NO_NOTEBOOK = "XF911"
"""The file is no notebook that can be worked on."""
BORDER = "_xf2sdpa_cell_"
"""The function whose call stands above each cell; its argument is the cell's number, or the name of a new cell."""
LARGEST = 64 << 20
"""The size of the largest notebook that is worked on: most of it may be pictures."""
_BORDER = re.compile(rf'^{BORDER}\((?:(?P<number>\d+)|"(?P<name>[\w-]+)")\)(?:\r?\n|\Z)', re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """A cell in a text.

    Attributes:
        number: its place among all cells of the notebook, from 1; 0 for a new one.
        name: of a new one.
        line: the line that stands above it, from 1.
        code: what it holds, masked.
    """

    number: int
    name: str
    line: int
    code: str


@dataclass(frozen=True)
class Notebook(Source):
    """A notebook, and the module text that its cells make."""

    book: Book = field(default_factory=lambda: Book(""))
    table: Masked = field(default_factory=Masked)

    @property
    def whole(self) -> str:
        """The JSON document."""
        return self.book.text

    def encode(self, text: str) -> bytes:
        """A JSON document as the bytes of this file."""
        return (codecs.BOM_UTF8 if self.bom else b"") + text.encode("utf-8")

    def with_cells(self, text: str) -> str:
        """The JSON document with the cells of a module text. A cell that the text lacks goes, one with a name is new.

        Raises:
            SourceError: the notebook would not be read again as it was written.
        """
        old = {cell.index: cell.source for cell in self.book.cells}
        found = list(parts(text))
        new = {part.number - 1: self.table.restored(part.code) for part in found if not part.name}
        changed = {index: source for index, source in new.items() if source != old[index]}
        added = [
            NewCell(self._below(found[place:]), part.code, part.name) for place, part in enumerate(found) if part.name
        ]
        written = self.book.edited(changed, added, sorted(old.keys() - new.keys()))
        if [cell.source for cell in read_book(written).cells] != [self.table.restored(part.code) for part in found]:
            raise SourceError(self.path, 1, 0, NO_NOTEBOOK, "would not be read again as it was written")
        return written

    def _below(self, found: list[Part]) -> int:
        """The index of the first cell among some that the notebook has already."""
        return next((part.number - 1 for part in found if not part.name), len(self.book.spans))

    def cell(self, number: int) -> Cell:
        """A code cell by its number among all cells, from 1."""
        return next(cell for cell in self.book.cells if cell.index == number - 1)

    def takes_imports(self, part: Part) -> bool:
        """Whether what a cell imports is bound for the cells below."""
        opaque = any(number in self.table.whole for number in self.table.numbers_in(part.code))
        return not opaque and cell_magic(self.table.restored(part.code)) != "timeit"


def is_notebook(file: str | Path) -> bool:
    """Whether a file is one, by its name."""
    return str(file).endswith(".ipynb")


def read_any(path: Path) -> Source | None:
    """The source of a file, a notebook's as a module; None for a notebook of another language.

    Raises:
        SourceError: it cannot be read, or is no notebook that can be worked on.
    """
    if not is_notebook(path):
        return read(path)
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise SourceError(path, 1, 0, UNREADABLE, f"cannot be read: {error.strerror or error}") from error
    return decode_notebook(data, path)


def decode_any(data: bytes, path: Path) -> Source | None:
    """`read_any` of bytes that are at hand."""
    return decode_notebook(data, path) if is_notebook(path) else decode(data, path)


def decode_notebook(data: bytes, path: Path) -> Notebook | None:
    """A notebook as a module; None for one of another language.

    Raises:
        SourceError: XF911, it is no notebook that can be worked on.
    """
    bom = data.startswith(codecs.BOM_UTF8)
    try:
        book = read_book(data[len(codecs.BOM_UTF8) if bom else 0 :].decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SourceError(path, 1, 0, NO_NOTEBOOK, f"is not UTF-8: {error.reason}") from None
    except NotNotebook as error:
        raise SourceError(path, 1, 0, NO_NOTEBOOK, str(error)) from None
    if not book.python:
        return None
    table = Masked()
    text = joined((str(cell.index + 1), masked(cell.source, table, python=cell.python)) for cell in book.cells)
    return Notebook(path, data, text, "utf-8", bom, "\n", book, table)


def joined(cells: Iterable[tuple[str, str]]) -> str:
    """The text of cells, each given by its number, or by the name of a new one in quotes, and its code."""
    return "".join(f"{BORDER}({name})\n{code}\n" for name, code in cells)


def parts(text: str) -> Iterator[Part]:
    """The cells of a text; what stands above the first is none of one."""
    borders = list(_BORDER.finditer(text))
    ends = [*(border.start() for border in borders[1:]), len(text)]
    line = 1 + text[: borders[0].start()].count("\n") if borders else 1
    for border, end in zip(borders, ends, strict=False):
        code = text[border.end() : end].removesuffix("\n")
        yield Part(int(border["number"] or 0), border["name"] or "", line, code)
        line += text[border.start() : end].count("\n")


def part_at(found: Sequence[Part], line: int) -> Part:
    """The cell in which a line of a text stands."""
    return next((part for part in reversed(found) if part.line < line), found[0])
