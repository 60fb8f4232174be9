"""The results of a verification as plain data. Nothing here imports torch, prints or formats.

The id of a call site is that of the rewrite's report: `path::function#number`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from xf2sdpa.judging.model import Case, Speed
from xf2sdpa.timing.model import Environment

FORMAT_VERSION = 1
"""Increased when a key of the JSON report is removed or changes its meaning."""


class Status(str, enum.Enum):
    """The result for one call site."""

    AGREES = "agrees"
    """All comparisons agree."""
    DIFFERS = "differs"
    """A comparison failed."""
    NOT_RUN = "not run"
    """The site was not executed, its inputs cannot be made, or nothing could be compared; `reason` says which."""
    NOT_SHADOWED = "not shadowed"
    """Old and new cannot be run side by side here; `reason` says why."""


@dataclass
class SiteReport:
    """The results of a run for one call site."""

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
    """How often the program executed the site; `cases` are samples of these calls."""
    cases: list[Case] = field(default_factory=list)
    speed: Speed = Speed.UNKNOWN
    speedup: float | None = None
    """Old time divided by new time, geometric mean over the cases (forward and backward if both were measured)."""
    speed_note: str = ""
    """What `speedup` does not show, such as shapes that are slower, or Python's time; or why there is no figure."""
    advice: str = ""
    """Another backend that was at least 10 % faster at these shapes, and the line that pins it."""
    function: str = ""
    """A digest of the old text of the function around the call, by which `rewrite --seen` knows it again."""


@dataclass
class Report:
    """One run of verify."""

    environment: Environment
    sites: list[SiteReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def count(self, status: Status) -> int:
        """How many sites have a status."""
        return sum(site.status is status for site in self.sites)

    @property
    def compared(self) -> int:
        """The number of cases in which numbers were compared."""
        return sum(case.compared for site in self.sites for case in site.cases)

    @property
    def refused(self) -> int:
        """The number of cases that the new text refuses, as the rewrite assumed that they never come."""
        return sum(case.refused for site in self.sites for case in site.cases)

    def exit_status(self, min_speedup: float | None = None) -> int:
        """1: a site differs, or is slower than asked; 3: nothing was compared with the real xformers; else 0."""
        too_slow = min_speedup is not None and any(
            site.speedup is not None and site.speedup < min_speedup for site in self.sites
        )
        if self.count(Status.DIFFERS) or too_slow:
            return 1
        return 3 if self.environment.is_reference or not self.compared else 0
