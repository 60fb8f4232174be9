"""Query, key, value and bias of one set of inputs: sizes by rank and mask, storage, values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.verify.inputs.kinds import LEARNT, is_tensor
from xf2sdpa.verify.inputs.masks import blocks_of, mask_object
from xf2sdpa.verify.inputs.shapes import Shape

QKV = ("query", "key", "value")
_LOW = 110.0
"""Scores of `Shape.low` are about minus this: log-sum-exps are then below -88, where cuDNN's gradient can be NaN."""


@dataclass
class Build:
    """Makes the values of one set of inputs.

    Attributes:
        rank: number of dimensions of query, key and value.
        kind: kind of mask, as in `kinds`.
        scale: factor of the scores; 0 stands for the default.
    """

    shape: Shape
    rank: int
    kind: str
    device: torch.device
    dtype: torch.dtype
    seed: int
    scale: float = 0.0

    def __post_init__(self) -> None:
        self.generator = torch.Generator(self.device).manual_seed(self.seed)
        self.scale = self.scale or self.shape.width**-0.5
        self.blocks = blocks_of(self.kind, self.shape)
        self.batch = 1 if self.blocks else self.shape.batch

    def length(self, role: str) -> int:
        """M for the query, N for key and value; the total length if sequences are packed."""
        if not self.blocks:
            return self.shape.queries if role == "query" else self.shape.keys
        lengths = self.blocks[role != "query"]
        padded = role != "query" and "PaddedKeys" in self.kind
        return len(lengths) * max(lengths) if padded else sum(lengths)

    @property
    def heads(self) -> tuple[int, ...]:
        """The dimensions between M and K."""
        return {3: (), 4: (self.shape.heads,)}.get(self.rank, (self.shape.heads, 2))

    def sizes(self, role: str) -> tuple[int, ...]:
        """The shape of query, key, value `[B, M, *heads, K]` or bias `[B, *heads, M, N]`, as xformers takes them."""
        if role == "attn_bias":
            return (self.batch, *self.heads, self.length("query"), self.length("key"))
        return (self.batch, self.length(role), *self.heads, self.shape.width)

    def whole(self, role: str) -> Tensor:
        """Query, key or value as xformers takes it, in the memory layout of `Shape.storage`."""
        sizes = self.sizes(role)
        if self.rank == 5 and role != "query":  # one key head serves a group
            x = self.random(role, *sizes[:3], 1, sizes[4]).expand(sizes)
        elif self.shape.storage == "packed":
            x = self.random(role, sizes[0], sizes[1], 3, *sizes[2:]).select(2, QKV.index(role))
        elif self.shape.storage == "BHMK" and self.rank == 4:
            x = self.random(role, sizes[0], sizes[2], sizes[1], sizes[3]).transpose(1, 2)
        elif self.shape.storage == "BHMK":  # without heads: stored sequence first
            x = self.random(role, sizes[1], sizes[0], *sizes[2:]).transpose(0, 1)
        else:
            x = self.random(role, *sizes)
        return x.detach().requires_grad_()

    def random(self, role: str, *sizes: int) -> Tensor:
        """A normally distributed tensor; for low scores, query and key are shifted in opposite directions."""
        x = torch.randn(sizes, generator=self.generator, device=self.device)
        if self.shape.low and role in {"query", "key"}:
            shift = math.sqrt(_LOW / (self.shape.width * abs(self.scale)))
            x += shift if role == "query" else -math.copysign(shift, self.scale)
        return x.to(self.dtype)

    def leaf(self, role: str, *sizes: int) -> Tensor:
        """A normally distributed tensor that requires a gradient."""
        return self.random(role, *sizes).requires_grad_()

    def bias(self, *sizes: int) -> Tensor:
        """A bias; its rows are padded in memory to a multiple of 8 elements, as xformers' kernels require."""
        room = torch.randn((*sizes[:-1], -(-sizes[-1] // 8) * 8), generator=self.generator, device=self.device)
        bias = room.to(self.dtype)[..., : sizes[-1]]
        if "closed" in self.kind:
            bias[..., -1] = -math.inf  # no query sees the last key
            bias[..., 0, :] = -math.inf  # the first query sees no key
        return bias.requires_grad_(self.kind == LEARNT)

    def mask(self) -> Any:
        """The bias of this build's kind.

        Raises:
            ValueError: objects of this mask class cannot be made.
        """
        if self.kind == "none":
            return None
        if is_tensor(self.kind):
            return self._whole_bias()
        return mask_object(self.kind, self.shape, self.blocks, self.device, self._whole_bias)

    def _whole_bias(self) -> Tensor:
        return self.bias(*self.sizes("attn_bias"))
