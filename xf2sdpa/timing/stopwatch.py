"""How long a call takes on one device: on a CPU by the wall clock, on a GPU by CUDA events.

On a GPU a call has two times; which one limits a program depends on whether the GPU or Python is slower:

* *device*: the time on the GPU. The GPU is first kept busy until the host has queued all calls of the sample, so the
  figure contains neither launches nor Python. Before each call a buffer of twice the L2 cache is written, so every call
  begins with a cold cache, as inside a model. Each call has its own pair of events. A call that itself waits for the
  GPU cannot be queued ahead: the figure then includes the host's part, and `clock` says so.
* *paced*: calls back to back between one pair of events, with a warm cache and without keeping the GPU busy first.
  Where Python needs longer than the GPU, this is Python's time.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch

Call = Callable[[], object]

_cuda: Any = torch.cuda
"""As Any, since parts of it are not annotated."""

_SAMPLE = 5.0
"""The target length of one sample, in milliseconds."""
_MOST_CALLS = 20
"""Calls per sample at most: a GPU's queue holds about a thousand launches, and a backward pass makes up to twenty."""
_LONGEST_HOLD = 50.0
"""The longest time, in milliseconds, for which the GPU is kept busy while a sample is queued."""
_CYCLES = 2_000_000
"""GPU cycles per millisecond at 2 GHz, above the clocks of today's GPUs; at a lower clock it is busy for longer."""


class Sample(NamedTuple):
    """Milliseconds of one call: `device` and `paced` as this module's docstring says; `paced` is None on the CPU."""

    device: float
    paced: float | None


class Stopwatch(Protocol):
    """Measures one call repeatedly."""

    @property
    def clock(self) -> str:
        """How the times are measured, for the report."""

    def sample(self) -> Sample:
        """The mean time of a call over a few calls."""


class Wall:
    """On a CPU: `time.perf_counter` around a few calls."""

    clock = "perf_counter on the CPU: no statement about a GPU"

    def __init__(self, call: Call) -> None:
        self.call = call
        self.calls = _calls_for(_wall(call))

    def sample(self) -> Sample:
        """Milliseconds per call."""
        began = time.perf_counter()
        for _ in range(self.calls):
            self.call()
        return Sample((time.perf_counter() - began) * 1e3 / self.calls, None)


class Events:
    """On a GPU: pairs of CUDA events, as this module's docstring describes."""

    def __init__(self, call: Call, device: torch.device) -> None:
        self.call = call
        self.device = device
        queued, done = self._warm_up()
        self.calls = _calls_for(done)
        self.hold = min(_LONGEST_HOLD, 0.2 + 1.5 * queued * self.calls)
        self.ahead: list[bool] = []
        self._device()
        while not self.ahead[-1] and self.hold < _LONGEST_HOLD:
            self.hold = min(_LONGEST_HOLD, 2 * self.hold)
            self._device()
        self.ahead.clear()

    @property
    def clock(self) -> str:
        """How the times are measured: CUDA events, and whether the device time includes the host's part."""
        if 2 * sum(self.ahead) > len(self.ahead):
            return "CUDA events, queued ahead, cold L2"
        return "CUDA events, cold L2; the call waits for the GPU, so the host's part is in it"

    def sample(self) -> Sample:
        """Milliseconds per call, on the device and paced."""
        return Sample(self._device(), self._paced())

    def _warm_up(self) -> tuple[float, float]:
        """Milliseconds to queue one call, and until it is finished, after three warm-up calls."""
        for _ in range(3):
            self.call()
        _cuda.synchronize(self.device)
        began = time.perf_counter()
        self.call()
        queued = time.perf_counter()
        _cuda.synchronize(self.device)
        return (queued - began) * 1e3, (time.perf_counter() - began) * 1e3

    def _device(self) -> float:
        pairs = [(_event(), _event()) for _ in range(self.calls)]
        flush = _larger_than_l2(self.device)
        _cuda.synchronize(self.device)
        _cuda._sleep(int(self.hold * _CYCLES))
        released = _event()
        released.record()
        for start, end in pairs:
            flush.zero_()
            start.record()
            self.call()
            end.record()
        self.ahead.append(not released.query())
        _cuda.synchronize(self.device)
        return float(sum(start.elapsed_time(end) for start, end in pairs)) / self.calls

    def _paced(self) -> float:
        start, end = _event(), _event()
        _cuda.synchronize(self.device)
        start.record()
        for _ in range(self.calls):
            self.call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / self.calls


def stopwatch(call: Call, device: torch.device) -> Stopwatch:
    """A stopwatch for `call` on `device`; calls it a few times to warm up.

    Raises:
        ValueError: the device is neither a CPU nor a CUDA (or ROCm) device.
    """
    if device.type == "cpu":
        return Wall(call)
    if device.type == "cuda":
        return Events(call, device)
    raise ValueError(f"times are taken on cpu and cuda, not on {device.type}")


def first_call(call: Call, device: torch.device) -> float:
    """Wall milliseconds of one call, until the device has finished."""
    _wait(device)
    began = time.perf_counter()
    call()
    _wait(device)
    return (time.perf_counter() - began) * 1e3


def peak_memory(call: Call, device: torch.device) -> int | None:
    """Peak bytes of a call above those allocated before it, its result included; None on the CPU.

    Resets the peak that `torch.cuda.max_memory_allocated` reports.
    """
    if device.type != "cuda":
        return None
    _wait(device)
    before = int(_cuda.memory_allocated(device))
    _cuda.reset_peak_memory_stats(device)
    kept = call()
    _wait(device)
    del kept
    return int(_cuda.max_memory_allocated(device)) - before


def alternating(names: list[str]) -> itertools.cycle[list[str]]:
    """A B C, C B A, A B C, …: a clock that drifts within a round then affects every path alike."""
    return itertools.cycle([names, names[::-1]])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        _cuda.synchronize(device)


def _wall(call: Call) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def _calls_for(milliseconds: float) -> int:
    return max(1, min(_MOST_CALLS, math.ceil(_SAMPLE / max(milliseconds, 1e-3))))


def _event() -> Any:
    return _cuda.Event(enable_timing=True)


def _larger_than_l2(device: torch.device) -> torch.Tensor:
    """A buffer of twice the L2 cache; torch before 2.4 does not tell its size, which is at most 128 MiB so far."""
    size = int(getattr(_cuda.get_device_properties(device), "L2_cache_size", 0)) or 2**27
    return torch.empty(2 * size, dtype=torch.int8, device=device)
