"""Which file of a project imports which, by the text of import statements, without parsing.

Import roots are not configured, so a dotted path is looked up from the importer's folder and the folders above it, and
then anywhere in the project below a folder that is not a package. `from package import name` leads to the file from
which the package's `__init__` imports the name, not to everything that the package imports.
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
_SUBFOLDERS = ("", f"{os.sep}src", f"{os.sep}lib", f"{os.sep}python")
_DEEPEST = 6
"""How many `__init__` files a name is followed through."""


@dataclass(frozen=True)
class Import:
    """`from ..module import name as bound` (`dots` is 2), or `import module as bound` (`name` is empty)."""

    dots: int
    module: str
    name: str = ""
    bound: str = ""

    @property
    def source(self) -> str:
        """The module as written, with its dots: `..module`."""
        return "." * self.dots + self.module


def imports_in(text: str) -> Iterator[Import]:
    """The imports of a text, also those inside functions, one per imported name."""
    for match in _statements(text):
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


def _statements(text: str) -> Iterator[re.Match[str]]:
    """The matches of `_IMPORT`, found by their common word, which is a tenth of the work."""
    end, place = 0, text.find("import")
    while place != -1:
        start = text.rfind("\n", 0, place) + 1
        match = _IMPORT.match(text, start) if start >= end else None
        if match is not None:
            yield match
            end = match.end()
        place = text.find("import", max(end, place + 1))


def absolute_paths(statements: Iterable[Import]) -> set[str]:
    """The dotted paths in absolute imports: of modules, and of names taken from them, which may be modules too."""
    absolute = [statement for statement in statements if not statement.dots]
    return {s.module for s in absolute} | {f"{s.module}.{s.name}" for s in absolute if s.name}


class ImportGraph:
    """The imports between the files of a project. A file's text is read when its imports are first needed.

    Whatever its name, a file may import others; imported can be only what ends in `.py`.

    Args:
        texts: the text of each file, by path.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._places = _places(texts)
        self._folders = {path: os.path.dirname(place) for path, place in self._places.items()}  # noqa: PTH120
        self._spelled = {place: path for path, place in self._places.items() if path.endswith(".py")}
        self._imports: dict[str, list[Import]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for place in self._spelled:
            self._by_stem.setdefault(_module_name(place), []).append(place)
        self._around: dict[str, list[str]] = {}
        self._lines: dict[str, list[str]] = {}
        self._run: dict[str, set[str]] = {}
        self._found: dict[tuple[str, int, str], str | None] = {}

    def with_texts(self, texts: Mapping[str, str], changed: Collection[str]) -> ImportGraph:
        """The graph of the same files, where those in `changed` have other texts."""
        other = ImportGraph.__new__(ImportGraph)
        other.__dict__ = {**self.__dict__, "_texts": texts}
        other.__dict__.pop("edges", None)
        other.__dict__.pop("imported", None)
        other._run = {}
        other._imports = {path: found for path, found in self._imports.items() if path not in changed}
        if "edges" in self.__dict__ and not any(path.endswith("__init__.py") for path in changed):
            other.__dict__["edges"] = self.edges | {path: other._targets(path) - {path} for path in changed}
        return other

    def imports(self, path: str) -> list[Import]:
        """The imports of a file, one per imported name."""
        if path not in self._imports:
            self._imports[path] = list(imports_in(self._texts[path]))
        return self._imports[path]

    @cached_property
    def edges(self) -> dict[str, set[str]]:
        """For each file, the files that it imports."""
        return {path: self._targets(path) - {path} for path in self._places}

    def leading_to(self, targets: Collection[str]) -> dict[str, str | None]:
        """The files that import one of `targets`, directly or not, each with the next file on the shortest path."""
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
        """The files that run when this one is run, including itself, its imports, and the packages around those."""
        reached, queue = {path}, [path]
        while queue:
            fresh = self.runs_with(queue.pop()) - reached
            reached |= fresh
            queue += fresh
        return reached

    def runs_with(self, path: str) -> set[str]:
        """The files that a file imports, and the packages around those."""
        if path not in self._run:
            targets = self.edges.get(path, set())
            self._run[path] = targets.union(*(self._packages(target) for target in targets))
        return self._run[path]

    def _packages(self, path: str) -> list[str]:
        """The `__init__` files that are run before a file is imported."""
        home = folder = self._folders[path]
        if home not in self._around:
            found = self._around[home] = []
            while (init := os.path.join(folder, "__init__.py")) in self._spelled:  # noqa: PTH118
                found.append(self._spelled[init])
                folder = os.path.dirname(folder)  # noqa: PTH120
        return self._around[home]

    def targets_of(self, path: str, text: str) -> set[str]:
        """The files that the imports in a text lead to, if it were the text of the file `path`."""
        return set().union(*(self._meant(path, statement, 0) for statement in imports_in(text)))

    def _targets(self, path: str) -> set[str]:
        return set().union(*(self._meant(path, statement, 0) for statement in self.imports(path)))

    def module(self, path: str, dots: int, dotted: str) -> str | None:
        """The file that `path` would import as `dotted`, with `dots` leading dots; None if it is not in the project."""
        place = self._find(path, dots, dotted)
        return None if place is None else self._spelled[place]

    def origins(self, path: str, statement: Import) -> set[str]:
        """The files that an import leads to, through the packages that hand the name on; empty if it is not found."""
        return self._meant(path, statement, 0)

    def candidates(self, path: str, statement: Import) -> set[str]:
        """The files whose path ends like the dotted path of an import: it can only refer to one of these.

        For imports that `module` cannot find, because the program adds their root to `sys.path`.
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
        """The files from which a package's `__init__` imports a name; empty if it does not import it."""
        found: set[str] = set()
        for statement in self.imports(init):
            if statement.bound == name:
                found |= self._meant(init, statement, depth + 1)
        return found

    def _find(self, path: str, dots: int, dotted: str) -> str | None:
        """The file of a module, as `path` would import it."""
        folder = self._folders[path]
        key = (folder, dots, dotted)
        if key not in self._found:
            self._found[key] = self._relative(folder, dots, dotted) if dots else self._absolute(folder, dotted)
        return self._found[key]

    def _relative(self, folder: str, dots: int, dotted: str) -> str | None:
        for _ in range(dots - 1):
            folder = os.path.dirname(folder)  # noqa: PTH120
        return self._at(folder, dotted)

    def _absolute(self, folder: str, dotted: str) -> str | None:
        candidates = self._by_stem.get(dotted.rpartition(".")[2])
        if not candidates:
            return None
        tail = os.sep + dotted.replace(".", os.sep)
        for root in self._above(folder):
            for below in _SUBFOLDERS:
                found = self._of_stem(root + below + tail)
                if found is not None:
                    return found
        return self._anywhere(dotted, candidates)

    def _above(self, folder: str) -> list[str]:
        """A folder and those above it, the last of them empty, as a path below it begins with a separator."""
        if folder not in self._lines:
            self._lines[folder] = [str(place).rstrip(os.sep) for place in (folder, *PurePath(folder).parents)]
        return self._lines[folder]

    def _anywhere(self, dotted: str, candidates: Iterable[str]) -> str | None:
        """The only file that matches a dotted path below a folder that is not a package; without dots, a package."""
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
        return self._of_stem(os.path.join(folder, *dotted.split(".")) if dotted else folder)  # noqa: PTH118

    def _of_stem(self, stem: str) -> str | None:
        """The file of a module or of a package, by its path without an ending."""
        for place in (f"{stem}.py", f"{stem}{os.sep}__init__.py"):
            if place in self._spelled:
                return place
        return None


def _places(files: Iterable[str]) -> dict[str, str]:
    """The real path of each file's folder with the file's name; a link counts at its own place, as for Python."""
    folders: dict[str, str] = {}
    found = {}
    for path in files:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        found[path] = os.path.join(folders[folder], name)  # noqa: PTH118 - thousands of times
    return found


def _stem(place: str) -> str:
    """A module's path without `.py`; for a package, its folder."""
    return place.removesuffix(os.sep + "__init__.py").removesuffix(".py")


def _module_name(place: str) -> str:
    """The last part of the dotted path of a file's module."""
    path = PurePath(place)
    return path.parent.name if path.stem == "__init__" else path.stem
