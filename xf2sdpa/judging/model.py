"""One comparison of old and new as plain data: its checks, and how fast each side ran."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from xf2sdpa.timing.model import Timing


class Speed(str, enum.Enum):
    """How the new path compares in device time."""

    FASTER = "faster"
    SAME = "same"
    SLOWER = "slower"
    UNKNOWN = "not measured"


@dataclass(frozen=True)
class Check:
    """One thing that was compared.

    Attributes:
        name: `output`, `gradient of query`, `dtype`, `shape`, `contiguity`, `nan`, `exact output`, …
        limit: what `new_error` may be at most, where errors were judged.
        old_error: largest error of the old path against the float64 judge.
        first_bad: index of the first element that fails.
        message: one sentence, for a person, of what the figures do not say; needed where `ok` is False without any.
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
    """For a person: `q 2×257×8×40, k 2×77×8×40`."""
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
        """Whether some check that could be made does not hold."""
        return any(check.available and not check.ok for check in self.checks)

    @property
    def compared(self) -> bool:
        """Whether numbers were compared at all."""
        return any(check.available and check.new_error is not None for check in self.checks)

    def timing(self, path: str) -> Timing | None:
        """How long one path took, if it was measured."""
        return next((timing for timing in self.timings if timing.path == path), None)
