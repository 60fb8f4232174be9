"""The options of a run of verify, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

SAMPLES = 3
"""How many calls of one site with one shape a shadow run compares."""
SHAPES = 16
"""How many shapes of one site a shadow run compares, so that programs with varying lengths do not stay slow."""
MEMORY_SHARE = 0.5
"""The share of the free memory that one comparison may take."""


@dataclass(frozen=True)
class Options:
    """The options.

    Attributes:
        samples: how many calls of one site and shape are compared; 0 for all.
        seed: seed of made-up inputs, of gradients, and of the judge's samples.
        device: `cpu` or `cuda`, for made-up inputs; None: the GPU if there is one.
        exact: whether to compare bit for bit too, with the same kernel on both sides.
        timing: whether to measure times and memory.
        max_memory: bytes that one comparison may take; None: `MEMORY_SHARE` of what is free.
    """

    samples: int = SAMPLES
    seed: int = 0
    device: str | None = None
    exact: bool = True
    timing: bool = True
    max_memory: int | None = None
