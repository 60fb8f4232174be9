"""A run as text for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from xf2sdpa.bench.model import Outcome, Result, Verdict
from xf2sdpa.bench.report import tables
from xf2sdpa.bench.report.tables import Table

WIDTH = 120
MARKS = {Verdict.HOLDS: "+", Verdict.FAILS: "-", Verdict.OPINION: "o", Verdict.NOT_JUDGED: "?"}


def lines(result: Result, *, verbose: bool = False) -> Iterator[str]:
    """The report, line by line: the measurements, then the claims.

    On a CPU, the claims that it cannot judge are only counted, unless `verbose`.
    """
    for line in tables.headline(result):
        yield from textwrap.wrap(line, WIDTH)
    for table in tables.all_tables(result):
        if table.title != tables.CLAIMS:
            yield ""
            yield from _table(table)
    yield ""
    yield tables.CLAIMS
    folded = [] if result.is_gpu or verbose else [o for o in result.outcomes if o.verdict is Verdict.NOT_JUDGED]
    for outcome in result.outcomes:
        if outcome not in folded:
            yield from _claim(outcome)
    if folded:
        yield from textwrap.wrap(_summed_up(folded), WIDTH, subsequent_indent="  ")
    yield ""
    yield tables.totals(result)
    for line in result.cut:
        yield from textwrap.wrap(f"Not measured: {line}", WIDTH)


def _summed_up(outcomes: list[Outcome]) -> str:
    """One line for all claims that a CPU cannot judge."""
    mark, verdict = MARKS[Verdict.NOT_JUDGED], Verdict.NOT_JUDGED.value
    return f"{mark} {len(outcomes)} claims {verdict}: they are about a GPU, and this was a CPU; -v lists them."


def _claim(outcome: Outcome) -> Iterator[str]:
    """The lines of a claim: the verdict with the guide's words, then both figures."""
    quote = tables.said(outcome)
    yield from textwrap.wrap(
        f"{MARKS[outcome.verdict]} {outcome.verdict.value}: “{quote}”", WIDTH, subsequent_indent="  "
    )
    figures = f"the guide: {outcome.guide}; here: {outcome.measured or tables.EMPTY}"
    if outcome.reason:
        figures += f" ({outcome.reason})"
    yield from textwrap.wrap(figures, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _table(table: Table) -> Iterator[str]:
    yield table.title
    widths = [max(len(row[column]) for row in (table.head, *table.rows)) for column in range(len(table.head))]
    for row in (table.head, *table.rows):
        cells = (
            cell.rjust(width) if column in table.numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield ("  " + "  ".join(cells)).rstrip()
    for note in table.notes:
        yield from textwrap.wrap(note, WIDTH, initial_indent="  ", subsequent_indent="    ")
