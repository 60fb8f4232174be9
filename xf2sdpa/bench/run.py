"""Runs the parts of a benchmark in order, each within its share of the time, and records what was left out."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from xf2sdpa import timing
from xf2sdpa.bench import ceilings, implementations, modules, selection, workloads
from xf2sdpa.bench.guide import judge
from xf2sdpa.bench.model import FLASH4, GUIDE_SHAPE, NO_TIME, PARTS, Entry, Result, ShapeResult
from xf2sdpa.bench.workloads import Row
from xf2sdpa.judging.old_path import OldPath
from xf2sdpa.timing import flash4
from xf2sdpa.timing.model import Timing
from xf2sdpa.timing.stopwatch import peak_memory

SEED = 0

BUDGETS = {("cuda", False): 240.0, ("cuda", True): 120.0, ("cpu", False): 90.0, ("cpu", True): 25.0}
"""Seconds by device and `--quick`."""

QUICK_SHAPES = ("seed guide, causal", "Stable Diffusion, cross", "tiny")
LEAST = 0.15
"""A step is skipped if less than this share of its time is left."""
MOST = 3.0
"""A step may take at most this many times its nominal seconds, if the budget allows more."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        device: `cpu` or `cuda`.
        budget: seconds for all of it.
        parts: some of `PARTS`.
        shapes: a table in the form of `shapes.toml`, or None for the package's own.
        quick: measure fewer shapes.
    """

    device: str
    budget: float
    parts: tuple[str, ...] = PARTS
    shapes: Path | None = None
    quick: bool = False


@dataclass(frozen=True)
class Step:
    """One piece of work: its name, its part, its nominal seconds, and a function that does it within a budget."""

    name: str
    part: str
    seconds: float
    run: Callable[[float], None]


def run(plan: Plan, command: str, progress: Progress, clock: Callable[[], float] = time.monotonic) -> Result:
    """Measure, then judge the guide's claims.

    Args:
        plan: what to measure on which device.
        command: the command line, for the report.
        progress: is called with one line per step.
        clock: returns seconds; tests pass their own.

    Raises:
        ShapesError: the table of shapes cannot be used.
    """
    began = clock()
    rows = _rows(plan)
    progress("looking for xformers")
    old = implementations.find_old(plan.device)
    environment = timing.environment(command, SEED, old, plan.device)
    result = Result(environment, is_gpu=plan.device != "cpu", budget=plan.budget)
    with _steady(plan.device):
        _measured(_steps(plan, result, rows, old), result, plan, progress, lambda: clock() - began)
    result.cut += [f"{part}: left out by --only" for part in PARTS if part not in plan.parts]
    result.seconds = clock() - began
    result.outcomes = judge(result)
    return result


@contextlib.contextmanager
def _steady(device: str) -> Iterator[None]:
    """Use one thread on a CPU: with more, small shapes wait for cores that are busy with other work."""
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measured(steps: list[Step], result: Result, plan: Plan, progress: Progress, passed: Callable[[], float]) -> None:
    """Run each step within its share of the remaining budget; skipped steps are named in `result.cut`.

    Time that a step does not use is left for those after it; none gets more than `MOST` times its nominal seconds.
    """
    wanted = sum(step.seconds for step in steps)
    least = LEAST * min(1.0, plan.budget / wanted) if wanted else 0.0
    for number, step in enumerate(steps, 1):
        left = plan.budget - passed()
        share = step.seconds * min(MOST, left / wanted)
        wanted -= step.seconds
        if left < least * step.seconds:
            result.cut.append(f"{step.name}: {NO_TIME}")
            continue
        progress(f"{number}/{len(steps)} {step.name} ({passed():.0f} of {plan.budget:.0f} s)")
        _carried_out(step, min(share, left), result, plan.device)


def _carried_out(step: Step, seconds: float, result: Result, device: str) -> None:
    try:
        step.run(seconds)
    except RuntimeError as error:  # mostly out of memory; the other steps still run
        result.cut.append(f"{step.name}: {str(error).splitlines()[0][:160]}")
    modules.free(device)


def _steps(plan: Plan, result: Result, rows: list[Row], old: OldPath) -> list[Step]:
    """The steps of the plan, the guide's own shape and modules first."""
    is_gpu = result.is_gpu
    note_small = "" if is_gpu else ", small"
    size = modules.GUIDE if is_gpu else modules.SMALL

    def shape(row: Row, budget: float) -> None:
        result.shapes.append(measure_shape(row, plan.device, old, budget))

    def encoder(budget: float) -> None:
        settings = modules.encoder_settings(plan.device)
        subjects = {setting.name: modules.encoder(setting, size, plan.device) for setting in settings}
        result.modules += modules.measure(subjects, budget)
        result.notes.append(f"TransformerEncoder: {size}")

    def attention(budget: float) -> None:
        result.modules += modules.measure(modules.attentions(size, plan.device), budget)

    steps = [
        Step(
            "ceilings: matrix product and copy",
            "ceilings",
            12,
            lambda b: result.ceilings.extend(ceilings.measure(plan.device, b)),
        ),
        Step(
            "which backend SDPA takes",
            "selection",
            3,
            lambda _: result.selections.extend(selection.measure(plan.device)),
        ),
        Step(f"the guide's shape{note_small}", "guide", 32, functools.partial(shape, rows[0])),
        Step(f"TransformerEncoder{note_small}", "modules", 85 if is_gpu else 15, encoder),
        Step(f"MultiheadAttention{note_small}", "modules", 12, attention),
        *(Step(f"{row['name']}{note_small}", "shapes", 4.2, functools.partial(shape, row)) for row in rows[1:]),
    ]
    return [step for step in steps if step.part in plan.parts]


