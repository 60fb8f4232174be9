"""The entry points of `xformers.ops`: `memory_efficient_attention` and its forward-only variants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.compat.kernels import _left_out, _no_autocast, _sdpa
from xf2sdpa.compat.packed_masks import _as_bias


def memory_efficient_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_bias: Any = None, p: float = 0.0, scale: float | None = None,
    *, op: Any = None, output_dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """`softmax(scale * query @ key.T + attn_bias) @ value` per head, as in `xformers.ops`.

    Shapes: query `[B, M, H, K]`, key `[B, N, H, K]`, value `[B, N, H, Kv]`; or `[B, M, K]` for one head;
    or `[B, M, G, H, K]` for grouped queries. Returns `[*query.shape[:-1], Kv]`, contiguous, in query's dtype,
    also under autocast.

    attn_bias: None, a mask object, or a tensor of query's dtype that is added to the scaled scores: `[B, H, M, N]`
    (for 3-D `[B, M, N]`, for 5-D `[B, G, H, M, N]`), or, as in older versions, `[M, N]` or `[B * H, M, N]`.
    p: dropout probability, applied in eval mode too. scale: K ** -0.5 by default. op: accepted, not used.
    output_dtype: ignored if an input requires a gradient, as in xformers.

    Raises ValueError for shapes, dtypes or devices that do not match, TypeError for a bool or unknown mask.
    """
    out = _attention(query, key, value, attn_bias, p, scale)
    trains = query.requires_grad or key.requires_grad or value.requires_grad
    return out if output_dtype is None or trains else out.to(output_dtype)


def memory_efficient_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, attn_bias: Any = None, p: float = 0.0, scale: float | None = None,
    *, op: Any = None, output_dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """`memory_efficient_attention` without a graph: no gradient flows through the result."""
    with torch.no_grad():
        out = _attention(query, key, value, attn_bias, p, scale)
    return out if output_dtype is None else out.to(output_dtype)


def memory_efficient_attention_forward_requires_grad(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Any = None,
    p: float = 0.0,
    scale: float | None = None,
    *,
    op: Any = None,
    output_dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """`memory_efficient_attention_forward` and the row log-sum-exp of the biased scores.

    The latter is float32 (float64 for float64), natural logarithm, `[B, H, M]` (for 5-D `[B, G, H, M]`);
    unlike xformers' CUTLASS, M is not padded to a multiple of 32. It is computed separately, in chunks, which
    costs a second Q @ K.T. Raises NotImplementedError with dropout.
    """
    if p != 0.0:
        raise NotImplementedError("dropout is not supported on the non-autograd API")
    out = memory_efficient_attention_forward(query, key, value, attn_bias, p, scale, op=op, output_dtype=output_dtype)
    return out, _logsumexp(query, key, attn_bias, scale)


def _attention(query: Tensor, key: Tensor, value: Tensor, attn_bias: Any, p: float, scale: float | None) -> Tensor:
    _check_inputs(query, key, value, p)
    key, value = _grouped(query, key, value)  # for shared_key_heads
    with _no_autocast(query.device.type):
        out = _biased(query, key, value, attn_bias, p, scale)
    return out.transpose(1, 2).contiguous().view(*query.shape[:-1], value.shape[-1])


def _biased(query: Tensor, key: Tensor, value: Tensor, attn_bias: Any, p: float, scale: float | None) -> Tensor:
    """Attention under a tensor, a mask object or nothing; a copy of this module may lack the first two."""
    q, k, v = _heads_first(query), _heads_first(key), _heads_first(value)
    if attn_bias is None:
        return _sdpa(q, k, v, p, scale)
    if _is_tensor(attn_bias):  # for tensor_masks
        return _sdpa(q, k, v, p, scale, _as_mask(attn_bias, query, key, value))
    attn_bias = _as_bias(attn_bias, query)  # for AttentionBias
    attend: Callable[..., Tensor] = getattr(attn_bias, "_attend", _left_out)
    return attend(q, k, v, p, scale)


def _check_inputs(query: Tensor, key: Tensor, value: Tensor, p: float) -> None:
    """Check as xformers does: one rank (3 to 5), device and dtype; equal batch and heads, not broadcast."""
    q, k, v = query.shape, key.shape, value.shape
    if len(q) not in (3, 4, 5) or len(k) != len(q) or len(v) != len(q):
        raise ValueError(f"Query/Key/Value should all have BMGHK, BMHK or BMK shape: {q}, {k}, {v}")
    if key.device != query.device or value.device != query.device:
        raise ValueError("Query/Key/Value should all be on the same device")
    if key.dtype == value.dtype == torch.int32:
        raise NotImplementedError("quantised key/value caches (int32) are not supported")
    if key.dtype != query.dtype or value.dtype != query.dtype:
        raise ValueError(f"Query/Key/Value should have one dtype: {query.dtype}, {key.dtype}, {value.dtype}")
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"Invalid dropout probability: p={p}")
    if k[:-1] != v[:-1] or (k[0], k[2:]) != (q[0], q[2:]):
        raise ValueError(f"Incompatible shapes (use `expand` to broadcast): {q}, {k}, {v}")


def _grouped(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """5-D keys and values that were expanded over H, reduced to one per group: SDPA shares them without a copy.

    Not with gradients, which would not reach the expanded tensor; xformers supports 5-D only in inference.
    """
    trains = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    if query.ndim != 5 or trains or key.stride(3) or value.stride(3):
        return key, value
    return key[:, :, :, :1], value[:, :, :, :1]


def _heads_first(x: Tensor) -> Tensor:
    """`[B, M, K]`, `[B, M, H, K]` or `[B, M, G, H, K]` as `[B, G * H, M, K]`, as fused kernels need 4-D."""
    x = x.unsqueeze(2) if x.ndim == 3 else x.flatten(2, -2)
    return x.transpose(1, 2)


def _is_tensor(attn_bias: Any) -> bool:
    """Whether the bias is a plain tensor: in xformers 0.0.27 to 0.0.31 the causal masks were tensors too."""
    return isinstance(attn_bias, Tensor) and (type(attn_bias) is Tensor or not hasattr(attn_bias, "materialize"))


def _as_mask(attn_bias: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """A bias tensor as a mask that broadcasts to `[B, H, M, N]` as in xformers.

    SDPA itself would take the batch of a 3-D mask for the heads, without an error if B is 1 or H.
    """
    if attn_bias.dtype == torch.bool:
        raise TypeError("a bool attn_bias is not supported, as in xformers: use 0 and -inf in query's dtype")
    if attn_bias.dtype != query.dtype:
        raise RuntimeError(f"invalid dtype for bias - should match query's dtype: {attn_bias.dtype}, {query.dtype}")
    batch, heads, rows = query.shape[0], tuple(query.shape[2:-1]), (query.shape[1], key.shape[1])
    if not (query.requires_grad or key.requires_grad or value.requires_grad):
        attn_bias = attn_bias.detach()  # as in xformers; its gradient alone reads out of bounds in torch <= 2.13, CUDA
    shape = tuple(attn_bias.shape)
    if shape == (batch, *heads, *rows):
        return attn_bias.reshape(batch, math.prod(heads), *rows)
    if shape == rows and len(heads) < 2:
        return attn_bias
    if len(heads) == 1 and shape == (batch * heads[0], *rows):
        return attn_bias.reshape(batch, heads[0], *rows)
    raise ValueError(f"Invalid shape for attention bias: {shape} (expected {(batch, *heads, *rows)})")


_CHUNK = 2**26  # how many scores `_logsumexp` holds at a time


def _logsumexp(query: Tensor, key: Tensor, attn_bias: Any, scale: float | None) -> Tensor:
    """Row log-sum-exp of the biased scores, `[B, *heads, M]`, some query rows at a time."""
    exact = torch.promote_types(query.dtype, torch.float32)
    with torch.no_grad(), _no_autocast(query.device.type):
        q, k = (_heads_first(x).to(exact) for x in (query, key))
        q = q * (query.shape[-1] ** -0.5 if scale is None else scale)
        batch, heads, m, n = *q.shape[:-1], k.shape[-2]
        mask = q.new_zeros(1, 1)
        if attn_bias is not None and _is_tensor(attn_bias):
            mask = _as_mask(attn_bias, query, key, key).to(exact)
        elif attn_bias is not None:
            mask = _as_bias(attn_bias, query).materialize((1, 1, m, n), exact, query.device).flatten(1, -3)
        mask = mask.expand(batch, heads, m, n)
        lse = q.new_empty(batch, heads, m)
        step = max(1, _CHUNK // max(1, batch * heads * n))
        for start in range(0, m, step):
            rows = slice(start, start + step)
            bias = mask[:, :, rows]
            scores = q[:, :, rows] @ k.transpose(-2, -1) + bias
            scores.masked_fill_(bias.isneginf(), float("-inf"))  # unused slots may contain NaN keys
            lse[:, :, rows] = scores.logsumexp(-1)
        return lse.view(batch, *(query.shape[2:-1] or (1,)), m)


class AttentionOpBase:
    """The name of an xformers kernel, for `op=`, annotations and `isinstance`. Torch chooses its own kernels."""

    NAME = ""


class AttentionFwOpBase(AttentionOpBase):
    """Forward half of an `AttentionOp`."""


class AttentionBwOpBase(AttentionOpBase):
    """Backward half of an `AttentionOp`."""


AttentionOp = tuple[Any, Any]  # a forward and a backward class, or None for either
MemoryEfficientAttentionOp = AttentionOp
MemoryEfficientAttentionCutlassOp = (AttentionFwOpBase, AttentionBwOpBase)
MemoryEfficientAttentionCutlassFwdFlashBwOp = (AttentionFwOpBase, AttentionBwOpBase)
MemoryEfficientAttentionFlashAttentionOp = (AttentionFwOpBase, AttentionBwOpBase)
MemoryEfficientAttentionTritonFwdFlashBwOp = (AttentionFwOpBase, AttentionBwOpBase)
TritonFlashAttentionOp = (AttentionFwOpBase, AttentionBwOpBase)
MemoryEfficientAttentionCkOp = (AttentionFwOpBase, AttentionBwOpBase)
MemoryEfficientAttentionSplitKCkOp = (AttentionFwOpBase, AttentionBwOpBase)
