"""Requirement files that still list xformers when no code of the project needs it any more. They are only named."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.reading import read_regular
from xf2sdpa.files.search import Searcher
from xf2sdpa.files.source import SourceError, read
from xf2sdpa.model import FileResult, Listed, SiteClass
from xf2sdpa.uninstall.notebooks import PATTERN, naming_xformers
from xf2sdpa.uninstall.requirement_lines import listing

_FILES = ("pyproject.toml", "requirements*.txt", "requirements/*.txt", "setup.cfg", "setup.py", "environment*.y*ml")
_NEEDS = re.compile(
    r"""^[ \t]*(?:from|import)[ \t]+(?:[^\n#]*,[ \t]*)?(?:xformers|mslk)\b|importorskip\(\s*["'](?:xformers|mslk)\b""",
    re.MULTILINE,
)
"""An import; `pytest.importorskip("xformers")`, without which tests are skipped, counts as one."""


def no_longer_needed(results: Collection[FileResult], start: Path) -> list[Listed]:
    """The lines that list xformers, once a rewrite has left nothing that needs it; empty where something does.

    Looked at: the nearest folder, at or above `start`, whose requirement files list xformers, up to the top of a git
    work tree; and all Python files below it, whether the run worked on them or not.
    """
    if not any(result.changed for result in results) or any(map(_needs, results)):
        return []
    start = Path(os.path.realpath(start))  # resolve() trips over a circle of links
    for folder in (start, *start.parents):
        found = list(_listed(folder))
        if found:
            return [] if _is_imported(folder, {result.path.resolve() for result in results}) else found
        if (folder / ".git").exists():
            break
    return []


def _needs(result: FileResult) -> bool:
    left = any(site.kind is SiteClass.LEFT for site in result.sites)
    named = any(finding.needs_xformers for finding in result.findings)
    return left or named or _NEEDS.search(result.new) is not None


def _listed(folder: Path) -> Iterator[Listed]:
    for file in (file for pattern in _FILES for file in sorted(folder.glob(pattern))):
        try:
            text = read_regular(file).decode("utf-8", "replace")
        except OSError:
            continue
        if "xformers" in text:
            yield from (Listed(os.path.relpath(file), number, line) for number, line in listing(file, text))


def _is_imported(folder: Path, known: Collection[Path]) -> bool:
    """Whether some file or notebook below a folder that the run did not work on imports xformers."""
    try:
        notebooks = [file for file in list_files([folder], include=[PATTERN]) if Path(file).resolve() not in known]
        if any(naming_xformers(notebooks)):
            return True
        files = Searcher(list_files([folder])).first()
        return any(_NEEDS.search(read(file).text) for file in files if file.resolve() not in known)
    except (DiscoverError, SourceError):
        return True
