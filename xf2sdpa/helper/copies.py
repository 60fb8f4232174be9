"""The copies of the helper module in a project: new ones, those from earlier runs, and their users."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from xf2sdpa.analysis.api import ATTENTION
from xf2sdpa.files.listing import list_files
from xf2sdpa.helper.placing import Imports, packages_of, places, roots_of, scripts_of
from xf2sdpa.helper.pruning import Uses
from xf2sdpa.helper.text import (
    FILE_NAME,
    MODULE_NAME,
    exported,
    held,
    is_copy,
    is_untouched,
    lacking,
    line_ends,
    with_text,
)
from xf2sdpa.helper.usage import uses_of
from xf2sdpa.model import Copy, FileResult
from xf2sdpa.project.files import Project
from xf2sdpa.project.import_graph import Import, absolute_paths

_QUOTED = re.compile(rf"""["'][\w.]*\b{MODULE_NAME}["']""")


def plan_copies(users: Sequence[Path], project: Project) -> list[Copy]:
    """The copies of the helper for the files that need it, without their texts so far."""
    texts = {user: project.text(user) for user in users}
    found = places(users, texts, _imports_of(users, project), MODULE_NAME)
    merged: dict[Path, dict[Path, str]] = {}
    for place in found:
        merged.setdefault(place.folder / FILE_NAME, {}).update(place.modules)
    return [Copy(path, modules) for path, modules in merged.items()]


def _imports_of(users: Sequence[Path], project: Project) -> Imports:
    """How the files of the project import the users' modules."""
    absolute: set[str] = set()
    packages: set[Path] = set()
    scripts: set[Path] = set()
    roots: dict[Path, Path] = {}
    around = {part for user in users for part in (user.stem, *user.resolve().parent.parts[-3:])}
    files = project.holding(*filter(str.isidentifier, around))
    for file in files:
        statements = project.imports(file)
        absolute.update(absolute_paths(statements))
        packages.update(packages_of(Path(file), statements))
        scripts.update(scripts_of(Path(file), statements))
    for folder, root in roots_of(files, project.graph):
        if folder not in roots or root in roots[folder].parents:
            roots[folder] = root
    for user in users:
        if (user.parent / "__init__.py").exists():
            packages.update(packages_of(user, _only_relative(project.imports(str(user)))))
    return Imports(frozenset(absolute), frozenset(packages), frozenset(scripts), roots)


def _only_relative(statements: Sequence[Import]) -> list[Import]:
    """The relative imports of a file, but those of what it imports by its bare name as well: such a file may be run."""
    bare = set(absolute_paths(statements))
    return [s for s in statements if s.dots and (s.module or s.name) not in bare]


def without_lacking(copy: Copy, needed: Mapping[Path, Collection[str]]) -> tuple[Copy, dict[Path, frozenset[str]]]:
    """A copy with the users that it can serve; and the others, each with the names that it lacks and will not get."""
    short = {user: names for user in copy.modules if (names := lacking(copy.path, needed[user]))}
    modules = {user: module for user, module in copy.modules.items() if user not in short}
    return replace(copy, modules=modules, missing=tuple(sorted(frozenset().union(*short.values())))), short


def finished_copies(copies: Sequence[Copy], results: Mapping[Path, FileResult], project: Project) -> list[Copy]:
    """The copies with the texts that their users need, and changes to copies from earlier runs.

    All copies that are imported by their bare name get the same text, with what any of them needs: a process that
    imports from several of their folders, such as pytest, loads only one of them.

    Args:
        copies: the planned copies.
        results: the result for each file.
        project: the files with their new texts.
    """
    unused, standing = _standing_copies(project, {Path(os.path.realpath(copy.path)) for copy in copies})
    asked = _asked_of_copies(project) if copies or standing else {}
    names = {
        copy.path: frozenset(asked.get(os.path.realpath(copy.path), ())).union(
            *(results[user].compat_names for user in copy.modules)
        )
        for copy in (*copies, *standing)
    }
    alike = {copy.path for copy in (*copies, *standing) if _is_top_level(copy, project)}
    uses = uses_of(project) if names else Uses(frozenset())
    for path, needed in names.items():
        if any(name.startswith(ATTENTION) for name in needed | (held(path) & uses.words)):
            names[path] = needed | uses.masks
    together = frozenset().union(*(names[path] | (held(path) & uses.words) for path in alike))
    names.update(dict.fromkeys(alike, together))
    changed = [copy for old in standing if (copy := with_text(old, names[old.path], uses)).text != copy.old]
    ends = {copy.path: line_ends(map(project.text, copy.modules)) for copy in copies}
    made = (with_text(copy, names[copy.path], uses, ends[copy.path]) for copy in copies)
    return [*made, *unused, *changed]


def _standing_copies(project: Project, planned: Collection[Path]) -> tuple[list[Copy], list[Copy]]:
    """Unedited copies from earlier runs: those that nothing imports any more, with an empty text, and the others."""
    unused, standing = [], []
    for path in (Path(file) for file in project.files if Path(file).name == FILE_NAME):
        if path.resolve() in planned:
            continue
        old = project.text(path)
        if is_copy(old) and is_untouched(old):
            if _has_user(path, project):
                standing.append(Copy(path, {}))
            else:
                unused.append(Copy(path, {}, old, ""))
    return unused, standing


def _is_top_level(copy: Copy, project: Project) -> bool:
    """Whether a copy is imported by its bare name, by its new users or by a file whose nearest copy it is."""
    if copy.modules:
        return MODULE_NAME in copy.modules.values()
    near = (file for file in _importing(project) if _nearest_copy(Path(file)) == copy.path.resolve())
    return any(not s.dots and s.module == MODULE_NAME for file in near for s in project.imports(file))


def _nearest_copy(path: Path) -> Path | None:
    """The copy in the folder of a file, or in the nearest folder above that has one."""
    above = (folder / FILE_NAME for folder in path.resolve().parents)
    return next((copy for copy in above if copy.exists()), None)


def _asked_of_copies(project: Project) -> dict[str, set[str]]:
    """What files import from each copy, by its real path: also what a person wrote there that no call needs."""
    found: dict[str, set[str]] = {}
    for file in _importing(project):
        for s in project.imports(file):
            if s.name in exported() and (module := project.graph.module(file, s.dots, s.module)) is not None:
                found.setdefault(os.path.realpath(module), set()).add(s.name)
    return found


def _has_user(copy: Path, project: Project) -> bool:
    """Whether a file of the project, or else any file in the package around the copy, imports a helper module."""
    if _importing(project):
        return True
    around = copy.resolve().parent
    while (around / "__init__.py").exists():
        around = around.parent
    return bool(_importing(Project(project.lacking(list_files([around])))))


def _importing(project: Project) -> list[str]:
    """The files that import a helper module in any form and by any path."""
    return [file for file in project.holding(MODULE_NAME) if Path(file).name != FILE_NAME and _imports(file, project)]


def _imports(file: str, project: Project) -> bool:
    """Whether a file imports a helper module by a statement, or names it in a string as `import_module` takes it."""
    stated = any(MODULE_NAME in (s.name, *s.module.split(".")) for s in project.imports(file))
    return stated or _QUOTED.search(project.text(file)) is not None
