"""Turns two results and the exact one into checks: errors in the judge's units, and NaN."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from xf2sdpa.judging.model import Check

FACTOR = 2.0
"""error(new) may be this many times error(old), plus `ALLOWANCE`: correct kernels round at different places."""

ALLOWANCE = 2.0
"""In eps. In the judge's units, a fused kernel's error is mostly 0.3 to 0.6 eps and at most 1.3 (300 random problems on
torch's CPU kernels; GPU kernels round at the same places); the judge's own gradients lose up to 0.5 eps as autograd
casts them to the inputs' dtype. It is needed because the reference, in float32 for half inputs, has almost no error
that `FACTOR` could double."""

OUTSIDE = 4.0
"""Outside the judged sample, old and new may differ by this many times what they differ by inside it."""

TOLERANCES = {
    torch.float16: ((4e-3, 4e-4), (2e-1, 2e-2)),
    torch.bfloat16: ((2e-2, 5e-3), (9e-1, 1e-1)),
    torch.float32: ((3e-4, 2e-5), (9e-4, 1e-4)),
}
"""(atol, rtol) of results, and of gradients, as in xformers' own tests; used where there is no judge."""


@dataclass
class Measured:
    """One tensor of both sides, and its exact value.

    Attributes:
        what: `output`, `gradient of query`, …
        exact, unit: the judge's result and error units, NaN where it did not judge; None where there is no judge.
        eps: that of the coarsest dtype on the old path.
    """

    what: str
    old: Tensor
    new: Tensor
    exact: Tensor | None
    unit: Tensor | None
    eps: float

    def check(self) -> Check:
        """The check that the new tensor is about as near to the exact one as the old one is."""
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
        return self._outside_sample(judged) or Check(self.what, True, "", old_error, new_error, limit)

    def _unit(self, exact: Tensor) -> Tensor:
        """The judge's units; without a judge's, the size of each element and its row."""
        unit = row_size(exact) if self.unit is None else self.unit.double()
        return unit.clamp_min(float_info(self.old.dtype).tiny)

    def _outside_sample(self, judged: Tensor) -> Check | None:
        """A failing check if the tensors differ too much outside the judged sample; else None."""
        if bool(judged.all()):
            return None
        size = row_size(self.old).double().clamp_min(float_info(self.old.dtype).tiny)
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
    """Root mean square of the finite values over the last dimension, kept as a dimension of size 1."""
    known = x.isfinite()
    if not x.ndim:
        return x.abs()
    count = known.sum(-1, keepdim=True).clamp_min(1)
    return (x.where(known, 0.0).square().sum(-1, keepdim=True) / count).sqrt()


def _error(x: Tensor, exact: Tensor, unit: Tensor, where: Tensor) -> Tensor:
    """`|x - exact| / unit` where `where` is true and `x` finite, else 0: `finite_check` covers non-finite values."""
    error = (x.detach().double() - exact).abs() / unit
    return error.where(where & x.isfinite(), 0.0)


def first(bad: Tensor) -> tuple[int, ...] | None:
    """Index of the first true element; None if there is none."""
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
    """The check that the new tensors are finite wherever the old ones are, for (name, old, new)."""
    for what, old, new in pairs:
        bad = ~new.isfinite() & old.isfinite()
        if count := int(bad.sum()):
            nans = int((bad & new.isnan()).sum())
            kinds = f"{nans} NaN, {count - nans} infinite" if 0 < nans < count else "NaN" if nans else "infinite"
            message = f"{what}: {count} of {math.prod(new.shape)} values are {kinds}, the old ones are not"
            return Check("nan", False, message, first_bad=first(bad))
    return Check("nan", True)


def float_info(dtype: torch.dtype) -> torch.finfo:
    """The limits of a floating dtype; those of float32 for bool and int, which count in whole steps."""
    return torch.finfo(dtype if dtype.is_floating_point else torch.float32)
