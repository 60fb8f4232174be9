"""What lies around files that are named one by one, as a hook names them: the rest of their project, only looked at.

A name that another file imports from one of them must stay; a flag that guards a use in another file must stay true; a
name that one of them takes from another file may be xformers'. None of that is seen in the files alone.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.git import work_tree
from xf2sdpa.files.journal import journal_root
from xf2sdpa.files.links import StrPath
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.search import Searcher

CALL = b"memory_efficient_attention"
"""A file that calls the operator by a name from another file need not name xformers, but mostly has this word."""


def around(files: Sequence[str], chosen: Collection[StrPath], *, partly: bool = False) -> tuple[str, ...]:
    """The other Python files of the project that files come from; none where nothing in these matters.

    Only where the project has a border: a git work tree, or a pyproject.toml. Its top given as a folder has nothing
    around it, unless patterns leave files of it out (`partly`); these count wherever they lie.
    """
    root = journal_root(chosen)
    if not partly and any(os.path.realpath(path) == root for path in chosen):
        return ()
    bordered = work_tree(root) is not None or Path(root, "pyproject.toml").is_file()
    if not bordered and not partly:
        return ()
    if not Searcher(files).first(CALL):
        return ()
    given = {os.path.realpath(file) for file in files}
    here = os.path.realpath(".")
    try:
        found = list_files([root] if bordered else [*chosen])
    except DiscoverError:
        return ()
    # Spelled as the given ones mostly are, so that reports name them alike.
    below = (os.path.relpath(file, here) if file.startswith(here + os.sep) else file for file in found)
    return tuple(name for name, file in zip(below, found, strict=True) if os.path.realpath(file) not in given)
