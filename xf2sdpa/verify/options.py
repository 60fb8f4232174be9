"""What a user asked of a run of verify, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

SAMPLES = 3
"""Calls of one site with one shape that a shadow run compares."""
SHAPES = 16
"""Different shapes of one site that a shadow run compares: a program whose lengths vary is not slowed down for good."""
MEMORY_SHARE = 0.5
"""Share of the free memory that one comparison may take."""


@dataclass(frozen=True)
class Options:
    """How verify goes about its work.

    Attributes:
        samples: calls of one site and shape that are compared; 0 for all.
        seed: of made-up inputs, gradients and of the rows that the judge looks at.
        device: `cpu` or `cuda`, for inputs that are made up; None: the GPU if there is one.
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