def _rows(plan: Plan) -> list[Row]:
    """The guide's shape, then the other rows of the table; shrunk on a CPU."""
    table: Iterable[Row] = workloads.read_table(plan.shapes)
    rows = [row for row in table if plan.shapes or row["name"] != workloads.GUIDE_ROW]
    if plan.quick:
        rows = rows[: len(QUICK_SHAPES)] if plan.shapes else [row for row in rows if row["name"] in QUICK_SHAPES]
    rows = [workloads.guide_row(), *rows]
    return [workloads.shrunk(row) for row in rows] if plan.device == "cpu" else rows


def measure_shape(row: Row, device: str, old: OldPath, budget: float) -> ShapeResult:
    """Measure all implementations at one shape, in turn, within a budget in seconds.

    Raises:
        RuntimeError: the tensors do not fit into the device's memory.
    """
    began = time.monotonic()
    work = workloads.make(row, device, SEED)
    found = implementations.candidates(work, old, backward=row["backward"])
    calls = {candidate.name: candidate.call for candidate in found if candidate.call}
    left = max(0.3 * budget, budget - (time.monotonic() - began))
    timings = timing.measure(calls, work.leaves, backward=row["backward"], budget=left)
    named = calls if row["name"] == GUIDE_SHAPE else calls.keys() & {"sdpa", "xformers", "compat"}
    entries = []
    for candidate in found:
        seen = timings.get(candidate.name)
        call = candidate.call
        reason = candidate.reason or ("" if seen else NO_TIME)
        memory = None
        if seen and call:
            forward = _forward(call, work)
            seen = dataclasses.replace(seen, kernel=timing.kernel_of(forward) if candidate.name in named else "")
            peak = peak_memory(forward, torch.device(device))
            memory = None if peak is None else peak + work.input_bytes
        entries.append(Entry(candidate.name, candidate.label, seen, memory, reason))
    if flash4.is_installed():
        entries.append(_by_flash4(work, calls.get("sdpa"), backward=row["backward"], budget=budget))
    return _described(row, work, entries)


def _by_flash4(work: workloads.Workload, sdpa: Callable[..., object] | None, *, backward: bool, budget: float) -> Entry:
    """SDPA by FlashAttention-4, timed after all else, as torch takes it for the whole process."""
    label = implementations.LABELS[FLASH4]
    if sdpa is None:
        return Entry(FLASH4, label, reason="no one SDPA call says this")
    seen = flash4.timed(sdpa, work.leaves, backward=backward, budget=budget)
    return Entry(FLASH4, label, seen) if isinstance(seen, Timing) else Entry(FLASH4, label, reason=seen)


def _forward(call: Callable[..., object], work: workloads.Workload) -> Callable[[], object]:
    def forward() -> object:
        with torch.no_grad():
            return call(*work.leaves)

    return forward


def _described(row: Row, work: workloads.Workload, entries: list[Entry]) -> ShapeResult:
    forward = workloads.flops(row)
    return ShapeResult(
        name=row["name"],
        shape=workloads.described(row),
        source=row["source"],
        forward_flops=forward,
        total_flops=forward * (1 + workloads.BACKWARD) if row["backward"] else None,
        forward_bytes=work.moved_bytes,
        input_bytes=work.input_bytes,
        entries=tuple(entries),
    )
