"""The implementations of attention that are measured against each other; those not available say why.

Each takes query, key and value as xformers does, `[B, M, H, K]` (`[B, M, K]` for 3-D shapes), so that all start from
the same memory layout, that of a linear layer's result.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from xf2sdpa import compat, timing
from xf2sdpa.bench import workloads
from xf2sdpa.bench.model import BACKENDS, FLASH4
from xf2sdpa.bench.workloads import Workload
from xf2sdpa.judging.old_path import OldPath, find_old_path
from xf2sdpa.timing.pinning import pinned

Call = Callable[..., Any]

LARGEST_SCORES = 6 * 2**30
"""Bytes of float32 scores above which unfused implementations are not tried: they hold several such matrices."""

INLINE_MASKS = {"none", "LowerTriangularMask", "tensor"}


@dataclass(frozen=True)
class Candidate:
    """An implementation for one workload: a function of query, key and value, or the reason why it is not available."""

    name: str
    label: str
    call: Call | None = None
    reason: str = ""


LABELS = {
    "sdpa": "PyTorch SDPA (default)",
    **{name: f"SDPA {label}" for name, label in BACKENDS.items()},
    FLASH4: "SDPA FLASH by FlashAttention-4",
    "xformers": "xformers (default)",
    "xformers_fa2": "xformers FA2 (op=)",
    "xformers_cutlass": "xformers CUTLASS (op=)",
    "flash_attention_2": "Flash Attention 2",
    "standard": "standard attention, written out",
    "inline": "what the rewrite emits inline",
    "compat": "what the rewrite's helper runs",
}
"""All implementations with their labels, in the order of the tables."""


def find_old(device: str) -> OldPath:
    """xformers if it works on this device, else the reason; the plain reference is not measured in its place."""
    old = find_old_path()
    if device == "cpu" and old.version is not None:
        return dataclasses.replace(old, version=None, description="reference: xformers has no CPU kernels", module=None)
    return old


def candidates(work: Workload, old: OldPath, *, backward: bool) -> list[Candidate]:
    """All implementations for one workload, in the order of `LABELS`, each tried once.

    Args:
        work: shape, tensors and mask.
        old: xformers, or why it is not available.
        backward: whether gradients are computed as well.
    """
    sdpa = sdpa_of(work)
    by_backend = _pinned(work, sdpa, backward)
    found = [sdpa, *by_backend.values(), *_xformers(work, old), _flash_attention_2(work, by_backend["flash"])]
    found += [_standard(work), _inline(work, sdpa), _compat(work)]
    return [_tried(candidate, work, backward) for candidate in found]


def sdpa_of(work: Workload) -> Candidate:
    """SDPA as written by hand: inputs transposed to `[B, H, M, K]`, the result not transposed back."""
    label, kind = LABELS["sdpa"], work.row["mask"]
    if kind not in INLINE_MASKS:
        return Candidate("sdpa", label, reason=f"no one SDPA call says {kind}: the rewrite sends it to its helper")
    if len(work.row["heads"]) == 2:
        return Candidate("sdpa", label, reason="grouped heads (5-D): the rewrite sends them to its helper")
    options = _options(work)
    heads_first = _heads_first(work)

    def sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(
            heads_first(query), heads_first(key), heads_first(value), **options
        )

    return Candidate("sdpa", label, sdpa)


def _heads_first(work: Workload) -> Callable[[Tensor], Tensor]:
    if work.row["heads"]:
        return lambda x: x.transpose(1, 2)
    return lambda x: x.unsqueeze(1)


def _options(work: Workload) -> dict[str, Any]:
    if work.row["mask"] == "LowerTriangularMask":
        return {"is_causal": True}
    if work.mask is None:
        return {}
    return {"attn_mask": work.mask[:, :1, :1] if work.row.get("inline_only") else work.mask}


def _pinned(work: Workload, sdpa: Candidate, backward: bool) -> dict[str, Candidate]:
    """SDPA pinned to each backend."""
    call, too_large = sdpa.call, _too_large(work)
    taken = pinnable(call, work, backward=backward) if call else {}
    found = {}
    for key in BACKENDS:
        name = key.removeprefix("sdpa_")
        refused = f"does not take this call on {work.device} ({'forward and backward' if backward else 'forward'})"
        reason = sdpa.reason or (too_large if name == "math" and too_large else refused)
        found[name] = Candidate(key, LABELS[key], taken.get(name), "" if name in taken else reason)
    return found


def pinnable(call: Call, work: Workload, *, backward: bool) -> dict[str, Call]:
    """The call pinned to each SDPA backend that accepts it; to the unfused one only if its scores are not too large."""
    tried = _without_math(call) if _too_large(work) else call
    names = timing.backends(tried, work.leaves, backward=backward)
    return {name: functools.partial(pinned, name, call) for name in names}


def _without_math(call: Call) -> Call:
    """The call, raising RuntimeError where only the unfused backend is enabled."""

    def guarded(*leaves: Tensor) -> Any:
        fused = (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.mem_efficient_sdp_enabled)
        cudnn = getattr(torch.backends.cuda, "cudnn_sdp_enabled", bool)
        if not any(is_on() for is_on in (*fused, cudnn)):
            raise RuntimeError("too large for the unfused backend")
        return call(*leaves)

    return guarded


def _too_large(work: Workload) -> str:
    size = workloads.score_bytes(work.row)
    return f"its scores would take {size / 2**30:.0f} GiB in float32" if size > LARGEST_SCORES else ""


def _xformers(work: Workload, old: OldPath) -> list[Candidate]:
    """xformers with the kernel it chooses, and with one kernel family forced by `op=`."""
    parts = {name: (name, LABELS[name]) for name in ("xformers", "xformers_fa2", "xformers_cutlass")}
    fmha = old.module
    if fmha is None:
        reason = old.description.removeprefix("reference: ")
        return [Candidate(*part, reason=reason) for part in parts.values()]
    is_plain = work.mask is None or isinstance(work.mask, Tensor)
    bias = work.mask if is_plain else workloads.mask_of(work.row, fmha.attn_bias, work.device)

    def with_op(op: Any) -> Call:
        return lambda query, key, value: old.operator(query, key, value, bias, op=op)

    found = [Candidate(*parts["xformers"], with_op(None))]
    for name, module in (("xformers_fa2", "flash"), ("xformers_cutlass", "cutlass")):
        family = getattr(fmha, module, None)
        if family is None:
            found.append(Candidate(*parts[name], reason=f"this xformers has no fmha.{module}"))
        else:
            found.append(Candidate(*parts[name], with_op((family.FwOp, family.BwOp))))
    return found


def _flash_attention_2(work: Workload, torchs_own: Candidate) -> Candidate:
    """The `flash_attn` package if it is installed, else torch's own FlashAttention-2, labelled as such."""
    name, label = "flash_attention_2", LABELS["flash_attention_2"]
    try:
        package = importlib.import_module("flash_attn")
        attend = package.flash_attn_func
    except (ImportError, AttributeError, OSError):
        if work.device == "cpu":
            return Candidate(name, label, reason="neither flash_attn nor torch's own FlashAttention-2 runs on a CPU")
        return dataclasses.replace(torchs_own, name=name, label=f"{label} (torch's own, SDPA FLASH)")
    label = f"{label} (flash_attn {getattr(package, '__version__', '?')})"
    if len(work.row["heads"]) != 1 or work.row["mask"] not in {"none", "LowerTriangularMask"}:
        return Candidate(name, label, reason="flash_attn_func takes 4-D input without a tensor mask")
    causal = work.row["mask"] != "none"
    if causal and work.row["m"] != work.row["n"]:
        return Candidate(name, label, reason="its causal mask is bottom-right; this one is top-left")
    return Candidate(name, label, lambda query, key, value: attend(query, key, value, causal=causal))


