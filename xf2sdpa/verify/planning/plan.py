"""The plan of a verification as plain data: each site with its two sides."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from xf2sdpa.analysis.values import Value
from xf2sdpa.helper.text import is_untouched
from xf2sdpa.judging.probe import Operator, Probe
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.planning.namespace import Helper, bind
from xf2sdpa.verify.planning.parts import Atom, Shadow


@dataclass
class SitePlan:
    """One decided call site.

    Attributes:
        report: the site's entry in the report, without results so far.
        shadow: both sides; None if they cannot be run side by side, and the report says why.
        rank: number of dimensions of query, key and value, if the code shows it.
        bias: what the analysis knows of `attn_bias`; None if nothing.
        mask: the same in words: `none`, `causal`, `tensor`, `tensor of rank 4`, `BlockDiagonalMask`, `unknown`, …
        variant: the operator's name: `memory_efficient_attention`, `…_forward`, …
    """

    report: SiteReport
    shadow: Shadow | None = None
    rank: int | None = None
    bias: Value | None = None
    mask: str = "unknown"
    variant: str = "memory_efficient_attention"

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """The values that both sides are computed from."""
        return self.shadow.atoms if self.shadow else ()

    def probe(self, operator: Operator, helper: Helper | None) -> Probe:
        """The site as two functions of its atoms, to be run without the program.

        Raises:
            ValueError: the site has no shadow.
        """
        if self.shadow is None:
            raise ValueError(f"{self.report.id}: {self.report.reason}")
        old = bind(self.shadow.old_lambda(), self.shadow.old_imports, None, f"<old side of {self.shadow.site}>")
        new = self.shadow.new_function(helper)
        refused = self.shadow.is_refused
        return Probe(self.shadow.site, old, new, operator, self.shadow.strides_matter, self.shadow.roles, refused)


@dataclass
class Plan:
    """The sites of a run of verify.

    Attributes:
        sites: every decided site.
        helpers: source of each helper module, by its key in a `Shadow` (its path).
        notes: changes in a rewritten tree that verify does not check.
    """

    sites: list[SitePlan] = field(default_factory=list)
    helpers: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def helper(self, site: SitePlan) -> Helper | None:
        """The helper module of a site; None if it uses none."""
        key = site.shadow.helper if site.shadow else ""
        return Helper(key, self.helpers[key]) if key else None

    def explain(self, report: Report) -> None:
        """Set the reason of each differing site whose helper module was edited by hand."""
        keys = {site.report.id: site.shadow.helper for site in self.sites if site.shadow}
        for site in report.sites:
            key = keys.get(site.id, "")
            if site.status is Status.DIFFERS and key and not is_untouched(self.helpers[key]):
                site.reason = f"{os.path.relpath(key)}, which answers this call, is not as xf2sdpa wrote it: look there"
