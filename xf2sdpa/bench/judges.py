"""Judges of claims: functions of a run's result. The functions here are judges, or return one.

A judge raises `Missing` if what it needs was not measured. `SAME` is the tolerance where the guide gives none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from xf2sdpa.bench.model import (
    NO_TIME,
    Entry,
    ModuleResult,
    Result,
    ShapeResult,
    Verdict,
    forward_time,
    speedup,
)
from xf2sdpa.timing.model import Timing

SAME = 0.05
"""Times within 5 % of each other count as the same."""
FIGURE = 0.10
"""A figure of the guide counts as met within 10 %."""

OPTIMISED = {"sdpa": "SDPA", "xformers": "xformers", "flash_attention_2": "FA2"}


class Judged(NamedTuple):
    """The result of a judge: the verdict, the figure found, and how to read it."""

    verdict: Verdict
    measured: str
    reason: str = ""


class Missing(Exception):
    """What a judge needs was not measured; the message says why."""


Judge = Callable[[Result], Judged]


def opinion(reason: str) -> Judge:
    """For a statement that no measurement can decide."""
    return lambda _: Judged(Verdict.OPINION, "", reason)


def unmeasured(reason: str) -> Judge:
    """For a statement that could be measured, but not by this command."""
    return lambda _: Judged(Verdict.NOT_JUDGED, "", reason)


def on_h200(judge: Judge) -> Judge:
    """For a statement about an H200: on another GPU the figure is shown but not judged."""

    def judged(result: Result) -> Judged:
        found = judge(result)
        if result.is_h200 or not result.is_gpu:
            return found
        return found._replace(
            verdict=Verdict.NOT_JUDGED, reason=f"said of an H200; this is {result.environment.device}"
        )

    return judged


def verdict(holds: bool) -> Verdict:
    """`HOLDS` or `FAILS`."""
    return Verdict.HOLDS if holds else Verdict.FAILS


# Measured figures, or `Missing`


def guide_shape(result: Result) -> ShapeResult:
    """The result at the guide's shape; raises `Missing` if it was not measured."""
    if result.guide_shape is None:
        raise Missing("the guide's shape was not measured in this run")
    return result.guide_shape


def entry(shape: ShapeResult, name: str) -> tuple[Entry, Timing]:
    """An implementation with its timing; raises `Missing` with the reason if it has none."""
    found = shape.entry(name)
    if found is None:
        raise Missing(f"{name} was not measured")
    if found.timing is None:
        raise Missing(f"{found.label}: {found.reason}")
    return found, found.timing


def ceiling(result: Result, name: str) -> float:
    """A ceiling's value; raises `Missing` if it was not measured."""
    value = result.ceiling(name)
    if value is None:
        raise Missing(f"the ceiling ({name}) was not measured in this run")
    return value


def module(result: Result, name: str) -> tuple[ModuleResult, float, float]:
    """A module with its times of inference and of a training step; raises `Missing` if they were not measured."""
    found = result.module(name)
    if found is None:
        raise Missing(f"{name} was not measured in this run")
    if found.forward is None or found.step is None:
        raise Missing(f"{found.label}: {found.reason or NO_TIME}")
    return found, forward_time(found.forward), forward_time(found.step)


def geometric_mean(values: Iterable[float]) -> float:
    """The geometric mean of positive numbers, at least one."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def compared(
    result: Result, ours: tuple[str, ...], theirs: tuple[str, ...], faster: Callable[[Timing, Timing], float] = speedup
) -> dict[str, float]:
    """For each shape that has both, how many times as fast the first available of `ours` is as the fastest of `theirs`.

    `faster` computes that factor; by default from forward and backward if the shape has it. Above 1, ours is faster.
    """
    ratios = {}
    for shape in result.shapes:
        mine = next((seen for name in ours if (seen := shape.timing(name))), None)
        others = [seen for name in theirs if (seen := shape.timing(name))]
        if mine and others:
            ratios[shape.name] = min(faster(mine, other) for other in others)
    if not ratios:
        raise Missing(_why_none(result, theirs))
    return ratios


def _forward_speedup(ours: Timing, theirs: Timing) -> float:
    return forward_time(theirs) / forward_time(ours)


def _why_none(result: Result, names: tuple[str, ...]) -> str:
    reasons = [found.reason for shape in result.shapes for name in names if (found := shape.entry(name))]
    return next((reason for reason in reasons if reason), "no shape was measured with both")


# Judges


def milliseconds(name: str, said: float) -> Judge:
    """For an absolute forward time at the guide's shape."""

    def judged(result: Result) -> Judged:
        found, timing = entry(guide_shape(result), name)
        time = forward_time(timing)
        return Judged(verdict(abs(time / said - 1) <= FIGURE), f"{time:.3g} ms ({found.label})")

    return on_h200(judged)


