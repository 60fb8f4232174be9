"""A table as plain data; `parts.html` draws it, scrolling on narrow screens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "good", "bad", "warn", "quiet"]
"""How a cell is coloured. The text must say the same: not every reader sees colours."""


@dataclass(frozen=True)
class Column:
    """A column: figures stand to the right with their unit in the heading, code in a fixed width."""

    title: str
    unit: str = ""
    number: bool = False
    code: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell that is more than text.

    Attributes:
        link: id of a part of the same page.
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
        shown: rows beyond this many are folded away behind a line that says how many they are.
        folded: the whole table is, behind its caption.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Cell]]
    shown: int = 40
    folded: bool = False

    def __post_init__(self) -> None:
        """Refuse rows that do not fit.

        Raises:
            ValueError: a row has more or fewer cells than there are columns.
        """
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.caption}: {len(row)} cells for {len(self.columns)} columns")

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows with every cell as a `Cell`."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]
