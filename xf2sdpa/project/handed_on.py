"""Names that files import from one another: a file must go on binding a name that another one imports from it.

Import statements are found in the text; the import graph says which file each refers to.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.names import below
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.files.words import ends_of
from xf2sdpa.project.import_graph import Import, ImportGraph

_OURS = re.compile(
    r"^[ \t]*(?:from[ \t]+(?:xformers|mslk)|import[ \t]+[^\n]*(?:xformers|mslk))[^\n(]*(?:\([^)]*\))?",
    re.MULTILINE,
)


def names_of_ours(text: str) -> set[str]:
    """All words in a text's imports of xformers, which include every name that they bind."""
    return {word for match in _OURS.finditer(text) for word in re.findall(r"\w+", match[0])}


def bindings_of_ours(text: str) -> dict[str, str]:
    """The names that imports of xformers in a text bind, at any level, with their dotted paths."""
    named = "xformers" in text or "mslk" in text
    try:
        nodes = parse_once(text).of(ast.Import, ast.ImportFrom) if named and _OURS.search(text) else []
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and is_ours(node.module):
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        elif isinstance(node, ast.Import):
            ours = (alias for alias in node.names if is_ours(alias.name))
            found.update(
                {a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0] for a in ours}
            )
    return found


_READ = re.compile(r"""(?:\.\s*|["'])(\w+)""")
"""A word behind a dot, or at the beginning of a string."""
ANY = "*"
"""Stands for each private name of a file that another one looks up by names that it computes."""
_ATTRIBUTE = re.compile(r"\.(\w+)")


