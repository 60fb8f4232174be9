"""The report a person reads: one line a call site, then what it comes to."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from xf2sdpa.files.plain import plain, shell_word
from xf2sdpa.flags.table import (
    FIRST_TORCH_WITH_CUDNN,
    INSERTED,
    NOWHERE,
    OLD_TORCH,
    REMOVED,
    THEIRS,
    UPDATED,
    Flag,
    named,
)
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
    TorchVersion,
)
from xf2sdpa.report.shown import shown

_COLOURS = {
    SiteClass.EXACT: "green",
    SiteClass.ASSUMED: "yellow",
    SiteClass.COMPAT: "cyan",
    SiteClass.REMOVED: "green",
    SiteClass.LEFT: "red",
}
_WORDS = {FindingKind.DONE: "changed", FindingKind.DROPPED: "dropped", FindingKind.ERROR: "error  "}
"""What a finding is called; "note" where it is none of these."""
_ONE_LINE = 100
WIDTH = 120
"""Of the sentences that belong to no place."""


def lines(run: Run, pin: Pin | None, *, written: bool, verbose: int = 0) -> Iterator[str]:
    """The lines of the report.

    Args:
        run: what happened.
        pin: the lowest torch version that the project admits, and where it says so.
        written: whether the changes are in the files (not with --check and --diff).
        verbose: below 0 only what failed; above 0 advice and notes as well.
    """
    added = [shell_word(copy.path) for copy in run.copies if copy.old is None]
    run, pin = shown(run), shown(pin)
    flagged = {place.path for place in run.flags.places}
    for result in run.results:
        for finding in result.findings:
            if finding.is_error or verbose > 0 or (verbose == 0 and _is_news(finding, result)):
                yield from _finding(finding, verbose)
        if verbose >= 0:
            for site in result.sites:
                yield from _site(site, verbose)
            if result.changed and not (result.sites or result.findings or str(result.path) in flagged):
                yield f"{click.style(f'{result.path}:1:1:', bold=True)} changed"
    if verbose >= 0:
        yield from _totals(run, pin, added, written=written, verbose=verbose)


def _site(site: Site, verbose: int) -> Iterator[str]:
    place = f"{site.path}:{site.span.line}:{site.span.column + 1}:"
    kind = click.style(f"{site.kind.value:<7}", fg=_COLOURS[site.kind])
    yield f"{click.style(place, bold=True)} {site.code} {kind} {_outcome(site)}"
    for assumption in site.assumptions:
        yield f"    assuming that {assumption}"
    if verbose > 0 and site.advice:
        yield f"    help: {site.advice}"
    for note in site.notes if verbose > 0 else ():
        yield f"    note {note.code}: {note.message}. {note.advice}".rstrip()


def _outcome(site: Site) -> str:
    if site.kind is SiteClass.COMPAT:
        return f"by the helper module: {site.message}"
    if site.kind in (SiteClass.LEFT, SiteClass.REMOVED) or not site.after:
        return site.message
    joined = plain(" ".join(site.after.split())).replace("( ", "(").replace(", )", ")").replace(" )", ")")
    return joined if len(joined) <= _ONE_LINE else joined[: _ONE_LINE - 1] + "…"


def _is_news(finding: Finding, result: FileResult) -> bool:
    """Whether a finding is told in any case: a message that went; a change in a file without a call."""
    return finding.kind is FindingKind.DROPPED or (finding.kind is FindingKind.DONE and not result.sites)


def _finding(finding: Finding, verbose: int) -> Iterator[str]:
    place = f"{finding.path}:{finding.span.line}:{finding.span.column + 1}:"
    word = _WORDS.get(finding.kind, "note   ")
    kind = click.style(word, fg="red", bold=True) if finding.is_error else word
    yield f"{click.style(place, bold=True)} {finding.code} {kind} {finding.message}"
    if finding.advice and (finding.is_error or verbose > 0):
        yield f"    help: {finding.advice}"


def _totals(run: Run, pin: Pin | None, added: list[str], *, written: bool, verbose: int) -> Iterator[str]:
    counts = {kind: run.count(kind) for kind in SiteClass}
    total = sum(counts.values())
    failed = sum(result.failed for result in run.results)
    if not total and not failed:
        if not any(map(_reason, run.results)):
            yield "No call of xformers' attention found."
        yield from _helpers(run, added, written=written)
        yield from _flags(run.flags, verbose)
        yield from _needing(run, verbose)
        yield from _not_needed(run)
        return
    parts = [f"{count} {kind.value}" for kind, count in counts.items() if count or kind is SiteClass.LEFT]
    if total:
        yield f"{_count(total, 'call site')}: {', '.join(parts)}."
    yield from _helpers(run, added, written=written)
    changed = len(run.changed)
    if changed:
        yield f"{_count(changed, 'file')} {'rewritten' if written else 'would be rewritten'}."
    if failed:
        yield click.style(f"{_count(failed, 'file')} could not be worked on and stayed as before.", fg="red")
    yield from _torch(run, pin)
    yield from _flags(run.flags, verbose)
    yield from _slow_torch(run, pin)
    yield from _needing(run, verbose)
    yield from _not_needed(run)
    left = sorted({site.code for result in run.results for site in result.sites if site.kind is SiteClass.LEFT})
    if left:
        yield f"Why a site was left: xf2sdpa explain {left[0]}" + (f" (also {', '.join(left[1:])})" if left[1:] else "")


def _not_needed(run: Run) -> Iterator[str]:
    """Lines of requirement files that can go, now that nothing needs xformers."""
    if run.listed:
        yield "Nothing here needs xformers any more. Lines to drop:"
    for listed in run.listed:
        yield f"    {listed.path}:{listed.line}: {listed.text}"


def _needing(run: Run, verbose: int) -> Iterator[str]:
    """The files that still need xformers, each with its first reason; with `verbose` all reasons stand above."""
    found = [reason for result in run.results if (reason := _reason(result)) is not None]
    if found:
        told = " (see the notes above)." if verbose > 0 else ":"
        yield f"{_count(len(found), 'file')} still {'needs' if len(found) == 1 else 'need'} xformers{told}"
    for finding in found if verbose <= 0 else ():
        yield f"    {finding.path}:{finding.span.line}: {finding.code} {finding.message}"


def _reason(result: FileResult) -> Finding | None:
    """Why a file needs xformers: of several reasons the first that comes with advice, else the first."""
    keeping = [finding for finding in result.findings if finding.kind is FindingKind.KEEPS]
    return next((finding for finding in keeping if finding.advice), keeping[0] if keeping else None)


def _helpers(run: Run, added: list[str], *, written: bool) -> Iterator[str]:
    """New and changed helper modules, and those that a person has taken over."""
    new = [copy for copy in run.copies if copy.old is None]
    for copy in new:
        yield f"{'New' if written else 'Would make'} {copy.path}, for {_count(len(copy.modules), 'file')}."
    if new and written:
        yield f"    git add {' '.join(added)}"
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
    if pin is not None and pin[0] < floor:
        yield click.style(
            f"Needs torch >= {_version(floor)}, but the project admits {_version(pin[0])} ({pin[1]}).",
            fg="yellow",
        )
    else:
        yield f"Needs torch >= {_version(floor)}."


def _flags(outcome: FlagsOutcome, verbose: int) -> Iterator[str]:
    """Where H200 flags are now, and why; then once what they do. Lines to paste where no entry point was found."""
    for place in outcome.places:
        if place.code != THEIRS or verbose > 0:
            yield f"{click.style(f'{place.path}:{place.line}:1:', bold=True)} {place.code} flags   {_flags_line(place)}"
            for theirs in place.theirs:
                yield f"    left to you: {theirs}"
    quiet = sum(place.code == THEIRS for place in outcome.places)
    if quiet and verbose <= 0:
        yield f"Left alone: {_count(quiet, 'entry point')} with every H200 flag settled already (--verbose says where)."
    present = {name for place in outcome.places for name in place.flags}
    for flag in named(outcome.wanted):
        if flag.name in present:
            yield from _wrapped(f"{flag.code.format(torch='torch')}: {_effect(flag)}")
    if present:
        safe = "`--flags safe` leaves out what lowers precision, "
        lowered = any(flag.lowers_precision for flag in named(present))
        yield f"    {safe if lowered else ''}`--flags off` takes all out; xf2sdpa explain flags"
    if outcome.paste:
        yield f"{NOWHERE}: no entry point among these files. H200 flags to paste where your program imports torch:"
        yield from (f"    {line}" for line in outcome.paste)


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


def _wrapped(text: str) -> list[str]:
    """A sentence below a line of the report."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False
    )


