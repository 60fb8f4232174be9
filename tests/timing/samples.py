"""A machine as a report describes it, made up: no figure that stands beside it was measured there."""

from __future__ import annotations

from xf2sdpa.timing.model import Environment

H200 = Environment(
    command="xf2sdpa verify . (made up)",
    date="2026-11-22T16:40:00+00:00",
    seed=0,
    python="3.12.7",
    torch="2.11.0+cu130",
    cuda="13.0",
    cudnn="9.19.0",
    device="NVIDIA H200",
    capability="9.0",
    driver="580.159",
    xformers="0.0.34",
    old_path="xformers 0.0.34 (FlashAttention-3)",
    precision="float32 matmul ieee",
)
