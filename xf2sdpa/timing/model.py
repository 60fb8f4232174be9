"""Measurements as plain data. Nothing here imports torch. Times are milliseconds, memory is bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Environment:
    """Where and how the run was made; everything a reader needs to make it again."""

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
    """Its version, if the old path really was xformers; else None, and `old_path` says why."""
    old_path: str
    """`xformers 0.0.34 (FlashAttention-3)`, or `reference: …why xformers could not serve…`."""
    precision: str
    """The float32 matmul precision and TF32 state that the figures were taken with."""

    @property
    def is_reference(self) -> bool:
        """Whether the old path was the plain reference and not xformers."""
        return self.xformers is None


@dataclass(frozen=True)
class Timing:
    """How long one way of computing a call took. `timing.clock` says how each figure is taken.

    Attributes:
        path: `old`, `new`, or an SDPA backend: `cudnn`, `flash`, `efficient`, `math`.
        forward, total: median device time of forward without a graph, and of forward and backward.
        forward_spread, total_spread: quartile distance, relative to the median.
        peak_memory: bytes above what was held before, at the peak of what `total` measures, else of `forward`;
            None on the CPU.
        first: wall time of the first call with this shape (planning, compiling and loading included): of forward and
            backward where both are measured. What an earlier path has already built is not built again.
        kernel: family and name of the attention kernel that took most of the forward time, or empty.
        forward_paced, total_paced: median time of a call when calls come back to back, the host's part included: what
            a program that waits for Python and for launches feels. None on the CPU, where it is `forward`.
        samples: of how many `forward` is the median.
        clock: what the times were taken with.
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
        """Forward and backward where both were measured, else forward."""
        return self.forward if self.total is None else self.total

    @property
    def spread(self) -> float:
        """The quartile distance of `time`, relative to it."""
        return self.forward_spread if self.total_spread is None else self.total_spread
