"""Records which attention functions of torch a function calls, with which dropout and dtype; switches dropout off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

SDPA = "scaled_dot_product_attention"

_ATTENTION = {
    SDPA: 4,
    "_flash_attention_forward": 7,
    "_efficient_attention_forward": 8,
    "_varlen_attn": None,
    "varlen_attn": None,
}
"""Names of torch's attention functions, and the position of `dropout_p` among their arguments; None if they lack it."""


@dataclass(frozen=True)
class KernelCall:
    """One call of an attention function of torch."""

    name: str
    dropout_p: float
    dtype: torch.dtype
    """The dtype it computes in, autocast included."""
    masked: bool = False
    """Whether it is given a dense mask."""


class Watch(TorchFunctionMode):
    """Records calls of torch's attention and of dropout, and makes them with a dropout of 0.

    `backend`: a `torch.nn.attention.SDPBackend` that every SDPA call is pinned to, whatever the code around it chose.
    """

    def __init__(self, backend: Any = None) -> None:
        super().__init__()
        self.backend = backend
        self.attention: list[KernelCall] = []
        self.dropouts: set[float] = set()
        """Probabilities of dropout outside attention, in training mode."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Pass a call on, without dropout."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in _ATTENTION:
            p, args = _without(args, kwargs, _ATTENTION[name], "dropout_p", 0.0)
            query = args[0] if args else kwargs["query"]
            mask = args[3] if len(args) > 3 and name == SDPA else kwargs.get("attn_mask")
            masked = type(mask) is Tensor  # not torch's CausalBias, which is a flag to the kernel
            self.attention.append(KernelCall(name, p, _computed_in(query, name), masked))
            if self.backend is not None and name == SDPA:
                self._refuse_what_would_crash(mask, kwargs["key"] if "key" in kwargs else args[1])
                from torch.nn.attention import sdpa_kernel  # noqa: PLC0415 - missing before torch 2.3

                with sdpa_kernel([self.backend]):
                    return func(*args, **kwargs)
        elif name in {"dropout", "dropout_"}:
            trains = args[2] if len(args) > 2 else kwargs.get("training", kwargs.get("train", True))
            p, args = _without(args, kwargs, 1, "p", 0.5)
            if trains and p:
                self.dropouts.add(p)
        return func(*args, **kwargs)

    def _refuse_what_would_crash(self, mask: Any, key: Tensor) -> None:
        """Raise instead of calling EFFICIENT with a mask that is broadcast along the keys.

        The kernel would read out of its bounds and fail with `misaligned address` (torch 2.11, H200).
        """
        if self.backend.name != "EFFICIENT_ATTENTION" or type(mask) is not Tensor:
            return
        if mask.stride(-1) != 1 and key.shape[-2] > 1:
            raise NotImplementedError("EFFICIENT is not tried with a mask whose last dimension has a stride")
        if mask.shape[-1] != key.shape[-2]:
            raise NotImplementedError("EFFICIENT is not tried with a mask that is broadcast along the keys")


def _without(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int | None, name: str, default: float
) -> tuple[float, tuple[Any, ...]]:
    """The dropout rate in these arguments, and the positional ones with 0 in its place (`kwargs` is changed)."""
    if position is None:
        return 0.0, args
    if len(args) > position:
        return float(args[position]), (*args[:position], 0.0, *args[position + 1 :])
    p, kwargs[name] = float(kwargs.get(name, default)), 0.0
    return p, args


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The dtype of matrix products under autocast on this kind of device; None if autocast is off."""
    try:
        on = torch.is_autocast_enabled(device.type)
        return torch.get_autocast_dtype(device.type) if on else None
    except (TypeError, AttributeError):  # torch before 2.4 asks by device
        if device.type == "cpu":
            return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
        return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def _computed_in(query: Tensor, name: str) -> torch.dtype:
    """The dtype an attention function computes in: autocast casts SDPA's inputs, but never float64."""
    cast = autocast_dtype(query.device)
    listed = name == SDPA and query.dtype != torch.float64
    return cast if cast is not None and listed else query.dtype
