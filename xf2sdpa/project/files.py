"""The files of a run as they will be, and what they say of one another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from xf2sdpa.model import FileResult
from xf2sdpa.project.entry_points import is_other
from xf2sdpa.project.import_graph import ImportGraph

_ROOT_MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")


@dataclass
class Project:
    """The files of a run as they will be, read when somebody asks.

    Attributes:
        files: every file that may be looked at.
        results: what the rewrite made of some of them.
    """

    files: Sequence[str]
    results: dict[str, FileResult]
    _read: dict[str, str] = field(default_factory=dict)

    @cached_property
    def graph(self) -> ImportGraph:
        """The imports between all modules."""
        return ImportGraph({file: self.text(file) for file in self.files if file.endswith(".py")})

    @cached_property
    def root(self) -> str:
        """The project's folder: the nearest one with a mark of it above all files, else the one that holds them."""
        common = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in self.files])  # noqa: PTH100, PTH120
        marked = (f for f in (Path(common), *Path(common).parents) if any((f / mark).exists() for mark in _ROOT_MARKS))
        return str(next(marked, common))

    @cached_property
    def parts(self) -> set[str]:
        """The files that others import, tests and the like aside."""
        importing = {file: targets for file, targets in self.graph.edges.items() if targets and not self.is_other(file)}
        return set().union(*importing.values()) if importing else set()

    def is_other(self, file: str) -> bool:
        """Whether a file is a test, a converter or the like."""
        return is_other(os.path.abspath(file), self.root, self.text(file))  # noqa: PTH100

    def text(self, file: str) -> str:
        """A file's text: as rewritten, or as it is; what cannot be decoded does not matter here."""
        result = self.results.get(file)
        if result is not None and not result.failed:
            return result.new
        if file not in self._read:
            try:
                self._read[file] = Path(file).read_bytes().decode("utf-8", "replace")
            except OSError:
                self._read[file] = ""
        return self._read[file]

    def shown(self, file: str) -> str:
        """A file as seen from the project's folder."""
        return Path(os.path.relpath(os.path.abspath(file), self.root)).as_posix()  # noqa: PTH100
