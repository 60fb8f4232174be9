"""The scripts around bench: README's section from the stored results, and what `shapes.py` says of limits."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.bench import samples

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

STORED = {
    "device": "NVIDIA H200",
    "xformers": "0.0.34",
    "geometric_mean": 1.71,
    "missed": ["4k, fwd: 0.80 is below 0.85"],
}

SMALL = {"name": "x", "batch": 1, "m": 8, "n": 8, "heads": [2], "k": 8, "dtype": "float32", "mask": "none"}


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


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def test_the_readme_says_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    made = script("readme_performance", monkeypatch)
    try:
        runs = made.runs()
    except made.MissingError as missing:
        pytest.skip(str(missing))
    readme = (made.ROOT / "README.md").read_text("utf-8")
    assert made.placed(readme, made.section(runs, *made.scripts())) == readme, "run benchmarks/readme_performance.py"


def test_the_section_is_made_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    made = script("readme_performance", monkeypatch)
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
    failing = [outcome for outcome in runs["H200"].outcomes if outcome.verdict.value == "does not hold here"]
    assert len(re.findall(r"^\* “", text, re.MULTILINE)) == len(failing) > 10
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))


def test_the_section_goes_between_its_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = script("readme_performance", monkeypatch)
    first = made.placed(f"before\n{made.BEGIN}\nold\n{made.END}\nafter\n", "new")
    assert first == f"before\n{made.BEGIN}\n\nnew\n{made.END}\nafter\n"
    assert made.placed(first, "new") == first
    with pytest.raises(ValueError, match="README"):
        made.placed("no markers", "new")


def side(ratio: float, kernel: str = "", kernel_ratio: float = 1.0, rested: float = 1.0) -> dict[str, Any]:
    return {"ratio": ratio, "kernel": kernel, "kernel_ratio": kernel_ratio, "rested_ratio": rested}


def line(ratio: float, pinned: float, **figures: float) -> dict[str, Any]:
    old = side(1.0, "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90")
    new = side(ratio, "cudnn_generated_fort_native_sdpa_sm90_flash_fprop", **figures)
    return {"xformers": old, "inline": new, "pinned flash": {"ratio": pinned}}


def test_shapes_names_each_limit_a_row_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = script("shapes", monkeypatch)
    assert shapes.missed(line(0.86, 0.95), "inline") == []
    assert shapes.missed(line(0.80, 0.95), "inline") == ["0.80 is below 0.85"]
    assert shapes.missed(line(0.86, 0.5), "inline") == ["with the best backend (default) 0.86 is below 0.9"]
    assert len(shapes.missed(line(0.80, 0.82), "inline")) == 2
    assert shapes.advised(line(0.80, 0.95), "inline") == ("flash", 0.95)


def test_shapes_says_why_a_row_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = script("shapes", monkeypatch)
    assert shapes.reason(line(0.8, 0.8, kernel_ratio=0.79), "inline") == "the kernels alone: 0.79 (FA3 against cudnn)"
    assert "power limit" in shapes.reason(line(0.8, 0.8), "inline")
    assert "launching" in shapes.reason(line(0.8, 0.8, rested=0.8), "inline")


def test_shapes_sums_up(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = script("shapes", monkeypatch)
    rows = [
        {"name": "a", "emitted": "inline", "fwd": line(1.0, 1.0), "fwd+bwd": line(4.0, 1.0)},
        {"name": "b", "emitted": "inline", "fwd": line(0.5, 0.5), "fwd+bwd": line(1.0, 1.0)},
        {"name": "c", "emitted": "inline", "fwd": line(1.0, 1.0)},
    ]
    mean, misses = shapes.summary(rows)
    assert mean == pytest.approx(2.0)
    assert [miss.split(":")[0] for miss in misses] == ["b, fwd"]


def test_shapes_pins_what_the_rewrite_emits(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = script("shapes", monkeypatch)
    row = shapes.row_of(SMALL | {"backward": True}, None, "cpu")
    assert row.emitted == "inline"
    assert list(shapes.pinned_sides(row, True)) == ["pinned flash"]
    seen = shapes.measure(row.sides | shapes.pinned_sides(row, True), row.inputs, True, shapes.Clock("cpu", 1))
    assert set(seen) == {"xformers", "compat", "inline", "pinned flash"}
    assert "rested" not in seen["pinned flash"]
    assert seen["pinned flash"]["ratio"] > 0
