"""The reference of `xformers.ops` on the CPU: what a program computed before it was migrated.

xformers has no CPU kernels, so its package is replaced by a stand-in with the same names. The mask classes,
`Inputs` (validation, shapes, error texts) and all that is not attention are xformers' own; only the attention
functions are plain torch here. Three surroundings for a program, each a context manager:

* `installed()`: `xformers` and `mslk.attention.fmha` can be imported and compute. Yields a `Calls` counter.
* `poisoned()`: they can be imported, but calling attention raises `StillCalledError`.
* `absent()`: neither can be imported, found by `find_spec`, or asked for its version.

What the reference does exactly as the kernels do, because a rewrite is judged by it:

* The dtype of the inputs is the dtype of the result, in any autocast state; half is computed in float32.
* Dropout is applied whatever the training mode. It draws the numbers that SDPA draws on the CPU for the same
  seed, so that p > 0 can be compared too.
* The result is contiguous `[B, M, H, K]`, so `.view` works on it.
* A tensor bias must have the exact shape and dtype; a bool one is a TypeError. It gets no gradient when
  q, k and v need none. The last stride of q, k and v must be 1.
* A row that is masked fully gives 0, as xformers gives since 0.0.29.
"""

# ruff: noqa: PLR0917 - the signatures are those of xformers

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import logging
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F

ROOTS = ("xformers", "mslk")
HALF = (torch.float16, torch.bfloat16)
Bias = Any
"""None, a tensor, or one of xformers' mask objects."""


class StillCalledError(AssertionError):
    """A migrated program called xformers all the same."""


@dataclass
class Calls:
    """How often a program called the attention functions of the stand-in, and in which dtypes."""

    count: int = 0
    dtypes: set[torch.dtype] = field(default_factory=set)

    def note(self, arguments: Iterable[Any]) -> None:
        """Count one call with these arguments."""
        self.count += 1
        self.dtypes.update(a.dtype for a in arguments if isinstance(a, torch.Tensor) and a.is_floating_point())


# ---------------------------------------------------------------------------------------------- attention


def memory_efficient_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: Bias = None,
    p: float = 0.0,
    scale: float | None = None,
    *,
    op: Any = None,
    output_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """`xformers.ops.memory_efficient_attention`; `op` picks a kernel there and nothing here."""
    wants_gradient = any(tensor.requires_grad for tensor in (query, key, value))
    if not wants_gradient:  # xformers then takes a path without autograd, even if the bias wants a gradient
        return memory_efficient_attention_forward(query, key, value, attn_bias, p, scale, output_dtype=output_dtype)
    return _attend(query, key, value, attn_bias, p, scale)[0]


