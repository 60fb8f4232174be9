"""What a run must not touch: links out of the project, files whose helper is none. Each is named, and stays so."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from xf2sdpa.codes import UNREADABLE, UNWRITABLE
from xf2sdpa.console import give_up
from xf2sdpa.files.links import StrPath, is_below, leads_out, project_of
from xf2sdpa.files.search import Searcher
from xf2sdpa.files.source import SourceError
from xf2sdpa.model import FileResult, Run
from xf2sdpa.run.matching import failed_result


def refuse_broken_helpers(run: Run) -> None:
    """Leave files as they were where something that is no module stands in the place of their helper module."""
    stuck = {user: copy for copy in run.copies if copy.broken for user in copy.modules}
    for index, result in enumerate(run.results):
        copy = stuck.get(result.path)
        if copy is not None and result.changed:
            why = f"stays as it was: {copy.path}, where its helper module goes, {copy.broken}"
            run.results[index] = failed_result(SourceError(result.path, 1, 0, UNREADABLE, why))
    run.copies = [copy for copy in run.copies if not copy.broken]


def without_links_out(files: Sequence[str], named: Iterable[StrPath]) -> tuple[list[str], list[FileResult]]:
    """The files without links that lead out of the project and of the folders named; and results for those that matter.

    A person who names such a link has seen it, perhaps; a hook that names all changed files has not.
    """
    folders = {os.path.realpath(path) for path in named if Path(path).is_dir()}
    out = {file for file in files if Path(file).is_symlink() and leads_out(file, {*folders, project_of(file)})}
    why = "is a link that leads out of the project, and stays as it was; name the file itself if it is meant"
    results = [failed_result(SourceError(path, 1, 0, UNWRITABLE, why)) for path in Searcher(sorted(out)).first()]
    return [file for file in files if file not in out], results


def refuse_ways_out(file: Path, key: str, paths: Iterable[StrPath]) -> None:
    """End the run if a path that pyproject.toml names lies outside of its project: only a person may name it."""
    root = project_of(file)
    for path in paths:
        if not is_below(path, [root]):
            give_up(
                f"{file}: tool.xf2sdpa.{key}: {os.fspath(path)} lies outside of the project", "Name it as an argument."
            )
