"""Attention by torch on heads-first tensors, each time in the best form that the running torch has.

Everything here takes query, key and value as `[B, H, M, K]`, `[B, G, N, K]`, `[B, G, N, Kv]` and returns
`[B, H, M, Kv]`. G is H or divides H: then H / G neighbouring query heads share a key head.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
_CUDNN: int = torch.backends.cudnn.version() or 0  # type: ignore[no-untyped-call]  # 92600 for 9.26
_HALF = (torch.float16, torch.bfloat16)


def _left_out(*given: Any, **options: Any) -> Any:
    """Stands for what a copy of this module lacks, as nothing in the project used it. Raises TypeError."""
    raise TypeError("this helper was made without that: run `xf2sdpa rewrite .` over the project that now uses it")


def _no_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Switches autocast off: it would cast SDPA's inputs, but xformers computes in the given dtype."""
    # Asking about "meta" raises, and before torch 2.4 only CUDA can be asked about.
    if device_type != "meta" and (_TORCH < (2, 4) or torch.is_autocast_enabled(device_type)):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


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


def _guard(query: Tensor, key: Tensor, is_causal: bool) -> AbstractContextManager[Any]:
    """Keeps off cuDNN where that, the default on Hopper from torch 2.11, may return NaN as the query's gradient.

    Seen on H100 and H200 with cuDNN 9.19 for key length % 128 == 64, with all query lengths, head sizes up to 256,
    and any mask or none, if exp(-lse) of a row times its upstream gradient overflows the dtype: with a gradient near
    1, for lse below -88 in bfloat16 or -12 in float16; with a loss scaler, for higher lse too. Never with
    `is_causal`, never in the gradients of key and value (pytorch#196678), not with cuDNN 9.26, which torch 2.15 has.
    """
    trains = torch.is_grad_enabled() and query.requires_grad
    cudnn = query.is_cuda and query.dtype in _HALF and _CUDNN < 92600
    nan = cudnn and trains and not is_causal and key.shape[-2] % 128 == 64 and _is_hopper(query.device)
    return _without_cudnn() if nan else nullcontext()


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`torch.nn.functional.scaled_dot_product_attention`, but not by cuDNN where its gradient may be NaN.

    That is on Hopper with cuDNN before 9.26, in half precision, with a gradient wanted for the query, not causal, and
    a key length of 64 more than a multiple of 128 (pytorch#196678). Elsewhere torch chooses, at no cost. From torch
    2.15 on the two do the same: import torch's own then.
    """
    # Only what was given, by keyword: a program may have replaced the function by one with other arguments.
    options: dict[str, Any] = {} if scale is None else {"scale": scale}
    if enable_gqa:
        options["enable_gqa"] = True
    options["attn_mask"], options["dropout_p"], options["is_causal"] = attn_mask, dropout_p, is_causal
    with _guard(query, key, is_causal):
        return F.scaled_dot_product_attention(query, key, value, **options)


def _fits_flash(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether torch's flash kernel accepts these: NVIDIA from 8.0 on, half, head sizes 8, 16 … 256."""
    fits = q.dtype in _HALF and q.shape[-1] == v.shape[-1] <= 256 and q.shape[-1] % 8 == 0
    fits = fits and q.is_cuda and bool(torch.version.cuda) and all(x.stride(-1) == 1 for x in (q, k, v))
    return fits and torch.cuda.get_device_properties(q.device).major >= 8


def _takes_groups(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> bool:
    """Whether no kernel that SDPA may choose needs as many key heads as query heads.

    From torch 2.14 all take `enable_gqa`; from 2.5 flash does, which gets no mask, and no causal rectangle.
    """
    square = q.shape[-2] == k.shape[-2] or not is_causal
    flash = mask is None and square and (not q.is_cuda or _fits_flash(q, k, v))
    return _TORCH >= (2, 14) or (_TORCH >= (2, 5) and flash)


def _spread(x: Tensor, heads: int) -> Tensor:
    """Key or value `[B, G, N, K]` repeated to `heads` heads."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1)


def _sdpa(
    q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None, mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """Dense attention; `mask` is added to the scaled scores and broadcasts to `[B, H, M, N]`.

    A row whose keys are all masked gives 0. Avoids cuDNN where its gradient may be NaN.
    """
    if mask is not None and _TORCH < (2, 5):  # for _band_mask _as_mask materialize _attend_decoding
        return _sdpa_before_2_5(q, k, v, p, scale, mask)
    # Only what is needed, by keyword: a program may have replaced the function by one with other arguments.
    options: dict[str, Any] = {} if scale is None else {"scale": scale}
    if k.shape[1] != q.shape[1]:  # for shared_key_heads
        if _takes_groups(q, k, v, mask, is_causal):
            options["enable_gqa"] = True
        else:
            k, v = _spread(k, q.shape[1]), _spread(v, q.shape[1])
    with _guard(q, k, is_causal):
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p, is_causal=is_causal, **options)
    if out is None:  # cuDNN's result for an empty batch; testing its size would make torch.compile specialise on it
        k, v = _spread(k, q.shape[1]), _spread(v, q.shape[1])  # for shared_key_heads
        return q @ k.transpose(-2, -1) @ v
    return out


def _sdpa_before_2_5(q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None, mask: Tensor) -> Tensor:
    """Masked attention by a torch that gives NaN for a row whose keys are all masked, and as its gradient.

    And that misreads inputs with strides under a mask, which torch 2.1 does (pytorch#112577).
    """
    closed = mask.isneginf().all(-1, keepdim=True)
    k, v = _spread(k, q.shape[1]), _spread(v, q.shape[1])  # for shared_key_heads
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.masked_fill(closed, 0.0), dropout_p=p, scale=scale)
    return out.masked_fill(closed, 0.0)


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


_FLEX: Any = None  # compiled `flex_attention`, once the program has asked for it


def use_flex() -> None:
    """Let compiled `flex_attention` compute windows from now on, where no gradient is wanted.

    On an H200, a window of 256 to both sides of 8192 tokens then takes about half as long. The first call compiles
    for some seconds, the first one of another length again, then none: but for another window, number of heads or
    head size. Windows of packed sequences, of fewer queries than keys, with dropout, below 1024 tokens, and with
    gradients, for which flash attention is faster, are computed as before.

    Raises RuntimeError where it cannot run: without a CUDA device, without triton, before torch 2.7.
    """
    global _FLEX  # noqa: PLW0603 - the program's choice, as with torch.backends
    if not torch.cuda.is_available():
        raise RuntimeError("use_flex: there is no CUDA device, and compiled flex_attention is faster on one only")
    if importlib.util.find_spec("triton") is None:
        raise RuntimeError("use_flex: flex_attention is compiled by triton, which is not installed")
    if _TORCH < (2, 7):
        raise RuntimeError(f"use_flex: needs torch 2.7 or newer, for lengths that change; this is {torch.__version__}")
    _FLEX = torch.compile(importlib.import_module("torch.nn.attention.flex_attention").flex_attention)


def _takes_flex(q: Tensor, k: Tensor, v: Tensor, p: float) -> bool:
    """Whether the program has asked for `flex_attention`, and it computes windows of these faster."""
    trains = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    fits = q.dtype in _HALF and q.shape[-1] == v.shape[-1] and q.shape[-1] in (16, 32, 64, 128, 256)
    fits = fits and q.is_cuda and q.shape[0] > 0 and q.shape[2] == k.shape[2] >= 1024
    return _FLEX is not None and fits and not trains and p == 0.0 and not torch.compiler.is_compiling()


def _flex(q: Tensor, k: Tensor, v: Tensor, band: _Band, scale: float | None) -> Tensor:
    """Attention of as many queries as keys within a band, by compiled `flex_attention`."""
    for x in (q, k, v):
        torch._dynamo.maybe_mark_dynamic(x, 2)
    side, options = _flex_tiles(q)
    mask = _block_mask(q.shape[2], side, band, q.device)
    groups = k.shape[1] != q.shape[1]
    out: Tensor = _FLEX(q, k, v, block_mask=mask, scale=scale, enable_gqa=groups, kernel_options=options)
    return out


def _flex_tiles(q: Tensor) -> tuple[int, dict[str, Any]]:
    """How many queries and keys a block has, and the options of the kernel: on Hopper smaller ones than it chooses.

    For them, a window of 256 to both sides of 8192 tokens takes 0.8 of the time on an H200. `IS_DIVISIBLE` says that no
    block ends beyond the sequence, which a kernel for lengths that change cannot know.
    """
    if not (q.is_cuda and _is_hopper(q.device)):
        return 128, {}
    options = {"BLOCK_M": 64, "BLOCK_N": 64 if q.shape[3] <= 128 else 32, "num_warps": 4, "num_stages": 3}
    return 64, options | ({"IS_DIVISIBLE": True} if q.shape[2] % 128 == 0 else {})


@functools.lru_cache(maxsize=16)
def _block_mask(length: int, side: int, band: _Band, device: torch.device) -> Any:
    """Which blocks of `side` keys lie within the band for a block of `side` queries: wholly, or in part.

    Made from the limits: from `_seen`, every pair would have to be looked at. On the CPU, so that nothing waits for it.
    """
    starts = torch.arange(0, length, side)
    ends = starts + side - 1
    inside = torch.ones(len(starts), len(starts), dtype=torch.bool)
    whole = inside & (ends < length)[:, None] & (ends < length)
    if band.left >= 0:
        inside &= ends >= (starts - band.left)[:, None]
        whole &= starts >= (ends - band.left)[:, None]
    if band.right >= 0:
        inside &= starts <= (ends + band.right)[:, None]
        whole &= ends <= (starts + band.right)[:, None]
    blocks = []
    for part in (inside & ~whole, whole):
        order = part.to(torch.int32).argsort(dim=-1, descending=True, stable=True)
        blocks += [part.sum(-1, dtype=torch.int32), order.to(torch.int32)]
    if device.type == "cuda":
        blocks = [x.pin_memory().to(device, non_blocking=True) for x in blocks]
    for x in blocks:
        for dimension in range(x.ndim):
            torch._dynamo.maybe_mark_dynamic(x, dimension)
    flex = importlib.import_module("torch.nn.attention.flex_attention")
    blocks = [x[None, None] for x in blocks]
    return flex.BlockMask.from_kv_blocks(*blocks, side, mask_mod=_seen(band), seq_lengths=(length, length))


@functools.lru_cache(maxsize=16)
def _seen(band: _Band) -> Any:
    """The band as `flex_attention` asks for it; the same function for the same band, else it would compile again."""
    left, right = (2**30 if limit < 0 else limit for limit in band[:2])

    def seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key >= query - left) & (key <= query + right)

    return seen


def _banded(q: Tensor, k: Tensor, v: Tensor, band: _Band, p: float, scale: float | None) -> Tensor:
    """Dense attention within a band: without a mask if a kernel supports the band, else with one."""
    m, n = q.shape[-2], k.shape[-2]
    band = _binding(band, m, n)
    if band == _Band():
        return _sdpa(q, k, v, p, scale)
    if band.left < 0 and band.right == 0:
        if band.top_left or m == n:
            return _sdpa(q, k, v, p, scale, is_causal=True)
        if m < n and _takes_lower_right(q):
            return _lower_right(q, k, v, p, scale)
    if _takes_flex(q, k, v, p):  # for use_flex
        return _flex(q, k, v, band, scale)
    out = _flash(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), (None, None, m, n), band, p, scale)
    if out is not None:
        return out.transpose(1, 2)
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


def _takes_lower_right(q: Tensor) -> bool:
    """Whether `causal_lower_right` gets a fused kernel: on CUDA, from torch 2.3, not in torch.compile, not empty.

    And only if SDPA is torch's own, as a replacement would not understand the mask object.
    """
    own = F.scaled_dot_product_attention is torch._C._nn.scaled_dot_product_attention
    return q.is_cuda and _TORCH >= (2, 3) and own and q.shape[0] > 0 and not torch.compiler.is_compiling()


def _lower_right(q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
    """Causal attention of fewer queries than keys, the last query aligned with the last key."""
    k, v = _spread(k, q.shape[1]), _spread(v, q.shape[1])  # for shared_key_heads
    bias = importlib.import_module("torch.nn.attention.bias").causal_lower_right(q.shape[-2], k.shape[-2])
    return F.scaled_dot_product_attention(q, k, v, bias, p, scale=scale)


_MUCH = 7 * 10**9  # multiplications in Q @ K.T: 2 ms of flash attention on an H200


def _varlen_is_better(q: Tensor, k: Tensor, places: Any, band: _Band) -> bool:
    """Whether `varlen_attn` is to be asked, not the operator: from torch 2.14 on it chooses cuDNN by itself.

    It does for heads up to 128, query lengths above 128, as many key heads, no window; causal from 2.15, if both
    offsets are one tensor. Not for little work, as its Python takes longer, nor where cuDNN's gradient may be NaN.
    """
    causal = band == _Band(right=0) and _TORCH >= (2, 15)
    fits = q.shape[1] == k.shape[1] and q.shape[2] <= 128 < places[2] and places[0] is places[1]
    much = q.shape[0] * places[3] * q.shape[1] * q.shape[2] >= _MUCH
    trains = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad)
    safe = _CUDNN >= 92600 or not trains
    return (causal or band == _Band()) and fits and much and safe and _is_hopper(q.device)


def _varlen_attn(*packed: Any, **options: Any) -> Tensor:
    """Torch's public attention on packed sequences, with the arguments that it has from torch 2.14 on."""
    # Imported only when needed, as its module loads torch.compile, which takes about 2 s.
    out: Tensor = importlib.import_module("torch.nn.attention.varlen").varlen_attn(*packed, **options)
    return out


def _flash(
    q: Tensor, k: Tensor, v: Tensor, places: Any, band: _Band, p: float, scale: float | None, used: Any = None
) -> Tensor | None:
    """Flash attention within a bottom-right band; None where there is no kernel for it, as for a top-left band.

    `[B, M, H, K]`, with `places` (None, None, M, N); or packed sequences `[T, H, K]`, of which `places` says where
    queries and keys begin (int32 `[sequences + 1]`) and how long the longest are. Packed ones not with dropout or a
    scale that is not positive. `used` (int32): how many keys of each packed sequence are in use; not with gradients.
    Without it, key heads are repeated, as the operator's gradient needs as many as query heads.
    """
    packed, operator = places[0] is not None, _flash_operator()
    if band.top_left or 0 in (*q.shape, *k.shape) or not _fits_flash(q, k, v):
        return None
    if packed and (p > 0.0 or (scale is not None and scale <= 0.0)):
        return None
    if packed and _TORCH >= (2, 14) and (operator is None or _varlen_is_better(q, k, places, band)):
        window, groups = (band.left, band.right), k.shape[1] != q.shape[1]
        return _varlen_attn(q, k, v, *places, scale=scale, window_size=window, enable_gqa=groups, seqused_k=used)
    if operator is None:
        return None
    options: dict[str, Any] = {"scale": scale, "window_size_left": band.left, "window_size_right": band.right}
    if used is not None:  # for _attend_decoding
        options["seqused_k"] = used
    if k.shape[-2] != q.shape[-2] and used is None:  # for shared_key_heads
        k, v = (x.repeat_interleave(q.shape[-2] // x.shape[-2], -2) for x in (k, v))
    out: Tensor = operator(q, k, v, *places, p, False, False, **options)[0]
    return out
