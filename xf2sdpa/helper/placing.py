"""Chooses the folder of the helper module, and how each of its users imports it.

One copy goes into the nearest package that all its users share, or beside the files if there is no package. Imports are
relative if the files import relatively already, else by the dotted path that the project uses.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xf2sdpa.project.import_graph import Import, ImportGraph, absolute_paths, imports_in


@dataclass(frozen=True)
class Place:
    """A folder for a copy, and the module path by which each of its users imports it."""

    folder: Path
    modules: Mapping[Path, str]


@dataclass(frozen=True)
class Imports:
    """How the files of a project import the users of the helper.

    Attributes:
        absolute: all dotted module paths in absolute imports.
        packages: folders that must be packages, with or without `__init__.py`, as files in them import relatively.
        scripts: files that another file in the same folder imports by their bare name.
        roots: for folders that hold a module imported by a dotted path, the folder at which that path starts.
    """

    absolute: frozenset[str]
    packages: frozenset[Path]
    scripts: frozenset[Path] = frozenset()
    roots: Mapping[Path, Path] = field(default_factory=dict)

    def is_package(self, user: Path) -> bool:
        """Whether a file's folder must be a package; not if others import this file by its bare name."""
        folder = user.resolve().parent
        by_name = user.resolve() in self.scripts and not (folder / "__init__.py").exists()
        return folder in self.packages and not by_name


def packages_of(importer: Path, statements: Iterable[Import]) -> set[Path]:
    """The folders that must be packages for a file's relative imports to work.

    The file's own folder, one more for each further dot, and those down to the imported module: `from .a.b import c`
    needs a. An import of a module that does not exist is ignored, as it cannot work.
    """
    asked = {(s.dots, s.module, "" if s.module.strip(".") else s.name) for s in statements if s.dots}
    if not asked:
        return set()
    folder = importer.resolve().parent
    folders = [folder, *folder.parents]
    found: set[Path] = set()
    for dots, module, name in asked:
        above = folders[:dots]
        parts = [part for part in module.split(".") if part]
        if _is_there(above[-1], parts or [name]):
            found.update(above, (above[-1].joinpath(*parts[:count]) for count in range(1, len(parts))))
    return found


def _is_there(folder: Path, parts: list[str]) -> bool:
    """Whether a folder contains a module of any kind (`.py`, `.so`), or may define the name in its `__init__.py`."""
    place = folder.joinpath(*parts)
    if place.is_dir() or (len(parts) == 1 and (folder / "__init__.py").exists()):
        return True
    return any(file.name.startswith(f"{place.name}.") for file in _listed(place.parent))


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def scripts_of(importer: Path, statements: Sequence[Import]) -> set[Path]:
    """The files in an importer's folder that it imports by their bare name, and not relatively as well."""
    folder = os.path.dirname(os.path.realpath(importer))  # noqa: PTH120 - hundreds of times
    relative = {part for s in statements if s.dots == 1 for part in (s.module or s.name).split(".")[:1]}
    bare = {name for name in absolute_paths(statements) if name.isidentifier()} - relative
    files = (os.path.join(folder, f"{name}.py") for name in bare)  # noqa: PTH118
    return {Path(file) for file in files if os.path.exists(file)}  # noqa: PTH110


def roots_of(importers: Iterable[str], graph: ImportGraph) -> Iterator[tuple[Path, Path]]:
    """Each folder of which files import a module by a dotted path, and the folder from which the path counts."""
    found = dict.fromkeys(pair for importer in importers for pair in _imported_by_path(importer, graph))
    for target, dotted in found:
        place = Path(target).resolve()
        parts = dotted.split(".")
        stem = place.parent if place.name == "__init__.py" else place.with_suffix("")
        if len(parts) > 1 and stem.parts[-len(parts) :] == tuple(parts):
            yield place.parent, stem.parents[len(parts) - 1]


