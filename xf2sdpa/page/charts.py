"""Charts as plain data with positions; `parts.html` draws them as inline SVG.

Widths are percentages of the plot and heights are pixels, so that text keeps its size on any screen. On a logarithmic
axis the length of a bar would be meaningless, so values are drawn as points there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from xf2sdpa.page import numbers
from xf2sdpa.page.tables import Cell, Column, Table

COLOURS = 6
"""The number of colours for series (`--series-1` and so on in `style.css`)."""
_LABEL_ROOM = 24
"""The most characters of a series' name beside its bar; the tooltip, legend and table have the whole name."""


@dataclass(frozen=True)
class Axis:
    """Maps values to per cent of the plot's width.

    Attributes:
        span: the positions of `low` and `high`, in per cent.
    """

    low: float
    high: float
    logarithmic: bool = False
    span: tuple[float, float] = (0.0, 100.0)

    def at(self, value: float) -> float:
        """The position of a value in per cent, limited to the span."""
        low, high, here = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, here = math.log10(low), math.log10(high), math.log10(here)
        part = (here - low) / (high - low)
        return round(self.span[0] + part * (self.span[1] - self.span[0]), 2)

    @cached_property
    def ticks(self) -> list[tuple[float, str]]:
        """Positions and labels of ticks at round values."""
        values = _log_ticks(self.low, self.high) if self.logarithmic else _linear_ticks(self.low, self.high)
        label = _power if self.logarithmic and self.low < 1e-3 else _tick_label
        return [(self.at(value), label(value)) for value in values]


def _linear_ticks(low: float, high: float) -> list[float]:
    step = _round_step((high - low) / 5)
    return [round(index * step, 12) for index in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def _round_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> list[float]:
    decades = math.log10(high / low)
    factors = (1, 2, 5) if decades <= 2.2 else (1, 3) if decades <= 4 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil(decades / 6))
    values = (factor * 10.0**power for power in range(first, last + 1, stride) for factor in factors)
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def _power(value: float) -> str:
    """A value in short exponent form, such as `1e-5`; without the exponent if that is 0."""
    mantissa, exponent = f"{value:.0e}".split("e")
    return mantissa if int(exponent) == 0 else f"{mantissa}e{int(exponent)}"


