"""Plans flags for a whole project: which files get a block, which flags it sets, and what is reported.

Called after the rewrite, with its results. Every run updates existing blocks; a new one is added only to a program that
leads to a call rewritten in this run and gives a reason for a flag, or to a file that `--flags-in` names. Where there
are more such programs than `MOST_FILES`, none is edited, and they are named instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.codes import CHECK_FAILED, RUN_CODES, UNPARSABLE
from xf2sdpa.edits.selfcheck import CheckFailed
from xf2sdpa.files.notebook import is_notebook, read_any
from xf2sdpa.files.source import SourceError
from xf2sdpa.flags import block, table
from xf2sdpa.flags.reasons import reasons_for
from xf2sdpa.flags.table import Flag
from xf2sdpa.flags.theirs import Setting, settings_in, that_count
from xf2sdpa.helper.text import FILE_NAME, MODULE_NAME
from xf2sdpa.model import FileResult, Finding, FindingKind, FlagsOutcome, FlagsPlace, SiteClass, Span
from xf2sdpa.project.entry_points import is_named_as_program, kind_of, likeliest_first, might_run
from xf2sdpa.project.files import Project

_REWRITTEN = (SiteClass.EXACT, SiteClass.ASSUMED, SiteClass.COMPAT)


@dataclass(frozen=True)
class Wanted:
    """What the options ask for.

    Attributes:
        flags: the flags to judge; if empty, blocks are removed.
        by_name: those of them that were asked for one by one, and need no other reason.
        files: the files to put them in, instead of the entry points found.
        selects: whether a code is selected; under other codes nothing is done or reported.
    """

    flags: Sequence[Flag]
    by_name: Collection[str] = ()
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
    standing = {file: "" for file in project.holding("xf2sdpa") if block.MARK in project.text(file)}
    plans = {file: _plan(file, why, project, wanted) for file, why in standing.items()}
    if wanted.flags:
        rewritten = _rewritten(by_file, project)
        found = {str(Path(file)): table.NAMED for file in wanted.files} or dict(_entry_points(project, rewritten))
        plans |= {file: _plan(file, why, project, wanted) for file, why in found.items()}
        if rewritten and not plans and wanted.selects(table.NOWHERE):
            outcome.paste = _pasted(rewritten, project, wanted)
        if not wanted.files:
            plans = _without_many(plans, standing, project, wanted, outcome)
    more = []
    for file in sorted(plans):
        result = by_file.get(file) or _unchanged(Path(file))
        if result is None or result.failed:
            continue
        place = _placed(result, wanted, plans[file])
        outcome.places += [place] if place else []
        if file not in by_file and (result.changed or result.failed):
            more.append(result)
    return more, outcome


@dataclass(frozen=True)
class _Plan:
    """What is meant for one file.

    Attributes:
        why: what makes it an entry point; empty if it only has a block already.
        flags: the flags that it should have.
        reasons: for each of them, why.
        lacking: for each of the others that the program leaves open, what is missing.
        theirs: for each flag that the program settles itself, where and how.
    """

    why: str
    flags: tuple[Flag, ...] = ()
    reasons: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()


def _plan(file: str, why: str, project: Project, wanted: Wanted) -> _Plan:
    """Judge what a program gives reasons for, and what it settles itself."""
    if not wanted.flags:
        return _Plan(why)
    reached = project.graph.reached_from(file)
    found = that_count(file, {file: project.text(file) for file in reached})
    settled = {flag.name: found[flag.name] for flag in wanted.flags if flag.name in found}
    open_ones = [flag for flag in wanted.flags if flag.name not in settled]
    reasons = reasons_for(open_ones, wanted.by_name, project, file, reached)
    return _Plan(
        why,
        tuple(flag for flag in open_ones if flag.name in reasons.given),
        tuple(f"{name}: {reason}" for name, reason in reasons.given.items()),
        tuple(f"{name}: {reason}" for name, reason in reasons.lacking.items()),
        tuple(f"{flag}: {_place(project, *place)}" for flag, place in settled.items()),
    )


def _without_many(
    plans: dict[str, _Plan], standing: Collection[str], project: Project, wanted: Wanted, outcome: FlagsOutcome
) -> dict[str, _Plan]:
    """The plans; where more programs qualify than are edited unasked, without those that have no block yet."""
    qualified = {project.shown(file): file for file, plan in plans.items() if plan.why and plan.flags}
    if len(qualified) <= table.MOST_FILES:
        return plans
    if wanted.selects(table.MANY):
        outcome.many = tuple(qualified[shown] for shown in likeliest_first(qualified))
    return {file: plan for file, plan in plans.items() if file in standing}


def _pasted(rewritten: Collection[str], project: Project, wanted: Wanted) -> tuple[str, ...]:
    """The lines for a program that is not among the files, as far as what leads to a rewritten one gives reasons."""
    users = {*rewritten, *(file for file in project.graph.leading_to(rewritten) if not project.is_other(file))}
    reached = set().union(*(project.graph.reached_from(file) for file in users))
    # Whichever program it is, what one of them sets itself is left to it.
    theirs = {s.flag for file, text in project.texts.items() if not project.is_other(file) for s in settings_in(text)}
    flags = [flag for flag in wanted.flags if flag.name not in theirs]
    given = reasons_for(flags, wanted.by_name, project, None, reached).given
    return tuple(block.pasted([flag for flag in flags if flag.name in given]))


def _placed(result: FileResult, wanted: Wanted, plan: _Plan) -> FlagsPlace | None:
    """Update the block of one file, and report it; under a code that is not selected, undo it and return None."""
    before = result.new
    place = _settle(result, plan, removing=not wanted.flags)
    if place is not None and not wanted.selects(place.code):
        result.new, place = before, None
    return place


def _unchanged(path: Path) -> FileResult | None:
    """A result without changes, for a file that the rewrite did not look at; None if it cannot be read."""
    try:
        source = read_any(path)
    except SourceError:
        return None
    return FileResult(path, source.text, source.text) if source is not None else None


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
        if not way or (is_notebook(file) and not _holds_what_it_runs(project, file, rewritten)):
            continue
        try:
            tree = parse_once(text).tree
        except (SyntaxError, ValueError, RecursionError):
            continue
        kind = kind_of(tree, project.shown(file), is_imported=file in project.parts)
        if kind:
            yield file, f"{kind} and {way}"


def _holds_what_it_runs(project: Project, notebook: str, rewritten: Collection[str]) -> bool:
    """Whether a rewritten call lies in a notebook, or below its folder: else it runs the package that is installed."""
    folder = Path(os.path.realpath(notebook)).parent
    reached = project.graph.reached_from(notebook) & set(rewritten)
    return any(Path(os.path.realpath(file)).is_relative_to(folder) for file in reached)


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


def _settle(result: FileResult, plan: _Plan, *, removing: bool) -> FlagsPlace | None:
    """Insert, update or remove one file's block; None if there is nothing to report."""
    path = str(result.path)
    old = block.find(result.new)
    broken = block.damage(result.new)
    if old is not None and not old.untouched:
        broken = block.line_of(result.new), f"the block {block.EDITED}"
    if broken is not None:
        line, message = broken
        return FlagsPlace(path, line, table.EDITED, (), message) if plan.why or removing else None
    if old is None and not plan.why:  # a file that only quotes the mark
        return None
    before = result.new
    try:
        result.new = block.with_flags(before, plan.flags)
    except SyntaxError as error:
        _fail(result, UNPARSABLE, f"does not parse: {error.msg}", RUN_CODES[UNPARSABLE].way_out)
        return None
    except CheckFailed as failure:
        _fail(result, CHECK_FAILED, f"the flags failed their self-check: {failure}", "Please report this.")
        return None
    if result.new == before and (old is not None or plan.flags):
        return None
    code = _code(had=old is not None, has=bool(plan.flags))
    said = plan.why or ("is no longer wanted" if code == table.REMOVED else "had other flags")
    line = block.line_of(result.new if plan.flags else before)
    names = tuple(flag.name for flag in plan.flags)
    return FlagsPlace(path, line, code, names, said, plan.theirs, plan.reasons, plan.lacking)


def _code(*, had: bool, has: bool) -> str:
    if had:
        return table.UPDATED if has else table.REMOVED
    return table.INSERTED if has else table.THEIRS


def _place(project: Project, file: str, setting: Setting) -> str:
    return f"{project.shown_line(file, setting.line)}: {setting.code}"


def _fail(result: FileResult, code: str, message: str, advice: str) -> None:
    """Restore the file's old text, and report the error."""
    result.new = result.old
    result.sites.clear()
    result.findings[:] = [Finding(str(result.path), Span(1, 0, 1, 0), code, message, advice, FindingKind.ERROR)]
