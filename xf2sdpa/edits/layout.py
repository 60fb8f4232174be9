"""The layout of a file: the width that its lines may have, and its indents."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from xf2sdpa.analysis.spans import split_lines
from xf2sdpa.edits.kinds import Edit, TakeBranch, Within

WIDTHS = (79, 88, 100, 110, 120)
"""Line lengths that formatters are commonly set to."""


@dataclass(frozen=True)
class Layout:
    """The lines of a file and the width that new code may take.

    `spared` holds how many characters other edits take from a line, by its number; less than none, where they add some.
    """

    lines: Sequence[str]
    width: int
    tab: str = "    "
    spared: Mapping[int, int] = field(default_factory=dict)

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

    def after(self, edits: Sequence[Edit]) -> Layout:
        """The layout with the columns that edits free on each line (a branch that goes) or take (a further indent)."""
        spared: Counter[int] = Counter()
        for edit in edits:
            if isinstance(edit, TakeBranch) and edit.node.lineno == edit.node.end_lineno:
                taken = edit.node.body if edit.answer else edit.node.orelse
                spared[edit.node.lineno] += _length(edit.node) - _length(taken)
            if isinstance(edit, Within):
                for line in range(edit.node.lineno, (edit.node.end_lineno or edit.node.lineno) + 1):
                    spared[line] -= len(self.tab.expandtabs(4))
        return replace(self, spared=spared)

    def indent(self, line: int) -> str:
        """The white space at the start of a line, which is numbered from 1."""
        text = self.lines[line - 1]
        return text[: len(text) - len(text.lstrip())]


def _length(node: ast.expr) -> int:
    return (node.end_col_offset or 0) - node.col_offset
