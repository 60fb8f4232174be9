"""Sizes of made-up inputs: those compared on each device, and the tiny one on which candidates are tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes of one set of inputs.

    Attributes:
        name: the case that it represents.
        storage: how query, key and value are stored: `BMHK`; `BHMK`, viewed as BMHK; `packed`, as slices of one tensor.
        low: whether scores are strongly negative.
        timed: whether it is large enough to be timed on a GPU.
    """

    name: str
    batch: int
    queries: int
    keys: int
    heads: int
    width: int
    storage: str = "BMHK"
    low: bool = False
    timed: bool = False


GPU_SHAPES = (
    Shape("vision transformer, odd length", 64, 257, 257, 24, 64, "packed", timed=True),
    Shape("cross-attention to 77 keys", 4, 4096, 77, 8, 40, "BHMK", timed=True),
    Shape("key length 64 mod 128, low scores", 2, 256, 192, 8, 64, low=True),
    Shape("language model", 8, 1024, 1024, 16, 64, timed=True),
    Shape("head size 160", 4, 256, 256, 8, 160, "BHMK", timed=True),
    Shape("more queries than keys", 2, 384, 130, 4, 32),
    Shape("many short sequences", 2048, 16, 16, 8, 64, timed=True),
    Shape("one query", 4, 1, 512, 8, 128),
)
CPU_SHAPES = (
    Shape("odd length", 1, 257, 257, 2, 16, "packed"),
    Shape("cross-attention to 77 keys", 2, 24, 77, 2, 40, "BHMK"),
    Shape("key length 64 mod 128, low scores", 1, 48, 64, 2, 32, low=True),
    Shape("head size 160", 1, 24, 24, 2, 160, "BHMK"),
    Shape("more queries than keys", 2, 40, 17, 3, 8),
    Shape("one query", 3, 1, 9, 2, 8),
)
TINY = Shape("trial", 2, 5, 7, 3, 8)
"""All sizes, and all products of two of them, differ."""
