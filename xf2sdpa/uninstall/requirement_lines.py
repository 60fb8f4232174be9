"""Which lines of a requirement file require xformers.

A line that only holds the word is none: the name of an entry point, of an extra, of a test's mark. So of files with
sections those lines count that stand where requirements do; of setup.py, literals in what `setup` is given as such.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from xf2sdpa.files.pyproject import parse_toml

_LISTED = re.compile(r"""(?:^\s*(?:-\s+)?|["']|[=/:])xformers(?![\w]|-(?!\d)|\.(?!git))""")
"""xformers at the start of a line or of a string, or at the end of an address; `xformers-stubs` is another package."""
_COMMENT = re.compile(r"(?:^|\s)#.*")
_HEADER = re.compile(r"""[ \t]*\[\[?[\w."' :-]+\]?\][ \t]*$""")
_TOML_KEY = re.compile(
    r"""[ \t]*((?:[\w-]+|"[^"]*"|'[^']*')(?:[ \t]*\.[ \t]*(?:[\w-]+|"[^"]*"|'[^']*'))*)[ \t]*=(?!=)"""
)
_CFG_KEY = re.compile(r"([\w.-]+)[ \t]*[=:](?!=)")
_LISTS = re.compile(r"requires|([\w-]+-)?dependencies")
_GROUPS = frozenset({"optional-dependencies", "dev-dependencies", "dependency-groups", "extras"})
"""Tables of lists of requirements, each under a name of the user's own."""
_BY_NAME = frozenset({"dependencies", "dev-dependencies", "pypi-dependencies", "sources"})
"""Tables in which the name of a package is the key."""
_INCLUDED = re.compile(r"include-group\s*=\s*(\"[^\"]*\"|'[^']*')")
_OF_SETUP = ("install_requires", "extras_require", "setup_requires", "tests_require")


def listing(file: PurePath, text: str) -> list[tuple[int, str]]:
    """The lines of a file's text that require xformers: the number of each, and what it says."""
    lines = [_COMMENT.sub("", line) for line in text.splitlines()]
    if file.name == "setup.py":
        found = sorted(set(_of_setup_py(text)))
    elif file.suffix == ".toml":
        found = list(_of_toml(lines))
    elif file.suffix == ".cfg":
        found = list(_of_cfg(lines))
    else:
        found = [number for number, line in enumerate(lines, 1) if _LISTED.search(line.strip())]
    return [(number, lines[number - 1].strip()) for number in found if number <= len(lines)]


@dataclass(frozen=True)
class _Entry:
    """A line of a file with sections: the header and the key that it belongs to, and what it holds of the value."""

    number: int
    header: str
    key: str
    value: str
    begins: bool
    """Whether the header or the key is on this line."""


def _entries(lines: Iterable[str], key: re.Pattern[str]) -> Iterator[_Entry]:
    header = name = ""
    for number, line in enumerate(lines, 1):
        if _HEADER.match(line):
            header, name = line.strip(), ""
            yield _Entry(number, header, "", "", begins=True)
        else:
            begun = key.match(line)
            name = begun[1] if begun else name
            yield _Entry(number, header, name, line[begun.end() if begun else 0 :].strip(), begins=begun is not None)


def _of_toml(lines: list[str]) -> Iterator[int]:
    for entry in _entries(lines, _TOML_KEY):
        if "xformers" not in lines[entry.number - 1]:
            continue
        table, key = ["", "", *_path(entry.header, entry.key)][-2:]
        by_name = entry.begins and key == "xformers" and table in _BY_NAME
        in_list = _LISTS.fullmatch(key) is not None or table in _GROUPS
        if by_name or (in_list and _LISTED.search(_INCLUDED.sub("", entry.value))):
            yield entry.number


def _path(header: str, key: str) -> list[str]:
    """The keys that lead from the top of a document to a place in it."""
    try:
        table: Any = parse_toml(f"{header}\n{key} = 0" if key else header)
    except ValueError:
        return []
    keys = []
    while table:
        table = table[0] if isinstance(table, list) else table
        keys += table
        table = table[keys[-1]] if table else None
    return keys


def _of_cfg(lines: list[str]) -> Iterator[int]:
    for entry in _entries(lines, _CFG_KEY):
        of_setup = entry.header == "[options]" and entry.key in _OF_SETUP
        if (of_setup or entry.header == "[options.extras_require]") and _LISTED.search(entry.value):
            yield entry.number


def _of_setup_py(text: str) -> Iterator[int]:
    """Literals that a call takes as its requirements, by a variable or not."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    nodes = list(ast.walk(tree))
    given = [node.value for node in nodes if isinstance(node, ast.keyword) and node.arg in _OF_SETUP]
    variables = {part.id for value in given for part in ast.walk(value) if isinstance(part, ast.Name)}
    assigned = [node for node in nodes if isinstance(node, ast.Assign)]
    given += [node.value for node in assigned if variables & set(map(_variable, node.targets))]
    for value in given:
        yield from (part.lineno for part in _literals(value) if _LISTED.search(str(part.value)))


def _variable(target: ast.expr) -> str:
    """The variable that an assignment changes: `extras` of `extras["fast"] = …`."""
    target = target.value if isinstance(target, ast.Subscript) else target
    return target.id if isinstance(target, ast.Name) else ""


def _literals(node: ast.AST) -> Iterator[ast.Constant]:
    """The literals in an expression that are no keys."""
    keys = {id(key) for part in ast.walk(node) if isinstance(part, ast.Dict) for key in part.keys}
    keys |= {id(part.slice) for part in ast.walk(node) if isinstance(part, ast.Subscript)}
    return (part for part in ast.walk(node) if isinstance(part, ast.Constant) and id(part) not in keys)
