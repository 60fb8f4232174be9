"""Attention by torch on heads-first tensors, each time in the best form that the running torch has.

Everything here takes query, key and value as `[B, H, M, K]`, `[B, G, N, K]`, `[B, G, N, Kv]` and returns
`[B, H, M, Kv]`. G is H or divides H: then H / G neighbouring query heads share a key head.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
_HALF = (torch.float16, torch.bfloat16)


def _no_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Switches autocast off: it would cast SDPA's inputs, but xformers computes in the given dtype."""
    if device_type == "meta":  # unknown to autocast; asking raises
        return nullcontext()
    if _TORCH >= (2, 4):
        on = torch.is_autocast_enabled(device_type)
    else:
        on = torch.is_autocast_cpu_enabled() if device_type == "cpu" else torch.is_autocast_enabled()
    return torch.autocast(device_type, enabled=False) if on else nullcontext()


def _without_cudnn() -> AbstractContextManager[Any]:
    """Restricts SDPA to FLASH, EFFICIENT and MATH, excluding cuDNN, which torch has since 2.5.

    FLASH refuses all masks, so a masked call gets EFFICIENT, the kernel that xformers uses for it.
    """
    if _TORCH < (2, 5):
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: PLC0415 - missing before torch 2.3

    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def _is_hopper(device: torch.device) -> bool:
    """Whether `device` is an H100, H200 or another GPU of compute capability 9.x."""
    return bool(torch.version.cuda) and torch.cuda.get_device_properties(device).major == 9


def _cudnn_gradient_is_nan(query: Tensor, key: Tensor, is_causal: bool) -> bool:
    """Whether cuDNN, the default on Hopper from torch 2.11, may return NaN as the query's gradient.

    Seen on H100 and H200 for key length % 128 == 64, with all query lengths, head sizes up to 256, and any mask
    or none, if exp(-lse) of a row times its upstream gradient overflows the dtype: with a gradient near 1, for
    lse below -88 in bfloat16 or -12 in float16; with a loss scaler, for higher lse too. Never with `is_causal`,
    and never in the gradients of key and value (pytorch#196678).
    """
    return (
        query.is_cuda
        and key.shape[-2] % 128 == 64
        and not is_causal
        and query.dtype in _HALF
        and torch.is_grad_enabled()
        and query.requires_grad
        and _is_hopper(query.device)
    )


