"""The layout of a file: the width that its lines may have, and its indents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xf2sdpa.analysis.spans import split_lines

WIDTHS = (79, 88, 100, 110, 120)
"""Line lengths that formatters are commonly set to."""


@dataclass(frozen=True)
class Layout:
    """The lines of a file and the width that new code may take."""

    lines: Sequence[str]
    width: int
    tab: str = "    "

    @classmethod
    def of(cls, text: str, configured: int | None) -> Layout:
        """The layout of a text; the width is the configured one, or the smallest common one that its lines fit."""
        lines = [line.rstrip("\r\n") for line in split_lines(text)]
        indented = next((line for line in lines if line[:1] in " \t" and line.strip()), "    ")
        tab = "\t" if indented.startswith("\t") else "    "
        if configured is not None:
            return cls(lines, configured, tab)
        too_many = len(lines) // 100  # one line in a hundred may be longer than the width
        for width in WIDTHS:
            if sum(len(line) > width for line in lines) <= too_many:
                return cls(lines, max(width, 88), tab)
        return cls(lines, WIDTHS[-1], tab)

    def indent(self, line: int) -> str:
        """The white space at the start of a line, which is numbered from 1."""
        text = self.lines[line - 1]
        return text[: len(text) - len(text.lstrip())]
