"""Which files the given paths stand for: git's own listing and ignore rules where there is a repository, else a walk.

Nothing is parsed here. A run in which no file matches spends nearly all its time in this folder, so it imports next to
nothing, and works on `str` paths: 2,000 `Path` objects, made and sorted, cost as much as reading the files.
"""
# No pathlib in the hot loops, or a run would take twice as long:
# ruff: noqa: PTH110, PTH112, PTH113, PTH118

from __future__ import annotations

import os
import stat

from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.git import git_output, work_tree
from xf2sdpa.files.patterns import INCLUDE, path_filters, prefix_below

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xf2sdpa.files.patterns import Filter, StrPath


SKIPPED_FOLDERS = frozenset(
    [
        *(".eggs", ".git", ".hg", ".mypy_cache", ".nox", ".pytest_cache", ".ruff_cache", ".tox", ".venv"),
        *("__pycache__", "build", "dist", "node_modules", "site-packages", "venv"),
    ]
)
"""Folders that a walk does not enter. Git's listing needs no such table: it has the ignore rules."""


def list_files(
    paths: Sequence[StrPath],
    *,
    include: Sequence[str] = INCLUDE,
    exclude: Sequence[str] = (),
    base: StrPath | None = None,
    inside: bool = False,
) -> list[str]:
    """Return the files that `paths` stand for, each once, sorted, spelled from the path given.

    A file that is named itself is always taken. Of a folder, the files that match a pattern of `include`
    and none of `exclude` are taken: in a git work tree those that git tracks or would track (those of submodules
    and of other repositories in it only where `inside` asks for them), elsewhere, and in a folder that git itself
    ignores, all that a walk finds outside SKIPPED_FOLDERS. Links to files are taken unless the file itself is;
    links to folders are not followed, except one named in `paths`. A folder that cannot be opened is listed as if
    it were a file, for the search to report.

    Patterns are those of a .gitignore without negation, and know case:
    `*`, `?`, `[abc]`, `[!abc]` stay within one name, and `**` between slashes is any number of folders;
    without a slash, or with one only at the end, a pattern is about a name at any depth, else it starts at
    `base` (where the folder lies in it) or at the folder given;
    an `exclude` hits files and folders, and what is in such a folder; an `include` hits files;
    either, with a slash at the end, hits folders only, and what is in them.
    An `exclude` that hits the given folder itself does not count for it: naming wins.

    Raises:
        DiscoverError: a path does not exist, is neither file nor folder, or a pattern is malformed.
    """
    files: dict[str, str] = {}
    links: list[str] = []
    for path in paths:
        name = os.fspath(path)
        if os.path.isdir(name):
            _add_folder(name, path_filters(include, exclude, prefix_below(name, base)), files, links, inside=inside)
        elif os.path.isfile(name):
            files.setdefault(os.path.realpath(name), name)
        else:
            raise DiscoverError(name, "neither file nor folder" if os.path.exists(name) else "does not exist")
    for link in sorted(links):
        target = os.path.realpath(link)
        if os.path.isfile(target):
            files.setdefault(target, link)
    return sorted(files.values())


def _add_folder(
    folder: str, filters: tuple[Filter, Filter], files: dict[str, str], links: list[str], *, inside: bool
) -> None:
    """Sort the folder's files into `files` (by real path) and `links`."""
    listed = _listed(folder, filters, inside=inside)
    # Links to folders are not followed, so only the folder itself has to be resolved.
    real = os.path.join(os.path.realpath(folder), "")
    shown = "" if folder in {"", "."} else os.path.join(folder, "")
    for name, is_link in listed:
        if is_link:
            links.append(shown + name)
        else:
            files.setdefault(real + name, shown + name)


def _listed(folder: str, filters: tuple[Filter, Filter], *, inside: bool) -> list[tuple[str, bool]]:
    """(path below the folder, whether it is a link) of the wanted files and links: git's, or a walk's."""
    listed = _git_listing(folder, filters, inside=inside)
    return list(_walk(folder, filters)) if listed is None else listed


def _below(folder: str, filters: tuple[Filter, Filter]) -> list[tuple[str, bool]]:
    """The same of a folder that git lists as another repository; where it is none (any more), a walk's."""
    own = work_tree(folder) == os.path.realpath(folder)
    return _listed(folder, filters, inside=True) if own else list(_walk(folder, filters))


def _walk(folder: str, filters: tuple[Filter, Filter]) -> Iterator[tuple[str, bool]]:
    """Yield (path below the folder, whether it is a link) of the wanted files and links."""
    wanted, excluded = filters
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            entries = os.scandir(os.path.join(folder, prefix))
        except OSError:
            yield prefix or ".", False
            continue
        with entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in SKIPPED_FOLDERS and not excluded(name + "/"):
                        folders.append(name + "/")
                elif wanted(name) and not excluded(name):
                    is_link = entry.is_symlink()
                    if is_link or entry.is_file(follow_symlinks=False):
                        yield name, is_link


def _git_listing(folder: str, filters: tuple[Filter, Filter], *, inside: bool) -> list[tuple[str, bool]] | None:
    """Return what `_walk` yields, but of the files that git lists; None where git has no say."""
    top = work_tree(folder)
    if top is None:
        return None
    # Ignored but named: git would list nothing of it. The top of a work tree is never ignored.
    if top != os.path.realpath(folder) and git_output(folder, "check-ignore", "-q", "--no-index", ".") is not None:
        return None
    output = git_output(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if output is None:
        return None
    wanted, excluded = filters
    listing = []
    prefix = os.path.join(folder, "")
    for name in (name.rstrip("/") for name in os.fsdecode(output).split("\0")):
        is_wanted = wanted(name)
        if (inside or is_wanted) and not excluded(name):
            try:
                mode = os.lstat(prefix + name).st_mode
            except OSError:  # deleted, but still in the index
                continue
            if is_wanted and (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                listing.append((name, stat.S_ISLNK(mode)))
            elif inside and name and stat.S_ISDIR(mode):  # a submodule, or a repository that nobody has added
                listing += [(f"{name}/{file}", is_link) for file, is_link in _below(prefix + name, filters)]
    return listing
