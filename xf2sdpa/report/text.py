"""The report a person reads: one line a call site, then what it comes to."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import click

from xf2sdpa import __version__
from xf2sdpa.codes import OUTDATED_RUN
from xf2sdpa.files.plain import shell_word
from xf2sdpa.flags.table import (
    FIRST_TORCH_WITH_CUDNN,
    INSERTED,
    MANY,
    MOST_FILES,
    NAMED,
    NOWHERE,
    OLD_TORCH,
    REMOVED,
    THEIRS,
    UPDATED,
    Flag,
    named,
)
from xf2sdpa.folding import Code, Paste
from xf2sdpa.helper.text import PACKAGE_NAME
from xf2sdpa.model import (
    FileResult,
    Finding,
    FindingKind,
    FlagsOutcome,
    FlagsPlace,
    Pin,
    Run,
    Site,
    SiteClass,
    Span,
    TorchVersion,
)
from xf2sdpa.report.closing import closing_lines
from xf2sdpa.report.entries import outcome
from xf2sdpa.report.shown import shown
from xf2sdpa.rewrite.pages import all_codes

_COLOURS = {
    SiteClass.EXACT: "green",
    SiteClass.ASSUMED: "yellow",
    SiteClass.COMPAT: "cyan",
    SiteClass.REMOVED: "green",
    SiteClass.LEFT: "red",
}
_WORDS = {FindingKind.DONE: "changed", FindingKind.DROPPED: "dropped", FindingKind.ERROR: "error  "}
"""What a finding is called; "note" where it is none of these."""
_COMPARED = (SiteClass.EXACT, SiteClass.ASSUMED, SiteClass.COMPAT)
_NAMED = 5
_PATHS = 3
"""Paths up to which a command to type next is told in full."""


def lines(
    run: Run,
    pin: Pin | None,
    *,
    written: bool,
    verbose: int = 0,
    statistics: bool = False,
    paths: Collection[str] = (),
) -> Iterator[str]:
    """The lines of the report.

    Args:
        run: what happened.
        pin: the lowest torch version that the project admits, and where it says so.
        written: whether the changes are in the files (not with --check and --diff).
        verbose: below 0 only what failed; above 0 advice and notes as well.
        statistics: how often each code was reported, instead of each place.
        paths: what the run was given, as typed; for the command that comes next.
    """
    added = [shell_word(copy.path) for copy in run.copies if copy.old is None]
    run, pin = shown(run), shown(pin)
    flagged = {place.path for place in run.flags.places}
    for result in run.results:
        for finding in () if result.last else result.findings:
            told = verbose > 0 or (verbose == 0 and _is_news(finding, result))
            if finding.is_error or (told and not statistics):
                yield from _finding(finding, verbose)
        if verbose >= 0 and not statistics:
            for site in result.sites:
                yield from _site(site, verbose)
            if result.changed and not (result.last or result.sites or result.findings or str(result.path) in flagged):
                yield f"{click.style(f'{result.path}:1:1:', bold=True)} changed"
    if verbose >= 0:
        yield from by_code(run) if statistics else ()
        yield from _totals(run, pin, added, written=written, verbose=verbose)
        *whole_tree, verdict = [*closing_lines(run, written=written, verbose=verbose)] or [""]
        yield from whole_tree
        yield from _next(run, paths, written=written)  # where it is seen: above the verdict, which comes last
        yield from [verdict] if verdict else ()


def by_code(run: Run) -> Iterator[str]:
    """How often each code was reported, with what it means; the most frequent first."""
    titles = all_codes()
    counts = run.codes()
    for code in sorted(counts, key=lambda code: (-counts[code], code)):
        yield f"{counts[code]:>6}  {code}  {titles.get(code, '')}".rstrip()


def _site(site: Site, verbose: int) -> Iterator[str]:
    place = f"{site.path}:{site.span.where}:{site.span.column + 1}:"
    kind = click.style(f"{site.kind.value:<7}", fg=_COLOURS[site.kind])
    head = f"{_line_of(place, site.code)} {kind}"
    is_code = site.after and site.kind is not SiteClass.COMPAT
    yield Code.after(head, outcome(site)) if is_code else f"{head} {outcome(site)}"
    for assumption in site.assumptions:
        yield f"    assuming that {assumption}"
    if verbose > 0 and site.advice:
        yield f"    help: {site.advice}"
    for note in site.notes if verbose > 0 else ():
        yield f"    note {note.code}: {note.message}. {note.advice}".rstrip()


def _line_of(place: str, code: str) -> str:
    """How a line about a place begins."""
    return f"{click.style(place, bold=True)} {click.style(code, dim=True)}"


def _is_news(finding: Finding, result: FileResult) -> bool:
    """Whether a finding is told in any case: a message that went; a change in a file without a call; evidence that was
    given and does not count.
    """
    if finding.code == OUTDATED_RUN or finding.kind is FindingKind.DROPPED:
        return True
    return finding.kind is FindingKind.DONE and not result.sites


def _finding(finding: Finding, verbose: int) -> Iterator[str]:
    place = f"{finding.path}:{finding.span.where}:{finding.span.column + 1}:"
    word = _WORDS.get(finding.kind, "note   ")
    kind = click.style(word, fg="red", bold=True) if finding.is_error else word
    yield f"{_line_of(place, finding.code)} {kind} {finding.message}"
    if finding.advice and (finding.is_error or verbose > 0):
        yield f"    help: {finding.advice}"


def _totals(run: Run, pin: Pin | None, added: list[str], *, written: bool, verbose: int) -> Iterator[str]:
    counts = {kind: run.count(kind) for kind in SiteClass}
    total = sum(counts.values())
    failed = sum(result.failed for result in run.results)
    if not total and not failed:
        if not run.changed and not any(map(_reason, run.results)):
            yield "No call of xformers' attention found."
        yield from _scanned(run, written=written)
        yield from _helpers(run, added, written=written)
        yield from _flags(run.flags, verbose)
        yield from _needing(run, verbose)
        return
    parts = [
        click.style(f"{count} {kind.value}", fg=_COLOURS[kind] if count else None)
        for kind, count in counts.items()
        if count or kind is SiteClass.LEFT
    ]
    if total:
        yield f"{_count(total, 'call site')}: {', '.join(parts)}."
    yield from _scanned(run, written=written)
    yield from _helpers(run, added, written=written)
    if failed:
        yield click.style(f"{_count(failed, 'file')} could not be worked on and stayed as before.", fg="red")
    yield from _uncommitted(run, written=written)
    yield from _torch(run, pin)
    yield from _flags(run.flags, verbose)
    yield from _slow_torch(run, pin)
    yield from _needing(run, verbose)
    left = sorted({site.code for result in run.results for site in result.sites if site.kind is SiteClass.LEFT})
    if left:
        yield f"Why a site was left: xf2sdpa explain {left[0]}" + (f" (also {', '.join(left[1:])})" if left[1:] else "")


def _scanned(run: Run, *, written: bool) -> Iterator[str]:
    """How many files there are, how many of them the run had to do with, and how many change."""
    said = [f"{_count(run.scanned, 'file')} scanned"] if run.scanned is not None else []
    if run.matched or run.changed:
        said += [f"{run.matched} looked into"] if said else []
        changed = [result for result in run.changed if not result.last]  # requirement files are told at the end
        said.append(f"{len(changed)} {'rewritten' if written else 'to rewrite'}")
    if said:
        yield f"{', '.join(said)}."


def _next(run: Run, paths: Collection[str], *, written: bool) -> Iterator[str]:
    """The command that a person types next."""
    if not run.changed or not 0 < len(paths) <= _PATHS:
        return
    given = " ".join(map(shell_word, paths))
    if written:
        compares = any(site.kind in _COMPARED for result in run.changed for site in result.sites)
        steps = [f"`xf2sdpa verify {given}` runs old and new side by side"] * (compares and (run.in_git or run.kept))
        steps += ["`git diff` shows the changes"] * run.in_git
        steps += [f"`xf2sdpa undo` takes {'them' if run.in_git else 'this'} back"] * run.kept
        yield from [f"Next: {'; '.join(steps)}."] if steps else ()
    else:
        yield f"Next: `xf2sdpa rewrite {given}` writes this; with --diff, it shows what."


def _uncommitted(run: Run, *, written: bool) -> Iterator[str]:
    """A note where git cannot tell what a person changed from what the run did."""
    if run.uncommitted:
        names = run.uncommitted[:_NAMED] + ["…"] * (len(run.uncommitted) > _NAMED)
        count = _count(len(run.uncommitted), "file")
        yield f"{count} with changes of yours that git has not committed: {', '.join(names)}."
        yield from ["    `git diff` shows both together; `xf2sdpa undo` takes back this run alone."] if written else ()


def _needing(run: Run, verbose: int) -> Iterator[str]:
    """The files that still need xformers, each with its first reason; with `verbose` all reasons stand above."""
    found = [(reason, result) for result in run.results if (reason := _reason(result)) is not None]
    if found:
        told = " (see the notes above)." if verbose > 0 else ":"
        yield f"{_count(len(found), 'file')} still {'needs' if len(found) == 1 else 'need'} xformers{told}"
    for reason, result in found if verbose <= 0 else ():
        yield f"    {reason.path}:{reason.span.where}: {reason.code} {reason.message}{_others(result)}"


def _others(result: FileResult) -> str:
    """How many reasons there are besides the one that is told."""
    count = sum(finding.kind is FindingKind.KEEPS for finding in result.findings) - 1
    return f" (and {_count(count, 'more reason')}: --verbose)" if count > 0 else ""


def _reason(result: FileResult) -> Finding | None:
    """Why a file needs xformers: of several reasons the first that comes with advice, else the first."""
    keeping = [finding for finding in result.findings if finding.kind is FindingKind.KEEPS]
    return next((finding for finding in keeping if finding.advice), keeping[0] if keeping else None)


def _helpers(run: Run, added: list[str], *, written: bool) -> Iterator[str]:
    """New and changed helper modules, and those that a person has taken over."""
    if users := [result for result in run.changed if f"from {PACKAGE_NAME} import" in result.new]:
        what = f"{_count(len(users), 'file')} {'imports' if len(users) == 1 else 'import'} {PACKAGE_NAME}"
        yield f"{what}: put the line xf2sdpa>={__version__} into the requirements, with its address: it is on no index."
    new = [copy for copy in run.copies if copy.old is None]
    for copy in new:
        yield f"{'New' if written else 'Would make'} {copy.path}, for {_count(len(copy.modules), 'file')}."
    if new and written and run.in_git:
        yield Paste(f"    git add {' '.join(added)}")
    for copy in run.copies:
        if copy.old is not None and copy.text == "":
            yield f"{'Deleted' if written else 'Would delete'} {copy.path}: nothing imports it any more."
        elif copy.old is not None and copy.text not in (None, copy.old):
            yield f"{'Updated' if written else 'Would update'} {copy.path}."
        if copy.missing:
            lacks = f"{copy.path} was edited, so it stays; it lacks {', '.join(copy.missing)}."
            yield click.style(lacks, fg="yellow")


def _torch(run: Run, pin: Pin | None) -> Iterator[str]:
    floor = run.torch_floor
    if floor is None:
        return
    needs = f"torch >= {_version(floor)}"
    if pin is None or pin[0] >= floor:
        yield f"Needs {needs}."
    elif run.torch_too_old:
        error = click.style("error:", fg="red", bold=True)
        yield f"{error} the new code needs {needs}, and the project allows only older ones ({pin[1]})."
        yield f"    help: let it have {needs} there, then run again; `xf2sdpa undo` takes back what is written"
    else:
        raised = run.closing is not None and any(change.now for change in run.closing.requirements)
        yield f"Needs {needs}, and the project admits {_version(pin[0])} ({pin[1]})."
        yield from () if raised else [f"    help: raise it to torch>={_version(floor)}"]


def _flags(outcome: FlagsOutcome, verbose: int) -> Iterator[str]:
    """Where H200 flags are now, and why; then once what they do. What to do where there is no entry point, or many."""
    for place in outcome.places:
        if place.code != THEIRS or place.why == NAMED or verbose > 0:
            yield from _flags_place(place, verbose)
    quiet = sum(place.code == THEIRS and place.why != NAMED for place in outcome.places)
    if quiet and verbose <= 0:
        yield f"No H200 flag for {_count(quiet, 'entry point')}: no reason, or settled there (--verbose says which)."
    present = {name for place in outcome.places for name in place.flags}
    for flag in named(outcome.wanted):
        if flag.name in present:
            yield f"    {flag.name}: {_effect(flag)}"
    if present:
        safe = "`--flags safe` leaves out what lowers precision, "
        lowered = any(flag.lowers_precision for flag in named(present))
        yield f"    {safe if lowered else ''}`--flags off` takes all out; xf2sdpa explain flags"
    if outcome.many:
        yield (
            f"{MANY}: {len(outcome.many)} entry points would get H200 flags, and more than {MOST_FILES} are not edited "
            f"unasked: name those that shall, --flags-in {shell_word(outcome.many[0])} (may be repeated)."
        )
    if outcome.paste:
        yield (
            f"{NOWHERE}: no program here is seen to lead to a rewritten call. "
            "H200 flags to paste where yours imports torch:"
        )
        yield from (Paste(f"    {line}") for line in outcome.paste)


def _flags_place(place: FlagsPlace, verbose: int) -> Iterator[str]:
    """One file: what was done to its block, and the reason for each flag."""
    where = f"{place.path}:{Span(place.line, 0, place.line, 0, place.cell).where}"
    yield f"{_line_of(f'{where}:1:', place.code)} flags   {_flags_line(place)}"
    for reason in place.reasons:
        yield f"    {reason}"
    for theirs in place.theirs:
        yield f"    left to you: {theirs}"
    for lacking in place.lacking if verbose > 0 else ():
        yield f"    not set: {lacking}"


def _flags_line(place: FlagsPlace) -> str:
    if place.code == INSERTED:
        return f"{', '.join(place.flags)}: {place.why}"
    if place.code == UPDATED:
        return f"now {', '.join(place.flags)}: the block {place.why}"
    if place.code == REMOVED:
        return f"taken out: the block {place.why}"
    return f"nothing set: {place.why}" if place.code == THEIRS else place.why


def _effect(flag: Flag) -> str:
    return f"{flag.brief} {flag.numbers}".strip()


def _slow_torch(run: Run, pin: Pin | None) -> Iterator[str]:
    """Where an old torch would keep attention slow on an H200, and no flag may help."""
    if pin is not None and run.flags.wanted and run.torch_floor and (2, 5) <= pin[0] < FIRST_TORCH_WITH_CUDNN:
        yield f"{OLD_TORCH}: the project admits torch {_version(pin[0])} ({pin[1]})."
        yield (
            f"    From torch {_version(FIRST_TORCH_WITH_CUDNN)} on, attention on an H200 is as fast as "
            "FlashAttention-3; cuDNN is not moved forward in older ones, whose version of it torch keeps back "
            "for wrong results."
        )


def _version(version: TorchVersion) -> str:
    return ".".join(map(str, version))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