def _imported_by_path(importer: str, graph: ImportGraph) -> Iterator[tuple[str, str]]:
    """The modules that a file imports absolutely, each with its dotted path."""
    for statement in (s for s in graph.imports(importer) if not s.dots):
        for dotted in (f"{statement.module}.{statement.name}", statement.module):
            target = graph.module(importer, 0, dotted)
            if target is not None:
                yield target, dotted
                break


def places(users: Iterable[Path], texts: Mapping[Path, str], imports: Imports, name: str) -> list[Place]:
    """The folder and imports of the helper for each group of users with a common root.

    Args:
        users: the files that need the helper.
        texts: the text of each.
        imports: how the project imports them.
        name: the helper's module name, without `.py`.
    """
    groups: dict[tuple[Path, Path | None], list[Path]] = {}
    for user in users:
        root = _root(user, imports)
        groups.setdefault((root, _standing(user, root, name)), []).append(user)
    found = []
    for (root, standing), members in sorted(groups.items(), key=lambda item: (item[0][0], str(item[0][1]))):
        folder = standing or _folder(members, root, texts)
        relative = any(packages_of(m, imports_in(texts[m])) or imports.is_package(m) for m in members)
        modules = {user: _module(user, folder, root, name, relative=relative) for user in members}
        found.append(Place(_as_given(folder, members[0]), modules))
    return found


def _standing(user: Path, root: Path, name: str) -> Path | None:
    """The nearest folder from a file up to its root that contains a helper already; None if there is none."""
    folders = user.resolve().parents
    below = folders[: folders.index(root) + 1] if root in folders else folders
    return next((folder for folder in below if (folder / f"{name}.py").exists()), None)


def _as_given(folder: Path, user: Path) -> Path:
    """A folder's path in the form in which the path of a file in or below it was given."""
    return Path(os.path.normpath(user.parent / os.path.relpath(folder, user.resolve().parent)))


def _root(user: Path, imports: Imports) -> Path:
    """The folder that a file's dotted path starts from: above its packages, or where others' imports of it start."""
    folder = user.resolve().parent
    if (folder / "__init__.py").exists() or imports.is_package(user):
        folder = _above_packages(folder, imports)
    # A folder without __init__.py can still be imported from: `from models.layers import …`
    parts = user.resolve().with_suffix("").parts
    known = [n for n in range(2, 6) if ".".join(parts[-n:]) in imports.absolute]
    if known and len(parts) - max(known) < len(folder.parts):
        folder = Path(*parts[: len(parts) - max(known)])
    beside = imports.roots.get(user.resolve().parent)
    return beside if beside is not None and beside in folder.parents else folder


def _above_packages(folder: Path, imports: Imports) -> Path:
    if folder in imports.packages and not folder.name.isidentifier():
        folder = folder.parent  # relative imports work in a folder of any name
    while ((folder / "__init__.py").exists() or folder in imports.packages) and folder.name.isidentifier():
        folder = folder.parent
    return folder


def _folder(members: list[Path], root: Path, texts: Mapping[Path, str]) -> Path:
    """The deepest folder above all members; if that is the root, the top-level package that most others import."""
    common = members[0].resolve().parent
    for member in members[1:]:
        while common not in (member.resolve().parent, *member.resolve().parent.parents):
            common = common.parent
    if common != root and root in common.parents:
        return common
    tops = {member: member.resolve().relative_to(root).parts[0] for member in members}
    needed: Counter[str] = Counter()
    for member, own in tops.items():
        imported = {dotted.partition(".")[0] for dotted in absolute_paths(imports_in(texts[member]))}
        needed.update(imported & (set(tops.values()) - {own}))
    best = needed.most_common(1)
    return root / best[0][0] if best and (root / best[0][0]).is_dir() else root


def _module(user: Path, folder: Path, root: Path, name: str, *, relative: bool) -> str:
    """The module path by which a file imports the helper."""
    own = user.resolve().parent
    inside = own == folder or folder in own.parents
    if inside and root not in (own, folder) and relative:
        return "." * (len(own.relative_to(folder).parts) + 1) + name
    return ".".join([*folder.relative_to(root).parts, name])
