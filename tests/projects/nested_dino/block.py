"""Transformer blocks; one takes a list of batches of different lengths and works on all of them at once."""

import os
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from .attention import Attention, MemEffAttention
from .swiglu import SwiGLUFFNFused

XFORMERS_ENABLED = os.environ.get("XFORMERS_DISABLED") is None
try:
    if XFORMERS_ENABLED:
        from xformers.ops import fmha, index_select_cat, scaled_index_add

        XFORMERS_AVAILABLE = True
        warnings.warn("xFormers is available (Block)", stacklevel=2)
    else:
        warnings.warn("xFormers is disabled (Block)", stacklevel=2)
        raise ImportError
except ImportError:
    XFORMERS_AVAILABLE = False
    warnings.warn("xFormers is not available (Block)", stacklevel=2)


class LayerScale(nn.Module):
    """A learned factor for each channel."""

    def __init__(self, dim: int, init: float = 0.5) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), init))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Attention and a feed-forward layer, both residual, both dropped for some samples while training."""

    def __init__(self, dim: int, num_heads: int, drop_path: float = 0.0, attn_class=Attention) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attn_class(dim, num_heads=num_heads)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = SwiGLUFFNFused(dim, 2 * dim)
        self.ls2 = LayerScale(dim)
        self.sample_drop_ratio = drop_path

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


def kept_rows(x: Tensor, ratio: float) -> tuple[Tensor, float]:
    """Which samples take part in a branch, and the factor that makes up for the others."""
    batch = x.shape[0]
    size = max(int(batch * (1 - ratio)), 1)
    return torch.randperm(batch, device=x.device)[:size], batch / size


attn_bias_cache: dict[tuple, Any] = {}


def attn_bias_and_cat(x_list: list[Tensor], branges: list[Tensor] | None = None) -> tuple[Any, Tensor]:
    """The mask that keeps the sequences apart, and all of them (or the chosen rows) behind one another."""
    batch_sizes = [b.shape[0] for b in branges] if branges is not None else [x.shape[0] for x in x_list]
    shapes = tuple((b, x.shape[1]) for b, x in zip(batch_sizes, x_list, strict=True))
    if shapes not in attn_bias_cache:
        seqlens = []
        for b, x in zip(batch_sizes, x_list, strict=True):
            seqlens += [x.shape[1]] * b
        attn_bias = fmha.BlockDiagonalMask.from_seqlens(seqlens)
        attn_bias._batch_sizes = batch_sizes
        attn_bias_cache[shapes] = attn_bias
    if branges is not None:
        cat_tensors = index_select_cat([x.flatten(1) for x in x_list], branges).view(1, -1, x_list[0].shape[-1])
    else:
        cat_tensors = torch.cat([x.reshape(1, -1, *x.shape[2:]) for x in x_list], dim=1)
    return attn_bias_cache[shapes], cat_tensors


def add_residual(x: Tensor, brange: Tensor, residual: Tensor, factor: float, scaling: Tensor | None = None) -> Tensor:
    if scaling is None:
        return torch.index_add(x.flatten(1), 0, brange, residual.flatten(1), alpha=factor).view_as(x)
    return scaled_index_add(x, brange, residual.to(dtype=x.dtype), scaling=scaling, alpha=factor)


class NestedTensorBlock(Block):
    """The block for a list of tensors."""

    def drop_add(self, x_list: list[Tensor], branch, scaling: Tensor | None) -> list[Tensor]:
        drawn = [kept_rows(x, self.sample_drop_ratio) for x in x_list]
        attn_bias, x_cat = attn_bias_and_cat(x_list, [rows for rows, _ in drawn])
        residuals = attn_bias.split(branch(x_cat, attn_bias))
        return [
            add_residual(x.clone(), rows, residual, factor, scaling)
            for x, (rows, factor), residual in zip(x_list, drawn, residuals, strict=True)
        ]

    def forward_nested(self, x_list: list[Tensor]) -> list[Tensor]:
        assert isinstance(self.attn, MemEffAttention)
        if self.training and self.sample_drop_ratio > 0.0:
            x_list = self.drop_add(x_list, lambda x, mask: self.attn(self.norm1(x), attn_bias=mask), self.ls1.gamma)
            return self.drop_add(x_list, lambda x, mask: self.ls2(self.mlp(self.norm2(x))), None)
        attn_bias, x = attn_bias_and_cat(x_list)
        x = x + self.ls1(self.attn(self.norm1(x), attn_bias=attn_bias))
        x = x + self.ls2(self.mlp(self.norm2(x)))
        return attn_bias.split(x)

    def forward(self, x_or_x_list):
        if isinstance(x_or_x_list, Tensor):
            return super().forward(x_or_x_list)
        if not XFORMERS_AVAILABLE:
            raise AssertionError("xFormers is required for nested tensors")
        return self.forward_nested(x_or_x_list)
