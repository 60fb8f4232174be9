"""Operations of tensors that classes of a project have for themselves: what `x.view(…)` gives, such a class decides."""

from __future__ import annotations

import ast
import re

from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.project.files import Project

SHAPING = frozenset(
    {"view", "reshape", "expand", "repeat", "broadcast_to", "view_as", "reshape_as", "expand_as", "permute", "flatten",
     "unflatten", "unbind", "chunk", "split", "squeeze", "unsqueeze", "transpose", "swapaxes", "movedim", "narrow"}
)  # fmt: skip
"""Operations that the walk takes a rank from, or follows one through."""
_DEFINED = re.compile(rf"^[ \t]+def[ \t]+(?:{'|'.join(sorted(SHAPING))})\(\s*self\b", re.MULTILINE)


class OwnOperations:
    """Which operations the classes have that a file may meet.

    Its own classes, those of what it imports, directly or not, and those that a file knows which imports it.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._by_file = {file: _defined_in(text) for file, text in project.texts.items() if _DEFINED.search(text)}

    def of(self, file: str) -> frozenset[str]:
        """Their names, for one file."""
        if not any(self._by_file.values()):
            return frozenset()
        graph = self._project.graph
        importing = [other for other, targets in graph.edges.items() if file in targets]
        near = graph.reached_from(file).union(importing, *map(graph.runs_with, importing))
        return frozenset().union(*(names for other, names in self._by_file.items() if other in near))


def _defined_in(text: str) -> frozenset[str]:
    """The operations that classes of a text have, other than modules: these are called, and take part in no formula."""
    try:
        classes = parse_once(text).of(ast.ClassDef)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    others = (klass for klass in classes if not any("Module" in ast.unparse(base) for base in klass.bases))
    methods = (part.name for klass in others for part in klass.body if isinstance(part, ast.FunctionDef))
    return SHAPING.intersection(methods)
