"""Which notebooks name xformers, in which cell and line, and how: what a report of what is left reads.

In code it counts as a name, an attribute, an argument, or a string that begins with it; in magics and shell lines
wherever it stands. What stands in outputs, prose, comments and other strings does not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.files.magics import LINE, cell_magic
from xf2sdpa.files.notebook import Notebook, part_at, parts
from xf2sdpa.helper.in_notebook import helper_of
from xf2sdpa.uninstall.install_lines import NAMED, names_ours, without_ours

_BEGINS = re.compile(r"(?:xformers|mslk)(?![\w -])", re.IGNORECASE)
"""A string that begins so names the package; another one may only speak of it."""
_PROSE = frozenset({"html", "HTML", "javascript", "js", "latex", "markdown", "svg"})
_LONGEST = 60


@dataclass(frozen=True)
class Named:
    """A place of a notebook that names xformers.

    Attributes:
        cell: the cell, counted from 1 among cells of every kind.
        line: the line in it, from 1.
        kind: `code`, `install` (a line that installs it), `line` (another shell line or magic) or `cell` (a cell that
            is no Python as a whole).
        text: the line, as far as it fits.
        number: of the masked text, for `install`, `line` and `cell`.
    """

    cell: int
    line: int
    kind: str
    text: str
    number: int = -1


def masked_names(source: Notebook, text: str) -> Iterator[Named]:
    """The magics, shell lines and cells of a text that name xformers."""
    for part in parts(text):
        for number in source.table.numbers_in(part.code):
            said = source.table.texts[number]
            if not NAMED.search(said):
                continue
            line = 1 + part.code[: part.code.index(f"{LINE}({number}")].count("\n")
            if number in source.table.whole:
                found = _in_cell(said)
                if found is not None:
                    yield Named(part.number, line + found, "cell", shortened(said.split("\n")[found]), number)
            elif without_ours(said) is not None:
                yield Named(part.number, line, "install", shortened(said), number)
            elif names_ours(said):
                yield Named(part.number, line, "line", shortened(said), number)


def _in_cell(said: str) -> int | None:
    """The line, from 0, of a cell that is no Python which names xformers; None where none does, or only our prose."""
    if cell_magic(said) in _PROSE or helper_of(said) is not None:
        return None
    lines = said.split("\n")
    return next((n for n, line in enumerate(lines) if NAMED.search(line) and names_ours(line)), None)


def code_names(text: str) -> Iterator[Named]:
    """The places of a text's Python that name xformers."""
    if not NAMED.search(text):
        return
    found = list(parts(text))
    nodes = parse_once(text).nodes
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    lines = text.split("\n")
    calls = (node for node in nodes if isinstance(node, ast.Call))
    stands_for = {id(part) for call in calls if called_name(call.func) == LINE for part in ast.walk(call)}
    told: set[int] = set()
    for node in nodes:
        line = getattr(node, "lineno", 0)
        if line not in told and id(node) not in stands_for and _names(node, own):
            told.add(line)
            part = part_at(found, line)
            yield Named(part.number, line - part.line, "code", shortened(lines[line - 1]))


def _names(node: ast.AST, own: set[str]) -> bool:
    """Whether a node itself names xformers; a variable or function that the notebook calls so is none."""
    if isinstance(node, ast.Name):
        return NAMED.search(node.id) is not None and node.id not in own
    if isinstance(node, ast.Attribute):
        return NAMED.search(node.attr) is not None
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and _BEGINS.match(node.value) is not None
    if isinstance(node, ast.keyword):
        return NAMED.search(node.arg or "") is not None
    if isinstance(node, ast.Import | ast.ImportFrom):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        return NAMED.search(" ".join([module, *(alias.name for alias in node.names)])) is not None
    return False


def shortened(line: str) -> str:
    """A line, as far as it fits into a sentence."""
    bare = " ".join(line.replace("\\\n", " ").split())
    return bare if len(bare) <= _LONGEST else bare[: _LONGEST - 1] + "…"
