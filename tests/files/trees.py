"""Folders of files for the tests of listing, patterns and search."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from xf2sdpa.files.listing import list_files


def make(root: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def git(root: Path, *arguments: str) -> None:
    subprocess.run(
        [
            "git",
            "-C",
            str(root),
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "commit.gpgsign=false",
            *arguments,
        ],
        check=True,
        capture_output=True,
    )


def below(root: Path, **options: object) -> list[str]:
    """The files of the folder, as seen from it."""
    return [os.path.relpath(file, root) for file in list_files([root], **options)]  # type: ignore[arg-type]
