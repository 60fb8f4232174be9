"""The mask objects of `xformers.ops.fmha.attn_bias`: same names, signatures and meaning, torch only.

Each class computes its attention: `_attend(q, k, v, p, scale)` on heads-first tensors. No other code refers to
the classes, so those that a project does not use can be left out of its copy.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import torch
from torch import Tensor

from xf2sdpa.compat.kernels import _Band, _band_mask, _banded, _sdpa

_Bias = TypeVar("_Bias", bound="AttentionBias")


class AttentionBias:
    """Base of the mask objects. A subclass of your own needs only `materialize`."""

    _for_bmk = False
    """Whether xformers accepts it with `[B, M, K]` inputs."""

    def materialize(
        self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> Tensor:
        """The mask as a tensor of `shape` `[*, M, N]` that is added to the scaled scores: 0 or -inf."""
        raise NotImplementedError

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:  # for masks_of_users
        """Attention under this mask: `[B, H, M, K]`, `[B, G, N, K]`, `[B, G, N, Kv]` -> `[B, H, M, Kv]`."""
        mask = self.materialize((*q.shape[:-1], k.shape[-2]), q.dtype, q.device)
        return _sdpa(q, k, v, p, scale, mask)


AttentionMask = AttentionBias


class LowerTriangularMask(AttentionBias):
    """Causal, top-left: query i sees keys 0 to i, whatever the lengths, as with SDPA's `is_causal`."""

    _for_bmk = True

    def __init__(self, device: torch.device | None = None) -> None:
        """`device` is not used, as in xformers."""

    def to(self, device: torch.device) -> LowerTriangularMask:
        """Itself: it holds no tensors."""
        return self

    def materialize(
        self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> Tensor:
        """A new tensor of `shape` `[*, M, N]`: 0 where a query sees a key, -inf elsewhere."""
        causal = _Band(right=0, top_left=True)
        return _band_mask(shape[-2], shape[-1], causal, dtype, device).expand(shape).contiguous()

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
        return _sdpa(q, k, v, p, scale, is_causal=True)

    def add_bias(self, bias: Tensor) -> LowerTriangularMaskWithTensorBias:
        """Causal plus `bias` `[B, H, M, N]`."""
        return LowerTriangularMaskWithTensorBias(bias)


class LowerTriangularMaskWithTensorBias(LowerTriangularMask):
    """Causal, top-left, plus a tensor `[B, H, M, N]` added to the scaled scores."""

    _for_bmk = False

    def __init__(self, bias: Tensor) -> None:
        self._bias = bias

    def to(self, device: torch.device) -> LowerTriangularMaskWithTensorBias:
        """The same with its tensor on `device`."""
        return LowerTriangularMaskWithTensorBias(self._bias.to(device, non_blocking=True))

    def materialize(
        self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> Tensor:
        """The causal mask of `shape` plus the tensor, whose values do not matter where the mask is -inf."""
        causal = super().materialize(shape, dtype, device)
        return (causal + self._bias).masked_fill_(causal.isneginf(), float("-inf"))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
        bias = self._bias.flatten(1, 2) if self._bias.ndim == 5 else self._bias
        expected = (*q.shape[:-1], k.shape[-2])
        if bias.shape != expected:
            raise ValueError(f"Invalid shape for attention bias: {tuple(self._bias.shape)} (expected {expected})")
        # Not is_causal with attn_mask: torch's kernels disagree on what both together mean.
        closed = super().materialize(expected[-2:], q.dtype, q.device).isneginf()
        return _sdpa(q, k, v, p, scale, bias.masked_fill(closed, float("-inf")))


class _BandBias(AttentionBias):
    """A mask that is one diagonal band over all queries and keys."""

    def _band(self) -> _Band:
        raise NotImplementedError

    def to(self: _Bias, device: torch.device) -> _Bias:
        """Itself: it holds no tensors."""
        return self

    def materialize(
        self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> Tensor:
        """A new tensor of `shape` `[*, M, N]`: 0 where a query sees a key, -inf elsewhere."""
        return _band_mask(shape[-2], shape[-1], self._band(), dtype, device).expand(shape).contiguous()

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
        return _banded(q, k, v, self._band(), p, scale)


class LowerTriangularFromBottomRightMask(_BandBias):
    """Causal, bottom-right: the last query sees all keys, each one before it one key less."""

    def _band(self) -> _Band:
        return _Band(right=0)

    def make_local_attention(self, window_size: int) -> LowerTriangularFromBottomRightLocalAttentionMask:
        """The same, but each query sees only its last `window_size` keys, including its own."""
        return LowerTriangularFromBottomRightLocalAttentionMask(window_size)


@dataclasses.dataclass
class LowerTriangularFromBottomRightLocalAttentionMask(LowerTriangularFromBottomRightMask):
    """Causal, bottom-right, within a window of `_window_size` >= 1 keys. ValueError for less."""

    _window_size: int

    def __post_init__(self) -> None:
        if self._window_size <= 0:
            raise ValueError(f"Expected `window_size > 0`, but window_size={self._window_size}")

    def _band(self) -> _Band:
        return _Band(self._window_size - 1, 0)


@dataclasses.dataclass
class LocalAttentionFromBottomRightMask(_BandBias):
    """A window of `window_left` keys before and `window_right` after each query's position, bottom-right.

    Raises ValueError if one of them is negative.
    """

    window_left: int
    window_right: int

    def __post_init__(self) -> None:
        for name in ("window_left", "window_right"):
            if getattr(self, name) < 0:
                raise ValueError(
                    "Invalid window value passed to `LocalAttentionFromBottomRightMask`: "
                    f"expected `{name} >= 0` but got {name}={getattr(self, name)}"
                )

    def _band(self) -> _Band:
        return _Band(self.window_left, self.window_right)
