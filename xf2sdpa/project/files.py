"""The project: the files of one run, their texts, and how they import one another.

Made once per run. A text is read once, when it is first needed; imports are found without parsing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from xf2sdpa.files.notebook import is_notebook, part_at, parts
from xf2sdpa.files.reading import read_regular
from xf2sdpa.files.words import stands_in
from xf2sdpa.model import FileResult
from xf2sdpa.project.classes import Classes
from xf2sdpa.project.entry_points import is_other
from xf2sdpa.project.import_graph import Import, ImportGraph

_ROOT_MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")


class Texts(Mapping[str, str]):
    """The text of each file, read when first needed; empty if it cannot be read, undecodable bytes replaced.

    Args:
        files: the paths of all files.
        known: texts by path, used instead of reading from disk.
    """

    def __init__(self, files: Iterable[str], known: Mapping[str, str]) -> None:
        self._texts: dict[str, str | None] = {**dict.fromkeys(files), **known}

    def __getitem__(self, file: str) -> str:
        text = self._texts[file]
        if text is None:
            try:
                text = read_regular(file).decode("utf-8", "replace")
            except OSError:
                text = ""
            self._texts[file] = text
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def with_known(self, known: Mapping[str, str]) -> Texts:
        """The same files, those in `known` with other texts."""
        other = Texts((), known)
        other._texts = {**self._texts, **known}
        return other


class Project:
    """The files of a run.

    Args:
        files: the paths of all files.
        known: texts by path, used instead of reading from disk.
    """

    def __init__(self, files: Iterable[str | Path], known: Mapping[str, str] | None = None) -> None:
        self.texts = Texts((str(Path(file)) for file in files), known or {})

    def after(self, results: Collection[FileResult]) -> Project:
        """The project with the new texts of these files, which are of it."""
        changed = {str(result.path): result.new for result in results if not result.failed and result.changed}
        other = Project(())
        other.texts = self.texts.with_known(changed)
        other.__dict__["graph"] = self.graph.with_texts(other.texts, changed)
        return other

    @property
    def files(self) -> list[str]:
        """The paths of all files, as given."""
        return list(self.texts)

    def text(self, file: str | Path) -> str:
        """A file's text; empty if it cannot be read."""
        return self.texts[str(file)]

    def holding(self, *words: str) -> list[str]:
        """The files whose text contains one of the words as a whole word."""
        return [file for file, text in self.texts.items() if any(stands_in(word, text) for word in words)]

    def lacking(self, files: Iterable[str]) -> list[str]:
        """Those of some files that are none of the project's, however they are spelled."""
        spelled = set(map(os.path.abspath, self.files))
        others = [file for file in files if os.path.abspath(file) not in spelled]  # noqa: PTH100
        known = set(map(os.path.realpath, self.files)) if others else set()
        return [file for file in others if os.path.realpath(file) not in known]

    def imports(self, file: str | Path) -> list[Import]:
        """The imports of a file, one per imported name."""
        return self.graph.imports(str(file))

    @cached_property
    def graph(self) -> ImportGraph:
        """The imports between all modules."""
        return ImportGraph(self.texts)

    @cached_property
    def classes(self) -> Classes:
        """The classes of all files."""
        return Classes(self.texts)

    @cached_property
    def root(self) -> str:
        """The project's folder: the nearest above all files with `.git` or a setup file, else their common folder."""
        common = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in self.files])  # noqa: PTH100, PTH120
        marked = (f for f in (Path(common), *Path(common).parents) if any((f / mark).exists() for mark in _ROOT_MARKS))
        return str(next(marked, common))

    @cached_property
    def parts(self) -> set[str]:
        """The files that others import, apart from tests, converters and the like."""
        importing = {file: targets for file, targets in self.graph.edges.items() if targets and not self.is_other(file)}
        return set().union(*importing.values()) if importing else set()

    def is_other(self, file: str) -> bool:
        """Whether a file is a test, a converter or the like."""
        return is_other(os.path.abspath(file), self.root, self.text(file))  # noqa: PTH100

    def shown_line(self, file: str, line: int) -> str:
        """A line of a file's text for display, in a notebook by its cell: `demo.ipynb:cell 3:1`."""
        if not is_notebook(file):
            return f"{self.shown(file)}:{line}"
        part = part_at(list(parts(self.text(file))), line)
        return f"{self.shown(file)}:cell {part.number}:{line - part.line}"

    def shown(self, file: str) -> str:
        """A file's path from the project's folder, for display."""
        return Path(os.path.relpath(os.path.abspath(file), self.root)).as_posix()  # noqa: PTH100
