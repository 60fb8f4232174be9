"""Where things stand in a chart."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from xf2sdpa.page.charts import Axis, Bar, BarChart, ErrorPlot, Group, Point


def chart(*bars: Bar, logarithmic: bool = False) -> BarChart:
    return BarChart("title", "description", "ms", [Group("group", bars)], logarithmic=logarithmic, mark_label="guide")


@pytest.mark.parametrize("factor", [0, 3, 30, 200, 5e3, 1e7])
@pytest.mark.parametrize("high", [1e-7, 0.31, 1.0, 8.7, 173, 12_000, 3.2e6])
def test_ticks_are_few_round_in_order_and_inside(high: float, factor: float) -> None:
    axis = Axis(high / factor if factor else 0.0, high, bool(factor), span=(0.0, 80.0))
    places, labels = zip(*axis.ticks, strict=True)
    assert 1 + (factor != 3) <= len(places) <= 8
    assert all(0 <= place <= 80 for place in places)
    assert all(first < second for first, second in pairwise(places))
    assert len(set(labels)) == len(labels)
    for place, label in axis.ticks:
        assert axis.at(float(label.replace(",", ""))) == pytest.approx(place, abs=0.02), "a label says another place"


def test_equal_steps_stand_at_equal_distances() -> None:
    assert [Axis(0, 10, span=(0, 80)).at(value) for value in (0, 5, 10)] == [0, 40, 80]
    assert [Axis(0.1, 10, True, span=(0, 80)).at(value) for value in (0.1, 1, 10)] == [0, 40, 80]
    assert Axis(0.1, 10, True).at(100) == 100, "what is outside stands at the edge"


def test_a_bar_is_as_long_as_its_value() -> None:
    drawn = chart(Bar("old", 4.0), Bar("new", 1.0))
    assert drawn.axis is not None
    assert drawn.axis.at(4.0) == 4 * drawn.axis.at(1.0) == 80


def test_figures_stand_behind_bar_whisker_and_a_close_mark() -> None:
    bars = [Bar("a", 10.0), Bar("b", 5.0, spread=0.2), Bar("c", 5.0, mark=5.4), Bar("d", 5.0, mark=9.0)]
    ends = [chart(*bars).end(bar) for bar in bars]
    assert ends == pytest.approx([80, 44, 43.2, 40])


def test_the_axis_takes_in_marks_and_whiskers() -> None:
    drawn = chart(Bar("a", 1.0, spread=0.5, mark=20.0))
    assert drawn.axis is not None
    assert drawn.axis.high == 20.0
    assert chart(Bar("a", None, note="not installed")).axis is None
    assert chart(Bar("a", 0.0)).axis is None


def test_more_series_than_colours_and_long_names() -> None:
    bars = [Bar(f"an implementation with a long name {number}", 1.0) for number in range(8)]
    drawn = chart(*bars)
    assert [drawn.colour(bar.series) for bar in bars] == [1, 2, 3, 4, 5, 6, 1, 2]
    assert all(len(bar.label) <= 24 for bar in bars)
    assert drawn.label_width < 200


def test_the_table_holds_every_figure() -> None:
    table = chart(Bar("a", 1.0, 0.05, mark=4.21), Bar("b", None, note="not installed")).table
    assert [[cell.text for cell in row] for row in table.cells] == [
        ["group", "a", "1.00", "5.0 %", "4.21", ""],
        ["group", "b", "–", "–", "–", "not installed"],
    ]


def point(old: float, new: float, *, ok: bool = True, limit: float | None = None) -> Point:
    return Point("output", old, new, limit, ok, "label", "short")


def test_equal_errors_stand_on_the_diagonal_and_larger_ones_above() -> None:
    plot = ErrorPlot("title", "description", [point(1e-7, 1e-7), point(1e-3, 3e-2, ok=False)])
    assert plot.place(1e-7) < plot.place(1e-3) < plot.place(3e-2) < 94
    assert (plot.axis.low, plot.axis.high) == (1e-7, 0.1) if plot.axis else False


def test_zero_and_what_is_not_finite_have_lanes_of_their_own() -> None:
    plot = ErrorPlot("title", "description", [point(0.0, 1e-3), point(1e-3, math.nan, ok=False)])
    assert plot.has_zero
    assert plot.has_infinite
    assert plot.place(0.0) < plot.place(1e-9) < plot.place(1e9) < plot.place(math.nan) == plot.place(math.inf)
    assert ErrorPlot("title", "description", [point(0.0, 0.0)]).axis is None


def test_what_fails_comes_first_then_what_is_near_its_limit() -> None:
    near, far = point(1e-3, 1.9e-3, limit=2e-3), point(1e-3, 1e-4, limit=2e-3)
    bad, nan = point(1e-3, 5e-3, ok=False, limit=2e-3), point(1e-3, math.nan, ok=False)
    plot = ErrorPlot("title", "description", [far, near, bad, nan])
    assert plot.worst == [nan, bad, near, far]
    assert plot.labelled == [nan, bad], "only what fails is labelled"


def test_labels_that_would_overlap_are_left_out() -> None:
    points = [point(1e-3, 0.1 * (1 + number / 1000), ok=False) for number in range(50)]
    assert len(ErrorPlot("title", "description", points).labelled) == 1


def test_a_long_table_says_that_it_is_cut() -> None:
    plot = ErrorPlot("title", "description", [point(1e-3, 1e-3) for _ in range(1000)])
    assert len(plot.table.rows) == 100
    assert "worst 100 of 1,000" in plot.table.caption
