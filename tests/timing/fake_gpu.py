"""A GPU made of two clocks: what the host does takes host time, what it queues takes device time after that."""

from __future__ import annotations

import torch


class Event:
    """Recorded on the device's clock when what was queued before it is done."""

    def __init__(self, gpu: FakeGPU) -> None:
        self.gpu = gpu
        self.at = 0.0

    def record(self) -> None:
        self.gpu.host += self.gpu.event_cost
        self.at = self.gpu.free = max(self.gpu.free, self.gpu.host)

    def query(self) -> bool:
        return self.at <= self.gpu.host

    def synchronize(self) -> None:
        self.gpu.host = max(self.gpu.host, self.at)

    def elapsed_time(self, end: Event) -> float:
        return end.at - self.at


class FakeGPU:
    """What `stopwatch` uses of `torch.cuda`: milliseconds, bytes. `host` is now, `free` when the device is idle."""

    event_cost = 0.002

    def __init__(self) -> None:
        self.host = self.free = 0.0
        self.flushes = 0
        self.held = self.peak = 0

    def Event(self, enable_timing: bool) -> Event:  # noqa: N802
        return Event(self)

    def launch(self, host: float, device: float) -> None:
        """Work that takes `host` to queue and `device` to run."""
        self.host += host
        self.free = max(self.free, self.host) + device

    def _sleep(self, cycles: int) -> None:
        self.launch(0.01, cycles / 2e6)

    def synchronize(self, device: torch.device | None = None) -> None:
        self.host = max(self.host, self.free)

    def hold(self, size: int) -> None:
        """Bytes taken, or given back."""
        self.held += size
        self.peak = max(self.peak, self.held)

    def memory_allocated(self, device: torch.device) -> int:
        return self.held

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.peak

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.peak = self.held

    def scratch(self, device: torch.device) -> FakeGPU:
        return self

    def zero_(self) -> None:
        self.flushes += 1
        self.launch(0.01, 0.05)

    def perf_counter(self) -> float:
        return self.host / 1e3
