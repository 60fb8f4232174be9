"""The report as Markdown for a pull request or a job's summary: a line, a table, folded details; limited in length."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from xf2sdpa.page import numbers
from xf2sdpa.report.markup import LIMIT, code, cut, fenced, fitting, html_text, text
from xf2sdpa.report.shown import plain_code
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.report import words
from xf2sdpa.verify.report.baseline import Comparison

_SHOWN = 20
"""The most failing checks that are listed per site."""
_HEADING = "\n| call site | outcome | class | worst check | error | limit | old time over new |\n"
_RULE = "|---|---|---|---|--:|--:|--:|\n"
_SIGNS = {Status.AGREES: "✅", Status.DIFFERS: "❌", Status.NOT_RUN: "⚪", Status.NOT_SHADOWED: "⚪"}


def render(
    report: Report, *, min_speedup: float | None = None, comparison: Comparison | None = None, limit: int = LIMIT
) -> str:
    """The report, at most `limit` characters long; it says what is left out.

    Args:
        report: the results of the run.
        min_speedup: the option `--min-speedup`.
        comparison: the comparison with an earlier run.
        limit: the most characters; the outcome is always included.
    """
    sites = words.by_need(report)
    sentence, tone = words.outcome(report, min_speedup)
    heading = {"good": "✅", "bad": "❌"}.get(tone, "⚠️")
    parts = [f"### {heading} xf2sdpa verify\n\n{text(sentence)}\n"]
    if words.speeds(report):
        parts.append(f"\n{text(words.speeds(report))}\n")
    room = limit - 400 - sum(map(len, parts))
    for section, share in (
        (_notes(report), 0.1),
        (_baseline(comparison), 0.2),
        (_table(report, sites), 0.6),
        (_details(report, sites), 1.0),
    ):
        taken = fitting(section, int(room * share), elsewhere="The JSON and HTML reports hold all.")
        parts += taken
        room -= sum(map(len, taken))
    parts.append(f"\n{text(words.machine(report))}\n")
    return cut("".join(parts), limit)


def _notes(report: Report) -> Iterator[tuple[str, str]]:
    for number, note in enumerate(report.notes):
        yield "note", f"{'' if number else chr(10)}* {text(note)}\n"


def _baseline(comparison: Comparison | None) -> Iterator[tuple[str, str]]:
    if comparison is None:
        return
    yield "summary", f"\n{text(comparison.summary)}\n\n"
    for remark in comparison.remarks:
        yield "remark", f"* {text(remark)}\n"
    for change in comparison.changes:
        yield "change", f"* {'⚠️ ' if change.worse else ''}{text(change.sentence)}\n"


def _table(report: Report, sites: list[SiteReport]) -> Iterator[tuple[str, str]]:
    if not sites:
        return
    yield "table", _HEADING + _RULE
    for site in sites:
        check = words.worst(site)
        speed = numbers.ratio(site.speedup) if site.speedup is not None else words.speed(report, site)
        cells = [
            code(words.place(site)),
            f"{_SIGNS[site.status]} {site.status.value}{' (reference)' if report.environment.is_reference else ''}",
            site.kind,
            text(check.name if check else site.reason),
            numbers.error(check.new_error if check else None),
            numbers.error(check.limit if check else None),
            "reference" if report.environment.is_reference else speed,
        ]
        yield "call site", f"| {' | '.join(cells)} |\n"


def _details(report: Report, sites: list[SiteReport]) -> Iterator[tuple[str, str]]:
    """A folded block for each site: its reason, failing checks, diff, speed note and advice."""
    for site in sites:
        title = html_text(f"{words.place(site)} {words.name(site)}: {site.status.value}")
        lines = [f"\n<details><summary>{title}</summary>\n\n"]
        if site.reason:
            lines.append(f"{text(site.reason)}\n\n")
        found = list(words.failing(site))
        for _, pairs in itertools.groupby(found[:_SHOWN], key=lambda pair: id(pair[0])):
            of_one = list(pairs)
            lines.append(f"* with {text(words.inputs(of_one[0][0]))}\n")
            lines += [f"  * {text(words.failure(check))}\n" for _, check in of_one]
        lines += [f"* {numbers.count(len(found) - _SHOWN, 'check')} more\n"] if len(found) > _SHOWN else []
        diff = words.diff(site)  # a call of the helper is what it was
        lines += [fenced("".join(f"{sign} {plain_code(line)}\n" for sign, line in diff), "diff")] if diff else []
        lines += [f"\n{text(sentence)}\n" for sentence in (words.speed_note(report, site), site.advice) if sentence]
        yield "folded block", "".join([*lines, "\n</details>\n"])
