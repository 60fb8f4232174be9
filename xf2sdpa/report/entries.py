"""What a run has to tell about places, one entry each: all that formats for editors, services and reviewers show.

A format decides how an entry looks, never what one is.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from xf2sdpa.codes import WISHES
from xf2sdpa.files.plain import plain
from xf2sdpa.flags.table import INSERTED, REMOVED, UPDATED
from xf2sdpa.model import FileResult, Finding, FindingKind, FlagsPlace, Run, Site, SiteClass, Span
from xf2sdpa.report.changes import Moved
from xf2sdpa.report.places import from_root

_ONE_LINE = 100


class Level(enum.Enum):
    """How much an entry asks of its reader; the worst first."""

    ERROR = "error"
    """A file could not be worked on."""
    WARNING = "warning"
    """A run would change this, or a call is left that nobody asked to leave."""
    NOTE = "note"
    """Something to know."""


@dataclass(frozen=True)
class Entry:
    """One thing to tell about a place.

    Attributes:
        path: the file, as the run was given it.
        span: where in it; in the file as it is now, written or not.
        code: of the run or of a rule; empty for a change that has none.
        level: how much it asks of its reader.
        kind: one word: what became of a call, or what a finding is.
        message: one line, made plain.
        details: further lines: assumptions, advice.
        pending: whether a run that writes would change something here.
        done: whether the run has changed something here.
        name: the call's function and number; empty for what is no call.
        fingerprint: the same in every run until this is solved; no two entries of a run share one.
    """

    path: str
    span: Span
    code: str
    level: Level
    kind: str
    message: str
    details: tuple[str, ...] = ()
    pending: bool = False
    done: bool = False
    name: str = ""
    fingerprint: str = ""


def entries(run: Run, *, written: bool) -> Iterator[Entry]:
    """Every entry of a run, by file, each in the order of the record.

    Args:
        run: what happened.
        written: whether the changes are in the files.
    """
    seen: dict[str, int] = {}
    for entry in _all(run, written=written):
        # No line numbers: they change with every line that is written above.
        place = f"{from_root(entry.path)}\0{entry.code}\0{entry.name or entry.message}"
        number = seen[place] = seen.get(place, -1) + 1
        digest = hashlib.sha256(f"{place}\0{number}".encode("utf-8", "surrogateescape"))
        yield replace(entry, fingerprint=digest.hexdigest()[:40])


def problems(run: Run, *, written: bool) -> list[Entry]:
    """What is left to tell a service that keeps a list of problems: not what this run has solved; the worst first."""
    left = [entry for entry in entries(run, written=written) if not entry.done]
    return sorted(left, key=lambda entry: list(Level).index(entry.level))


def _all(run: Run, *, written: bool) -> Iterator[Entry]:
    flagged = {place.path for place in run.flags.places}
    for result in run.results:
        moved = Moved(result) if written else None
        told = [_in_file(e, result) for e in (*map(_of_site, result.sites), *map(_of_finding, result.findings))]
        if result.changed and not told and str(result.path) not in flagged:
            told = [Entry(str(result.path), Span(1, 0, 1, 0), "", Level.WARNING, "changed", "changes", pending=True)]
        for entry in told:
            yield _as_written(entry, moved) if moved else entry
    for place in (place for place in run.flags.places if place.code in (INSERTED, UPDATED, REMOVED)):
        entry = _of_flags(place)
        yield replace(entry, level=Level.NOTE, pending=False, done=True) if written else entry


def _in_file(entry: Entry, result: FileResult) -> Entry:
    """An entry about a cell of a notebook with the lines of the file, whole ones: columns are those of the cell."""
    span = entry.span
    lines = result.cell_lines.get(span.cell, ())
    if not span.cell or not lines:
        return entry
    first, last = (lines[min(line, len(lines)) - 1] for line in (span.line, span.end_line))
    said = f"cell {span.cell}, line {span.line}: {entry.message}"
    return replace(entry, span=Span(first, 0, last, 0, span.cell), message=said)


def _as_written(entry: Entry, moved: Moved) -> Entry:
    """An entry after its file was written: what was to be changed is, and the rest has moved."""
    if entry.pending:
        return replace(entry, level=Level.NOTE, pending=False, done=True)
    return replace(entry, span=moved.span(entry.span))


def _of_site(site: Site) -> Entry:
    pending = site.kind is not SiteClass.LEFT
    wished = site.code in WISHES
    return Entry(
        site.path,
        site.span,
        site.code,
        Level.NOTE if wished else Level.WARNING,
        site.kind.value,
        plain(outcome(site)),
        tuple(map(plain, (*(f"assuming that {a}" for a in site.assumptions), *([site.advice] if site.advice else [])))),
        pending=pending,
        name=f"{site.qualname}#{site.ordinal}",
    )


def _of_finding(finding: Finding) -> Entry:
    levels = {FindingKind.ERROR: Level.ERROR, FindingKind.DONE: Level.WARNING}
    return Entry(
        finding.path,
        finding.span,
        finding.code,
        levels.get(finding.kind, Level.NOTE),
        {FindingKind.DONE: "changed", FindingKind.KEEPS: "needs xformers"}.get(finding.kind, finding.kind.value),
        plain(finding.message),
        (plain(finding.advice),) if finding.advice else (),
        pending=finding.kind in (FindingKind.DONE, FindingKind.DROPPED),
    )


def _of_flags(place: FlagsPlace) -> Entry:
    said = f"H200 flags {', '.join(place.flags)}: {place.why}" if place.flags else f"no H200 flags: {place.why}"
    line = 1 if place.cell else place.line  # a cell of its own has no line in the file as it was
    said = f"cell {place.cell}: {said}" if place.cell else said
    span = Span(line, 0, line, 0)
    return Entry(place.path, span, place.code, Level.WARNING, "flags", plain(said), pending=True)


def sentences(parts: Sequence[str]) -> str:
    """Parts of what is told, in a row."""
    *before, last = parts
    return " ".join([*(part if part.endswith((".", "…")) else f"{part}." for part in before), last])


def outcome(site: Site) -> str:
    """What became of a call, in one line: the new call, or why there is none."""
    if site.kind is SiteClass.COMPAT:
        return f"by the helper module: {site.message}"
    if site.kind in (SiteClass.LEFT, SiteClass.REMOVED) or not site.after:
        return site.message
    joined = plain(" ".join(site.after.split())).replace("( ", "(").replace(", )", ")").replace(" )", ")")
    return joined if len(joined) <= _ONE_LINE else joined[: _ONE_LINE - 1] + "…"
