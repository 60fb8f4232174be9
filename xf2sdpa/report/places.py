"""Names of files as services know them: from the top of the work tree."""

from __future__ import annotations

import os
from pathlib import Path

from xf2sdpa.files.git import work_tree


def from_root(path: str) -> str:
    """A file's path below the top of the work tree that the run was started in, or below its folder.

    What lies outside, and the name of standard input, stays as it is.
    """
    root = work_tree(".") or os.path.realpath(".")
    folder, name = os.path.split(path)
    real = Path(os.path.realpath(folder), name)  # its last link is not followed
    below = Path(os.path.relpath(real, root))
    return path if below.parts[:1] == ("..",) or path.startswith("<") else below.as_posix()


def uri(path: str) -> str:
    """A path as a URI: relative to the root, or with its scheme where it lies outside; any bytes of a name."""
    from urllib.parse import quote  # noqa: PLC0415 - only for the formats that want one

    name = from_root(path)
    quoted = quote(os.fsencode(name))
    return f"file://{quoted}" if Path(name).is_absolute() else quoted
