"""Plans flags for a whole project: which files get a block, which flags it sets, and what is reported.

Called after the rewrite, with its results. Every run updates existing blocks; a new one is added only to a program that
leads to a call rewritten in this run, or to a file that `--flags-in` names.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xf2sdpa.codes import CHECK_FAILED, RUN_CODES, UNPARSABLE
from xf2sdpa.edits.selfcheck import CheckFailed
from xf2sdpa.files.source import SourceError, read
from xf2sdpa.flags import block, table
from xf2sdpa.flags.table import Flag
from xf2sdpa.flags.theirs import Setting, that_count
from xf2sdpa.helper.text import FILE_NAME, MODULE_NAME
from xf2sdpa.model import FileResult, Finding, FindingKind, FlagsOutcome, FlagsPlace, SiteClass, Span
from xf2sdpa.project.entry_points import is_named_as_program, kind_of, might_run
from xf2sdpa.project.files import Project

NAMED = "is named by --flags-in"
_REWRITTEN = (SiteClass.EXACT, SiteClass.ASSUMED, SiteClass.COMPAT)


@dataclass(frozen=True)
class Wanted:
    """What the options ask for.

    Attributes:
        flags: the flags to set; if empty, blocks are removed.
        files: the files to put them in, instead of the entry points found.
        selects: whether a code is selected; under other codes nothing is done or reported.
    """

    flags: Sequence[Flag]
    files: Sequence[str] = ()
    selects: Callable[[str], bool] = lambda _: True


def add_flags(results: Sequence[FileResult], project: Project, wanted: Wanted) -> tuple[list[FileResult], FlagsOutcome]:
    """Put flags into entry points; writes nothing.

    Args:
        results: the results of the rewrite; those of files that get flags are changed in place.
        project: the files as the rewrite leaves them.
        wanted: what the options ask for.

    Returns:
        Results of further files that get flags, and the outcome to report.
    """
    outcome = FlagsOutcome(tuple(flag.name for flag in wanted.flags))
    by_file = {str(result.path): result for result in results}
    reasons = _reasons(by_file, project, wanted, outcome)
    more = []
    for file in sorted(reasons):
        result = by_file.get(file) or _unchanged(Path(file))
        if result is None or result.failed:
            continue
        place = _placed(result, project, wanted, reasons[file])
        outcome.places += [place] if place else []
        if file not in by_file and (result.changed or result.failed):
            more.append(result)
    return more, outcome


def _reasons(
    results: Mapping[str, FileResult], project: Project, wanted: Wanted, outcome: FlagsOutcome
) -> dict[str, str]:
    """The files to look at, each with the reason why it gets flags; empty if it only has a block already."""
    reasons = {file: "" for file in project.holding("xf2sdpa") if block.MARK in project.text(file)}
    if not wanted.flags:
        return reasons
    rewritten = _rewritten(results, project)
    found = {str(Path(file)): NAMED for file in wanted.files} or dict(_entry_points(project, rewritten))
    if rewritten and not (found or reasons) and wanted.selects(table.NOWHERE):
        outcome.paste = tuple(block.pasted(wanted.flags))
    return reasons | found


def _placed(result: FileResult, project: Project, wanted: Wanted, why: str) -> FlagsPlace | None:
    """Update the block of one file, and report it; under a code that is not selected, undo it and return None."""
    before = result.new
    place = _settle(result, project, wanted.flags, why)
    if place is not None and not wanted.selects(place.code):
        result.new, place = before, None
    return place


def _unchanged(path: Path) -> FileResult | None:
    """A result without changes, for a file that the rewrite did not look at; None if it cannot be read."""
    try:
        text = read(path).text
    except SourceError:
        return None
    return FileResult(path, text, text)


def _rewritten(results: Mapping[str, FileResult], project: Project) -> set[str]:
    """The files whose calls this run rewrote; if any, also those that use a helper module of an earlier run."""
    now = {
        file
        for file, result in results.items()
        if not result.failed and result.changed and any(site.kind in _REWRITTEN for site in result.sites)
    }
    if not now:
        return set()
    return now.union(file for file in project.holding(MODULE_NAME) if Path(file).name != FILE_NAME)


def _entry_points(project: Project, rewritten: Collection[str]) -> Iterator[tuple[str, str]]:
    """The programs whose imports lead to a rewritten file, each with the reason to report."""
    if not rewritten:
        return
    steps = project.graph.leading_to(rewritten)
    for file in sorted(project.graph.edges):
        text = project.text(file)
        if not (file in steps or is_named_as_program(file)) or not might_run(text) or project.is_other(file):
            continue
        way = _way(project, file, steps) if file in steps else _by_package(project, file, rewritten)
        if not way:
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        kind = kind_of(tree, project.shown(file), is_imported=file in project.parts)
        if kind:
            yield file, f"{kind} and {way}"


def _by_package(project: Project, file: str, rewritten: Collection[str]) -> str:
    """How a program runs a rewritten call that it imports only through a package's `__init__`; empty if it does not."""
    found = sorted(project.graph.reached_from(file) & set(rewritten))
    return f"leads to {project.shown(found[0])} by a package's __init__" if found else ""


