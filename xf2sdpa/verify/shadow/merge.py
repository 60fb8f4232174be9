"""Merges the records of all processes of a program into one report."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from xf2sdpa.judging.model import Case
from xf2sdpa.timing.model import Environment, Timing
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.plain import made
from xf2sdpa.verify.planning.plan import Plan
from xf2sdpa.verify.shadow.handover import records
from xf2sdpa.verify.verdict import settle

NEVER = "the program never came by"


@dataclasses.dataclass
class Seen:
    """The records of all processes together.

    Attributes:
        processes: how many processes reported.
        loaded: real paths of the files that were run.
        calls: number of calls by site.
        cases: by site, then by process and sample; the last record of a sample counts.
        timings: likewise; a text says why there are none.
        reasons: by site, why calls were not compared.
    """

    processes: int = 0
    loaded: set[str] = dataclasses.field(default_factory=set)
    calls: dict[str, int] = dataclasses.field(default_factory=dict)
    cases: dict[str, dict[tuple[str, int], Case]] = dataclasses.field(default_factory=dict)
    timings: dict[str, dict[tuple[str, int], tuple[Timing, ...] | str]] = dataclasses.field(default_factory=dict)
    reasons: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def cases_of(self, site: str) -> list[Case]:
        """The cases of a site, with their times."""
        timings = self.timings.get(site, {})
        return [_timed(case, timings.get(key)) for key, case in self.cases.get(site, {}).items()]


def read(folder: Path) -> Seen:
    """Read all records in a folder."""
    seen = Seen()
    counts: dict[tuple[str, str], int] = {}
    for process, record in records(folder):
        _take(seen, counts, process, record)
    for (_, site), calls in counts.items():
        seen.calls[site] = seen.calls.get(site, 0) + calls
    return seen


def _take(seen: Seen, counts: dict[tuple[str, str], int], process: str, record: dict[str, Any]) -> None:
    site = record.get("site", "")
    if "process" in record:
        seen.processes += 1
    elif "loaded" in record:
        seen.loaded.add(record["loaded"])
    elif "calls" in record:
        counts[process, site] = max(record["calls"], counts.get((process, site), 0))
    elif "reason" in record:
        reasons = seen.reasons.setdefault(site, [])
        if record["reason"] not in reasons:
            reasons.append(record["reason"])
    elif "case" in record:
        seen.cases.setdefault(site, {})[process, record["sample"]] = made(Case, record["case"])
    elif "timings" in record:
        times = tuple(made(Timing, timing) for timing in record["timings"])
        seen.timings.setdefault(site, {})[process, record["sample"]] = times
    elif "not timed" in record:
        seen.timings.setdefault(site, {})[process, record["sample"]] = record["not timed"]


def _timed(case: Case, timings: tuple[Timing, ...] | str | None) -> Case:
    """A case with its times, unless its result is wrong."""
    if not timings or not case.ok:
        return case
    if isinstance(timings, str):
        return dataclasses.replace(case, notes=(*case.notes, timings))
    return dataclasses.replace(case, timings=timings)


def merge(plan: Plan, folder: Path, environment: Environment) -> Report:
    """The report of a shadow run.

    Args:
        plan: the planned sites.
        folder: the folder with the processes' records.
        environment: the environment of the run.
    """
    seen = read(folder)
    report = Report(environment)
    for site in plan.sites:
        result = dataclasses.replace(site.report, cases=seen.cases_of(site.report.id))
        result.calls = max(seen.calls.get(result.id, 0), len(result.cases))
        if result.status is not Status.NOT_SHADOWED:
            settle(result, environment)
            if result.status is Status.NOT_RUN:
                result.reason = _reason(result, seen)
        report.sites.append(result)
    report.notes += _notes(seen, report)
    return report


def _reason(site: SiteReport, seen: Seen) -> str:
    """Why a site was not run."""
    told = seen.reasons.get(site.id, [])
    if told:
        return "; ".join(told)
    if site.cases:
        messages = (check.message for case in site.cases for check in case.checks if not check.available)
        return next(filter(None, messages), "nothing could be compared")
    if os.path.realpath(site.path) not in seen.loaded:
        if re.fullmatch(r"test_.*|.*_test|conftest", Path(site.path).stem):
            return "pytest loads a test file by itself, past the hook"
        return "the program did not load its file"
    return NEVER


def _notes(seen: Seen, report: Report) -> list[str]:
    notes = [f"the program ran in {seen.processes} Python processes"] if seen.processes > 1 else []
    if not seen.processes:
        notes.append("no Python process of the program reported: was it started with -I, -E or -S, or did none run?")
    for site in report.sites:
        told = seen.reasons.get(site.id, [])
        if told and site.status is not Status.NOT_RUN:
            notes.append(f"{site.id}: some calls were not compared: {'; '.join(told)}")
    return notes