def _standard(work: Workload) -> Candidate:
    """The textbook form, `softmax(query @ key.T * scale + bias) @ value`."""
    name, label = "standard", LABELS["standard"]
    kind, heads = work.row["mask"], work.row["heads"]
    if kind not in INLINE_MASKS or len(heads) == 2:
        return Candidate(name, label, reason=f"not written out for {kind if kind not in INLINE_MASKS else '5-D input'}")
    if too_large := _too_large(work):
        return Candidate(name, label, reason=too_large)
    bias = work.mask if isinstance(work.mask, Tensor) else None
    if kind == "LowerTriangularMask":
        query = work.leaves[0]
        closed = torch.ones(work.row["m"], work.row["n"], dtype=torch.bool, device=query.device).triu(1)
        bias = torch.zeros_like(closed, dtype=query.dtype).masked_fill_(closed, -torch.inf)
    heads_first = _heads_first(work)
    scale = work.row["k"] ** -0.5

    def standard(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = map(heads_first, (query, key, value))
        scores = query @ key.transpose(-2, -1) * scale
        if bias is not None:
            scores = scores + bias
        return torch.softmax(scores, dim=-1) @ value

    return Candidate(name, label, standard)


def _inline(work: Workload, sdpa: Candidate) -> Candidate:
    """SDPA with the transposes that the rewrite adds around it."""
    if sdpa.call is None:
        return Candidate("inline", LABELS["inline"], reason=sdpa.reason)
    call = sdpa.call
    if work.row["heads"]:
        return Candidate("inline", LABELS["inline"], lambda *leaves: call(*leaves).transpose(1, 2))
    return Candidate("inline", LABELS["inline"], lambda *leaves: call(*leaves).squeeze(1))


def _compat(work: Workload) -> Candidate:
    """The helper module's function."""
    if work.row.get("inline_only"):
        return Candidate("compat", LABELS["compat"], reason="takes the mask expanded, as xformers does")
    return Candidate(
        "compat",
        LABELS["compat"],
        lambda query, key, value: compat.memory_efficient_attention(query, key, value, work.mask),
    )


def _tried(candidate: Candidate, work: Workload, backward: bool) -> Candidate:
    """The candidate after one call, or with the reason why that call failed."""
    if candidate.call is None:
        return candidate
    try:
        inputs = [leaf.detach().requires_grad_(backward) for leaf in work.leaves]
        out = candidate.call(*inputs)
        if backward:
            torch.autograd.grad(out, inputs, torch.ones_like(out))
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:  # no kernel, or out of memory
        return Candidate(candidate.name, candidate.label, reason=_first_line(error))
    return candidate


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
