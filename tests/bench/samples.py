"""A run as a GPU might have given it, made up: no figure here was measured."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.timing.samples import H200
from xf2sdpa.bench.guide import judge
from xf2sdpa.bench.model import GUIDE_SHAPE, Ceiling, Entry, ModuleResult, Result, Selection, ShapeResult
from xf2sdpa.timing.model import Environment, Timing

GIGABYTE = 10**9

FORWARD = {
    "sdpa": 0.3,
    "sdpa_cudnn": 0.3,
    "sdpa_flash": 0.5,
    "sdpa_efficient": 1.1,
    "sdpa_math": 9.0,
    "xformers": 0.36,
    "xformers_fa2": 0.5,
    "xformers_cutlass": 1.1,
    "flash_attention_2": 0.5,
    "standard": 4.0,
    "inline": 0.3,
    "compat": 0.3,
}


def timing(forward: float, total: float | None = None, kernel: str = "") -> Timing:
    spread = None if total is None else 0.02
    return Timing("new", forward, 0.01, total, spread, peak_memory=10**8, first=50.0, kernel=kernel)


def environment(device: str = "NVIDIA H200", xformers: str | None = "0.0.34") -> Environment:
    old_path = f"xformers {xformers} (FlashAttention-3)" if xformers else "reference: xformers is not installed"
    return dataclasses.replace(H200, command="xf2sdpa bench", device=device, xformers=xformers, old_path=old_path)


def shape(name: str = GUIDE_SHAPE, without: tuple[str, ...] = (), **forward: float) -> ShapeResult:
    """All implementations at one shape; `forward` overrides milliseconds, `without` are not there."""
    times = FORWARD | forward
    kernels = {"sdpa": "cudnn: cudnn_sdpa_flash_fprop", "xformers": "FA3: flash::Sm90"}
    entries = tuple(
        Entry(key, f"label of {key}", reason="not there")
        if key in without
        else Entry(
            key,
            f"label of {key}",
            timing(time, 4 * time, kernels.get(key, "flash (FA2): flash_fwd")),
            int((5.1 if key in {"standard", "sdpa_math"} else 0.27) * GIGABYTE),
        )
        for key, time in times.items()
    )
    return ShapeResult(name, "q 32×1024×16×64, bfloat16", "a model", 1.37e11, 4.8e11, 268435456, 201326592, entries)


def module(name: str, forward: float, step: float, operators: str = "") -> ModuleResult:
    fused = "_scaled_dot_product_cudnn_attention"
    return ModuleResult(
        name,
        f"label of {name}",
        timing(forward),
        timing(step),
        operators or f"inference: {fused}; training: {fused}",
    )


def result(device: str = "NVIDIA H200", **parts: Any) -> Result:
    """A whole run, judged; `parts` replace some of its fields."""
    is_gpu = device != "cpu"
    made = Result(environment(device), is_gpu, budget=240.0, seconds=200.0)
    made.ceilings = [
        Ceiling("matmul bfloat16", "8192³ matrix product, bfloat16", 750.0),
        Ceiling("matmul float16", "8192³ matrix product, float16", 760.0),
        Ceiling("matmul tf32", "8192³ matrix product, tf32", 400.0),
        Ceiling("matmul float32", "8192³ matrix product, float32", 52.0),
        Ceiling("copy", "copy of 2 GiB", 4300.0),
    ]
    fused = "_scaled_dot_product_cudnn_attention"
    made.selections = [
        Selection("causal", "is_causal=True", fused),
        Selection("no mask", "no mask", fused),
        Selection("tensor mask", "a float tensor mask", fused),
        Selection("complex", "5-D input", "_scaled_dot_product_attention_math"),
    ]
    made.shapes = [shape(), shape("tiny", sdpa=0.05, inline=0.05, compat=0.07, xformers=0.2)]
    made.modules = [
        module("encoder bf16", 56.0, 200.0),
        module("encoder bf16, batch_first=False", 56.5, 201.0),
        module("encoder bf16, no cudnn.benchmark", 56.1, 200.5),
        module("encoder bf16 weights", 50.0, 180.0),
        module("encoder tf32", 144.0, 450.0),
        module("encoder fp32", 367.0, 1100.0),
        module("mha default", 5.0, 15.0, "inference: _native_multi_head_attention; training: none seen"),
        module("mha no weights", 1.0, 3.0),
        module("mha by hand", 1.0, 3.0),
    ]
    made.notes = ["TransformerEncoder: 24 layers"]
    for name, value in parts.items():
        setattr(made, name, value)
    made.outcomes = judge(made)
    return made
