"""Spans of `ast` nodes in characters: `ast` counts columns in UTF-8 bytes."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from xf2sdpa.model import Span

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def split_lines(text: str) -> list[str]:
    """The lines of a text with their line ends, as `ast` counts them: a form feed or U+2028 does not end a line."""
    return _LINE.findall(text)


def span_of(node: ast.expr | ast.stmt, lines: Sequence[str]) -> Span:
    """Where a node stands in the text, in lines from 1 and characters from 0."""
    end_line = node.end_lineno or node.lineno
    return Span(
        node.lineno,
        _characters(lines, node.lineno, node.col_offset),
        end_line,
        _characters(lines, end_line, node.end_col_offset or 0),
    )


def source_of(node: ast.expr | ast.stmt, lines: Sequence[str]) -> str:
    """The text of a node."""
    span = span_of(node, lines)
    if span.line == span.end_line:
        return lines[span.line - 1][span.column : span.end_column]
    first, *middle, last = lines[span.line - 1 : span.end_line]
    return "".join([first[span.column :], *middle, last[: span.end_column]])


def _characters(lines: Sequence[str], line: int, column: int) -> int:
    text = lines[line - 1] if line <= len(lines) else ""
    return column if text.isascii() else len(text.encode("utf-8", "surrogatepass")[:column].decode("utf-8", "replace"))
