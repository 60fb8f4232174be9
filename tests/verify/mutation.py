"""A wrong rewrite as a record, and the functions that its texts may call."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xf2sdpa import compat
from xf2sdpa.judging.calls import PLAIN

ALL = ("float16", "bfloat16", "float32")
HALF = ("float16", "bfloat16")
BMHK = (2, 48, 4, 32)


@dataclass(frozen=True)
class Mutation:
    """One row.

    Attributes:
        old, new, wrong: expressions of the given names; in `old`, `op` is the operator. Known are `torch`, `F`, `math`,
            `masks` (xformers' mask classes), `compat`, and the functions of `TOOLS`.
        given: the inputs in order: a shape is a tensor of that shape, a text is an expression of those before it.
        check: the check that must fail.
        cpu: whether a CPU can show it.
        gpu: the dtypes in which it is wrong on a GPU too, if not in all.
        equal_on_gpu: why it is not wrong in the others there.
        gradients: False where xformers has no backward.
        autocast: run under autocast to bfloat16.
        variant: which operator it is.
        trains: names of inputs that require a gradient; none: those that reach query, key and value.
    """

    name: str
    old: str
    new: str
    wrong: str
    check: str = "output"
    given: dict[str, Any] = field(default_factory=lambda: dict.fromkeys("qkv", BMHK))
    dtypes: tuple[str, ...] = ALL
    cpu: bool = True
    gpu: tuple[str, ...] | None = None
    equal_on_gpu: str = ""
    gradients: bool = True
    autocast: bool = False
    variant: str = PLAIN
    trains: str = ""

    def shown(self, device: str) -> tuple[str, ...]:
        """The dtypes in which this kind of device shows it."""
        return self.dtypes if device == "cpu" or self.gpu is None else self.gpu

    @property
    def site(self) -> str:
        """As a report would name it."""
        return f"tests/verify/mutations.py::{self.name.replace(' ', '_')}#1"


class _NanGradient(torch.autograd.Function):
    """What cuDNN does in its corner: the result right, the gradient NaN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        spoiled = gradient.clone()
        spoiled[-1, :, -1] = math.nan
        return spoiled


def closed(keep: Tensor, like: Tensor) -> Tensor:
    """0 where `keep`, -inf elsewhere, in the dtype of `like`."""
    return torch.zeros(keep.shape, dtype=like.dtype, device=like.device).masked_fill(~keep, -math.inf)


def band(q: Tensor, k: Tensor, left: int, right: int) -> Tensor:
    """A bottom-right window over q `[B, M, H, K]` and k."""
    m, n = q.shape[1], k.shape[1]
    seen = torch.ones(m, n, dtype=torch.bool, device=q.device).tril(n - m + right).triu(n - m - left)
    return closed(seen, q)


def without_grad(function: Callable[[], Tensor]) -> Tensor:
    """`function()` under no_grad."""
    with torch.no_grad():
        return function()


def head_from(out: Tensor, other: Tensor, head: int) -> Tensor:
    """`out` `[B, M, H, K]` with one head taken from `other`."""
    taken = torch.zeros(out.shape[2], dtype=torch.bool, device=out.device)
    taken[head] = True
    return torch.where(taken[:, None], other, out)


def rows_from(out: Tensor, other: Tensor, row: int) -> Tensor:
    """`out` `[B, M, H, K]` with one query row of the last head of the last batch taken from `other`."""
    taken = torch.zeros(out.shape[:3], dtype=torch.bool, device=out.device)
    taken[-1, row, -1] = True
    return torch.where(taken[..., None], other, out)


TOOLS: dict[str, Any] = {
    "torch": torch,
    "F": F,
    "math": math,
    "compat": compat,
    "nan_gradient": _NanGradient.apply,
    "closed": closed,
    "band": band,
    "without_grad": without_grad,
    "head_from": head_from,
    "rows_from": rows_from,
}