class HandedOn:
    """Which names the files of a project import from one another, and what those names refer to.

    Args:
        graph: the imports between the files.
        texts: the text of each file.
    """

    def __init__(self, graph: ImportGraph, texts: Mapping[str, str]) -> None:
        self._graph = graph
        self._texts = texts
        self._bindings: dict[str, dict[str, str]] = {}

    def taken_from(self, files: Collection[str]) -> dict[str, frozenset[str]]:
        """For each of these files, the names that other files import from it or read as its attributes.

        A file that star-imports it may use every name that it reads and does not import otherwise.
        """
        passing = self._passing(files)
        found: dict[str, set[str]] = {file: set() for file in {*files}.union(*passing.values())}
        for importer in self._modules():
            for statement in self._graph.imports(importer):
                for file, names in self._takes(importer, statement, found):
                    found[file] |= names
        growing = bool(passing)
        while growing:  # through stars of stars
            before = sum(map(len, found.values()))
            for file, importers in passing.items():
                found[file] |= set().union(*(found[importer] for importer in importers))
            growing = sum(map(len, found.values())) > before
        return {file: frozenset(found[file]) for file in files}

    def _modules(self) -> list[str]:
        return [file for file in self._texts if file.endswith((".py", ".ipynb"))]

    def _passing(self, files: Collection[str]) -> dict[str, set[str]]:
        """By file, the files that hand all its names on by a star; for some files, and those that do so for them."""
        stars: dict[str, set[str]] = {}
        for importer in self._modules():
            for statement in self._graph.imports(importer):
                for file in self._sources(importer, statement) if statement.name == "*" else ():
                    stars.setdefault(file, set()).add(importer)
        found: dict[str, set[str]] = {}
        waiting = [file for file in files if file in stars]
        while waiting:
            file = waiting.pop()
            if file not in found:
                found[file] = stars[file]
                waiting += [importer for importer in stars[file] if importer in stars]
        return found

    def _takes(self, importer: str, statement: Import, wanted: Collection[str]) -> Iterator[tuple[str, set[str]]]:
        """The wanted files that one import statement takes names from, with these names."""
        for local, file in self.modules_bound(importer, statement):
            if file in wanted:
                yield file, _attributes(self._texts[importer], local)
        if statement.name:
            for file in filter(wanted.__contains__, self._sources(importer, statement)):
                yield file, _unexplained(self._texts[importer]) if statement.name == "*" else {statement.name}

    def modules_bound(self, importer: str, statement: Import) -> Iterator[tuple[str, str]]:
        """The modules of the project that a statement binds, each with the name by which code reads it."""
        if statement.name:
            file = self._graph.module(importer, statement.dots, f"{statement.module}.{statement.name}".strip("."))
            if file is not None:
                yield statement.bound, file
            return
        parts = statement.module.split(".")
        for count in range(1, len(parts) + 1):
            dotted = ".".join(parts[:count])
            local = statement.bound if statement.bound and count == len(parts) else dotted
            if not statement.bound or count == len(parts):
                file = self._graph.module(importer, 0, dotted)
                if file is not None:
                    yield local, file

    def _sources(self, importer: str, statement: Import) -> set[str]:
        """The files that the module of `from module import name` may refer to."""
        file = self._graph.module(importer, statement.dots, statement.module)
        return {file} if file is not None else self._graph.candidates(importer, statement)

    def meanings_for(self, file: str) -> dict[str, str]:
        """The names that a file takes from other files and that refer to parts of xformers.

        By the dotted path as the file writes it: `.shared.xops` → `xformers.ops`.
        """
        found: dict[str, str] = {}
        for statement in self._graph.imports(file):
            for local, module in self.modules_bound(file, statement):
                dotted = below(statement.source, statement.name) if statement.name else statement.module
                dotted = dotted if statement.name or statement.bound else local
                found |= {f"{dotted}.{name}": ours for name, ours in self.ours(module).items()}
            for module in self._sources(file, statement) if statement.name else ():
                ours = self.ours(module)
                names = ours if statement.name == "*" else ours.keys() & {statement.name}
                found |= {below(statement.source, name): ours[name] for name in names}
        return found

    def read_elsewhere(self, wanted: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
        """Those of the wanted names, by file, that other files have behind a dot or as a string."""
        found: dict[str, set[str]] = {word: set() for word in set().union(*wanted.values())}
        for file, text in self._texts.items() if found else ():
            for word in found.keys() & _READ.findall(text) if any(word in text for word in found) else ():
                found[word].add(file)
        return {file: frozenset(n for n in names if found[n] - {file}) for file, names in wanted.items()}

    def ours(self, file: str) -> dict[str, str]:
        """The names that a file binds to a part of xformers: by importing it, or another file that does."""
        if file not in self._bindings:
            found = self._bindings[file] = bindings_of_ours(self._texts[file])  # what a circle of imports finds
            for statement in self._graph.imports(file):
                for source in self._sources(file, statement) - {file} if statement.name else ():
                    theirs = self.ours(source)
                    names = theirs if statement.name == "*" else {statement.bound: theirs.get(statement.name, "")}
                    found |= {name: ours for name, ours in names.items() if ours and name not in found}
        return self._bindings[file]


def _attributes(text: str, module: str) -> set[str]:
    """The names that a text reads of a module that it calls so: as attributes, by `getattr`, or any by `dir`."""
    found = {match[1] for end in ends_of(module, text) if (match := _ATTRIBUTE.match(text, end))}
    name = re.escape(module)
    if "attr(" in text:
        found |= set(re.findall(rf"""\b(?:get|has|set|del)attr\(\s*{name}\s*,\s*["'](\w+)["']""", text))
        found |= {ANY for _ in re.finditer(rf"""\b(?:get|has)attr\(\s*{name}\s*,\s*(?!["']\w+["'])""", text)}
    listed = "dir(" in text or "vars(" in text
    if "__dict__" in found or (listed and re.search(rf"\b(?:dir|vars)\(\s*{name}\s*\)", text)):
        found |= {ANY, *re.findall(r"""["'](\w+)["']""", text)}
    return found


def _unexplained(text: str) -> set[str]:
    """The names that a text reads and does not import by name, so that a star import may bind them."""
    try:
        found = parse_once(text)
        imports = [alias for node in found.of(ast.Import, ast.ImportFrom) for alias in node.names]
    except (SyntaxError, ValueError, RecursionError):
        return set(re.findall(r"\w+", text))
    bound = {alias.asname or alias.name.partition(".")[0] for alias in imports}
    return {node.id for node in found.of(ast.Name)} - bound
