"""A table as plain data; `parts.html` draws it, scrolling on narrow screens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "good", "bad", "warn", "quiet"]
"""The colour of a cell. The text must say the same, for readers who do not see colours."""


@dataclass(frozen=True)
class Column:
    """A column: numbers are right-aligned, with their unit in the heading; code has a fixed-width font."""

    title: str
    unit: str = ""
    number: bool = False
    code: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell with a colour, a link or a note.

    Attributes:
        link: id of an element of the same page.
        note: small print under the text.
    """

    text: str
    tone: Tone = ""
    link: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells or strings, one for each column.

    Attributes:
        shown: rows beyond this many are folded, behind a line that counts them.
        folded: whether the whole table is folded, behind its caption.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Cell]]
    shown: int = 40
    folded: bool = False

    def __post_init__(self) -> None:
        """Check the rows.

        Raises:
            ValueError: a row has more or fewer cells than there are columns.
        """
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.caption}: {len(row)} cells for {len(self.columns)} columns")

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, with strings as `Cell`s too."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]
