"""docs/performance.md and its pictures, from the stored results."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench import samples
from tests.docs.test_pages import script

STORED = {
    "device": "NVIDIA H200",
    "xformers": "0.0.34",
    "geometric_mean": 1.71,
    "missed": ["4k, fwd: 0.80 is below 0.85"],
}


def ratios(**of: float) -> dict[str, Any]:
    return {name.replace("_", " "): {"ratio": ratio} for name, ratio in {"xformers": 1.0, **of}.items()}


OTHERS = {
    "rows": [
        {
            "name": "a window",
            "emitted": "compat",
            "first": {"flex": 2.3},
            "fwd": ratios(compat=0.6, flex=1.2),
            "fwd+bwd": ratios(compat=1.4, flex=1.3),
        },
        {
            "name": "causal",
            "emitted": "inline",
            "first": {},
            "fwd": ratios(inline=0.8, heads_first=0.81),
            "fwd+bwd": ratios(inline=0.9, heads_first=0.91),
        },
    ]
}
SLOWDOWN = {
    "steps": 24,
    "runs": {
        "alone": {"seconds": 10.0, "step": 0.02},
        "alone again": {"seconds": 10.0, "step": 0.022},
        "samples 3": {"seconds": 25.0, "step": 0.02},
        "all calls, no times": {"seconds": 30.0, "step": 0.24},
    },
}


def test_the_section_is_made_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    made = script("performance", monkeypatch)
    runs = {"H200": samples.result(), "H100": samples.result("NVIDIA H100 80GB HBM3")}
    text = made.section(runs, STORED, OTHERS, SLOWDOWN)
    assert "| label of sdpa | 4.21 ms, 1.0x | 0.300 / 1.200 | 1.00x | 0.27 | 0.300 / 1.200 | 1.00x | 0.27 |" in text
    flat = " ".join(text.split())
    assert "1.71 times as fast" in flat
    assert "4k, fwd: 0.80 is below 0.85" in flat
    assert "* a window: as emitted 0.60 / 1.40; flex (first call 2.3 s) 1.20 / 1.30" in text
    assert "* causal: as emitted 0.80 / 0.90; stored heads first 0.81 / 0.91" in text
    assert "2.5 times as long in all with `--samples 3`" in flat
    assert (
        "a later step 1.0 times (1.1 between two plain runs). With every call compared, a step takes 12 times" in flat
    )
    verdicts = re.findall(r"^\| .* \| ([a-z ]+) \|$", text, re.MULTILINE)
    assert [outcome.verdict.value for outcome in runs["H200"].outcomes] == verdicts[-len(runs["H200"].outcomes) :]
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith(("|", "![")))


def test_the_pictures_are_made_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    made = script("performance", monkeypatch)
    charts = made.charts({"H200": samples.result(), "H100": samples.result("NVIDIA H100 80GB HBM3")})
    assert set(charts) == {"guide-shape", "shapes"}
    for chart in charts.values():
        texts = [text for _, text in drawn(chart.svg())]
        assert chart.title in texts
        figures = [value for group in chart.groups for value in group.values if value is not None]
        assert figures
        assert all(f"{value:.2f}{chart.unit}" in texts for value in figures)


def test_a_bar_is_as_long_as_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    charts = script("charts", monkeypatch)
    chart = charts.Chart("t", ["a"], [charts.Group("one", [1.0]), charts.Group("four", [4.0])], " ms")
    widths = [float(at["width"]) for at, _ in drawn(chart.svg()) if at.get("fill") == charts.COLOURS[0]][1:]
    assert widths[1] == pytest.approx(4 * widths[0], rel=1e-3)
    assert not re.search("href|src|url", chart.svg())


def drawn(svg: str) -> list[tuple[dict[str, str], str]]:
    return [(element.attrib, element.text or "") for element in ElementTree.fromstring(svg).iter()]
