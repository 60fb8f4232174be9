"""setup.py: literals that `setup` is given as requirements, by a variable or not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TypeGuard

from xf2sdpa.analysis.spans import split_lines
from xf2sdpa.uninstall.requirement_edits.cfg_file import KEYS
from xf2sdpa.uninstall.requirement_edits.splice import Requirement, Splice, without_item
from xf2sdpa.uninstall.requirement_edits.words import requires_xformers

_LINES = re.compile(r"""(?P<quotes>\"{3}|'{3})(?P<first>\\\r?\n)?(?P<body>[^\\]*)(?P=quotes)""")
"""A literal of several lines that reads as it is written."""


def find(text: str) -> list[Requirement]:
    """What the file requires, as far as it is written out."""
    tree = ast.parse(text)
    places = _Places(text)
    return [found for value in _values(tree) for found in _in(value, text, places, "")]


def same(old: str, new: str) -> bool:
    """Whether two texts are the same program, requirements of xformers aside."""
    return _rest(old) == _rest(new)


class _Places:
    """Positions of `ast` as places in the text."""

    def __init__(self, text: str) -> None:
        self._lines = split_lines(text)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def of(self, node: ast.expr) -> tuple[int, int]:
        """Where an expression begins and ends."""
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno or 0, node.end_col_offset or 0)

    def _at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())


def _values(tree: ast.Module) -> list[ast.expr]:
    nodes = list(ast.walk(tree))
    given = [node.value for node in nodes if isinstance(node, ast.keyword) and node.arg in KEYS]
    for node in nodes:  # `setup(**arguments)`
        if isinstance(node, ast.Dict):
            named = zip(node.keys, node.values, strict=True)
            given += [value for key, value in named if isinstance(key, ast.Constant) and key.value in KEYS]
    variables = {part.id for value in given for part in ast.walk(value) if isinstance(part, ast.Name)}
    assigned = [node for node in nodes if isinstance(node, ast.Assign)]
    return given + [node.value for node in assigned if variables & set(map(_variable, node.targets))]


def _variable(target: ast.expr) -> str:
    """The variable that an assignment changes: `extras` of `extras["fast"] = …`."""
    target = target.value if isinstance(target, ast.Subscript) else target
    return target.id if isinstance(target, ast.Name) else ""


def _in(node: ast.expr, text: str, places: _Places, place: str) -> Iterator[Requirement]:
    """The requirements in a value: literals in lists, in the values of dictionaries, in sums of these."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        spans = [places.of(item) for item in node.elts]
        for index, item in enumerate(node.elts):
            if _is_one(item):
                going = without_item(text, spans, index, is_tuple=isinstance(node, ast.Tuple) and len(spans) == 2)
                # An empty set is no literal, and a tuple of one needs its comma.
                only = len(spans) == 1 and not isinstance(node, ast.List)
                yield _requirement(item, text, places, () if only else (going,), place)
            else:
                yield from _in(item, text, places, place)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            name = str(key.value) if isinstance(key, ast.Constant) else ""
            if _is_one(value):
                start, end = places.of(value)
                yield _requirement(value, text, places, (Splice(start, end, "[]"),), name)
            else:
                yield from _in(value, text, places, name)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _in_lines(node.value, text, *places.of(node), place)
    else:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr) and not isinstance(node, ast.Subscript):
                yield from _in(child, text, places, place)


def _in_lines(value: str, text: str, start: int, end: int, place: str) -> Iterator[Requirement]:
    """The requirements in a literal of several lines; one that is not written as it reads is taken for as it is."""
    literal = _LINES.fullmatch(text, start, end)
    wanted = [said for line in value.splitlines() if (said := _said(line))]
    lines = list(re.finditer(r"[^\n]*(?:\n|$)", literal["body"])) if literal else []
    if literal is None or [said for line in lines if (said := _said(line[0]))] != wanted:
        yield from (Requirement(said, start, start, "", (), place=place) for said in wanted)
        return
    first, last = literal.span("body")
    for line in lines:
        if said := _said(line[0]):
            at = first + line.start() + line[0].index(said)
            begin, behind = first + line.start(), first + line.end()
            if behind == last and begin > first and not line[0].endswith("\n"):  # the newline before goes with the last
                begin -= 1 + text.endswith("\r\n", 0, begin)
            yield Requirement(said, at, at + len(said), "pip", (Splice(begin, behind),), place=place)


def _said(line: str) -> str:
    return re.sub(r"(?:^|\s)#.*", "", line.strip()).strip()


def _requirement(node: ast.Constant, text: str, places: _Places, going: tuple[Splice, ...], place: str) -> Requirement:
    start, end = places.of(node)
    said = str(node.value).strip()
    inner = text.find(said, start, end) if said else -1  # not where it is written with escapes, or in pieces
    written = (inner, inner + len(said)) if inner >= 0 else (start, start)
    return Requirement(said, *written, "pip" if inner >= 0 else "", going, place=place)


def _rest(text: str) -> str:
    tree = ast.parse(text)
    for value in _values(tree):
        _strip(value)
    return ast.dump(tree)


def _strip(node: ast.AST) -> None:
    for part in ast.walk(node):
        if isinstance(part, ast.List | ast.Tuple | ast.Set):
            part.elts = [item for item in part.elts if not _is_ours(item)]
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and "\n" in part.value:
            said = [said for line in part.value.splitlines() if (said := _said(line))]
            part.value = "\n".join(line for line in said if not requires_xformers(line))
        elif isinstance(part, ast.Dict):
            part.values = [ast.List([], ast.Load()) if _is_ours(value) else value for value in part.values]


def _is_ours(node: ast.expr) -> bool:
    return _is_one(node) and requires_xformers(str(node.value))


def _is_one(node: ast.expr) -> TypeGuard[ast.Constant]:
    """Whether an expression is a literal of one requirement, not of several in lines."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value.strip()
