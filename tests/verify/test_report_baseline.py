"""What changed since an earlier run."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tests.page import samples
from xf2sdpa.judging.model import Case, Check
from xf2sdpa.timing.model import Timing
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.report import baseline, json


def site(
    identity: str = "a.py::f#0",
    *,
    status: Status = Status.AGREES,
    speedup: float | None = 1.2,
    spread: float = 0.01,
    new_error: float = 1e-3,
    old_error: float = 2e-3,
) -> SiteReport:
    check = Check("output", ok=new_error < 1, old_error=old_error, new_error=new_error, limit=4e-3)
    timings = (Timing("old", 1.2, spread), Timing("new", 1.0, spread))
    case = Case("q 2×8×4×16", "float16", checks=(check,), timings=timings)
    return SiteReport(identity, "a.py", 3, "exact", "old", "new", status, cases=[case], speedup=speedup)


def compare(before: list[SiteReport], now: list[SiteReport], **environment: str | None) -> baseline.Comparison:
    later = dataclasses.replace(samples.XFORMERS, **environment)  # type: ignore[arg-type]
    return baseline.compare(Report(later, now), json.render(Report(samples.XFORMERS, before)))


def sentences(comparison: baseline.Comparison) -> list[str]:
    return [change.sentence for change in comparison.changes]


def test_nothing_changed() -> None:
    comparison = compare([site()], [site()])
    assert comparison.changes == comparison.remarks == ()
    assert comparison.summary == f"Nothing changed since the run of {samples.XFORMERS.date}."


def test_sites_come_and_go() -> None:
    comparison = compare([site("a.py::f#0"), site("a.py::g#0")], [site("a.py::f#0"), site("a.py::h#0")])
    assert sentences(comparison) == ["a.py::g#0: gone, agrees", "a.py::h#0: new, agrees"]
    assert not comparison.worse
    (change,) = compare([], [site(status=Status.DIFFERS)]).changes
    assert change.worse


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        (Status.AGREES, Status.DIFFERS, True),
        (Status.AGREES, Status.NOT_RUN, True),
        (Status.NOT_RUN, Status.DIFFERS, True),
        (Status.NOT_RUN, Status.AGREES, False),
        (Status.DIFFERS, Status.AGREES, False),
    ],
)
def test_another_status(before: Status, now: Status, worse: bool) -> None:
    comparison = compare([site(status=before)], [site(status=now)])
    assert sentences(comparison) == [f"a.py::f#0: status {before.value} before, {now.value} now"]
    assert bool(comparison.worse) == worse


@pytest.mark.parametrize(
    ("now", "spread", "said"),
    [
        (1.25, 0.0, ""),  # below what two runs differ by anyway
        (1.0, 0.01, "speed 1.20× before, 1.00× now"),
        (1.0, 0.10, ""),  # within the spreads, 4 × 0.1
        (0.5, 0.10, "speed 1.20× before, 0.50× now"),
        (1.5, 0.01, "speed 1.20× before, 1.50× now"),
    ],
)
def test_speed_changes_only_beyond_the_spread(now: float, spread: float, said: str) -> None:
    comparison = compare([site(spread=spread)], [site(speedup=now, spread=spread)])
    assert sentences(comparison) == ([f"a.py::f#0: {said}"] if said else [])
    assert bool(comparison.worse) == (bool(said) and now < 1.2)


@pytest.mark.parametrize("changed", [{"device": "NVIDIA H100"}, {"xformers": None, "old_path": "reference: none"}])
def test_speeds_of_different_machines_are_not_compared(changed: dict[str, str | None]) -> None:
    comparison = compare([site()], [site(speedup=0.1)], **changed)
    assert not comparison.changes
    assert "speeds were not compared: that needs xformers and the same device in both runs" in comparison.remarks
    assert any(value in remark for remark in comparison.remarks for value in changed.values() if value)


@pytest.mark.parametrize(
    ("before", "now", "said", "worse"),
    [
        (1e-3, 1.9e-3, "", False),  # less than twice
        (1e-4, 1.9e-3, "1.0e-04 before, 1.9e-03 now", False),  # still below the old path's own error
        (1e-4, 3e-3, "1.0e-04 before, 3.0e-03 now", True),
        (0.0, 3e-3, "0 before, 3.0e-03 now", True),
        (1e-3, math.nan, "1.0e-03 before, NaN now", True),
        (math.nan, math.nan, "", False),
        (math.nan, 1e-3, "", False),
    ],
)
def test_errors_that_grew(before: float, now: float, said: str, worse: bool) -> None:
    comparison = compare([site(new_error=before)], [site(new_error=now)])
    assert sentences(comparison) == ([f"a.py::f#0: error of output {said}, with q 2×8×4×16, float16"] if said else [])
    assert bool(comparison.worse) == worse


def test_errors_are_compared_for_the_same_inputs_only() -> None:
    other = site(new_error=0.1)
    other.cases = [dataclasses.replace(other.cases[0], shape="q 1×1×1×8")]
    assert not compare([site()], [other]).changes


def test_changes_for_the_worse_come_first() -> None:
    comparison = compare([site("a"), site("b"), site("c")], [site("a", speedup=3.0), site("c", status=Status.DIFFERS)])
    assert [change.site for change in comparison.changes] == ["c", "a", "b"]
    assert comparison.summary.startswith("3 changes since")
    assert comparison.summary.endswith("1 for the worse.")


def test_what_is_not_a_report_is_refused() -> None:
    with pytest.raises(ValueError, match="not a report"):
        baseline.compare(samples.report(), "{}")
