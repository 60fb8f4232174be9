"""Figures as a person reads them."""

from __future__ import annotations

import math

import pytest

from xf2sdpa.page import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (0.3123, "0.312"),
        (0.31, "0.310"),
        (61.23, "61.2"),
        (9.996, "10.0"),
        (999.6, "1,000"),
        (1234.5, "1,234"),
        (0.00012345, "0.000123"),
        (-2.5, "-2.50"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
    ],
)
def test_plain(value: float | None, text: str) -> None:
    assert numbers.plain(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (44e6, "44.0 MB"),
        (999.7e6, "1.00 GB"),
        (5.1e9, "5.10 GB"),
    ],
)
def test_memory(value: float | None, text: str) -> None:
    assert numbers.memory(value) == text


def test_the_others() -> None:
    assert [numbers.ratio(value) for value in (None, 0.92, 1.0, 9.994, 9.996, 28.3, math.inf)] == [
        "–", "0.92×", "1.00×", "9.99×", "10.0×", "28.3×", "∞",
    ]  # fmt: skip
    assert [numbers.percent(value) for value in (None, 0.034, math.nan)] == ["–", "3.4 %", "NaN"]
    assert [numbers.error(value) for value in (None, 0.0, 0.0021, math.nan)] == ["–", "0", "2.1e-03", "NaN"]
    assert [numbers.milliseconds(value) for value in (None, 0.355)] == ["–", "0.355 ms"]
    assert [numbers.count(number, "site") for number in (0, 1, 2, 1200)] == [
        "0 sites",
        "1 site",
        "2 sites",
        "1,200 sites",
    ]
    assert numbers.count(2, "entry", "entries") == "2 entries"
