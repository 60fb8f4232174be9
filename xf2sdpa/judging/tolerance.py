"""Turning two results and what they should have been into checks: errors in units of the judge, NaN, layout."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from xf2sdpa.judging.model import Check

FACTOR = 2.0
"""error(new) may be this many times error(old), plus `ALLOWANCE`: honest kernels round in other places (trap 58)."""

ALLOWANCE = 2.0
"""In eps. In units of the judge a fused kernel's error is 0.3 to 0.6 eps as a rule and, seldom, 1.3 (of 300 random
problems on torch's CPU kernels; GPU kernels round in the same places); the judge's own gradients lose up to 0.5 eps
when autograd hands them back in the inputs' dtype. A reference that computes half in float32 has no error to double."""

OUTSIDE = 4.0
"""What the sample left out: old and new may differ there by this many times what they differ by inside it."""

TOLERANCES = {
    torch.float16: ((4e-3, 4e-4), (2e-1, 2e-2)),
    torch.bfloat16: ((2e-2, 5e-3), (9e-1, 1e-1)),
    torch.float32: ((3e-4, 2e-5), (9e-4, 1e-4)),
}
"""(atol, rtol) of results, and of gradients, in xformers' own tests (SEMANTICS trap 58): where there is no judge."""


@dataclass
class Measured:
    """One tensor of both sides, and what it should be.

    Attributes:
        what: `output`, `gradient of query`, …
        exact, unit: of the judge, NaN where it did not judge; None where there is none.
        eps: relative rounding error of the coarsest dtype on the old path.
    """

    what: str
    old: Tensor
    new: Tensor
    exact: Tensor | None
    unit: Tensor | None
    eps: float

    def check(self) -> Check:
        """Whether the new tensor is as near to the truth as the old one."""
        if self.exact is None:
            return self._by_tolerance()
        exact, unit = self.exact.double(), self._unit(self.exact)
        judged = exact.isfinite()
        if not judged.any():
            return self._by_tolerance()
        errors = [_error(x, exact, unit, judged) for x in (self.old, self.new)]
        old_error, new_error = (float(error.max()) if error.numel() else 0.0 for error in errors)
        limit = FACTOR * old_error + ALLOWANCE * self.eps
        if new_error > limit:
            return Check(self.what, False, "", old_error, new_error, limit, first(errors[1] > limit))
        return self._outside(judged) or Check(self.what, True, "", old_error, new_error, limit)

    def _unit(self, exact: Tensor) -> Tensor:
        """The judge's units; without any, the size of element and row."""
        unit = row_size(exact) if self.unit is None else self.unit.double()
        return unit.clamp_min(torch.finfo(self.old.dtype).tiny)

    def _outside(self, judged: Tensor) -> Check | None:
        """A failing check if the new tensor leaves the old one where the judge did not look."""
        if bool(judged.all()):
            return None
        size = row_size(self.old).double().clamp_min(torch.finfo(self.old.dtype).tiny)
        apart = _error(self.new, self.old.double(), size, self.old.isfinite())
        limit = OUTSIDE * max(float(apart[judged].max()), self.eps)
        if float(apart.max()) <= limit:
            return None
        message = f"outside the judged sample, where old and new may differ {OUTSIDE:g} times as much as inside it"
        return Check(self.what, False, message, None, float(apart.max()), limit, first(apart > limit))

    def _by_tolerance(self) -> Check:
        forward, backward = TOLERANCES.get(self.old.dtype, TOLERANCES[torch.float32])
        atol, rtol = backward if self.what.startswith("gradient") else forward
        allowed = atol + rtol * self.old.double().abs()
        error = _error(self.new, self.old.double(), allowed, self.old.isfinite())
        worst = float(error.max()) if error.numel() else 0.0
        message = "in units of the tolerance of xformers' own tests" if worst > 1 else ""
        return Check(self.what, worst <= 1, message, None, worst, 1.0, first(error > 1) if worst > 1 else None)


def row_size(x: Tensor) -> Tensor:
    """`|x|` plus the root mean square of its row."""
    x = x.detach().double()
    return x.abs() + row_rms(x)


def row_rms(x: Tensor) -> Tensor:
    """Root mean square over the last dimension, of what is known (not NaN), for every element."""
    known = x.isfinite()
    if not x.ndim:
        return x.abs()
    count = known.sum(-1, keepdim=True).clamp_min(1)
    return (x.where(known, 0.0).square().sum(-1, keepdim=True) / count).sqrt()


def _error(x: Tensor, exact: Tensor, unit: Tensor, where: Tensor) -> Tensor:
    """`|x - exact| / unit` where both are finite, 0 elsewhere: what is not finite is another check's business."""
    error = (x.detach().double() - exact).abs() / unit
    return error.where(where & x.isfinite(), 0.0)


def first(bad: Tensor) -> tuple[int, ...] | None:
    """Index of the first true element."""
    found = bad.flatten().nonzero()
    if not len(found):
        return None
    index = int(found[0])
    place = []
    for size in reversed(bad.shape):
        index, at = divmod(index, size)
        place.append(at)
    return tuple(reversed(place))


def finite_check(pairs: list[tuple[str, Tensor, Tensor]]) -> Check:
    """That the new side is finite wherever the old one is."""
    for what, old, new in pairs:
        bad = ~new.isfinite() & old.isfinite()
        if count := int(bad.sum()):
            nans = int((bad & new.isnan()).sum())
            kinds = f"{nans} NaN, {count - nans} infinite" if 0 < nans < count else "NaN" if nans else "infinite"
            message = f"{what}: {count} of {math.prod(new.shape)} values are {kinds}, the old ones are not"
            return Check("nan", False, message, first_bad=first(bad))
    return Check("nan", True)
