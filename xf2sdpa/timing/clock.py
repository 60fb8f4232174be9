"""Measures several ways of computing one call (paths) against each other.

For each path:

* `forward`: the call on leaves that require no gradient, without a graph (inference).
* `total`: the call on leaves that require one, and `torch.autograd.grad` of its result (forward and backward).

Each figure is a median over rounds; every other round runs the paths in reverse order. `stopwatch` says how a sample is
taken, and what the two times of a call on a GPU mean. A path with fewer than three samples is not reported.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.timing.model import Timing
from xf2sdpa.timing.stopwatch import Sample, Stopwatch, alternating, first_call, peak_memory, stopwatch

Call = Callable[[], object]

MIN_SAMPLES = 3
"""The fewest samples for which quartiles mean anything."""
MAX_ROUNDS = 24
FORWARD_SHARE = 0.4
"""The share of the sampling time for `forward`, where `total` is measured as well."""
LEAST_SHARE = 0.2
"""The least share of the budget for samples, even if the first calls (loading kernels, building plans) used it up."""


def measure(
    paths: Mapping[str, Callable[..., Any]], leaves: Sequence[Tensor], *, backward: bool, budget: float
) -> dict[str, Timing]:
    """Time and memory of each path, called with the leaves, on the device of the first leaf.

    Args:
        paths: by name; their first calls are made in this order. Each is called as `path(*leaves)` and returns a
            tensor, or a tuple that begins with one.
        leaves: the inputs of the paths. They are detached first: neither they nor their `.grad` change.
        backward: measure forward and backward as well, with the gradients of those leaves that require one, or of all
            floating-point leaves if none does.
        budget: seconds for everything. First calls (warm-up included) are made until the budget is used up; one that
            has begun is not cut short. The samples get the rest, at least a fifth of the budget; none is begun that
            would end after that.

    Returns:
        The paths with at least three samples, in the order of `paths`, in milliseconds and bytes. The states of random
        generators, autocast and grad mode are as before; on a GPU the peak memory statistics are reset.

    Raises:
        ValueError: there is no leaf, or its device is neither a CPU nor CUDA.
        Exception: whatever a path raises.
    """
    device = _device_of(leaves)
    began = time.monotonic()
    with _left_as_found(device):
        runs = _first_calls(paths, leaves, backward, device, began + budget)
        ready = time.monotonic()
        left = max(LEAST_SHARE * budget, began + budget - ready)
        share = FORWARD_SHARE if backward else 1.0
        forward = _rounds({run.path: run.forward for run in runs}, device, ready + share * left)
        totals = {run.path: run.total for run in runs if run.total is not None}
        total = _rounds(totals, device, ready + left)
        return {
            run.path: _timing(run, forward[run.path], total.get(run.path), device)
            for run in runs
            if run.path in forward
        }


def first_calls(
    paths: Mapping[str, Callable[..., Any]], leaves: Sequence[Tensor], *, backward: bool
) -> dict[str, float]:
    """Wall milliseconds of one call of each path, in order; the paths must not have been called before.

    Arguments and errors as in `measure`, which makes first calls as well; this function is for callers that need the
    first calls before they know all paths.
    """
    device = _device_of(leaves)
    with _left_as_found(device):
        return {run.path: run.first for run in _first_calls(paths, leaves, backward, device, math.inf)}


def _device_of(leaves: Sequence[Tensor]) -> torch.device:
    if not leaves:
        raise ValueError("nothing to measure on: no leaves")
    return leaves[0].device


@dataclass(frozen=True)
class _Run:
    """A path as calls without arguments, and the milliseconds of its first call."""

    path: str
    forward: Call
    total: Call | None
    first: float


@dataclass(frozen=True)
class _Series:
    """The samples of one call."""

    samples: list[Sample]
    clock: str

    def device(self) -> tuple[float, float]:
        return _median_and_spread([sample.device for sample in self.samples])

    def paced(self) -> float | None:
        paced = [sample.paced for sample in self.samples if sample.paced is not None]
        return statistics.median(paced) if paced else None


@contextlib.contextmanager
def _left_as_found(device: torch.device) -> Iterator[None]:
    """Restores the random generators' state; inside, a graph can be built whatever mode the caller is in."""
    devices = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    on_device = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
    with on_device, torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad(), _uncached(device):
        yield


