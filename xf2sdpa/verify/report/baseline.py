"""Compares a run with an earlier one: sites, statuses, speeds beyond their spread, errors that grew."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from xf2sdpa.judging.model import Check
from xf2sdpa.page import numbers
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.report import json, words

ERROR_FACTOR = 2.0
"""An error has grown if it is more than this many times the earlier one; the judge's checks allow the same factor."""
LEAST_SPEED_CHANGE = 0.05
"""Smaller changes of speed are not reported: clocks and temperature make two runs differ by more than their spreads."""


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        what: `new`, `gone`, `status`, `speed` or `error of …`.
        worse: whether it is a change for the worse.
        inputs: the inputs of the case that shows it; may be empty.
    """

    site: str
    what: str
    before: str
    after: str
    worse: bool
    inputs: str = ""

    @property
    def sentence(self) -> str:
        """The difference in one line."""
        if self.what in ("new", "gone"):
            return f"{self.site}: {self.what}, {self.after or self.before}"
        inputs = f", with {self.inputs}" if self.inputs else ""
        return f"{self.site}: {self.what} {self.before} before, {self.after} now{inputs}"


@dataclass(frozen=True)
class Comparison:
    """All differences from an earlier run.

    Attributes:
        date: the date of the earlier run.
        remarks: differences between the two runs' environments, and what was therefore not compared.
    """

    date: str
    changes: tuple[Change, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def worse(self) -> tuple[Change, ...]:
        """Changes for the worse."""
        return tuple(change for change in self.changes if change.worse)

    @property
    def summary(self) -> str:
        """The comparison in one sentence."""
        if not self.changes:
            return f"Nothing changed since the run of {self.date}."
        changes = numbers.count(len(self.changes), "change")
        return f"{changes} since the run of {self.date}, {len(self.worse)} for the worse."


def compare(report: Report, earlier_json: str) -> Comparison:
    """Compare a run with the JSON report of an earlier one.

    Raises:
        ValueError: `earlier_json` is not such a report.
    """
    earlier = json.load(earlier_json)
    before, now = ({site.id: site for site in run.sites} for run in (earlier, report))
    changes: list[Change] = []
    for identity, site in now.items():
        if identity not in before:
            changes.append(Change(identity, "new", "", site.status.value, site.status is Status.DIFFERS))
            continue
        changes += _of_site(before[identity], site, speeds=_same_machine(earlier, report))
    gone = (site for identity, site in before.items() if identity not in now)
    changes += [Change(site.id, "gone", site.status.value, "", worse=False) for site in gone]
    changes.sort(key=lambda change: (not change.worse, change.site))
    return Comparison(earlier.environment.date, tuple(changes), tuple(_remarks(earlier, report)))


def _same_machine(earlier: Report, now: Report) -> bool:
    """Whether speeds may be compared: the same device, and xformers on both."""
    old, new = earlier.environment, now.environment
    return old.device == new.device and not old.is_reference and not new.is_reference


def _remarks(earlier: Report, now: Report) -> Iterator[str]:
    for name in ("device", "torch", "cudnn", "driver", "old_path", "precision", "seed"):
        old, new = getattr(earlier.environment, name), getattr(now.environment, name)
        if old != new:
            yield f"{name.replace('_', ' ')} was {old}, is {new}"
    if not _same_machine(earlier, now):
        yield "speeds were not compared: that needs xformers and the same device in both runs"


def _of_site(before: SiteReport, now: SiteReport, *, speeds: bool) -> Iterator[Change]:
    if before.status is not now.status:
        worse = now.status is Status.DIFFERS or before.status is Status.AGREES
        yield Change(now.id, "status", before.status.value, now.status.value, worse)
    if speeds and before.speedup and now.speedup:
        change = now.speedup / before.speedup
        noise = max(LEAST_SPEED_CHANGE, _spread(before) + _spread(now))
        if abs(change - 1) > noise:
            old, new = map(numbers.ratio, (before.speedup, now.speedup))
            yield Change(now.id, "speed", old, new, change < 1)
    yield from _errors(before, now)


def _spread(site: SiteReport) -> float:
    """The uncertainty of a site's speed ratio: the largest sum of the spreads of old and new over its cases."""
    pairs = ((case.timing("old"), case.timing("new")) for case in site.cases)
    return max((old.spread + new.spread for old, new in pairs if old and new), default=0.0)


def _errors(before: SiteReport, now: SiteReport) -> Iterator[Change]:
    """For each check, the case whose error grew most; worse only if it now exceeds the old path's error."""
    old, new = _largest(before), _largest(now)
    grown: dict[str, tuple[float, str]] = {}
    for (inputs, name), check in new.items():
        error_before = _error(old[inputs, name]) if (inputs, name) in old else math.inf
        if _grew(error_before, _error(check)):
            factor = _error(check) / error_before if error_before > 0 else math.inf
            grown[name] = max(grown.get(name, (0.0, "")), (factor, inputs))
    for name, (_, inputs) in grown.items():
        check = new[inputs, name]
        worse = not check.ok or check.old_error is None or not _error(check) <= check.old_error
        earlier, later = numbers.error(old[inputs, name].new_error), numbers.error(check.new_error)
        yield Change(now.id, f"error of {name}", earlier, later, worse, inputs)


def _grew(before: float, now: float) -> bool:
    return now > ERROR_FACTOR * before


def _error(check: Check) -> float:
    """The new error; infinite if it is NaN or missing."""
    return math.inf if check.new_error is None or math.isnan(check.new_error) else check.new_error


def _largest(site: SiteReport) -> dict[tuple[str, str], Check]:
    """The check with the largest new error for each pair of inputs and check name."""
    found: dict[tuple[str, str], Check] = {}
    for case in site.cases:
        for check in case.checks:
            if check.available and check.new_error is not None:
                key = (words.inputs(case), check.name)
                found[key] = max(found.get(key, check), check, key=_error)
    return found
