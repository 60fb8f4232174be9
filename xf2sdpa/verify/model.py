"""What a verification finds out, as plain data. Nothing here imports torch, prints or decides how a page looks.

A site is known by the id of
the rewrite's report, `path::function#number`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from xf2sdpa.judging.model import Case, Speed
from xf2sdpa.timing.model import Environment

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
