"""Finds out by the profiler which attention operator SDPA picks for the kinds of call that the guide names."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from xf2sdpa.bench.model import Selection
from xf2sdpa.bench.modules import operators_of


def measure(device: str) -> list[Selection]:
    """The operators of one call each: causal, no mask, a tensor mask, and 5-D input, which no fused kernel takes."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16

    def made(*sizes: int) -> Tensor:
        return torch.randn(3, *sizes, 64, device=device, dtype=dtype, requires_grad=True)

    def sdpa(qkv: Tensor, mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        return functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], mask, is_causal=is_causal)

    plain, grouped = made(2, 4, 256), made(2, 2, 2, 256)
    bias = torch.randn(2, 4, 256, 256, device=device, dtype=dtype)
    calls = {
        "causal": ("is_causal=True, 4-D", lambda: sdpa(plain, is_causal=True)),
        "no mask": ("no mask, 4-D", lambda: sdpa(plain)),
        "tensor mask": ("a float tensor mask, 4-D", lambda: sdpa(plain, bias)),
        "complex": ("5-D input", lambda: sdpa(grouped)),
    }
    return [Selection(name, f"{text}, {str(dtype)[6:]}", operators_of(call)) for name, (text, call) in calls.items()]
