"""A run as one self-contained page."""

from __future__ import annotations

from xf2sdpa import page
from xf2sdpa.bench.guide import FIGURES
from xf2sdpa.bench.model import Result, Verdict, forward_time, total_time
from xf2sdpa.bench.report import tables
from xf2sdpa.page.charts import Bar, BarChart, Group
from xf2sdpa.page.tables import Cell, Column, Tone
from xf2sdpa.page.tables import Table as PageTable
from xf2sdpa.timing.model import Timing

TONES: dict[Verdict, Tone] = {
    Verdict.HOLDS: "good",
    Verdict.FAILS: "bad",
    Verdict.OPINION: "",
    Verdict.NOT_JUDGED: "quiet",
}


def render(result: Result) -> str:
    """The page.

    Raises:
        ModuleNotFoundError: jinja2 is missing; torch brings it.
    """
    charts = [times(result), memory(result), shares(result), shapes(result), modules(result)]
    found = tables.all_tables(result)
    return page.render(
        "bench/report/page.html",
        result=result,
        sentence=_sentence(result),
        tone="" if result.is_gpu else "warn",
        claims=_claims(result),
        charts=[chart for chart in charts if chart],
        tables=[(_plain(table), table.notes) for table in found if table.title != tables.CLAIMS],
    )


def _sentence(result: Result) -> str:
    text = f"{tables.totals(result)}; measured on {result.environment.device}."
    return text if result.is_gpu else f"{text} {tables.CPU_NOTE}"


def _claims(result: Result) -> PageTable:
    columns = [Column("verdict"), Column("claim"), Column("the guide"), Column("here")]
    rows: list[list[str | Cell]] = [
        [
            Cell(outcome.verdict.value, TONES[outcome.verdict]),
            Cell(tables.said(outcome), note=outcome.section),
            outcome.guide,
            Cell(outcome.measured or tables.EMPTY, note=outcome.reason),
        ]
        for outcome in result.outcomes
    ]
    return PageTable("What the guide says, and what was found", columns, rows, shown=len(rows))


def _plain(table: tables.Table) -> PageTable:
    columns = [Column(title, number=number in table.numbers) for number, title in enumerate(table.head)]
    return PageTable(table.title, columns, [list(row) for row in table.rows], shown=40)


def times(result: Result) -> BarChart | None:
    """Chart of each implementation's time at the guide's shape."""
    shape = result.guide_shape
    if shape is None:
        return None
    groups = []
    for entry in shape.entries:
        figures = FIGURES.get(entry.name) if result.is_gpu else None  # the guide's do not apply to the CPU's shape
        mark = figures.milliseconds if figures else None
        bars = [_forward_bar("forward", entry.timing, entry.reason, mark)]
        if entry.timing and entry.timing.total is not None:
            bars.append(_total_bar("forward and backward", entry.timing))
        groups.append(Group(entry.label, bars))
    return BarChart(
        "Time at the guide's shape",
        f"{shape.shape}. Logarithmic; further left is better. The marks are the guide's figures for forward."
        if result.is_gpu
        else shape.shape,
        "ms",
        groups,
        logarithmic=True,
        mark_label="the guide's figure" if result.is_gpu else "",
        shown=len(groups),
    )


def _forward_bar(series: str, timing: Timing | None, reason: str = "", mark: float | None = None) -> Bar:
    if timing is None:
        return Bar(series, None, mark=mark, note=reason)
    return Bar(series, forward_time(timing), timing.forward_spread, mark)


def _total_bar(series: str, timing: Timing) -> Bar:
    return Bar(series, total_time(timing), timing.total_spread)


def memory(result: Result) -> BarChart | None:
    """Chart of the peak memory of forward at the guide's shape."""
    shape = result.guide_shape
    found = [entry for entry in shape.entries if entry.forward_memory] if shape else []
    if not found:
        return None
    groups = []
    for entry in found:
        figures = FIGURES.get(entry.name)
        mark = figures.gigabytes if figures else None
        groups.append(Group(entry.label, [Bar("peak", (entry.forward_memory or 0) / 1e9, mark=mark)]))
    return BarChart(
        "Peak memory of a forward pass at the guide's shape",
        "Query, key and value counted. Shorter is better. The marks are the guide's figures.",
        "GB",
        groups,
        mark_label="the guide's figure",
        shown=len(groups),
    )


def shares(result: Result) -> BarChart | None:
    """Chart of the shares of the compute and bandwidth ceilings that each shape reaches."""
    groups = []
    for shape in result.shapes:
        ours = tables.emitted(shape)
        compute = result.flops_share(shape, ours[1]) if ours else None
        moved = result.bytes_share(shape, ours[1]) if ours else None
        if compute is not None and moved is not None:
            bars = [Bar("compute", compute * 100), Bar("bandwidth", moved * 100)]
            groups.append(Group(shape.name, bars, shape.shape))
    if not groups:
        return None
    return BarChart(
        "How near to the ceilings the forward pass comes",
        "What the rewrite emits, as a part of what a large matrix product and a copy reached in the same run.",
        "%",
        groups,
        shown=len(groups),
    )


def shapes(result: Result) -> BarChart | None:
    """Chart of xformers against what the rewrite emits, at every shape."""
    groups = []
    for shape in result.shapes:
        old, ours = shape.timing("xformers"), tables.emitted(shape)
        timing = ours[1] if ours else None
        bars = []
        for series, seen, entry in (("xformers", old, shape.entry("xformers")), ("emitted", timing, None)):
            reason = entry.reason if entry else "not measured"
            whole = seen and seen.total is not None
            bars.append(_total_bar(series, seen) if seen and whole else _forward_bar(series, seen, reason))
        groups.append(Group(shape.name, bars, shape.shape))
    if not groups:
        return None
    return BarChart(
        "xformers and what the rewrite emits",
        "Forward and backward, forward alone where the shape has no backward. Logarithmic; further left is better.",
        "ms",
        groups,
        logarithmic=True,
        shown=len(groups),
    )


def modules(result: Result) -> BarChart | None:
    """Chart of the guide's modules in their settings."""
    groups = [
        Group(
            module.label,
            [
                _forward_bar("inference", module.forward, module.reason),
                _forward_bar("training step", module.step, module.reason),
            ],
        )
        for module in result.modules
    ]
    if not groups:
        return None
    return BarChart(
        "The guide's modules", "Logarithmic; further left is better.", "ms", groups, logarithmic=True, shown=len(groups)
    )
