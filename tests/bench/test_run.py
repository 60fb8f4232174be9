"""A run: its parts, its budget, and what it says of what it left out. Times are made up here, not taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from xf2sdpa import compat, timing
from xf2sdpa.bench import ceilings, implementations, modules, run, selection, workloads
from xf2sdpa.bench.model import FLASH4, GUIDE_SHAPE, PARTS, Result
from xf2sdpa.bench.run import Plan
from xf2sdpa.judging.old_path import OldPath
from xf2sdpa.timing.model import Timing

TABLE = """
[[shape]]
name = "one"
batch = 16
m = 64
n = 64
heads = [1]
k = 8

[[shape]]
name = "two"
batch = 16
m = 64
n = 64
heads = [1]
k = 8
mask = "BlockDiagonalMask"
blocks = [{ count = 2, length = 128 }]
backward = false
"""


class Clock:
    """Seconds that pass when somebody measures."""

    def __init__(self, each: float) -> None:
        self.now, self.each = 0.0, each
        self.budgets: list[float] = []

    def __call__(self) -> float:
        return self.now

    def measure(
        self,
        paths: Mapping[str, Callable[..., Any]],
        leaves: Sequence[torch.Tensor],
        *,
        backward: bool,
        budget: float,
    ) -> dict[str, Timing]:
        """In place of `timing.measure`."""
        assert leaves
        self.budgets.append(budget)
        self.now += self.each
        return {name: Timing(name, 1.0 + number, 0.0, 3.0 if backward else None) for number, name in enumerate(paths)}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "shapes.toml"
    file.write_text(TABLE)
    return file


def ran(monkeypatch: pytest.MonkeyPatch, plan: Plan, each: float = 0.0) -> tuple[Result, list[str], Clock]:
    clock, told = Clock(each), []
    monkeypatch.setattr(timing, "measure", clock.measure)
    monkeypatch.setattr(ceilings, "CPU_SIDE", 8)
    monkeypatch.setattr(ceilings, "CPU_COPY", 64)
    monkeypatch.setattr(workloads, "SHRINK", 64)
    monkeypatch.setattr(modules, "SMALL", modules.Size(1, 8, 2, 1, 4))
    return run.run(plan, "xf2sdpa bench", told.append, clock), told, clock


def test_all_parts_are_measured(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    result, told, _ = ran(monkeypatch, Plan("cpu", 100.0, shapes=table))
    assert [shape.name for shape in result.shapes] == [GUIDE_SHAPE, "one", "two"]
    assert {ceiling.name for ceiling in result.ceilings} >= {"matmul float32", "copy"}
    assert len(result.selections) == 4
    assert {module.name for module in result.modules} >= {"encoder bf16", "encoder fp32", "mha default", "mha by hand"}
    assert result.cut == []
    assert result.outcomes
    assert told[0] == "looking for xformers"
    assert any(GUIDE_SHAPE in line and "of 100 s" in line for line in told)


def test_the_budget_ends_a_run_and_the_rest_is_named(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    result, _, clock = ran(monkeypatch, Plan("cpu", 12.0, shapes=table), each=2.0)
    assert clock.now <= 14.0, "one measurement beyond the budget at most"
    assert [line for line in result.cut if line.startswith("two")] == ["two, small: no time was left"]
    assert [shape.name for shape in result.shapes][:1] == [GUIDE_SHAPE], "the guide's own shape comes first"
    assert max(clock.budgets) < 12.0
    assert result.seconds == clock.now


def test_a_budget_is_shared_out(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    _, _, short = ran(monkeypatch, Plan("cpu", 5.0, shapes=table))
    _, _, long = ran(monkeypatch, Plan("cpu", 50.0, shapes=table))
    assert max(short.budgets) < 5.0
    assert 4 * sum(short.budgets) < sum(long.budgets), "ten times the budget is used"


def test_only_some_parts(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    result, _, _ = ran(monkeypatch, Plan("cpu", 100.0, parts=("guide",), shapes=table))
    assert [shape.name for shape in result.shapes] == [GUIDE_SHAPE]
    assert not result.modules
    assert result.cut == [f"{part}: left out by --only" for part in PARTS if part != "guide"]


def test_quick_measures_fewer_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _, _ = ran(monkeypatch, Plan("cpu", 100.0, parts=("guide", "shapes"), quick=True))
    assert [shape.name for shape in result.shapes] == [GUIDE_SHAPE, *run.QUICK_SHAPES]


def test_a_part_that_fails_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    def out_of_memory(_: str) -> None:
        raise torch.OutOfMemoryError("no memory\nat all")

    monkeypatch.setattr(selection, "measure", out_of_memory)
    result, _, _ = ran(monkeypatch, Plan("cpu", 100.0, shapes=table))
    assert result.cut == ["which backend SDPA takes: no memory"]
    assert result.shapes


def test_an_implementation_without_samples_says_so(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    monkeypatch.setattr(timing, "measure", lambda *_, **__: {})
    result = run.run(Plan("cpu", 100.0, parts=("guide",), shapes=table), "x", lambda _: None)
    (shape,) = result.shapes
    assert {entry.timing for entry in shape.entries} == {None}
    assert all(entry.reason for entry in shape.entries)
    found = shape.entry("sdpa")
    assert found
    assert found.reason == "no time was left"


def test_a_shape_without_backward_has_none(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    result, _, _ = ran(monkeypatch, Plan("cpu", 100.0, parts=("guide", "shapes"), shapes=table))
    two = result.shapes[2]
    seen = two.timing("compat")
    assert seen
    assert seen.total is None
    assert two.total_flops is None


def test_threads_are_as_before(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    torch.set_num_threads(2)
    ran(monkeypatch, Plan("cpu", 100.0, parts=("selection",), shapes=table))
    assert torch.get_num_threads() == 2


def test_a_gpu_gets_the_guides_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way that a GPU takes, on a device that computes nothing: full sizes, memory, kernels."""
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    peaks: list[tuple[torch.Size, torch.device]] = []

    def peak_memory(call: Callable[[], Any], device: torch.device) -> int:
        peaks.append((call().shape, device))
        return 10**8

    monkeypatch.setattr(run, "peak_memory", peak_memory)
    absent = OldPath(compat.memory_efficient_attention, None, "reference: xformers is not installed", None)
    monkeypatch.setattr(implementations, "find_old", lambda _: absent)
    monkeypatch.setattr(timing, "kernel_of", lambda call: f"kernel of {tuple(call().shape)}")
    result, _, _ = ran(monkeypatch, Plan("meta", 100.0, parts=("ceilings", "guide")))
    (shape,) = result.shapes
    assert result.is_gpu
    assert shape.shape == "q 32×1024×16×64, bfloat16"
    assert {ceiling.name for ceiling in result.ceilings} == {f"matmul {dtype}" for dtype in ceilings.DTYPES} | {"copy"}
    found = {entry.name: entry for entry in shape.entries}
    assert found["inline"].forward_memory == 10**8 + shape.input_bytes, "the inputs are counted"
    assert ((32, 1024, 16, 64), torch.device("meta")) in peaks
    for name, sizes in (("sdpa", (32, 16, 1024, 64)), ("inline", (32, 1024, 16, 64))):
        seen = found[name].timing
        assert seen
        assert seen.kernel == f"kernel of {sizes}"
    assert found["flash_attention_2"].label == "Flash Attention 2 (torch's own, SDPA FLASH)"
    assert found["xformers"].reason == "xformers is not installed"


def test_flash_attention_4_has_a_row_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    plan = Plan("cpu", 60.0, ("shapes",), table)
    assert all(shape.entry(FLASH4) is None for shape in ran(monkeypatch, plan)[0].shapes)
    monkeypatch.setattr(run.flash4, "is_installed", lambda: True)
    entries = [shape.entry(FLASH4) for shape in ran(monkeypatch, plan)[0].shapes]
    assert entries
    assert all(entry and entry.timing is None and entry.reason for entry in entries)
