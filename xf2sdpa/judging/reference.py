"""xformers' attention in plain torch: the old path where xformers does not work.

Differentiable; half inputs are computed in float32; whole `[M, N]` scores are held in memory, so inputs must be small.
Masks are made by their own `materialize`, xformers' or that of `xf2sdpa.compat`. No rewrite rule uses this module; it
is checked against xformers' kernels on a GPU, and against `tests/oracle.py` on the CPU.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.judging.calls import PARTIAL, VARIANTS, WITH_LSE, Call, operator_of

HALF = (torch.float16, torch.bfloat16)


def attend(call: Call) -> Any:
    """Answer a call as xformers 0.0.35 would: out `[*query.shape[:-1], Kv]`, contiguous; some variants with the lse.

    Whatever autocast's state, the result has the query's dtype. Dropout applies in eval mode too; a row whose keys are
    all masked gives 0. What xformers refuses raises ValueError, TypeError, RuntimeError or NotImplementedError.
    """
    _check(call)
    gradients = contextlib.nullcontext() if call.trains else torch.no_grad()
    with gradients, torch.autocast(call.query.device.type, enabled=False):
        out, lse = _softmax_attention(call)
        out = out.to(call.query.dtype)
        if call.output_dtype is not None and not call.trains:
            out = out.to(call.output_dtype)
        elif call.variant == PARTIAL:
            out = out.to(torch.promote_types(call.query.dtype, torch.float32))
    return (out, lse) if call.gives_lse else out


def _check(call: Call) -> None:
    tensors = (call.query, call.key, call.value)
    if call.query.ndim not in {3, 4, 5} or len({x.ndim for x in tensors}) > 1:
        raise ValueError(f"query, key, value should all be BMK, BMHK or BMGHK: {[tuple(x.shape) for x in tensors]}")
    if len({x.dtype for x in tensors}) > 1 or len({x.device for x in tensors}) > 1:
        raise ValueError(f"query, key, value should have one dtype and device: {[x.dtype for x in tensors]}")
    fixed = {(x.shape[0], *x.shape[2:-1]) for x in tensors}
    if len(fixed) > 1 or call.key.shape[1] != call.value.shape[1] or call.query.shape[-1] != call.key.shape[-1]:
        raise ValueError(f"incompatible shapes, use `expand`: {[tuple(x.shape) for x in tensors]}")
    if not 0.0 <= call.p <= 1.0:
        raise ValueError(f"invalid dropout probability: {call.p}")
    if call.p and call.variant in {WITH_LSE, PARTIAL}:
        raise NotImplementedError("dropout is not supported on the non-autograd API")
    if isinstance(call.attn_bias, Tensor):
        _check_tensor_bias(call, call.attn_bias)
    elif call.query.ndim == 3 and call.attn_bias is not None and type(call.attn_bias).__name__ != "LowerTriangularMask":
        raise ValueError(f"inputs should be BMHK for the bias type {type(call.attn_bias).__name__}")


def _check_tensor_bias(call: Call, bias: Tensor) -> None:
    if not bias.dtype.is_floating_point:
        raise TypeError("attn_bias must have a floating point dtype")
    if bias.dtype != call.query.dtype:
        raise RuntimeError(f"attn_bias has dtype {bias.dtype}, query has {call.query.dtype}")
    if tuple(bias.shape) != _scores_shape(call):
        raise ValueError(f"attn_bias has shape {tuple(bias.shape)}, expected {_scores_shape(call)}")


def _scores_shape(call: Call) -> tuple[int, ...]:
    """`[B, *heads, M, N]`."""
    batch, queries, *heads, _ = call.query.shape
    return (batch, *heads, queries, call.key.shape[1])


def _softmax_attention(call: Call) -> tuple[Tensor, Tensor]:
    dtype = torch.float32 if call.query.dtype in HALF else call.query.dtype
    query, key, value = (x.to(dtype).movedim(1, -2) for x in (call.query, call.key, call.value))
    scores = query @ key.transpose(-2, -1) * (call.query.shape[-1] ** -0.5 if call.scale is None else call.scale)
    if call.attn_bias is not None:
        scores = scores + bias_tensor(call.attn_bias, tuple(scores.shape), dtype, scores.device)
    closed = (scores == -math.inf).all(-1, keepdim=True)
    weights = scores.masked_fill(closed, 0.0).softmax(-1).masked_fill(closed, 0.0)
    if call.p:
        weights = torch.dropout(weights, call.p, train=True)
    return (weights @ value).movedim(-2, 1).contiguous(), scores.logsumexp(-1)


def bias_tensor(attn_bias: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The tensor that a bias adds to scores of `shape` `[B, *heads, M, N]`: itself, or what its `materialize` returns.

    The causal masks of xformers 0.0.27 to 0.0.31 are tensors that have `materialize` too.
    """
    if hasattr(attn_bias, "materialize"):
        dense: Tensor = attn_bias.materialize(shape, dtype=dtype, device=device)
        return dense
    if not isinstance(attn_bias, Tensor):
        raise TypeError(f"unknown attn_bias: {type(attn_bias).__name__}")
    return attn_bias.to(dtype)


OPERATORS = {variant: operator_of(variant, attend) for variant in VARIANTS}
"""The operators by name, with xformers' signatures."""
