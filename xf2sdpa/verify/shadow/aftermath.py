"""Times calls at the shapes that a program used, after the program has finished, so as not to disturb it.

Until then only the shapes, strides and dtypes of a call's tensors are kept; their values are made up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from xf2sdpa.judging.probe import Probe
from xf2sdpa.timing.model import Timing
from xf2sdpa.verify.shadow.ambient import State
from xf2sdpa.verify.speed import as_paths, timings

CASE_BUDGET = 1.5
"""Seconds for one site and shape."""
BUDGET = 60.0
"""Seconds for one process."""


@dataclass(frozen=True)
class _Form:
    """A floating-point tensor without its content."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    requires_grad: bool

    @classmethod
    def of(cls, x: Any) -> Any:
        """The form of a floating-point tensor, a copy of another one (values may be indices), or any other value."""
        if not isinstance(x, Tensor):
            return x
        if not x.is_floating_point():
            return x.detach().clone()
        return cls(x.shape, x.stride(), x.dtype, x.device, x.requires_grad)

    def filled(self) -> Tensor:
        """A tensor of this form with normally distributed values."""
        extent = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.stride, strict=True))
        values = torch.randn(max(extent, 1), device=self.device).to(self.dtype)
        return values.as_strided(self.shape, self.stride).requires_grad_(self.requires_grad)


class Kept:
    """A call to be timed later.

    Attributes:
        sample: index of the comparison that the times belong to.
    """

    def __init__(self, sample: int, probe: Probe, atoms: Sequence[Any]) -> None:
        self.sample = sample
        self.probe = probe
        self.forms = pytree.tree_map(_Form.of, list(atoms))
        self.state = State.now()
        self.trains = torch.is_grad_enabled()

    def timings(self, budget: float) -> tuple[Timing, ...]:
        """The times of old, new, and new under each SDPA backend that accepts it.

        Args:
            budget: seconds for all of them.

        Raises:
            Exception: whatever a side raises.
        """
        atoms = pytree.tree_map(lambda x: x.filled() if isinstance(x, _Form) else x, self.forms)
        leaves, paths = as_paths(self.probe, atoms)
        backward = self.trains and any(x.requires_grad for x in leaves)
        with self.state.again():
            return timings(paths, leaves, backward=backward, budget=budget)


def measured(calls: Sequence[Kept], budget: float = BUDGET) -> Iterator[tuple[Kept, tuple[Timing, ...], str]]:
    """Each call with its times, or with the reason why there are none.

    Args:
        calls: the calls to time.
        budget: seconds for all of them.
    """
    until = time.monotonic() + budget
    for call in calls:
        left = until - time.monotonic()
        if left <= 0:
            yield call, (), f"not timed: the {budget:g} s for that were used up"
            continue
        try:
            yield call, call.timings(min(CASE_BUDGET, left)), ""
        except Exception as error:
            yield call, (), f"not timed: {type(error).__name__}: {error}".splitlines()[0]