def _fits_flash(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether torch's flash kernel accepts these: NVIDIA from 8.0 on, half, head sizes 8, 16 … 256."""
    return (
        q.is_cuda
        and q.dtype in _HALF
        and q.shape[-1] == v.shape[-1] <= 256
        and q.shape[-1] % 8 == 0
        and all(x.stride(-1) == 1 for x in (q, k, v))
        and bool(torch.version.cuda)
        and torch.cuda.get_device_properties(q.device).major >= 8
    )


def _takes_groups(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> bool:
    """Whether a fused kernel accepts fewer key heads than query heads; flash does, with `enable_gqa`."""
    square = q.shape[-2] == k.shape[-2] or not is_causal
    return _TORCH >= (2, 5) and mask is None and square and (not q.is_cuda or _fits_flash(q, k, v))


def _spread(x: Tensor, heads: int) -> Tensor:
    """Key or value `[B, G, N, K]` repeated to `heads` heads."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1)


def _sdpa(
    q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None, mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """Dense attention; `mask` is added to the scaled scores and broadcasts to `[B, H, M, N]`.

    Avoids cuDNN where its gradient may be NaN.
    """
    options: dict[str, Any] = {}
    closed = None
    if mask is not None and _TORCH < (2, 5):  # gives NaN for a row whose keys are all masked, and as its gradient
        closed = mask.isneginf().all(-1, keepdim=True)
        mask = mask.masked_fill(closed, 0.0)
    if k.shape[1] != q.shape[1]:
        if _takes_groups(q, k, v, mask, is_causal):
            options["enable_gqa"] = True
        else:
            k, v = _spread(k, q.shape[1]), _spread(v, q.shape[1])
    if scale is not None:
        if _TORCH >= (2, 1):
            options["scale"] = scale
        else:
            q = q * (scale * q.shape[-1] ** 0.5)
    with _without_cudnn() if _cudnn_gradient_is_nan(q, k, is_causal) else nullcontext():
        # By keyword: a program may have replaced this function by one with another order of arguments.
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p, is_causal=is_causal, **options)
    if out is None:  # cuDNN's result for an empty batch; testing its size would make torch.compile specialise on it
        return q @ _spread(k, q.shape[1]).transpose(-2, -1) @ _spread(v, q.shape[1])
    return out if closed is None else out.masked_fill(closed, 0.0)


class _Band(NamedTuple):
    """Query i sees keys j with i + s - left <= j <= i + s + right, where -1 means no limit.

    s is 0 if `top_left`, else N - M, which aligns the last query with the last key, as in flash attention.
    """

    left: int = -1
    right: int = -1
    top_left: bool = False


def _binding(band: _Band, m: int, n: int) -> _Band:
    """`band` without limits that have no effect for M queries and N keys."""
    rows, columns = (m, n) if band.top_left else (n, m)
    left = -1 if band.left >= rows - 1 else band.left
    right = -1 if band.right >= columns - 1 else band.right
    return _Band(left, right, band.top_left and m != n)


def _band_mask(m: int, n: int, band: _Band, dtype: torch.dtype, device: str | torch.device | None = None) -> Tensor:
    """`[M, N]`: 0 where a query sees a key, -inf elsewhere.

    Not bool: cuDNN ignores a bool mask in a row where it hides all keys; with -inf such a row gives 0, as in
    xformers.
    """
    shift = 0 if band.top_left else n - m
    seen = torch.ones(m, n, dtype=torch.bool, device=device)
    if band.right >= 0:
        seen = seen.tril(shift + band.right)
    if band.left >= 0:
        seen = seen.triu(shift - band.left)
    return torch.zeros(m, n, dtype=dtype, device=device).masked_fill_(~seen, float("-inf"))


def _banded(q: Tensor, k: Tensor, v: Tensor, band: _Band, p: float, scale: float | None) -> Tensor:
    """Dense attention within a band: without a mask if a kernel supports the band, else with one."""
    m, n = q.shape[-2], k.shape[-2]
    band = _binding(band, m, n)
    if band.left < 0:
        if band.right < 0:
            return _sdpa(q, k, v, p, scale)
        if band.right == 0 and (band.top_left or m == n):
            return _sdpa(q, k, v, p, scale, is_causal=True)
        if band.right == 0 and m < n and _takes_lower_right(q):
            return _lower_right(q, k, v, p, scale)
    if not band.top_left and 0 not in (*q.shape, n) and _fits_flash(q, k, v) and _flash_operator():
        query, key, value = (x.transpose(1, 2) for x in (q, k, v))
        return _flash(query, key, value, (None, None), (m, n), band, p, scale).transpose(1, 2)
    return _sdpa(q, k, v, p, scale, _band_mask(m, n, band, q.dtype, q.device))


_FLASH_ARGUMENTS = (
    "query key value cum_seq_q cum_seq_k max_q max_k dropout_p is_causal return_debug_mask "
    "scale window_size_left window_size_right seqused_k"
)


@functools.lru_cache(maxsize=1)
def _flash_operator() -> Any:
    """The operator that SDPA's FLASH and `varlen_attn` call, if its arguments are those of torch 2.4 to 2.15.

    Called directly, as SDPA cannot pass it a window, and `varlen_attn`, a Python operator, takes 0.36 ms per call
    for a kernel of 0.19 ms on an H200.
    """
    function = getattr(torch.ops.aten, "_flash_attention_forward", None)
    names = [] if function is None else [argument.name for argument in function.default._schema.arguments]
    return function if " ".join(names).startswith(_FLASH_ARGUMENTS) else None


def _flash(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    starts: tuple[Tensor | None, Tensor | None],
    longest: tuple[int, int],
    band: _Band,
    p: float,
    scale: float | None,
    used: Tensor | None = None,
) -> Tensor:
    """Flash attention within a bottom-right band: `[B, M, H, K]`, or packed `[T, H, K]` with its `starts`.

    `used` (int32): how many keys of each packed sequence are in use; not with gradients. Without `used`, key heads
    are repeated, as the operator's gradient needs as many as query heads.
    """
    options: dict[str, Any] = {"scale": scale, "window_size_left": band.left, "window_size_right": band.right}
    if used is not None:
        options["seqused_k"] = used
    elif k.shape[-2] != q.shape[-2]:
        k, v = (x.repeat_interleave(q.shape[-2] // x.shape[-2], -2) for x in (k, v))
    out: Tensor = _flash_operator()(q, k, v, *starts, *longest, p, False, False, **options)[0]
    return out


def _takes_lower_right(q: Tensor) -> bool:
    """Whether `causal_lower_right` gets a fused kernel: on CUDA, from torch 2.3, not in torch.compile, not empty.

    And only if SDPA is torch's own, as a replacement would not understand the mask object.
    """
    return (
        q.is_cuda
        and _TORCH >= (2, 3)
        and not torch.compiler.is_compiling()
        and q.shape[0] > 0
        and F.scaled_dot_product_attention is torch._C._nn.scaled_dot_product_attention
    )


def _lower_right(q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
    """Causal attention of fewer queries than keys, the last query aligned with the last key."""
    k, v = _spread(k, q.shape[1]), _spread(v, q.shape[1])
    bias = importlib.import_module("torch.nn.attention.bias").causal_lower_right(q.shape[-2], k.shape[-2])
    return F.scaled_dot_product_attention(q, k, v, bias, p, scale=scale)


@functools.lru_cache(maxsize=1)
def _varlen_attn() -> tuple[Any, frozenset[str]]:
    """Torch's attention on packed sequences, and its arguments' names; before torch 2.10, None and no names.

    2.10 has `is_causal`; 2.11 replaces it by `scale` and `window_size`; 2.12 to 2.15 have `enable_gqa` too.
    Imported only when needed, as its module loads torch.compile, which takes about 2 s.
    """
    try:
        function = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    except (ImportError, AttributeError):
        return None, frozenset()
    return function, frozenset(inspect.signature(function).parameters)


def _varlen_options(band: _Band, scale: float | None) -> dict[str, Any] | None:
    """The arguments with which `varlen_attn` computes a bottom-right band; None if it cannot."""
    function, names = _varlen_attn()
    options: dict[str, Any] = {} if scale is None else {"scale": scale}
    if band.left < 0 and band.right == 0 and "is_causal" in names:
        options["is_causal"] = True
    elif band.left >= 0 or band.right >= 0:
        options["window_size"] = (band.left, band.right)
    return options if function is not None and names.issuperset(options) else None


def _packed(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    starts: tuple[Tensor, Tensor],
    longest: tuple[int, int],
    band: _Band,
    p: float,
    scale: float | None,
    used: Tensor | None = None,
) -> Tensor | None:
    """Attention within packed sequences `[T, H, K]`, which begin at `starts` (int32 `[sequences + 1]`).

    `used` (int32): how many keys of each are in use; not with gradients.
    Returns None if flash attention cannot compute it, as for a top-left band, with dropout, or with a scale that
    is not positive.
    """
    if band.top_left or p > 0.0 or (scale is not None and scale <= 0.0) or 0 in (*q.shape, *k.shape):
        return None
    if not _fits_flash(q, k, v):
        return None
    if _flash_operator():
        return _flash(q, k, v, starts, longest, band, p, scale, used)
    options, (function, names) = _varlen_options(band, scale), _varlen_attn()
    if options is None or used is not None:
        return None
    if k.shape[1] != q.shape[1] and "enable_gqa" in names:
        options["enable_gqa"] = True
    elif k.shape[1] != q.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    out: Tensor = function(q, k, v, *starts, *longest, **options)
    return out