@torch.no_grad()
def memory_efficient_attention_forward(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: Bias = None,
    p: float = 0.0,
    scale: float | None = None,
    *,
    op: Any = None,
    output_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """`xformers.ops.memory_efficient_attention_forward`: no gradient, and `output_dtype` is honoured."""
    return _attend(query, key, value, attn_bias, p, scale)[0].to(output_dtype or query.dtype)


@torch.no_grad()
def memory_efficient_attention_forward_requires_grad(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: Bias = None,
    p: float = 0.0,
    scale: float | None = None,
    *,
    op: Any = None,
    output_dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The result and the log of the sum of the exponentials, `[B, H, M]`."""
    _refuse_dropout(p)
    out, lse = _attend(query, key, value, attn_bias, p, scale)
    return out.to(output_dtype or query.dtype), lse


def memory_efficient_attention_backward(
    grad: torch.Tensor,
    output: torch.Tensor,
    lse: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: Bias = None,
    p: float = 0.0,
    scale: float | None = None,
    *,
    op: Any = None,
) -> tuple[torch.Tensor, ...]:
    """The gradients of q, k and v, computed anew (the bias gets none, as in xformers)."""
    _refuse_dropout(p)
    leaves = [tensor.detach().requires_grad_() for tensor in (query, key, value)]
    with torch.enable_grad():
        out, _ = _attend(*leaves, attn_bias, p, scale)
    return torch.autograd.grad(out, leaves, grad)


@torch.no_grad()
def memory_efficient_attention_partial(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: Bias = None,
    p: float = 0.0,
    scale: float | None = None,
    *,
    op: Any = None,
    output_dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`fmha.memory_efficient_attention_partial`: float32 unless told otherwise."""
    _refuse_dropout(p)
    out, lse = _attend(query, key, value, attn_bias, p, scale)
    partial = query.dtype if query.dtype is torch.float64 else torch.float32
    return out.to(output_dtype or partial), lse


ATTENTION = (
    memory_efficient_attention,
    memory_efficient_attention_forward,
    memory_efficient_attention_forward_requires_grad,
    memory_efficient_attention_backward,
    memory_efficient_attention_partial,
)


def _refuse_dropout(p: float) -> None:
    if p != 0.0:
        raise NotImplementedError("dropout is not supported on the non-autograd API.")


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: Bias,
    p: float,
    scale: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The result in the shape and dtype of the query, and the log-sum-exp."""
    with torch.autocast(query.device.type, enabled=False):
        inputs = _real("xformers.ops.fmha.common").Inputs(query, key, value, attn_bias, p, scale)
        inputs.validate_inputs()
        shape = inputs.normalize_bmhk()
        inputs.validate_inputs()  # again: xformers checks a 3-D call in its 4-D form
        _validate_for_kernel(inputs)
        out, lse = _softmax_attention(inputs)
    return out.reshape(shape).to(query.dtype), lse


def _validate_for_kernel(inputs: Any) -> None:
    """What xformers leaves to its kernels to refuse."""
    for name in ("query", "key", "value"):
        tensor = getattr(inputs, name)
        if tensor.stride(-1) != 1 and tensor.shape[-1] > 1:
            raise NotImplementedError(f"{name}: the last dimension must have stride 1, call .contiguous()")
    bias = inputs.attn_bias
    if not isinstance(bias, torch.Tensor):
        return
    if not bias.dtype.is_floating_point:
        raise TypeError("torch.finfo() requires a floating point input type")
    if bias.dtype != inputs.query.dtype:
        raise RuntimeError("invalid dtype for bias - should match query's dtype")


def _softmax_attention(inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax attention on `[B, M, H, K]` or `[B, M, G, H, K]`, as a person would write it."""
    dtype = torch.float32 if inputs.query.dtype in HALF else inputs.query.dtype
    query, key, value = (t.to(dtype).movedim(1, -2) for t in (inputs.query, inputs.key, inputs.value))
    scores = query @ key.mT * inputs.scale_float
    if inputs.attn_bias is not None:
        scores = scores + _bias_tensor(inputs.attn_bias, scores)
    weights = F.dropout(_softmax(scores), inputs.p)
    return (weights @ value).movedim(-2, 1).contiguous(), torch.logsumexp(scores, -1)


def _softmax(scores: torch.Tensor) -> torch.Tensor:
    """Over the keys; 0 for a row that sees none."""
    if hasattr(torch, "_safe_softmax"):
        return torch._safe_softmax(scores, -1)
    closed = scores.isneginf().all(-1, keepdim=True)
    return scores.masked_fill(closed, 0.0).softmax(-1).masked_fill(closed, 0.0)


def _bias_tensor(bias: Bias, scores: torch.Tensor) -> torch.Tensor:
    if isinstance(bias, torch.Tensor):
        return bias.to(scores.dtype)
    if not any(kind.__module__.partition(".")[0] in ROOTS for kind in type(bias).__mro__):
        raise NotImplementedError(f"attn_bias type is {type(bias)}")  # no kernel of xformers' takes it
    return bias.materialize(scores.shape, dtype=scores.dtype, device=scores.device)


# ------------------------------------------------------------------------------------------- surroundings


@cache
def _real(name: str) -> types.ModuleType:
    """A module of the real xformers, imported without its warnings about missing CUDA extensions."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    finally:
        logging.disable(logging.NOTSET)


def _clone(name: str, original: types.ModuleType | None, changes: dict[str, Any]) -> types.ModuleType:
    module = types.ModuleType(name)
    if original is not None:
        module.__dict__.update({k: v for k, v in vars(original).items() if not k.startswith("__")})
        module.__version__ = getattr(original, "__version__", "0")
    module.__dict__.update(changes)
    module.__path__ = []
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    return module


def _stand_in(functions: Sequence[Callable[..., Any]]) -> dict[str, types.ModuleType]:
    """Name → module, for all the names under which the attention of xformers is reached."""
    by_name = {function.__name__: function for function in functions}
    attn_bias = _real("xformers.ops.fmha.attn_bias")
    fmha = _clone("xformers.ops.fmha", _real("xformers.ops.fmha"), by_name)
    public = {k: v for k, v in by_name.items() if hasattr(_real("xformers.ops"), k)}
    ops = _clone("xformers.ops", _real("xformers.ops"), public | {"fmha": fmha})
    root = _clone("xformers", _real("xformers"), {"ops": ops})
    mslk_fmha = _clone("mslk.attention.fmha", fmha, {})
    mslk_attention = _clone("mslk.attention", None, {"fmha": mslk_fmha})
    modules = (
        fmha,
        ops,
        root,
        mslk_fmha,
        mslk_attention,
        _clone("mslk", None, {"attention": mslk_attention}),
    )
    named = {module.__name__: module for module in modules}
    return named | {"xformers.ops.fmha.attn_bias": attn_bias, "mslk.attention.fmha.attn_bias": attn_bias}


def _is_ours(name: str) -> bool:
    return name.split(".", 1)[0] in ROOTS


@contextlib.contextmanager
def _modules(replacement: dict[str, Any], *, keep: bool) -> Iterator[None]:
    """`sys.modules` with `replacement`; what was there of xformers stays reachable only if `keep`."""
    before = {name: module for name, module in sys.modules.items() if _is_ours(name)}
    try:
        if not keep:
            for name in before:
                del sys.modules[name]
        sys.modules.update(replacement)
        yield
    finally:
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(before)


@contextlib.contextmanager
def installed() -> Iterator[Calls]:
    """Surroundings in which xformers (and mslk) can be imported and compute on the CPU."""
    calls = Calls()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.note([*args, *kwargs.values()])
            return function(*args, **kwargs)

        call.__name__ = function.__name__
        return call

    with _modules(_stand_in([counted(function) for function in ATTENTION]), keep=True):
        yield calls


@contextlib.contextmanager
def poisoned() -> Iterator[None]:
    """Surroundings in which xformers can be imported, but must not be called for attention."""

    def trap(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            raise StillCalledError(f"{function.__name__} of xformers was called")

        call.__name__ = function.__name__
        return call

    with _modules(_stand_in([trap(function) for function in ATTENTION]), keep=True):
        yield


class _Blocker:
    """A finder in front of all others that finds no xformers and lets nobody else find it."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if _is_ours(name):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _no_distribution(name: str) -> importlib.metadata.Distribution:
    found = None if name.lower() in ROOTS else next(iter(importlib.metadata.Distribution.discover(name=name)), None)
    if found is None:
        raise importlib.metadata.PackageNotFoundError(name)
    return found


@contextlib.contextmanager
def absent() -> Iterator[None]:
    """Surroundings of somebody who has uninstalled xformers."""
    gone = dict.fromkeys(ROOTS)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_modules(gone, keep=False))
        stack.enter_context(mock.patch.object(sys, "meta_path", [_Blocker, *sys.meta_path]))
        stack.enter_context(
            mock.patch.object(importlib.metadata.Distribution, "from_name", staticmethod(_no_distribution))
        )
        yield
