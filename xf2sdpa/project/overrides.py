"""Methods of a file's classes that classes of other files override: what theirs return, the file does not show."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping

from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.project.files import Project

_CLASS = re.compile(r"^[ \t]*class[ \t]+(\w+)", re.MULTILINE)
_Method = tuple[str, str]
"""The name of a class, and that of a method."""


def derived_in(text: str, name: str) -> list[ast.ClassDef]:
    """The classes of a text that have a base of that name; the head of a class ends with a colon at its line's end.

    Raises:
        SyntaxError, ValueError, RecursionError: it may have some, and does not parse.
    """
    if re.search(rf"\bclass\s+\w+\s*\((?:[^:]|:(?!\s*\n))*?\b{re.escape(name)}\b", text) is None:
        return []
    classes = parse_once(text).of(ast.ClassDef)
    return [k for k in classes if name in {ast.unparse(base).rpartition(".")[2] for base in k.bases}]


def overridden_elsewhere(project: Project, files: Collection[str]) -> Mapping[str, frozenset[_Method]]:
    """For each file the methods, with their classes, that a class of another file overrides.

    A class derives from those that its bases name, if its file runs with theirs, directly or by others between.
    """
    reached: dict[str, set[str]] = {}

    def runs_with(path: str, file: str) -> bool:
        if path not in reached:
            reached[path] = project.graph.reached_from(path)
        return file in reached[path]

    def methods_of(file: str, name: str) -> set[str]:
        known, methods = [name], set[str]()
        for base in known:  # grows
            for path in project.holding(base):
                try:
                    found = derived_in(project.text(path), base)
                except (SyntaxError, ValueError, RecursionError):
                    continue  # it does not run either
                if not found or not (path == file or runs_with(path, file)):
                    continue
                known += [klass.name for klass in found if klass.name not in known]
                if path != file:
                    bodies = (part for klass in found for part in klass.body)
                    methods |= {part.name for part in bodies if isinstance(part, ast.FunctionDef)}
        return methods

    return {
        file: frozenset(
            (name, method) for name in set(_CLASS.findall(project.text(file))) for method in methods_of(file, name)
        )
        for file in files
    }
