"""The newest release of a package that a project admits, as far as its requirement files say so."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from xf2sdpa.files.source import text_or_nothing
from xf2sdpa.uninstall.requirement_edits.edit import requirements_in
from xf2sdpa.uninstall.requirement_edits.names import format_of
from xf2sdpa.uninstall.requirement_edits.words import package

_UPPER = re.compile(r"(===|==|<=|<|~=|(?<![<>=!~])=)\s*v?(\d+)(?:\.(\d+))?")


def newest_admitted(name: str, start: Path) -> tuple[int, int] | None:
    """The newest release of a package that the requirement files nearest to a file admit; None for no upper end.

    The nearest folder, at or above, whose files name the package counts, up to the top of a git work tree. Where
    several files name it, the lowest upper end counts: somebody may install by it.

    Args:
        name: the package.
        start: a file or folder.
    """
    start = Path(os.path.realpath(start))
    for folder in (start, *start.parents):
        said = _said_in(name, folder)
        if said:
            ends = [end for one in said if (end := _upper_end(one)) is not None]
            return min(ends, default=None)
        if (folder / ".git").exists():
            return None
    return None


@functools.lru_cache(maxsize=1024)
def _said_in(name: str, folder: Path) -> tuple[str, ...]:
    found = []
    try:
        files = [folder / entry.name for entry in os.scandir(folder) if format_of(folder / entry.name) is not None]
    except OSError:
        return ()
    for file in sorted(files):
        try:
            found += [one.said for one in requirements_in(file, text_or_nothing(file)) if package(one.said) == name]
        except ValueError:
            continue
    return tuple(found)


def _upper_end(requirement: str) -> tuple[int, int] | None:
    ends = []
    for operator, major, minor in _UPPER.findall(requirement.partition(";")[0]):
        release = (int(major), int(minor or 0))
        if operator == "<":
            release = (release[0], release[1] - 1) if release[1] else (release[0] - 1, 999)
        if operator != "~=":
            ends.append(release)
    return min(ends, default=None)
