"""Several ways of computing one call, measured against each other.

What is measured, for each path:

* `forward`: the call on leaves that need no gradient, without a graph (inference).
* `total`: the call on leaves that do, and `torch.autograd.grad` of its result (a training step's part).

Each figure is a median over rounds; in every other round the paths come in reverse. How one sample is taken, and what
the two times of a call on a GPU mean, is in `stopwatch`. A path with fewer than three samples is not reported.
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
"""Below this there are no quartiles to speak of."""
MAX_ROUNDS = 24
FORWARD_SHARE = 0.4
"""Of the time for samples, where forward and backward are measured as well."""
LEAST_SHARE = 0.2
"""Of the budget that goes to samples, also where the first calls (kernels loaded, plans built) used it up."""


def measure(
    paths: Mapping[str, Callable[..., Any]], leaves: Sequence[Tensor], *, backward: bool, budget: float
) -> dict[str, Timing]:
    """Time and memory of each path, called with the leaves, on the device of the first leaf.

    Args:
        paths: by name, in the order in which their first calls are made. Each is called as `path(*leaves)` and
            returns a tensor, or a tuple that begins with one.
        leaves: what the paths compute from. They are detached first: neither they nor their `.grad` change.
        backward: measure forward and backward as well: the gradients of those leaves that require one, or of all
            floating-point leaves where none does.
        budget: seconds for everything. The first calls (warm-up included) are made whatever they take, until the
            budget is used up. The samples have what is left, but a fifth of the budget in any case: none is begun
            that would end after that.

    Returns:
        The paths that came to three samples, in the order of `paths`. Milliseconds and bytes. The state of the random
        generators, autocast and grad mode is as before; on a GPU the peak memory statistics are reset.

    Raises:
        ValueError: no leaf, or its device is neither a CPU nor CUDA.
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
    """Wall milliseconds of one call of each path, in order: for calls that must not have been made before.

    Arguments and errors as in `measure`, which makes such calls as well: this is for finding out first which paths
    there are.
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
    """A path as calls without arguments, and what its first call took."""

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
    """The random generators' state is put back, and a graph can be built whatever mode the caller is in."""
    devices = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    on_device = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
    with on_device, torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad(), _uncached(device):
        yield


def _uncached(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Autocast as it is, but for its cache.

    It keeps the cast of a leaf that needs a gradient from one call to the next: only the first call would cast, and
    the program's cache would keep our leaves.
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
    upstream: list[Tensor] = []  # made at the first call, which tells the result's shape and dtype

    def total() -> object:
        result = path(*ready)
        out = result if isinstance(result, Tensor) else result[0]
        if not upstream:
            upstream.append(torch.randn_like(out, memory_format=torch.contiguous_format))
        return out, torch.autograd.grad(out, inputs, upstream[0], allow_unused=True)

    return total


def _copy(leaf: Tensor) -> Tensor:
    """The same values and strides without history. One made in inference mode is copied: it can need no gradient."""
    return leaf.clone() if leaf.is_inference() else leaf.detach()


def _rounds(calls: Mapping[str, Call], device: torch.device, deadline: float) -> dict[str, _Series]:
    """Samples of each call until the deadline; those with too few are left out."""
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
    """The median, and the distance of the quartiles relative to it."""
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return median, (high - low) / median if median else 0.0
