"""What objects of a project's classes have for themselves: operations that tensors have, too, values that they change.

What `x.view(…)` gives, a class decides that has a `view`; and `x.keys` may be another tensor after any call.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.project.files import Project

SHAPING = frozenset(
    {"view", "reshape", "expand", "repeat", "broadcast_to", "view_as", "reshape_as", "expand_as", "permute", "flatten",
     "unflatten", "unbind", "chunk", "split", "squeeze", "unsqueeze", "transpose", "swapaxes", "movedim", "narrow"}
)  # fmt: skip
"""Operations that the walk takes a rank from, or follows one through."""
_NAMES = "|".join(sorted(SHAPING))
_DEFINED = re.compile(
    rf"^[ \t]+(?:def[ \t]+(?:{_NAMES})\(|(?:self\.)?(?:{_NAMES})[ \t]*(?::[^=\n]*)?=(?!=))", re.MULTILINE
)
_READ = re.compile(r"(?<!self)\.(\w+)")


class OwnOperations:
    """Which operations the classes have that a file may meet.

    Its own classes, those of what it imports, directly or not, and those that a file knows which imports it.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._close: dict[str, set[str]] = {}
        self._by_file = {file: _defined_in(text) for file, text in project.texts.items() if _DEFINED.search(text)}

    def of(self, file: str) -> frozenset[str]:
        """Their names, for one file."""
        if not any(self._by_file.values()):
            return frozenset()
        near = self._near(file)
        return frozenset().union(*(names for other, names in self._by_file.items() if other in near))

    def attributes_of(self, file: str) -> frozenset[str]:
        """The attributes that a file reads of objects and that are methods of theirs, or that methods of theirs set.

        What is set where the object is made is no change.
        """
        classes, read = self._project.classes, set(_READ.findall(self._project.text(file)))
        near = (klass for other in self._near(file) - {file} for klass in classes.by_file.get(other, ()))
        return frozenset(read & set[str]().union(*map(classes.changed, near)))

    def _near(self, file: str) -> set[str]:
        if file not in self._close:
            graph = self._project.graph
            importing = [other for other, targets in graph.edges.items() if file in targets]
            self._close[file] = graph.reached_from(file).union(importing, *map(graph.runs_with, importing))
        return self._close[file]


def _defined_in(text: str) -> frozenset[str]:
    """The operations that classes of a text have, other than modules: these are called, and take part in no formula."""
    try:
        classes = parse_once(text).of(ast.ClassDef)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    others = [klass for klass in classes if not any("Module" in ast.unparse(base) for base in klass.bases)]
    return SHAPING.intersection(name for klass in others for name in _bound_in(klass))


def _bound_in(klass: ast.ClassDef) -> Iterator[str]:
    """The methods of a class, its variables, and the attributes that are set of `self`."""
    for part in klass.body:
        if isinstance(part, ast.FunctionDef):
            yield part.name
    for node in ast.walk(klass):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Attribute) or (isinstance(target, ast.Name) and node in klass.body):
                yield called_name(target)
