"""Requirement files once no use of xformers is left: without it, and with a torch that is new enough.

Only files that speak for rewritten code: those in its folder or above. Another may list xformers for what is not in the
tree at all (a model's own code, say), and is named in the closing report. Where something in the tree still needs
xformers, nothing goes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from xf2sdpa.codes import REQUIREMENT
from xf2sdpa.files.source import SourceError, read
from xf2sdpa.model import (
    FileResult,
    Finding,
    FindingKind,
    Listed,
    RequirementChange,
    Run,
    Span,
    TorchVersion,
)
from xf2sdpa.uninstall.choices import WORD
from xf2sdpa.uninstall.requirement_edits.edit import Change, Outcome, listing, names_torch, with_torch, without_xformers
from xf2sdpa.uninstall.requirement_edits.names import format_of
from xf2sdpa.uninstall.torch_pin import project_torch

_SIDE = frozenset(
    {"requirements", "requirement", "reqs", "conda", "docker", "envs", "environments", "recipe", "recipes"}
)
"""Folders whose requirement files speak for the folder above."""


@dataclass
class Edits:
    """What becomes of the requirement files of a tree."""

    results: list[FileResult] = field(default_factory=list)
    changes: list[RequirementChange] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)
    """The lines that required xformers."""


def requirement_edits(files: Iterable[str], run: Run, *, edit: bool) -> Edits:
    """The edits of requirement files that speak for what a run rewrote, nothing else in the tree needing xformers.

    Args:
        files: the files of the tree.
        run: what was done.
        edit: whether to edit them; else their lines are only listed.
    """
    freed = [result for result in run.results if result.changed and WORD.search(result.old)]
    found = Edits()
    speaking = [Path(file) for file in files if format_of(Path(file)) is not None and _speaks_for(file, freed)]
    floor = run.torch_floor or (2, 0)
    for file in speaking:
        try:
            source = read(file)
        except SourceError as error:
            found.changes.append(RequirementChange(str(file), error.line, "", why=error.message))
            continue
        lines = listing(file, source.text)
        found.listed += [Listed(str(file), number, line) for number, line in lines]
        if edit:
            beside = [other for other in speaking if _folder(other) == _folder(file)]
            _edit(file, source.text, floor, found, brings_torch=not any(map(_names_torch, beside)))
    return found


def _edit(file: Path, text: str, floor: TorchVersion, found: Edits, *, brings_torch: bool) -> None:
    """Make the edits of one file."""
    least = f"torch>={'.'.join(map(str, floor))}" if brings_torch else ""
    try:
        gone = without_xformers(file, text, least)
        pin = project_torch(file.parent)
        # Where another file beside it keeps torch new enough, a bare `torch` here is no reason to write.
        kept = pin is not None and pin[0] >= floor
        outcome = Outcome(gone.text) if kept else with_torch(file, gone.text, floor)
    except ValueError as error:
        if WORD.search(text):
            found.changes.append(RequirementChange(str(file), 1, "", why=f"does not parse: {error}"))
        return
    changes = [*gone.done, *gone.left, *outcome.done, *outcome.left]
    found.changes += [RequirementChange(str(file), c.line, c.was, c.now, c.why, c.place) for c in changes]
    if outcome.text != text:
        findings = [_finding(file, change) for change in (*gone.done, *outcome.done)]
        found.results.append(FileResult(file, text, outcome.text, findings=findings, last=True))


def _finding(file: Path, change: Change) -> Finding:
    message = f"{change.was} is now {change.now}" if change.now else f"{change.was} goes"
    message += f"; the extra {change.place} stays, and holds nothing" if change.place else ""
    return Finding(str(file), Span(change.line, 0, change.line, 0), REQUIREMENT, message, kind=FindingKind.DONE)


def _speaks_for(file: str, freed: Collection[FileResult]) -> bool:
    """Whether a requirement file stands in the folder of a rewritten file, or above it."""
    folder = _folder(Path(file))
    return any(folder in result.path.resolve().parents for result in freed)


def _folder(file: Path) -> Path:
    folder = Path(os.path.realpath(file)).parent  # resolve() trips over a circle of links
    return folder.parent if folder.name in _SIDE else folder


def _names_torch(file: Path) -> bool:
    try:
        return names_torch(file, read(file).text)
    except SourceError:
        return True
