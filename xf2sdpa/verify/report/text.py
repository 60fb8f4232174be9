"""The report as text for the terminal: one line per site, with its failing checks below, then the outcome."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator

import click

from xf2sdpa.judging.model import Case
from xf2sdpa.page import numbers
from xf2sdpa.page.tables import Tone
from xf2sdpa.report.shown import shown
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.report import words
from xf2sdpa.verify.report.baseline import Comparison

_COLOURS: dict[Tone, str | None] = {"good": "green", "bad": "red", "warn": "yellow", "quiet": None, "": None}
_SPEED = len("slower 0.50×")
_SHOWN = 8
"""The most failing checks that are listed per site; the JSON and HTML reports have all."""


def lines(
    report: Report,
    *,
    verbose: int = 0,
    width: int | None = None,
    min_speedup: float | None = None,
    comparison: Comparison | None = None,
) -> Iterator[str]:
    """The lines of the report, styled; `click.echo` removes the style if the output is not a terminal.

    Without xformers, every line says `reference`, and the last one says that nothing was verified.

    Args:
        report: the results of the run.
        verbose: below 0 only sites that differ and the outcome; above 0 also every case, timing, note and advice.
        width: the terminal's width; None: ask the terminal.
        min_speedup: the option `--min-speedup`; slower sites are listed.
        comparison: the comparison with an earlier run.
    """
    report, comparison = shown(report), shown(comparison)
    room = width or shutil.get_terminal_size((120, 24)).columns
    say = _reference if report.environment.is_reference else str
    sites = sorted(report.sites, key=lambda site: (site.path, site.line, site.id))
    if verbose < 0:
        sites = [site for site in sites if site.status is Status.DIFFERS]
    place = max((len(words.place(site)) for site in sites if len(words.place(site)) <= room // 2), default=0)
    for site in sites:
        yield from _site(report, site, room, place)
        yield from map(say, _details(report, site, verbose))
    if verbose >= 0:
        yield from (say(f"note: {note}") for note in report.notes)
        yield from map(say, _comparison(comparison))
    yield from map(say, _totals(report, min_speedup))
    if words.not_verified(report):
        yield click.style(say(words.not_verified(report)), fg="red", bold=True)


def _reference(line: str) -> str:
    """The line with the word `reference:` after its indentation."""
    text = line.lstrip(" ")
    return f"{line[: len(line) - len(text)]}reference: {text}"


def _site(report: Report, site: SiteReport, room: int, place_width: int) -> Iterator[str]:
    """The site's line, with `reference` if need be; what does not fit goes on a second line."""
    place, finding, speed = words.place(site), words.finding(site), words.speed(report, site)
    reference = "reference: " if report.environment.is_reference else ""
    outcome = f"{click.style(f'{site.status.value:<12}', fg=_COLOURS[words.TONES[site.status]])} {site.kind:<7}"
    if len(place) > place_width:
        yield click.style(place, bold=True) + (f" {reference[:-2]}" if reference else "")
        head = f"    {outcome}"
    else:
        head = f"{click.style(f'{place:<{place_width}}', bold=True)} {outcome}"
    head = f"{head} {click.style(speed, fg=_speed_colour(report, site))}"
    gap = " " * (_SPEED - len(speed) + 1)
    if len(click.unstyle(head) + gap + finding) <= room:
        yield head + gap + finding
    else:
        yield head
        yield f"    {reference}{finding}"


def _speed_colour(report: Report, site: SiteReport) -> str | None:
    return None if report.environment.is_reference else _COLOURS[words.SPEED_TONES[site.speed]]


def _details(report: Report, site: SiteReport, verbose: int) -> Iterator[str]:
    found = list(words.failing(site))
    if site.reason and found:
        yield f"    {site.reason}"
    for _, pairs in itertools.groupby(found if verbose > 0 else found[:_SHOWN], key=lambda pair: id(pair[0])):
        of_one = list(pairs)
        yield f"    {click.style('fails', fg='red')} with {words.inputs(of_one[0][0])}"
        yield from (f"        {words.failure(check)}" for _, check in of_one)
    if len(found) > _SHOWN and verbose <= 0:
        yield f"    {len(found) - _SHOWN} more (--verbose shows them)"
    note = words.speed_note(report, site)
    if note and (verbose > 0 or (verbose == 0 and site.speedup is not None)):
        yield f"    {note}"
    if site.advice and verbose >= 0:
        yield f"    help: {site.advice}"
    if verbose > 0:
        yield from (f"    {reason}" for reason in (*words.refusals(site), *words.unavailable(site)))
        calls, cases = numbers.count(site.calls, "call"), numbers.count(len(site.cases), "case")
        yield f"    {words.name(site)}: {calls} seen, {cases} compared"
        for case in site.cases:
            yield from _case(case)


def _case(case: Case) -> Iterator[str]:
    yield f"    {words.verdict(case)[0]} {words.inputs(case)}"
    yield from (f"        note: {note}" for note in case.notes)
    for timing in case.timings:
        total = f", with backward {numbers.milliseconds(timing.total)}" if timing.total is not None else ""
        kernel = f" {timing.kernel}" if timing.kernel else ""
        yield f"        {timing.path:<9} forward {numbers.milliseconds(timing.forward)}{total}{kernel}"


def _comparison(comparison: Comparison | None) -> Iterator[str]:
    if comparison is None:
        return
    yield comparison.summary
    for remark in comparison.remarks:
        yield f"    note: {remark}"
    for change in comparison.changes:
        yield f"    {click.style(change.sentence, fg='red' if change.worse else None)}"


def _totals(report: Report, min_speedup: float | None) -> Iterator[str]:
    sentence, tone = words.outcome(report, min_speedup)
    # The report's last line says this already.
    sentence = sentence.removeprefix(words.not_verified(report)).strip()
    yield click.style(sentence, fg=_COLOURS[tone])
    for site in words.too_slow(report, min_speedup):
        yield click.style(f"    {words.place(site)}: {numbers.ratio(site.speedup)}", fg="red")
    if words.speeds(report):
        yield words.speeds(report)
    yield words.machine(report)
