"""Measures the device's peak rates in the same run: a large matrix product per dtype, and a copy in its memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

from xf2sdpa import timing
from xf2sdpa.bench.model import Ceiling

DTYPES = ("bfloat16", "float16", "tf32", "float32")
GPU_SIDE, CPU_SIDE = 8192, 512
GPU_COPY, CPU_COPY = 2**31, 2**25


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Within this context, float32 matrix products have `highest` (IEEE) or `high` (TF32) precision."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def measure(device: str, budget: float) -> list[Ceiling]:
    """Ceilings of a device (`cpu` or `cuda`), within a budget in seconds; those not measured in time are left out."""
    side = CPU_SIDE if device == "cpu" else GPU_SIDE
    found = []
    for name in DTYPES:
        if name == "tf32" and device == "cpu":
            continue
        dtype = torch.float32 if name == "tf32" else getattr(torch, name)
        leaves = [torch.randn(side, side, device=device, dtype=dtype) for _ in range(2)]
        path = _product("high" if name == "tf32" else "highest")
        seen = timing.measure({name: path}, leaves, backward=False, budget=budget / 5).get(name)
        if seen:
            found.append(Ceiling(f"matmul {name}", f"{side}³ matrix product, {name}", 2 * side**3 / seen.forward / 1e9))
    found += _copy(device, budget / 5)
    return found


def _product(name: str) -> Callable[..., Any]:
    def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        with precision(name):
            return left @ right

    return product


def _copy(device: str, budget: float) -> list[Ceiling]:
    size = CPU_COPY if device == "cpu" else GPU_COPY
    source = torch.ones(size, device=device, dtype=torch.int8)
    target = torch.empty_like(source)
    seen = timing.measure({"copy": target.copy_}, [source], backward=False, budget=budget).get("copy")
    if not seen:
        return []
    what = f"copy of {size / 2**30:g} GiB within the device's memory, bytes read and written"
    return [Ceiling("copy", what, 2 * size / seen.forward / 1e6)]
