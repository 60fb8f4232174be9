"""Which kernel a call really runs, by the profiler, and the family of that kernel."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

FAMILIES = (
    ("cudnn", re.compile(r"cudnn.*sdpa|cudnn.*(fprop|bprop).*attention", re.IGNORECASE)),
    ("FA3", re.compile(r"\bflash::.*Sm90|FlashAttn(Fwd|Bwd)Sm90")),
    ("flash (FA2)", re.compile(r"\b(pytorch_)?flash::|flash_(fwd|bwd)_")),
    (
        "efficient (CUTLASS)",
        re.compile(r"fmha_cutlass|PyTorchMemEffAttention|AttentionKernel<|AttentionBackwardKernel<"),
    ),
    ("flex", re.compile(r"triton_(tem|per)_.*(flex_attention|attention)")),
    ("split-K", re.compile(r"_fwd_kernel_splitK|_splitK_")),
)
"""Kernel families and patterns of their kernels' names; the first that matches counts. As seen on an H200 with torch
2.11 and xformers 0.0.34 and 0.0.35 (`benchmarks/results`); flex and split-K by their source code."""

_PACKED_ARGUMENT = {"aten::_flash_attention_forward": 3, "aten::_efficient_attention_forward": 4}
"""Operators that take packed sequences, and the position of their sequence offsets; kernel names do not show it."""

_LONGEST_NAME = 120

_autograd: Any = torch.autograd
"""As Any, since parts of it are not annotated."""


@dataclass(frozen=True)
class Kernel:
    """What a call ran on the GPU.

    Attributes:
        family: `cudnn`, `flash (FA2)`, `FA3`, `efficient (CUTLASS)`, …, with `, varlen` for packed sequences; `math`
            if the softmax is a kernel of its own; else `other`; empty if the profiler saw nothing.
        name: name of the attention kernel that took most of the time; without one, of the longest kernel.
        milliseconds: time of all kernels together, per call.
        share: the share of this family's kernels in that time; for `math` and `other`, of the longest kernel.
        reason: why the profiler saw nothing.
    """

    family: str = ""
    name: str = ""
    milliseconds: float = 0.0
    share: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        if not self.family:
            return ""
        rest = "" if self.share > 0.5 else f" ({self.share:.0%} of the time in kernels)"
        return f"{self.family}: {self.name[:_LONGEST_NAME]}{rest}"


def kernel_of(call: Callable[[], Any]) -> str:
    """Family and name of the attention kernel that `call()` runs; empty where `profiled` gives a reason."""
    return str(profiled(call))


def profiled(call: Callable[[], Any], calls: int = 3) -> Kernel:
    """The attention kernel that `call()` runs, from `calls` calls after one unprofiled warm-up call.

    Without a GPU, or where the profiler sees nothing (it is in use, or may not read the GPU's activity), the family
    is empty and `reason` says why. Raises whatever the call raises.
    """
    if not torch.cuda.is_available():
        return Kernel(reason="no GPU: the CPU has no kernels to tell apart")
    if _autograd._profiler_enabled():
        return Kernel(reason="the program is being profiled already")
    call()
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities, record_shapes=True) as profiler:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
    return _summary(*_seen(profiler), calls)


def family_of(name: str) -> str:
    """The family of a kernel by its name; empty if it is not an attention kernel."""
    return next((family for family, pattern in FAMILIES if pattern.search(name)), "")


def _seen(profiler: Any) -> tuple[dict[str, float], bool]:
    """Microseconds per kernel name, and whether an operator on packed sequences ran."""
    times: dict[str, float] = {}
    packed = False
    for event in profiler.events():
        if event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False):
            times[event.name] = times.get(event.name, 0.0) + _device_time(event)
        else:
            packed |= _is_packed(event)
    return times, packed


def _is_packed(event: Any) -> bool:
    place = _PACKED_ARGUMENT.get(event.name)
    shapes = event.input_shapes or []
    return "varlen" in event.name or (place is not None and len(shapes) > place and bool(shapes[place]))


def _device_time(event: Any) -> float:
    """Microseconds of an event on the device; the attribute is called `self_cuda_…` in torch before 2.4."""
    return float(
        event.self_device_time_total if hasattr(event, "self_device_time_total") else event.self_cuda_time_total
    )


def _summary(times: dict[str, float], packed: bool, calls: int) -> Kernel:
    total = sum(times.values())
    if not total:
        return Kernel(reason="the profiler saw no kernel on the GPU")
    families: dict[str, float] = {}
    for name, spent in times.items():
        if family := family_of(name):
            families[family] = families.get(family, 0.0) + spent
    if families:
        family = max(families, key=lambda key: families[key])
        name = max((n for n in times if family_of(n) == family), key=lambda n: times[n])
        share = families[family] / total
        family += ", varlen" if packed else ""
    else:
        name = max(times, key=lambda n: times[n])
        family = "math" if any("softmax" in n.lower() for n in times) else "other"
        share = times[name] / total
    return Kernel(family, name, total / 1e3 / calls, share)
