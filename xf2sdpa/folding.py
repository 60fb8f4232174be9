"""Lines that fit the terminal they are shown in, broken between words."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

import click

WIDEST = 120
"""Columns beyond which lines are hard to read."""
_HANGING = 4
"""Columns by which what follows the first line of a place stands in, as the sentences below it do."""
_DEEPER = 2
"""The same for a line that stands in already."""
_ENOUGH = 30
"""Columns of code from which on it stands behind its place."""


class Paste(str):
    """A line to copy: a command, or code. It is shown as it is, however long."""

    __slots__ = ()


class Code(str):
    """A line that ends in code: that is cut where it does not fit, as a diff shows the whole."""

    head: str
    code: str

    @classmethod
    def after(cls, head: str, code: str) -> Code:
        """What stands before the code, and the code."""
        made = cls(f"{head} {code}")
        made.head, made.code = head, code
        return made


def width_of(stream: TextIO | None) -> int | None:
    """The columns to fill where a stream goes to a terminal; None where nobody watches."""
    if stream is None or not stream.isatty():
        return None
    return min(shutil.get_terminal_size().columns, WIDEST)


def show(lines: Iterable[str], *, errors: bool = False) -> None:
    """Print lines, folded where a person watches.

    Args:
        lines: with or without colours.
        errors: whether they go to standard error.
    """
    width = width_of(sys.stderr if errors else sys.stdout)
    for line in lines:
        for piece in folded(line, width):
            click.echo(piece, err=errors)


def folded(line: str, width: int | None) -> Iterator[str]:
    """The line in pieces of at most `width` columns; a word that is longer stays whole.

    Args:
        line: with or without colours, which take no column.
        width: of the terminal; None where nobody looks, and the line stays one.
    """
    if width is None or isinstance(line, Paste) or _columns(line) <= width:
        yield line
        return
    if isinstance(line, Code):
        yield from _cut(line, width)
        return
    indent = len(line) - len(line.lstrip(" "))
    hanging = " " * (indent + _DEEPER if indent else _HANGING)
    piece = ""
    for word in re.findall(r" *[^ ]+", line):
        if piece and _columns(piece + word) > width:
            yield piece
            piece = hanging + word.lstrip(" ")
        else:
            piece += word
    yield piece


def _cut(line: Code, width: int) -> Iterator[str]:
    """A line with as much of its code as fits; the code has one of its own where nearly none would."""
    room = width - _columns(line.head) - 1
    if room >= _ENOUGH:
        yield f"{line.head} {line.code[: room - 1]}…"
        return
    yield from folded(line.head.rstrip(" "), width)
    room = width - _HANGING
    yield " " * _HANGING + (line.code if len(line.code) <= room else f"{line.code[: room - 1]}…")


def _columns(text: str) -> int:
    return len(click.unstyle(text))