def relative_speed(name: str, low: float, high: float) -> Judge:
    """For a speed relative to SDPA at the guide's shape: SDPA's forward time divided by the implementation's."""

    def judged(result: Result) -> Judged:
        shape = guide_shape(result)
        found, timing = entry(shape, name)
        _, base = entry(shape, "sdpa")
        ratio = forward_time(base) / forward_time(timing)
        return Judged(verdict(low <= round(ratio, 2) <= high), f"{ratio:.2f}x ({found.label})")

    return judged


def gigabytes(names: tuple[str, ...], said: float) -> Judge:
    """For the peak memory of a forward pass at the guide's shape, query, key and value included."""

    def judged(result: Result) -> Judged:
        sizes = _sizes(result, names)
        holds = all(abs(size / said - 1) <= FIGURE for size in sizes.values())
        return Judged(verdict(holds), _listed(sizes, "{:.2f} GB"), "forward, bf16, inputs counted")

    return judged


def _sizes(result: Result, names: tuple[str, ...]) -> dict[str, float]:
    sizes = {}
    for name in names:
        found = guide_shape(result).entry(name)
        if found and found.forward_memory is not None:
            sizes[found.label] = found.forward_memory / 1e9
    if not sizes:
        raise Missing("memory is measured on a GPU only, of implementations that ran")
    return sizes


def _listed(values: dict[str, float], form: str) -> str:
    return ", ".join(f"{name} {form.format(value)}" for name, value in values.items())


def memory_against_sdpa(name: str, holds: Callable[[float], bool]) -> Judge:
    """For peak memory relative to SDPA's at the guide's shape."""

    def judged(result: Result) -> Judged:
        found, _ = entry(guide_shape(result), name)
        base = _sizes(result, ("sdpa",)).popitem()[1]
        size = _sizes(result, (name,)).popitem()[1]
        return Judged(verdict(holds(size / base)), f"{size / base:.2f} times SDPA's ({size:.2f} GB, {found.label})")

    return judged


def least_memory(result: Result) -> Judged:
    """Whether SDPA needs the least memory of all at the guide's shape, within `SAME`."""
    sizes = {found.label: found.forward_memory for found in guide_shape(result).entries if found.forward_memory}
    if not sizes:
        raise Missing("memory is measured on a GPU only")
    base = _sizes(result, ("sdpa",)).popitem()[1]
    name = min(sizes, key=lambda name: sizes[name])
    least = sizes[name] / 1e9
    return Judged(verdict(base <= least * (1 + SAME)), f"{base:.2f} GB; the least is {least:.2f} GB ({name})")


def same_everywhere(ours: tuple[str, ...], theirs: tuple[str, ...], *, slower_only: bool) -> Judge:
    """For the speed of ours against the fastest of theirs at every shape, in forward and with backward.

    Holds if all times are equal within `SAME`, or, with `slower_only`, if ours is nowhere slower by more than that.
    """

    def judged(result: Result) -> Judged:
        whole, forward = compared(result, ours, theirs), compared(result, ours, theirs, _forward_speedup)
        ratios = whole | {f"{name} (forward)": ratio for name, ratio in forward.items() if ratio != whole[name]}
        off = {n: r for n, r in ratios.items() if r < 1 - SAME or (r > 1 + SAME and not slower_only)}
        shown = sorted(off.items(), key=lambda item: item[1])[:4]
        reason = "outside: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in shown) if off else ""
        more = f" and {len(off) - len(shown)} more" if len(off) > len(shown) else ""
        return Judged(verdict(not off), _spread(ratios, len(whole)), reason + more)

    return judged