def _uncached(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Autocast as it is, with its cache switched off.

    The cache keeps the cast of a leaf that requires a gradient for the next call: only the first call would include
    the cast, and the program's cache would keep the measurement's leaves alive.
    """
    if not hasattr(torch, "get_autocast_dtype") or not torch.is_autocast_enabled(device.type):  # torch before 2.4
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.get_autocast_dtype(device.type), cache_enabled=False)


def _first_calls(
    paths: Mapping[str, Callable[..., Any]],
    leaves: Sequence[Tensor],
    backward: bool,
    device: torch.device,
    deadline: float,
) -> list[_Run]:
    runs: list[_Run] = []
    wanted = [leaf.requires_grad for leaf in leaves]
    if not any(wanted):
        wanted = [leaf.is_floating_point() for leaf in leaves]
    for name, path in paths.items():
        if runs and time.monotonic() > deadline:
            break
        forward = _forward_call(path, leaves)
        total = _total_call(path, leaves, wanted) if backward else None
        runs.append(_Run(name, forward, total, first_call(total or forward, device)))
    return runs


def _forward_call(path: Callable[..., Any], leaves: Sequence[Tensor]) -> Call:
    plain = [_copy(leaf) for leaf in leaves]

    def forward() -> object:
        with torch.no_grad():
            return path(*plain)

    return forward


def _total_call(path: Callable[..., Any], leaves: Sequence[Tensor], wanted: Sequence[bool]) -> Call:
    ready = [_copy(leaf).requires_grad_(want) for leaf, want in zip(leaves, wanted, strict=True)]
    inputs = [leaf for leaf in ready if leaf.requires_grad]
    upstream: list[Tensor] = []  # made in the first call, when the result's shape and dtype are known

    def total() -> object:
        result = path(*ready)
        out = result if isinstance(result, Tensor) else result[0]
        if not upstream:
            upstream.append(torch.randn_like(out, memory_format=torch.contiguous_format))
        return out, torch.autograd.grad(out, inputs, upstream[0], allow_unused=True)

    return total


def _copy(leaf: Tensor) -> Tensor:
    """The leaf detached; one made in inference mode is cloned, as it cannot require a gradient itself."""
    return leaf.clone() if leaf.is_inference() else leaf.detach()


def _rounds(calls: Mapping[str, Call], device: torch.device, deadline: float) -> dict[str, _Series]:
    """Samples of each call until the deadline; calls with too few samples are left out."""
    watches: dict[str, Stopwatch] = {}
    lasted: dict[str, float] = {}
    samples: dict[str, list[Sample]] = {}
    for name, call in calls.items():
        if time.monotonic() > deadline:
            break
        watches[name] = stopwatch(call, device)
        samples[name] = []
    order = alternating(list(watches))
    for _ in range(MAX_ROUNDS):
        for name in next(order):
            began = time.monotonic()
            if began + lasted.get(name, 0.0) > deadline:
                continue
            samples[name].append(watches[name].sample())
            lasted[name] = time.monotonic() - began
    return {name: _Series(seen, watches[name].clock) for name, seen in samples.items() if len(seen) >= MIN_SAMPLES}


def _timing(run: _Run, forward: _Series, total: _Series | None, device: torch.device) -> Timing:
    time_, spread = forward.device()
    total_time, total_spread = total.device() if total else (None, None)
    return Timing(
        path=run.path,
        forward=time_,
        forward_spread=spread,
        total=total_time,
        total_spread=total_spread,
        peak_memory=peak_memory(run.total or run.forward, device),
        first=run.first,
        forward_paced=forward.paced(),
        total_paced=total.paced() if total else None,
        samples=len(forward.samples),
        clock=forward.clock
        if total is None or total.clock == forward.clock
        else f"{forward.clock}; total: {total.clock}",
    )


def _median_and_spread(times: list[float]) -> tuple[float, float]:
    """The median, and the distance between the quartiles relative to it."""
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return median, (high - low) / median if median else 0.0