def _way(project: Project, file: str, steps: dict[str, str | None]) -> str:
    """How a file's imports lead to a rewritten call: `leads to pkg/attention.py by pkg/model.py`."""
    way = []
    step = steps[file]
    while step is not None:
        way.append(project.shown(step))
        step = steps[step]
    if not way:
        return "holds a rewritten call"
    *between, last = way
    return f"leads to {last}" + (f" by {', '.join(between)}" if between else "")


def _settle(result: FileResult, project: Project, wanted: Sequence[Flag], why: str) -> FlagsPlace | None:
    """Insert, update or remove one file's block; None if there is nothing to report."""
    path = str(result.path)
    old = block.find(result.new)
    broken = block.damage(result.new)
    if old is not None and not old.untouched:
        broken = block.line_of(result.new), f"the block {block.EDITED}"
    if broken is not None:
        told = bool(why) or not wanted
        line, message = broken
        return FlagsPlace(path, line, table.EDITED, (), message) if told else None
    if old is None and not why:  # a file that only quotes the mark
        return None
    settled = _settled(project, path, wanted)
    flags = [flag for flag in wanted if flag.name not in settled]
    before = result.new
    try:
        result.new = block.with_flags(before, flags)
    except SyntaxError as error:
        _fail(result, UNPARSABLE, f"does not parse: {error.msg}", RUN_CODES[UNPARSABLE].way_out)
        return None
    except CheckFailed as failure:
        _fail(result, CHECK_FAILED, f"the flags failed their self-check: {failure}", "Please report this.")
        return None
    if result.new == before and (old is not None or not settled or not why):
        return None
    code = _code(had=old is not None, has=bool(flags))
    theirs = tuple(f"{flag}: {_place(project, *place)}" for flag, place in settled.items())
    said = why or ("is no longer wanted" if code == table.REMOVED else "had other flags")
    line = block.line_of(result.new if flags else before)
    return FlagsPlace(path, line, code, tuple(flag.name for flag in flags), said, theirs)


def _settled(project: Project, path: str, wanted: Sequence[Flag]) -> dict[str, tuple[str, Setting]]:
    """The wanted flags that the program sets itself, each with the file and place."""
    if not wanted:
        return {}
    reached = project.graph.reached_from(path)
    found = that_count(path, {file: project.text(file) for file in reached})
    return {flag.name: found[flag.name] for flag in wanted if flag.name in found}


def _code(*, had: bool, has: bool) -> str:
    if had:
        return table.UPDATED if has else table.REMOVED
    return table.INSERTED if has else table.THEIRS


def _place(project: Project, file: str, setting: Setting) -> str:
    return f"{project.shown(file)}:{setting.line}: {setting.code}"


def _fail(result: FileResult, code: str, message: str, advice: str) -> None:
    """Restore the file's old text, and report the error."""
    result.new = result.old
    result.sites.clear()
    result.findings[:] = [Finding(str(result.path), Span(1, 0, 1, 0), code, message, advice, FindingKind.ERROR)]
