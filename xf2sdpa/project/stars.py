"""What `from module import *` brings from files of the project: the names, and what they refer to where it is known."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.analysis.scopes import Scope
from xf2sdpa.project.import_graph import Import, ImportGraph

Brought = Mapping[str, str]
"""Names, with the dotted path that each is imported by; an empty one for whatever the module itself makes."""


class Stars:
    """Which names star imports bring.

    Args:
        graph: the imports between the files.
        texts: the text of each file.
    """

    def __init__(self, graph: ImportGraph, texts: Mapping[str, str]) -> None:
        self._graph = graph
        self._texts = texts
        self._found: dict[str, dict[str, str]] = {}

    def known_to(self, file: str) -> dict[str, Brought]:
        """What each star import of a file brings, by the module as written; only of modules of the project."""
        statements = self._graph.imports(file) if file.endswith((".py", ".ipynb")) else []
        found: dict[str, Brought] = {}
        for statement in statements:
            sources = self._sources(file, statement) if statement.name == "*" else set()
            if sources:
                found[statement.source] = _merged([self._brought(source) for source in sorted(sources)])
        return found

    def _sources(self, file: str, statement: Import) -> set[str]:
        home = self._graph.module(file, statement.dots, statement.module)
        return {home} if home is not None else set()

    def _brought(self, file: str) -> dict[str, str]:
        """What a star import of a file brings: what `__all__` lists, or every name without an underscore."""
        if file not in self._found:
            self._found[file] = {}  # what a circle of stars finds
            try:
                tree = parse_once(self._texts[file]).tree
            except (SyntaxError, ValueError, RecursionError):
                return {}
            module = Names(tree).module
            bound = _merged([*self.known_to(file).values(), _bound_in(module)])
            listed = set(_listed(tree)) if "__all__" in module.bindings else None
            public = listed if listed is not None else {name for name in bound if not name.startswith("_")}
            self._found[file] = {name: bound.get(name, "") for name in sorted(public)}
        return self._found[file]


def _bound_in(module: Scope) -> dict[str, str]:
    """The variables of a module, each with the one path that imports bind it to."""
    found = {}
    for name, bindings in module.bindings.items():
        paths = {binding.dotted or "" for binding in bindings}
        path = paths.pop() if len(paths) == 1 else ""
        found[name] = "" if path.startswith(".") else path
    return found


def _listed(tree: ast.Module) -> Iterator[str]:
    """The strings in all statements that speak of `__all__`."""
    for statement in tree.body:
        parts = list(ast.walk(statement))
        if any(isinstance(part, ast.Name) and part.id == "__all__" for part in parts):
            yield from (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _merged(found: list[Brought]) -> dict[str, str]:
    """All names of some modules; without a path where they differ."""
    merged: dict[str, str] = {}
    for names in found:
        for name, path in names.items():
            merged[name] = path if merged.get(name, path) == path else ""
    return merged
