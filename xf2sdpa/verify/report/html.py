"""The report as one HTML page: outcome, sites, speeds, errors, and all comparisons, folded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xf2sdpa import page
from xf2sdpa.judging.model import Case, Check, Speed
from xf2sdpa.page import numbers
from xf2sdpa.page.charts import Bar, BarChart, ErrorPlot, Group, Point
from xf2sdpa.page.tables import Cell, Column, Table
from xf2sdpa.timing.model import Timing
from xf2sdpa.verify.model import Report, SiteReport
from xf2sdpa.verify.report import words
from xf2sdpa.verify.report.baseline import Comparison

_LINEAR_UP_TO = 25
"""The axis is linear up to this ratio of the longest to the shortest time; beyond, short bars would not be visible."""


def render(report: Report, *, min_speedup: float | None = None, comparison: Comparison | None = None) -> str:
    """The page, self-contained; it contains the user's code.

    Args:
        report: the results of the run.
        min_speedup: the option `--min-speedup`.
        comparison: the comparison with an earlier run.
    """
    sites = words.by_need(report)
    anchors = {site.id: f"site-{number}" for number, site in enumerate(sites, 1)}
    sentence, tone = words.outcome(report, min_speedup)
    return page.render(
        "verify/report/page.html",
        report=report,
        words=words,
        sentence=sentence,
        tone=tone,
        sites=_sites(report, sites, anchors),
        speeds=_speeds(report, anchors),
        errors=_errors(sites),
        details=[_details(report, site, anchors[site.id]) for site in sites],
        advice=[site for site in sites if site.advice],
        anchors=anchors,
        comparison=comparison,
        changes=_changes(comparison, anchors),
    )


def _sites(report: Report, sites: list[SiteReport], anchors: dict[str, str]) -> Table:
    columns = [
        Column("call site", code=True),
        Column("outcome"),
        Column("class"),
        Column("cases", number=True),
        Column("worst check"),
        Column("error", number=True),
        Column("limit", number=True),
        Column("speed", "old ÷ new", number=True),
    ]
    return Table("Call sites, those that need a person first", columns, [_row(report, s, anchors[s.id]) for s in sites])


def _row(report: Report, site: SiteReport, anchor: str) -> list[str | Cell]:
    check = words.worst(site)
    speed = Cell(words.speed(report, site), "quiet", note=words.speed_note(report, site))
    if not report.environment.is_reference and site.speedup is not None:
        note = f"{site.speed.value}; {site.speed_note}" if site.speed_note else site.speed.value
        speed = Cell(numbers.ratio(site.speedup), words.SPEED_TONES[site.speed], note=note)
    reference = "against the reference" if report.environment.is_reference else ""
    reason = site.reason or (reference if site.cases else "")
    return [
        Cell(words.place(site), link=anchor, note=words.name(site)),
        Cell(site.status.value, words.TONES[site.status], note=reason),
        site.kind,
        str(len(site.cases)),
        check.name if check else numbers.MISSING,
        numbers.error(check.new_error if check else None),
        numbers.error(check.limit if check else None),
        speed,
    ]


def _speeds(report: Report, anchors: dict[str, str]) -> BarChart | None:
    """Chart of old against new; None without speeds."""
    found = [] if report.environment.is_reference else list(_timed(report))
    if not found:
        return None
    found.sort(key=lambda item: item[2].time / item[3].time)
    times = [timing.time for *_, old, new in found for timing in (old, new)]
    return BarChart(
        "Old against new, per call site and shape",
        "Median device time of forward and backward, or of forward where there is no backward. Shorter is better; "
        "where the new path does worst comes first.",
        unit="ms",
        groups=[
            Group(
                words.place(site),
                [Bar(timing.path, timing.time, timing.spread, note=timing.kernel) for timing in (old, new)],
                detail=f"{words.inputs(case)}, {'forward' if old.total is None else 'forward and backward'}: "
                f"{numbers.ratio(old.time / new.time)}",
                link=anchors[site.id],
            )
            for site, case, old, new in found
        ],
        logarithmic=max(times) > _LINEAR_UP_TO * min(times),
    )


def _timed(report: Report) -> Iterator[tuple[SiteReport, Case, Timing, Timing]]:
    for site in report.sites:
        # Without a verdict on speed, for example because results differ, times must not be compared.
        for case in site.cases if site.speed is not Speed.UNKNOWN else ():
            old, new = case.timing("old"), case.timing("new")
            if old is not None and new is not None and new.time > 0 and old.time > 0:
                yield site, case, old, new


def _errors(sites: list[SiteReport]) -> ErrorPlot:
    points = [
        Point(
            check.name,
            check.old_error,
            check.new_error,
            check.limit,
            check.ok,
            f"{words.place(site)} {words.name(site)}: {words.inputs(case)}",
            words.name(site),
        )
        for site in sites
        for case in site.cases
        for check in case.checks
        # Checks of exact mode compare old with new, so they have no error against the judge.
        if check.available and check.old_error is not None and check.new_error is not None
    ]
    points.sort(key=lambda point: (point.series != "output", point.series))
    return ErrorPlot(
        "Errors of the new path against errors of the old one",
        "Largest error of each comparison, both against a float64 judge. The limit is twice the old error and an "
        "allowance for the dtype's rounding: a point above the dashed line that holds is within that allowance.",
        points,
    )


def _details(report: Report, site: SiteReport, anchor: str) -> dict[str, Any]:
    return {
        "site": site,
        "anchor": anchor,
        "diff": words.diff(site),
        "speed": words.speed(report, site),
        "cases": [(case, _checks(case), _timings(report, case)) for case in site.cases],
    }


def _checks(case: Case) -> Table:
    numeric = [Column(title, number=True) for title in ("new error", "old error", "limit")]
    columns = [Column("check"), Column("result"), *numeric]
    return Table("Checks", columns, [_check(check) for check in case.checks], shown=100)


def _check(check: Check) -> list[str | Cell]:
    first = f"First at {list(check.first_bad)}. " if check.first_bad is not None else ""
    verdict = Cell("not available", "quiet")
    if check.available:
        verdict = Cell("holds", "good") if check.ok else Cell("fails", "bad")
    figures = [numbers.error(error) for error in (check.new_error, check.old_error, check.limit)]
    return [Cell(check.name, note=first + words.message(check)), verdict, *figures]


def _timings(report: Report, case: Case) -> Table | None:
    if not case.timings:
        return None
    columns = [
        Column("path"),
        Column("forward", "ms", number=True),
        Column("spread", number=True),
        Column("with backward", "ms", number=True),
        Column("spread", number=True),
        Column("back to back", "ms", number=True),
        Column("peak memory", number=True),
        Column("first call", "ms", number=True),
        Column("kernel", code=True),
    ]
    return Table("Times (medians)", columns, [_timing(report, timing) for timing in case.timings])


def _timing(report: Report, timing: Timing) -> list[str | Cell]:
    is_reference = timing.path == "old" and report.environment.is_reference
    paced = timing.forward_paced if timing.total_paced is None else timing.total_paced
    return [
        "old (reference)" if is_reference else timing.path,
        numbers.plain(timing.forward),
        numbers.percent(timing.forward_spread),
        numbers.plain(timing.total),
        numbers.percent(timing.total_spread),
        numbers.plain(paced),
        numbers.memory(timing.peak_memory),
        numbers.plain(timing.first),
        timing.kernel or numbers.MISSING,
    ]


def _changes(comparison: Comparison | None, anchors: dict[str, str]) -> Table | None:
    if comparison is None or not comparison.changes:
        return None
    columns = [Column("call site", code=True), Column("what"), Column("before"), Column("now")]
    rows: list[list[str | Cell]] = [
        [
            Cell(change.site, link=anchors.get(change.site, "")),
            Cell(
                f"{change.what}{', worse' if change.worse else ''}", "bad" if change.worse else "", note=change.inputs
            ),
            change.before or numbers.MISSING,
            change.after or numbers.MISSING,
        ]
        for change in comparison.changes
    ]
    return Table("Changes, those for the worse first", columns, rows)
