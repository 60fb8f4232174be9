"""The end of a run: what the whole tree says of xformers, and the requirement files that can lose it."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from xf2sdpa.codes import REQUIREMENT
from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.model import Bearing, Closing, Mention, Run
from xf2sdpa.settings import Settings
from xf2sdpa.uninstall.closing_report import mentions_in, tree_around
from xf2sdpa.uninstall.code_uses import IDLE, OPTION
from xf2sdpa.uninstall.requirements import requirement_edits


def close(
    run: Run, files: Collection[str], paths: Sequence[str | Path], settings: Settings, *, done: bool = True
) -> None:
    """Give a run its closing report, and the edits of requirement files where nothing needs xformers any more.

    Not where files alone are given and requirements are to be kept: a hook does so, and asks nothing of the tree.

    Args:
        run: what was found and done; its results get those of requirement files.
        files: every file that the run looked at.
        paths: what it was given.
        settings: as configured: where codes are left out, the run has not told all.
        done: whether what the run changes is, or will be, changed.
    """
    wanted = settings.requirements == "edit"
    edit = wanted and settings.selects(REQUIREMENT)
    run.listed = []
    if not wanted and not any(map(os.path.isdir, paths)):
        return
    trusted = not (settings.select or settings.ignore)
    visited = {os.path.realpath(file) for file in files}
    try:
        tree = tree_around(paths, run.results)
        mentions = _by_given(mentions_in(tree, run.results, visited, trusted=trusted, done=done), paths)
    except DiscoverError as error:
        mention = Mention(str(error.path), 1, "other", Bearing.UNSURE, str(error), "")
        run.closing = Closing([mention], edited=edit)
        return
    if not files and not mentions:  # an empty folder, most likely the wrong one
        return
    run.closing = Closing(mentions, edited=edit)
    if run.closing.can_go and done:
        edits = requirement_edits(tree.files, run, edit=edit)
        run.listed = edits.listed
        run.closing.requirements = edits.changes
        run.results += edits.results
        if edits.results:
            run.results.sort(key=lambda result: result.path)
            tree = tree_around(paths, run.results)
            run.closing.mentions = _by_given(mentions_in(tree, run.results, visited, trusted=trusted), paths)
    if run.closing.can_go:
        run.closing.mentions = [_drop_now(mention) for mention in run.closing.mentions]


def no_files(paths: Sequence[str | Path]) -> tuple[str, str]:
    """What is said of paths without a file to look at, and what to do."""
    return f"no Python file or notebook in {', '.join(map(str, paths))}", "Name the folder of your project."


def _drop_now(mention: Mention) -> Mention:
    """What waited until nothing needs xformers: an option, and a line that no rewritten file speaks for."""
    if mention.bearing is Bearing.CHOICE and mention.advice == OPTION:
        return replace(mention, advice=IDLE)
    return replace(mention, advice="drop it: nothing here needs it") if mention.kind == "requirements" else mention


def _by_given(mentions: Sequence[Mention], paths: Sequence[str | Path]) -> list[Mention]:
    """The places, each told whether it lies in what the run was given."""
    given = {Path(os.path.realpath(path)) for path in paths}
    real = {mention.path: Path(os.path.realpath(mention.path)) for mention in mentions}
    inside = {path for path, place in real.items() if not given.isdisjoint((place, *place.parents))}
    return [replace(mention, given=mention.path in inside) for mention in mentions]