def _tick_label(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        return _power(value)
    return f"{value:,.10f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Bar:
    """One measurement.

    Attributes:
        value: in the chart's unit; None if there is none, and `note` says why.
        spread: quartile distance relative to the value, drawn as a whisker of that width.
        mark: another figure for the same quantity, such as the guide's.
    """

    series: str
    value: float | None
    spread: float | None = None
    mark: float | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """The series' name, shortened to fit beside the bar."""
        return self.series if len(self.series) <= _LABEL_ROOM else self.series[: _LABEL_ROOM - 1] + "…"

    @property
    def whisker(self) -> tuple[float, float] | None:
        """Both ends of the spread."""
        if self.value is None or not self.spread:
            return None
        return self.value * (1 - self.spread / 2), self.value * (1 + self.spread / 2)


@dataclass(frozen=True)
class Group:
    """Bars of one site and shape, or of one shape. `link` is the id of an element of the page."""

    label: str
    bars: Sequence[Bar]
    detail: str = ""
    link: str = ""


@dataclass(frozen=True)
class BarChart:
    """Grouped horizontal bars (points if the axis is logarithmic) on one scale.

    Attributes:
        description: how to read it, in one or two sentences.
        mark_label: what a bar's `mark` is, such as `the guide's figure`.
        shown: groups beyond this many are folded.
    """

    title: str
    description: str
    unit: str
    groups: Sequence[Group]
    logarithmic: bool = False
    mark_label: str = ""
    shown: int = 12

    @cached_property
    def series(self) -> list[str]:
        """Names in the order in which they first come."""
        return list(dict.fromkeys(bar.series for group in self.groups for bar in group.bars))

    def colour(self, series: str) -> int:
        """Number of the series' colour, from 1."""
        return self.series.index(series) % COLOURS + 1

    @property
    def has_spread(self) -> bool:
        """Whether any bar has a whisker."""
        return any(bar.whisker for group in self.groups for bar in group.bars)

    @property
    def has_mark(self) -> bool:
        """Whether any bar has a mark."""
        return any(bar.mark is not None for group in self.groups for bar in group.bars)

    @cached_property
    def label_width(self) -> int:
        """The width of the series' names in pixels, with about 7 per character."""
        return 14 + round(7 * max((min(len(name), _LABEL_ROOM) for name in self.series), default=0))

    @cached_property
    def axis(self) -> Axis | None:
        """The common axis; None if nothing was measured. The last fifth is left free for the figures."""
        found = [value for group in self.groups for bar in group.bars for value in _values(bar)]
        found = [value for value in found if math.isfinite(value) and value > 0]
        if not found:
            return None
        if not self.logarithmic:
            return Axis(0.0, max(found), span=(0.0, 80.0))
        return Axis(min(found) / 1.5, max(found) * 1.1, logarithmic=True, span=(0.0, 80.0))

    def end(self, bar: Bar) -> float:
        """The position of the bar's figure in per cent: after the bar, its whisker, and a mark that is close."""
        if self.axis is None or bar.value is None:
            return 0.0
        end = self.axis.at(max([bar.value, *(bar.whisker or ())]))
        mark = self.axis.at(bar.mark) if bar.mark is not None else -1.0
        return mark if end <= mark < end + 14 else end

    @cached_property
    def table(self) -> Table:
        """The figures."""
        mark = [Column(self.mark_label, self.unit, number=True)] if self.mark_label else []
        columns = [
            Column("of"),
            Column("path"),
            Column("median", self.unit, number=True),
            Column("spread", number=True),
        ]
        rows = [
            [
                group.label + (f" · {group.detail}" if group.detail else ""),
                bar.series,
                numbers.plain(bar.value),
                numbers.percent(bar.spread),
                *([numbers.plain(bar.mark)] if mark else []),
                bar.note,
            ]
            for group in self.groups
            for bar in group.bars
        ]
        return Table(
            f"The figures of “{self.title}”", [*columns, *mark, Column("remark")], rows, shown=200, folded=True
        )


def _values(bar: Bar) -> Iterable[float]:
    yield from (value for value in (bar.value, bar.mark) if value is not None)
    yield from bar.whisker or ()


@dataclass(frozen=True)
class Point:
    """One comparison: the largest error of the old and of the new path, both against the same judge.

    Attributes:
        label: the comparison's name, for the tooltip and the table.
        short: a short name for the plot, where only failing points are labelled.
    """

    series: str
    old: float
    new: float
    limit: float | None
    ok: bool
    label: str
    short: str = ""


@dataclass(frozen=True)
class ErrorPlot:
    """New error against old error, both axes logarithmic, with a line at `factor` times the old error.

    Zeros are drawn in a lane of their own at the low end, NaN and infinity in one at the high end.
    """

    title: str
    description: str
    points: Sequence[Point]
    factor: float = 2.0
    height: int = 360
    drawn: int = 1500
    """The most points drawn: those that fail first, then those nearest to their limit."""

    @cached_property
    def axis(self) -> Axis | None:
        """One axis for both directions, so that equal errors are on the diagonal; None if no error is above 0."""
        found = [e for point in self.points for e in (point.old, point.new) if math.isfinite(e) and e > 0]
        if not found:
            return None
        low, high = 10.0 ** math.floor(math.log10(min(found))), 10.0 ** math.ceil(math.log10(max(found) * self.factor))
        return Axis(low, max(high, low * 10), logarithmic=True, span=(6.0, 94.0))

    @cached_property
    def series(self) -> list[str]:
        """Names in the order in which they first come."""
        return list(dict.fromkeys(point.series for point in self.points))

    def colour(self, series: str) -> int:
        """Number of the series' colour, from 1; also selects its marker's shape."""
        return self.series.index(series) % COLOURS + 1

    @cached_property
    def worst(self) -> list[Point]:
        """All points, failing ones first, then by how near the new error is to its limit."""
        return sorted(self.points, key=lambda point: (point.ok, -_nearness(point)))

    def place(self, error: float) -> float:
        """The position of an error, in per cent from the low end."""
        if math.isnan(error) or error == math.inf:
            return 98.0
        return 2.0 if error <= 0 or self.axis is None else self.axis.at(error)

    @property
    def has_zero(self) -> bool:
        """Whether any error is zero."""
        return any(error == 0 for point in self.points for error in (point.old, point.new))

    @property
    def has_infinite(self) -> bool:
        """Whether any error is NaN or infinite."""
        return any(not math.isfinite(error) for point in self.points for error in (point.old, point.new))

    @cached_property
    def labelled(self) -> list[Point]:
        """Failing points far enough from one another to be labelled."""
        chosen: list[Point] = []
        for point in self.worst:
            here = self.place(point.new) * self.height / 100
            if not point.ok and all(abs(here - self.place(other.new) * self.height / 100) > 16 for other in chosen):
                chosen.append(point)
        return chosen[:6]

    @cached_property
    def table(self) -> Table:
        """The figures of the 100 worst points."""
        rows: list[list[str | Cell]] = [
            [
                point.label,
                point.series,
                numbers.error(point.old),
                numbers.error(point.new),
                numbers.error(point.limit),
                Cell("holds", "good") if point.ok else Cell("fails", "bad"),
            ]
            for point in self.worst[:100]
        ]
        of = f" (the worst 100 of {len(self.points):,})" if len(self.points) > len(rows) else ""
        number = [Column(title, number=True) for title in ("old error", "new error", "limit")]
        columns = [Column("comparison"), Column("of"), *number, Column("result")]
        return Table(f"The figures of “{self.title}”{of}", columns, rows, shown=100, folded=True)


def _nearness(point: Point) -> float:
    """The new error divided by its limit; infinite if the error is NaN or infinite."""
    if not math.isfinite(point.new):
        return math.inf
    limit = point.limit if point.limit is not None else 2 * point.old
    return point.new / limit if limit > 0 else (math.inf if point.new > 0 else 0.0)
