"""A run as text for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from xf2sdpa.bench.model import Outcome, Result, Verdict
from xf2sdpa.bench.report import tables
from xf2sdpa.bench.report.tables import Table
from xf2sdpa.folding import WIDEST

MARKS = {Verdict.HOLDS: "+", Verdict.FAILS: "-", Verdict.OPINION: "o", Verdict.NOT_JUDGED: "?"}


def lines(result: Result, *, verbose: bool = False, width: int | None = None) -> Iterator[str]:
    """The report, line by line: the measurements, then the claims.

    Args:
        result: of the run.
        verbose: whether a CPU's report lists the claims that it cannot judge; else they are counted.
        width: of the terminal; a table keeps its own.
    """
    width = width or WIDEST
    for line in tables.headline(result):
        yield from textwrap.wrap(line, width)
    for table in tables.all_tables(result):
        if table.title != tables.CLAIMS:
            yield ""
            yield from _table(table, width)
    yield ""
    yield tables.CLAIMS
    folded = [] if result.is_gpu or verbose else [o for o in result.outcomes if o.verdict is Verdict.NOT_JUDGED]
    for outcome in result.outcomes:
        if outcome not in folded:
            yield from _claim(outcome, width)
    if folded:
        yield from textwrap.wrap(_summed_up(folded), width, subsequent_indent="  ")
    yield ""
    yield tables.totals(result)
    for line in result.cut:
        yield from textwrap.wrap(f"Not measured: {line}", width)


def _summed_up(outcomes: list[Outcome]) -> str:
    """One line for all claims that a CPU cannot judge."""
    mark, verdict = MARKS[Verdict.NOT_JUDGED], Verdict.NOT_JUDGED.value
    return f"{mark} {len(outcomes)} claims {verdict}: they are about a GPU, and this was a CPU; -v lists them."


def _claim(outcome: Outcome, width: int) -> Iterator[str]:
    """The lines of a claim: the verdict with the guide's words, then both figures."""
    quote = tables.said(outcome)
    yield from textwrap.wrap(
        f"{MARKS[outcome.verdict]} {outcome.verdict.value}: “{quote}”", width, subsequent_indent="  "
    )
    figures = f"the guide: {outcome.guide}; here: {outcome.measured or tables.EMPTY}"
    if outcome.reason:
        figures += f" ({outcome.reason})"
    yield from textwrap.wrap(figures, width, initial_indent="    ", subsequent_indent="    ")


def _table(table: Table, width: int) -> Iterator[str]:
    yield table.title
    columns = [max(len(row[column]) for row in (table.head, *table.rows)) for column in range(len(table.head))]
    for row in (table.head, *table.rows):
        cells = (
            cell.rjust(wide) if column in table.numbers else cell.ljust(wide)
            for column, (cell, wide) in enumerate(zip(row, columns, strict=True))
        )
        yield ("  " + "  ".join(cells)).rstrip()
    for note in table.notes:
        yield from textwrap.wrap(note, width, initial_indent="  ", subsequent_indent="    ")
