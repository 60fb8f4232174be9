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
    """How long one way of computing a call took.

    Attributes:
        path: `old`, `new`, or an SDPA backend: `cudnn`, `flash`, `efficient`, `math`.
        forward, total: median device time of forward, and of forward and backward.
        forward_spread, total_spread: quartile distance, relative to the median.
        first: wall time of the first call with this shape (planning and compiling included).
        kernel: the kernel that took most of the forward time.
    """

    path: str
    forward: float
    forward_spread: float
    total: float | None = None
    total_spread: float | None = None
    peak_memory: int | None = None
    first: float | None = None
    kernel: str = ""
