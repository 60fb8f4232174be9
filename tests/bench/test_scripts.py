"""The scripts around bench: what `shapes.py` says of limits."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

SMALL = {"name": "x", "batch": 1, "m": 8, "n": 8, "heads": [2], "k": 8, "dtype": "float32", "mask": "none"}


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


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
