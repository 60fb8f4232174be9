"""The helper modules of a project: new ones, those from earlier runs, and which file uses which."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from xf2sdpa.files.listing import list_files
from xf2sdpa.files.search import Searcher
from xf2sdpa.files.source import Source, SourceError, read, text_or_nothing
from xf2sdpa.helper.placing import Imports, packages_of, places, scripts_of
from xf2sdpa.helper.text import FILE_NAME, held, is_copy, is_untouched, with_text
from xf2sdpa.model import Copy, FileResult
from xf2sdpa.project.handed_on import dotted_imports, taken_from
from xf2sdpa.project.import_graph import imports_in

_HELPER = FILE_NAME.removesuffix(".py")


# -- the helper module -------------------------------------------------------------------------------


def plan_copies(users: Sequence[Path], sources: Mapping[Path, Source], files: Sequence[str]) -> list[Copy]:
    """Where the helper goes, for the files that need it."""
    texts = {user: sources[user].text for user in users}
    found = places(users, texts, _imports_of(users, files), _HELPER)
    merged: dict[Path, dict[Path, str]] = {}
    for place in found:
        merged.setdefault(place.folder / FILE_NAME, {}).update(place.modules)
    return [Copy(path, modules) for path, modules in merged.items()]


def _imports_of(users: Sequence[Path], files: Sequence[str]) -> Imports:
    """How the files of the project import the users' modules."""
    absolute: set[str] = set()
    packages: set[Path] = set()
    scripts: set[Path] = set()
    around = (part for user in users for part in (user.stem, *user.resolve().parent.parts[-3:]))
    words = {part.encode() for part in around if part.isidentifier()}
    for path in Searcher(files).matching(words):
        try:
            text = read(path).text
        except SourceError:
            continue
        absolute.update(dotted_imports(text))
        packages.update(packages_of(path, text))
        scripts.update(scripts_of(path, text))
    return Imports(frozenset(absolute), frozenset(packages), frozenset(scripts))


def finished_copies(copies: Sequence[Copy], results: Mapping[Path, FileResult], files: Sequence[str]) -> list[Copy]:
    """The copies with the text that their users need, and what becomes of those from earlier runs.

    Copies of one top-level name are alike, each with what any of them needs: a process that comes to several of their
    folders, such as pytest, imports one of them for all.
    """
    unused, standing = _standing_copies(files, {Path(os.path.realpath(copy.path)) for copy in copies})
    names = {
        copy.path: frozenset().union(*(results[user].compat_names for user in copy.modules))
        for copy in (*copies, *standing)
    }
    alike = {copy.path for copy in (*copies, *standing) if _is_top_level(copy, files)}
    together = frozenset().union(*(names[path] | held(path) for path in alike))
    names.update(dict.fromkeys(alike, together))
    changed = [copy for old in standing if (copy := with_text(old, names[old.path])).text != copy.old]
    return [*(with_text(copy, names[copy.path]) for copy in copies), *unused, *changed]


def _standing_copies(files: Sequence[str], planned: Collection[Path]) -> tuple[list[Copy], list[Copy]]:
    """Untouched copies from earlier runs: those that nothing imports any more, with no text, and the others."""
    unused, standing = [], []
    for path in (Path(file) for file in files if file.endswith(FILE_NAME)):
        if path.name != FILE_NAME or path.resolve() in planned:
            continue
        old = text_or_nothing(path)
        if is_copy(old) and is_untouched(old):
            if _has_user(path, files):
                standing.append(Copy(path, {}))
            else:
                unused.append(Copy(path, {}, old, ""))
    return unused, standing


def _is_top_level(copy: Copy, files: Sequence[str]) -> bool:
    """Whether a copy is imported by its bare name: by those who get it now, or by a file to which it is the nearest."""
    if copy.modules:
        return _HELPER in copy.modules.values()
    importing = [path for path in Searcher(files).matching({_HELPER.encode()}) if path.name != FILE_NAME]
    near = (path for path in importing if _nearest_copy(path) == copy.path.resolve())
    return any(not s.dots and s.module == _HELPER for path in near for s in imports_in(text_or_nothing(path)))


def _nearest_copy(path: Path) -> Path | None:
    """The copy in the folder of a file, or in the first one above it that has one."""
    above = (folder / FILE_NAME for folder in path.resolve().parents)
    return next((copy for copy in above if copy.exists()), None)


def _has_user(copy: Path, files: Sequence[str]) -> bool:
    """Whether some file imports a helper module: one of those given, or, before it is given up, any around it."""
    around = copy.resolve().parent
    while (around / "__init__.py").exists():
        around = around.parent
    for listed in (files, list_files([around])):
        importing = (path for path in Searcher(listed).matching({_HELPER.encode()}) if path.name != FILE_NAME)
        if any(taken_from(text_or_nothing(path), _HELPER) for path in importing):
            return True
    return False