def _slow_torch(run: Run, pin: Pin | None) -> Iterator[str]:
    """Where an old torch would keep attention slow on an H200, and no flag may help."""
    if pin is not None and run.flags.wanted and run.torch_floor and (2, 5) <= pin[0] < FIRST_TORCH_WITH_CUDNN:
        yield f"{OLD_TORCH}: the project admits torch {_version(pin[0])} ({pin[1]})."
        yield from _wrapped(
            f"From torch {_version(FIRST_TORCH_WITH_CUDNN)} on, attention on an H200 is as fast as FlashAttention-3; "
            "cuDNN is not moved forward in older ones, whose version of it torch keeps back for wrong results."
        )


def _version(version: TorchVersion) -> str:
    return ".".join(map(str, version))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def diff(run: Run) -> Iterator[str]:
    """The unified diff of all that a run changes, helper modules that it makes or deletes included."""
    for copy in run.copies:
        if copy.text is not None and copy.text != copy.old:
            yield from _unified(copy.path, copy.old, copy.text or None)
    for result in run.changed:
        yield from _unified(result.path, result.old, result.new)


def _unified(path: Path, old: str | None, new: str | None) -> Iterator[str]:
    """The diff of one file; None where there is no such file."""
    import difflib  # noqa: PLC0415 - only for --diff

    before, after = (
        "/dev/null" if text is None else _quoted(f"{side}/{str(path).lstrip('/')}")
        for side, text in (("a", old), ("b", new))
    )
    was, will_be = ((text or "").splitlines(keepends=True) for text in (old, new))
    for line in difflib.unified_diff(was, will_be, before, after):
        if line.endswith("\n"):
            yield line
        else:
            yield f"{line}\n\\ No newline at end of file\n"


def _quoted(name: str) -> str:
    """A name in the heading of a diff, quoted as git does where it would not be read as it is."""
    if plain(name) == name:
        return name
    quoted = (chr(b) if 32 <= b < 127 and b not in b'"#\\' else f"\\{b:03o}" for b in os.fsencode(name))
    return f'"{"".join(quoted)}"'