def _spread(ratios: dict[str, float], count: int) -> str:
    low, high = min(ratios.values()), max(ratios.values())
    mean = geometric_mean(ratios.values())
    return f"{low:.2f} to {high:.2f} times as fast, {mean:.2f} on average, {count} shapes"


def faster_on_average(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Judge:
    """For ours being faster than the fastest of theirs in the geometric mean over the shapes."""

    def judged(result: Result) -> Judged:
        ratios = compared(result, ours, theirs)
        return Judged(verdict(geometric_mean(ratios.values()) > 1.0), _spread(ratios, len(ratios)))

    return judged


def same_at_guide_shape(ours: str, theirs: str, *, slower_only: bool = False) -> Judge:
    """As `same_everywhere`, for two implementations at the guide's shape."""

    def judged(result: Result) -> Judged:
        shape = guide_shape(result)
        (_, mine), (_, other) = entry(shape, ours), entry(shape, theirs)
        forward = forward_time(other) / forward_time(mine)
        whole = speedup(mine, other)
        holds = all(ratio >= 1 - SAME and (slower_only or ratio <= 1 + SAME) for ratio in (forward, whole))
        return Judged(verdict(holds), f"{forward:.2f} times as fast forward, {whole:.2f} with backward")

    return judged


def selected(names: tuple[str, ...], word: str) -> Judge:
    """For the operator that SDPA picks for kinds of calls, by the profiler: its name must contain `word`."""

    def judged(result: Result) -> Judged:
        found = [selection for name in names if (selection := result.selection(name))]
        if not found:
            raise Missing("which operator runs was not looked at in this run")
        text = "; ".join(f"{selection.call}: {selection.operators or 'none seen'}" for selection in found)
        return Judged(verdict(all(word in selection.operators for selection in found)), text)

    return judged


def kernels(holds: Callable[[dict[str, str]], bool]) -> Judge:
    """For the kernels of the optimised implementations at the guide's shape, by the profiler."""

    def judged(result: Result) -> Judged:
        shape = guide_shape(result)
        names = {label: entry(shape, name)[1].kernel for name, label in OPTIMISED.items()}
        if not all(names.values()):
            raise Missing("the profiler saw no kernels")
        text = "; ".join(f"{label}: {kernel[:60]}" for label, kernel in names.items())
        return Judged(verdict(holds(names)), text)

    return judged


def family(kernel: str) -> str:
    """The part of a kernel's description before its name: `cudnn`, `FA3`, `flash (FA2)`."""
    return kernel.partition(":")[0]


def product_peak(name: str, said: float, unit: str, least: float) -> Judge:
    """For a peak of the data sheet: holds if the measured rate is at least the share `least` of it and at most all."""

    def judged(result: Result) -> Judged:
        value = ceiling(result, name) / (1e3 if unit == "TB/s" else 1.0)
        share = value / said
        return Judged(
            verdict(least <= share <= 1.0),
            f"{value:.3g} {unit}, {share:.0%} of it",
            "a data-sheet figure: it counts as borne out if two thirds of it or more are reached",
        )

    return on_h200(judged)


def bandwidth_bound(result: Result) -> Judged:
    """Whether SDPA at the guide's shape comes nearer to the copy's ceiling than to the matrix product's."""
    shape = guide_shape(result)
    _, timing = entry(shape, "sdpa")
    compute, memory = shares(result, shape, timing)
    return Judged(verdict(memory > compute), f"{memory:.0%} of the copy's GB/s, {compute:.0%} of the product's TFLOP/s")


def shares(result: Result, shape: ShapeResult, timing: Timing) -> tuple[float, float]:
    """The shares of the ceilings, in TFLOP/s and GB/s, that a shape reaches; raises `Missing` without ceilings."""
    compute, memory = result.flops_share(shape, timing), result.bytes_share(shape, timing)
    if compute is None or memory is None:
        raise Missing("the ceilings were not measured in this run")
    return compute, memory


def bandwidth_share(result: Result) -> Judged:
    """Whether each optimised implementation reaches 80 to 90 % of the copy's bandwidth at the guide's shape."""
    shape = guide_shape(result)
    found = {}
    for name, label in OPTIMISED.items():
        seen = shape.timing(name)
        if seen:
            found[label] = shares(result, shape, seen)[1]
    if not found:
        raise Missing("none of them ran here")
    holds = all(0.8 <= share <= 0.9 for share in found.values())
    rates = ", ".join(f"{shape.gigabytes(seen) / 1e3:.2f}" for name in OPTIMISED if (seen := shape.timing(name)))
    return Judged(verdict(holds), _listed(found, "{:.0%}"), f"of the copy's GB/s; {rates} TB/s")


def rarely_compute_bound(result: Result) -> Judged:
    """Whether at most a quarter of the shapes are nearer to the compute ceiling than to that of the bandwidth."""
    bound = []
    for shape in result.shapes:
        seen = shape.timing("sdpa") or shape.timing("compat")
        if seen:
            compute, memory = shares(result, shape, seen)
            bound.append(compute > memory)
    if not bound:
        raise Missing("no shape was measured")
    count = sum(bound)
    return Judged(verdict(count <= len(bound) / 4), f"{count} of {len(bound)} shapes are nearer to the compute ceiling")


def product_speedup(said: float) -> Judge:
    """For the speed-up of TF32 over float32 in a large matrix product: at least what the guide says."""

    def judged(result: Result) -> Judged:
        ratio = ceiling(result, "matmul tf32") / ceiling(result, "matmul float32")
        return Judged(verdict(ratio >= said * (1 - FIGURE)), f"{ratio:.2f}x for a large matrix product alone")

    return judged


def module_speedup(ours: str, theirs: str, least: float, what: str) -> Judge:
    """For the speed-up of one module setting over another: inference and training must both reach the factor."""

    def judged(result: Result) -> Judged:
        _, forward, step = module(result, ours)
        _, other_forward, other_step = module(result, theirs)
        ratios = other_forward / forward, other_step / step
        return Judged(
            verdict(min(ratios) >= least), f"{ratios[0]:.2f}x in inference, {ratios[1]:.2f}x in training", what
        )

    return judged


def uses_sdpa(result: Result) -> Judged:
    """Whether the example ran fused SDPA operators in inference and in training."""
    found, _, _ = module(result, "encoder bf16")
    fused = [part for part in found.operators.split("; ") if "_scaled_dot_product_" in part and "_math" not in part]
    return Judged(verdict(len(fused) == 2), found.operators)


def nothing_faster(result: Result) -> Judged:
    """Whether no other measured setting of the example is faster than the guide's."""
    _, forward, step = module(result, "encoder bf16")
    better = []
    for other in result.modules:
        if other.name.startswith("encoder") and other.forward and other.step:
            ratios = forward / forward_time(other.forward), step / forward_time(other.step)
            if max(ratios) > 1 + SAME:
                better.append(f"{other.label}: {ratios[0]:.2f}x in inference, {ratios[1]:.2f}x in training")
    return Judged(verdict(not better), "; ".join(better) or "no setting measured here is faster")


def overhead(result: Result) -> Judged:
    """Whether SDPA is faster than xformers at a shape so small that Python and launches take all the time."""
    shape = next((shape for shape in result.shapes if shape.name == "tiny"), None)
    if shape is None:
        raise Missing("the shape for it (tiny) was not measured in this run")
    (_, mine), (_, other) = entry(shape, "sdpa"), entry(shape, "xformers")
    times = forward_time(mine), forward_time(other)
    return Judged(
        verdict(times[0] < times[1]),
        f"{times[0] * 1e3:.0f} µs a call, xformers {times[1] * 1e3:.0f} µs ({shape.shape})",
    )
