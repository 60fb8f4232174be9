"""What it means to call a function of another file with a package's name: whether it only says that it is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xf2sdpa.analysis.asking import asks_for_argument, functions_of, looks_up_its_argument
from xf2sdpa.analysis.names import below
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.project.import_graph import ImportGraph

_NAMED = re.compile(r"""["'](?:xformers|mslk)[.\w]*["']""")
"""The package's name, which a call may be given."""
_DEEPEST = 4


class Questions:
    """The functions of a project that ask for packages.

    Args:
        graph: the imports between the files.
        texts: the text of each file.
    """

    def __init__(self, graph: ImportGraph, texts: Mapping[str, str]) -> None:
        self._graph = graph
        self._texts = texts
        self._functions: dict[str, dict[str, bool]] = {}

    def known_to(self, file: str) -> dict[str, bool]:
        """The functions of other files that a file can call with a package's name, by the dotted path it has for them.

        True for one that says whether the package is there and does nothing else; False for one that looks it up in
        some other way.
        """
        if not _NAMED.search(self._texts[file]):
            return {}
        found: dict[str, bool] = {}
        for statement in self._graph.imports(file):
            whole = f"{statement.module}.{statement.name}".strip(".") if statement.name else statement.module
            module = self._graph.module(file, statement.dots, whole)
            if module is not None:
                path = below(statement.source, statement.name) if statement.name else statement.module
                found |= {f"{path}.{name}": kind for name, kind in self._of(module).items()}
            elif statement.name:
                source = self._graph.module(file, statement.dots, statement.module)
                kind = self._kind(source, statement.name, 0) if source is not None else None
                if kind is not None:
                    found[below(statement.source, statement.name)] = kind
        return found

    def _kind(self, file: str, name: str, depth: int) -> bool | None:
        """What a name of a file does, there or where the file takes it from; None for anything else."""
        functions = self._of(file)
        if name in functions or depth > _DEEPEST:
            return functions.get(name)
        return next(self._taken(file, name, depth), None)

    def _taken(self, file: str, name: str, depth: int) -> Iterator[bool]:
        for statement in self._graph.imports(file):
            if statement.bound == name and statement.name:
                source = self._graph.module(file, statement.dots, statement.module)
                kind = self._kind(source, statement.name, depth + 1) if source and source != file else None
                if kind is not None:
                    yield kind

    def _of(self, file: str) -> dict[str, bool]:
        """The functions of one file that ask for a package."""
        if file not in self._functions:
            try:
                functions = functions_of(parse_once(self._texts[file]).tree)
            except (SyntaxError, ValueError, RecursionError):
                functions = {}
            self._functions[file] = {
                name: asks_for_argument(function, functions)
                for name, function in functions.items()
                if asks_for_argument(function, functions) or looks_up_its_argument(function)
            }
        return self._functions[file]
