"""What a verification finds out, as plain data. Nothing here imports torch, prints or decides how a page looks.

A site is known by the id of
the rewrite's report, `path::function#number`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from xf2sdpa.timing.model import Environment, Timing

FORMAT_VERSION = 1
"""Grows when a key of the JSON report changes its meaning or goes."""


class Status(str, enum.Enum):
    """What is known of one site after a run."""

    AGREES = "agrees"
    """Every comparison held."""
    DIFFERS = "differs"
    """Some comparison failed."""
    NOT_RUN = "not run"
    """The site never came to be executed, or its inputs cannot be made; `reason` says which."""
    NOT_SHADOWED = "not shadowed"
    """Old and new cannot be run side by side here; `reason` says why."""


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


@dataclass
class SiteReport:
    """All that a run found out about one site."""

    id: str
    path: str
    line: int
    kind: str
    """The rewrite's class: exact, assumed, compat, …"""
    before: str
    after: str
    status: Status = Status.NOT_RUN
    reason: str = ""
    calls: int = 0
    """How often the program came by; `cases` are samples of that."""
    cases: list[Case] = field(default_factory=list)
    speed: Speed = Speed.UNKNOWN
    speedup: float | None = None
    """Old time over new time, geometric mean over the cases (forward and backward where there is one)."""
    speed_note: str = ""
    """What the one figure does not say: shapes that are slower, the host's part; or why there is none."""
    advice: str = ""
    """Another backend that was at least 10 % faster at these shapes, and the line that pins it."""


@dataclass
class Report:
    """One run of verify."""

    environment: Environment
    sites: list[SiteReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def count(self, status: Status) -> int:
        """How many sites ended in a status."""
        return sum(site.status is status for site in self.sites)

    @property
    def compared(self) -> int:
        """Cases in which numbers were compared."""
        return sum(case.compared for site in self.sites for case in site.cases)

    def exit_status(self, min_speedup: float | None = None) -> int:
        """0 all that ran agrees; 1 a disagreement, or slower than asked; 3 nothing was compared with xformers."""
        too_slow = min_speedup is not None and any(
            site.speedup is not None and site.speedup < min_speedup for site in self.sites
        )
        if self.count(Status.DIFFERS) or too_slow:
            return 1
        return 3 if self.environment.is_reference or not self.compared else 0
