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
    "rows": [
        {
            "name": "16k, causal",
            "emitted": "inline",
            "fwd": {
                "xformers": {
                    "kernel": "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90"
                },
                "inline": {"kernel": "cudnn_generated_fort_native_sdpa_sm90_flash_fprop", "kernel_ratio": 0.83},
            },
        }
    ],
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


def turn(**ratios: float) -> dict[str, Any]:
    return (
        {"xformers": {"median": 1.0}}
        | {side: {"median": 1 / ratio, "ratio": ratio} for side, ratio in ratios.items()}
        | ({} if "guarded" in ratios else {"plain": {"error": "no mask"}, "guarded": {"error": "no mask"}})
    )


def apart(cudnn: int, **sides: float) -> dict[str, Any]:
    """A run of `two_processes.py`, made up."""
    facts = {"device": "NVIDIA H200", "torch": "2.11.0", "cudnn": cudnn}
    found = {"geometric_mean": 1.5, "below 1.0": {"16k, causal": ["default", 0.85]}}
    masked = turn(default=2.0, plain=2.0, guarded=1.9)
    rows = [
        {"name": "16k, causal", "fwd": turn(**sides), "fwd+bwd": turn(**sides)},
        {"name": "tensor bias", "fwd": masked, "fwd+bwd": masked},
    ]
    who = {"default": facts, "xformers": facts | {"xformers": "0.0.34"}, **({"fa4": facts} if "fa4" in sides else {})}
    return {"sides": who, "fwd": found, "fwd+bwd": {**found, "below 1.0": {}}, "rows": rows}


WINDOWS = {
    "runs": [
        {
            "rows": [
                {"name": "window ±256", "fwd": turn(default=0.5, flex=ratio), "fwd+bwd": turn(default=1.4, flex=1.4)}
            ]
        }
        for ratio in (1.3, 0.9, 1.1)
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
    text = made.section(runs, SLOWDOWN)
    assert "| label of sdpa | 4.21 ms, 1.0x | 0.300 / 1.200 | 1.00x | 0.27 | 0.300 / 1.200 | 1.00x | 0.27 |" in text
    flat = " ".join(text.split())
    assert "2.5 times as long in all with `--samples 3`" in flat
    assert (
        "a later step 1.0 times (1.1 between two plain runs). With every call compared, a step takes 12 times" in flat
    )
    verdicts = re.findall(r"^\| .* \| ([a-z ]+) \|$", text, re.MULTILINE)
    assert [outcome.verdict.value for outcome in runs["H200"].outcomes] == verdicts[-len(runs["H200"].outcomes) :]
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith(("|", "![")))


def test_the_speeds_are_made_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    made = script("performance", monkeypatch)
    results = STORED, OTHERS, apart(91900, default=0.85), apart(92600, default=0.8, fa4=1.04), WINDOWS
    text = made.speed(samples.result(), dict(zip(made.SPEED, results, strict=True)))
    flat = " ".join(text.split())
    assert "1.71 times as fast" in flat
    assert "4k, fwd: 0.80 is below 0.85" in flat
    assert "* a window: as emitted 0.60 / 1.40; flex (first call 2.3 s) 1.20 / 1.30" in text
    assert "* causal: as emitted 0.80 / 0.90; stored heads first 0.81 / 0.91" in text
    assert "| 16k, causal | 1.000 / 1.000 | 0.85 / 0.85 | 0.80 / 0.80 | 1.04 / 1.04 |" in text
    assert "| tensor bias | 1.000 / 1.000 | 2.00 / 2.00 | 2.00 / 2.00 | – |" in text
    assert "With cuDNN 9.26 or FlashAttention-4, whichever is faster, the geometric mean is 1.50 / 1.50" in flat
    assert "* 16k, causal, fwd: 0.83 (FA3 against cudnn)" in text
    assert "ms: tensor bias 0.500 / 0.500 plain, 0.526 / 0.526 guarded." in flat
    assert "1.10 times as fast in the median, from 0.90 to 1.30, as both wait for the host; without it 0.50" in flat
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
