"""Measurements as plain data. Nothing here imports torch. Times are milliseconds, memory is bytes."""

from __future__ import annotations

from dataclasses import dataclass

FLASH4 = "fa4"
"""The `path` of a `Timing` by FlashAttention-4, and the name of the flag that sets it."""
GAIN = 1.10
"""How many times as fast as the default something else must be to be advised."""


@dataclass(frozen=True)
class Environment:
    """The machine and the settings of a run: everything that is needed to repeat it."""

    command: str
    date: str
    seed: int
    python: str
    torch: str
    cuda: str | None
    cudnn: str | None
    device: str
    """`cpu`, or the GPU's name."""
    capability: str | None
    driver: str | None
    xformers: str | None
    """Its version, if the old path is the real xformers; else None, and `old_path` says why."""
    old_path: str
    """`xformers 0.0.34 (FlashAttention-3)`, or `reference: ` and why xformers cannot be used."""
    precision: str
    """The float32 matmul precision and TF32 state during the run."""

    @property
    def is_reference(self) -> bool:
        """Whether the old path was the plain reference and not xformers."""
        return self.xformers is None


@dataclass(frozen=True)
class Timing:
    """How long one way of computing a call took; `timing.clock` says how the figures are measured.

    Attributes:
        path: `old`, `new`, or an SDPA backend: `cudnn`, `flash`, `efficient`, `math`, `fa4` (FlashAttention-4).
        forward, total: median device time of forward without a graph, and of forward and backward.
        forward_spread, total_spread: distance between the quartiles, relative to the median.
        peak_memory: peak bytes, above those allocated before, of forward and backward if measured, else of forward;
            None on the CPU.
        first: wall time of the first call with this shape, of forward and backward if measured; includes planning,
            compiling and loading, except what an earlier path has built already.
        kernel: family and name of the attention kernel that took most of the forward time, or empty.
        forward_paced, total_paced: median time per call of calls made back to back, which includes Python and launches
            where they take longer than the GPU. None on the CPU, where `forward` includes them.
        samples: number of samples of `forward`.
        clock: how the times were measured.
    """

    path: str
    forward: float
    forward_spread: float
    total: float | None = None
    total_spread: float | None = None
    peak_memory: int | None = None
    first: float | None = None
    kernel: str = ""
    forward_paced: float | None = None
    total_paced: float | None = None
    samples: int = 0
    clock: str = ""

    @property
    def time(self) -> float:
        """The time of forward and backward if measured, else of forward."""
        return self.forward if self.total is None else self.total

    @property
    def spread(self) -> float:
        """The distance between the quartiles of `time`, relative to it."""
        return self.forward_spread if self.total_spread is None else self.total_spread
