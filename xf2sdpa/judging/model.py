"""One comparison of old and new as plain data: its checks, and how fast each side ran."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from xf2sdpa.timing.model import Timing


class Speed(str, enum.Enum):
    """How the new path's device time compares with the old path's."""

    FASTER = "faster"
    SAME = "same"
    SLOWER = "slower"
    UNKNOWN = "not measured"


REFUSED = "refused, as assumed"
"""The check that the new text refuses what the rewrite assumed never to come."""


@dataclass(frozen=True)
class Check:
    """One thing that was compared.

    Attributes:
        name: `output`, `gradient of query`, `dtype`, `shape`, `contiguity`, `nan`, `exact output`, …
        ok: whether the check holds.
        old_error, new_error: largest error of each path, against the float64 judge where there is one.
        limit: the largest `new_error` that is allowed.
        first_bad: index of the first element that fails.
        message: one sentence that the figures do not say; always there if `ok` is False without figures.
        available: False where the check could not be made (`exact: not available (reason)`); it then proves nothing.
    """

    name: str
    ok: bool
    message: str = ""
    old_error: float | None = None
    new_error: float | None = None
    limit: float | None = None
    first_bad: tuple[int, ...] | None = None
    available: bool = True


@dataclass(frozen=True)
class Case:
    """One site with one set of inputs."""

    shape: str
    """For display: `q 2×257×8×40, k 2×77×8×40`."""
    dtype: str
    mask: str = "none"
    gradients: bool = True
    autocast: str | None = None
    notes: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    timings: tuple[Timing, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether numbers were compared, and every check that could be made held."""
        return self.compared and not self.failed

    @property
    def failed(self) -> bool:
        """Whether a check that could be made does not hold."""
        return any(check.available and not check.ok for check in self.checks)

    @property
    def compared(self) -> bool:
        """Whether numbers were compared at all."""
        return any(check.available and check.new_error is not None for check in self.checks)

    @property
    def refused(self) -> bool:
        """Whether the new text refuses these inputs, as assumed: nothing was compared, and nothing differs."""
        return any(check.name == REFUSED and check.ok for check in self.checks)

    def timing(self, path: str) -> Timing | None:
        """The times of one path; None if it was not measured."""
        return next((timing for timing in self.timings if timing.path == path), None)
