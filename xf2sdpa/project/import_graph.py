"""Which file of a project imports which: by the text of the import statements, none is parsed.

Import roots are not configured anywhere, so a dotted path is looked up as Python would from the importer's folder and
those above it, and then anywhere it fits from a folder that is no package itself. `from package import name` leads to
the file that the package's `__init__` takes the name from, not to all that the package imports.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<dots>[. \t]*)(?P<module>[\w.]*)[ \t]*import\b[ \t]*"
    r"(?P<names>\([^)]*\)|(?:[^\n#;\\]|\\\r?\n)*)"
    r"|import[ \t]+(?P<modules>(?:[^\n#;\\]|\\\r?\n)+))",
    re.MULTILINE,
)
_COMMENT = re.compile(r"#[^\n]*")
_AS = re.compile(r"\s+as\s+")
_SUBFOLDERS = ("", "src", "lib", "python")
_DEEPEST = 6
"""How far a name is followed from one `__init__` to the next."""


@dataclass(frozen=True)
class Import:
    """`from ..module import name as bound` (with `dots` 2), or `import module as bound` (with no name)."""

    dots: int
    module: str
    name: str = ""
    bound: str = ""

    @property
    def source(self) -> str:
        """The module as it is written, dots and all: `..module`."""
        return "." * self.dots + self.module


def imports_in(text: str) -> Iterator[Import]:
    """Every import statement of a text, lazy ones in functions too, one for each name."""
    for match in _IMPORT.finditer(text):
        if match["modules"] is not None:
            for item in match["modules"].replace("\\", " ").split(","):
                module, _, bound = (part.strip() for part in _AS.sub(" as ", item.strip()).partition(" as "))
                yield Import(0, module, "", bound)
            continue
        listed = _COMMENT.sub("", match["names"]).replace("\\", " ").strip("() \t\r\n")
        for item in listed.split(","):
            name, _, bound = (part.strip() for part in _AS.sub(" as ", item.strip()).partition(" as "))
            if name:
                yield Import(match["dots"].count("."), match["module"], name, bound or name)


def absolute_paths(statements: Iterable[Import]) -> set[str]:
    """The dotted paths that absolute imports name: the modules, and what is taken from them, which may be one too."""
    absolute = [statement for statement in statements if not statement.dots]
    return {s.module for s in absolute} | {f"{s.module}.{s.name}" for s in absolute if s.name}


class ImportGraph:
    """The imports between the files of a project. A file's text is read when somebody asks for its imports.

    Args:
        texts: the text of each file, by its path as the caller spells it.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._places = _places(path for path in texts if path.endswith(".py"))
        self._spelled = {place: path for path, place in self._places.items()}
        self._imports: dict[str, list[Import]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for place in self._spelled:
            self._by_stem.setdefault(_module_name(place), []).append(place)
        self._around: dict[str, list[str]] = {}
        self._found: dict[tuple[str, int, str], str | None] = {}

    def with_texts(self, texts: Mapping[str, str], changed: Collection[str]) -> ImportGraph:
        """The graph of the same files where those in `changed` hold other texts."""
        other = ImportGraph.__new__(ImportGraph)
        other.__dict__ = {**self.__dict__, "_texts": texts}
        other.__dict__.pop("edges", None)
        other.__dict__.pop("imported", None)
        other._imports = {path: found for path, found in self._imports.items() if path not in changed}
        return other

    def imports(self, path: str) -> list[Import]:
        """The import statements of a file, one for each name."""
        if path not in self._imports:
            self._imports[path] = list(imports_in(self._texts[path]))
        return self._imports[path]

    @cached_property
    def edges(self) -> dict[str, set[str]]:
        """By file, the files that its import statements lead to."""
        return {path: self._targets(path) - {path} for path in self._places}

    @cached_property
    def imported(self) -> set[str]:
        """The files that some file imports."""
        return set().union(*self.edges.values()) if self.edges else set()

    def leading_to(self, targets: Collection[str]) -> dict[str, str | None]:
        """The files whose imports lead to one of `targets`, each with the next file on the shortest way there."""
        importers: dict[str, list[str]] = {}
        for path, reached in self.edges.items():
            for target in reached:
                importers.setdefault(target, []).append(path)
        steps: dict[str, str | None] = {target: None for target in sorted(targets) if target in self._places}
        queue = deque(steps)
        while queue:
            target = queue.popleft()
            for importer in sorted(importers.get(target, ())):
                if importer not in steps:
                    steps[importer] = target
                    queue.append(importer)
        return steps

    def reached_from(self, path: str) -> set[str]:
        """The files that run when this one is run, itself among them: its imports, and the packages around those."""
        reached, queue = {path}, [path]
        while queue:
            here = queue.pop()
            for target in self.edges.get(here, ()):
                for further in (target, *self._packages(target)):
                    if further not in reached:
                        reached.add(further)
                        queue.append(further)
        return reached

    def _packages(self, path: str) -> list[str]:
        """The `__init__` files that are run before a file is imported."""
        folder = os.path.dirname(self._places[path])  # noqa: PTH120 - thousands of times
        if folder not in self._around:
            found = self._around[folder] = []
            while (init := os.path.join(folder, "__init__.py")) in self._spelled:  # noqa: PTH118
                found.append(self._spelled[init])
                folder = os.path.dirname(folder)  # noqa: PTH120
            return found
        return self._around[folder]

    def targets_of(self, path: str, text: str) -> set[str]:
        """The files that the import statements in a text lead to, if it stood in the file `path`."""
        return set().union(*(self._meant(path, statement, 0) for statement in imports_in(text)))

    def _targets(self, path: str) -> set[str]:
        return set().union(*(self._meant(path, statement, 0) for statement in self.imports(path)))

    def module(self, path: str, dots: int, dotted: str) -> str | None:
        """The file that `path` would import as `dotted`, `dots` levels up; None where it is not one of the project."""
        place = self._find(path, dots, dotted)
        return None if place is None else self._spelled[place]

    def candidates(self, path: str, statement: Import) -> set[str]:
        """The files whose path ends as the dotted path of an import does: one of them is meant, if any is.

        For what `module` cannot answer: roots that a program puts into `sys.path` are not written in any import.
        """
        if statement.dots or self._find(path, 0, statement.module.partition(".")[0]) is not None:
            return set()
        tail = os.sep + statement.module.replace(".", os.sep)
        named = self._by_stem.get(statement.module.rpartition(".")[2], ())
        return {self._spelled[place] for place in named if _stem(place).endswith(tail)}

    def _meant(self, path: str, statement: Import, depth: int) -> set[str]:
        """The files that one import leads to."""
        if statement.name and statement.name != "*":
            dotted = f"{statement.module}.{statement.name}".strip(".")
            submodule = self._find(path, statement.dots, dotted)
            if submodule is not None:
                return {self._spelled[submodule]}
        place = self._find(path, statement.dots, statement.module)
        if place is None:
            return set()
        target = self._spelled[place]
        if not statement.name or statement.name == "*" or not place.endswith("__init__.py") or depth > _DEEPEST:
            return {target}
        return self._brought(target, statement.name, depth) or {target}

    def _brought(self, init: str, name: str, depth: int) -> set[str]:
        """Where a package's `__init__` takes a name from; empty if no import of it brings the name."""
        found: set[str] = set()
        for statement in self.imports(init):
            if statement.bound == name:
                found |= self._meant(init, statement, depth + 1)
        return found

    def _find(self, path: str, dots: int, dotted: str) -> str | None:
        """The file of a module, as `path` would import it."""
        folder = os.path.dirname(self._places[path])  # noqa: PTH120
        key = (folder, dots, dotted)
        if key not in self._found:
            self._found[key] = self._relative(folder, dots, dotted) if dots else self._absolute(folder, dotted)
        return self._found[key]

    def _relative(self, folder: str, dots: int, dotted: str) -> str | None:
        for _ in range(dots - 1):
            folder = os.path.dirname(folder)  # noqa: PTH120
        return self._at(folder, dotted)

    def _absolute(self, folder: str, dotted: str) -> str | None:
        if not dotted:
            return None
        candidates = self._by_stem.get(dotted.rpartition(".")[2])
        if not candidates:
            return None
        place = PurePath(folder)
        for root in (folder, *map(str, place.parents)):
            for below in _SUBFOLDERS:
                found = self._at(os.path.join(root, below) if below else root, dotted)  # noqa: PTH118
                if found is not None:
                    return found
        return self._anywhere(dotted, candidates)

    def _anywhere(self, dotted: str, candidates: Iterable[str]) -> str | None:
        """The only file that a dotted path fits, from a folder that is no package; a bare name must be a package."""
        tail = os.sep + dotted.replace(".", os.sep)
        fitting = []
        for place in candidates:
            stem = _stem(place)
            is_package = stem != place[:-3]
            if stem.endswith(tail) and ("." in dotted or is_package):
                root = stem[: -len(tail)]
                if os.path.join(root, "__init__.py") not in self._spelled:  # noqa: PTH118
                    fitting.append(place)
        return fitting[0] if len(fitting) == 1 else None

    def _at(self, folder: str, dotted: str) -> str | None:
        stem = os.path.join(folder, *dotted.split(".")) if dotted else folder  # noqa: PTH118
        for place in (f"{stem}.py", os.path.join(stem, "__init__.py")):  # noqa: PTH118
            if place in self._spelled:
                return place
        return None


def _places(files: Iterable[str]) -> dict[str, str]:
    """By file, its real place; a link to a file counts where the link lies, as it does for Python."""
    folders: dict[str, str] = {}
    found = {}
    for path in files:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        found[path] = os.path.join(folders[folder], name)  # noqa: PTH118 - thousands of times
    return found


def _stem(place: str) -> str:
    """A module's path without its ending: a package's is its folder."""
    return place.removesuffix(os.sep + "__init__.py").removesuffix(".py")


def _module_name(place: str) -> str:
    """The last part of the dotted path by which a file is imported."""
    path = PurePath(place)
    return path.parent.name if path.stem == "__init__" else path.stem
