"""Where links lead. A repository may bring some that lead out of it, and what is there is none of its business."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from xf2sdpa.files.git import work_tree

StrPath = str | os.PathLike[str]


def project_of(path: StrPath) -> str:
    """Return the folder of a path's project: its git work tree, or where pyproject.toml lies, or the path's own folder.

    The path's last link is not followed.
    """
    folder = os.path.realpath(Path(path).parent)
    marked = (str(place) for place in (Path(folder), *Path(folder).parents) if (place / "pyproject.toml").is_file())
    return work_tree(folder) or next(marked, folder)


def leads_out(path: StrPath, roots: Collection[str]) -> bool:
    """Whether a path is a link to what lies below none of the folders, which are resolved."""
    target = os.path.realpath(path)
    itself = os.path.join(os.path.realpath(Path(path).parent), Path(path).name)  # noqa: PTH118 - Path drops a "."
    return target != itself and not is_below(target, roots)


def is_below(target: StrPath, roots: Collection[str]) -> bool:
    """Whether a path, links followed, is one of the folders or lies below one."""
    real = os.path.realpath(target)
    return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in roots)
