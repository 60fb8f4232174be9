"""The HTML page of verify."""

from __future__ import annotations

import dataclasses

import pytest

from tests.page import samples
from tests.page.test_page import read
from xf2sdpa.judging.model import Speed
from xf2sdpa.verify.model import Report
from xf2sdpa.verify.report import baseline, html

pytest.importorskip("jinja2")

REPORTS = {"xformers": samples.report(), "reference": samples.report(reference=True), "empty": Report(samples.XFORMERS)}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_it_is_one_whole_page_that_loads_and_runs_nothing(report: Report) -> None:
    reader = read(html.render(report))
    svgs = [tag for tag, attributes in reader.tags if tag == "svg" and attributes.get("role") == "img"]
    titles = [tag for tag, _ in reader.tags if tag == "desc"]
    assert len(svgs) == len(titles), "every chart says what it shows"


def test_what_it_holds() -> None:
    report = samples.report()
    text = read(html.render(report)).text
    for part in (
        "Of 12 call sites, 1 differs, 2 were not run",
        samples.MADE_UP,
        "NVIDIA H200, compute capability 9.0",
        "580.159",
        report.environment.command,
        "4,112 of 164,480 elements are NaN in the new path",
        "no kernel that both sides have at this head size",
        "cudnn_generated_fort_native_sdpa_sm90",
        "with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):",
        "</code><script>alert('x')</script>",
        "- mea(q, k, v)",
        "+ sdpa(q, v, k)",
    ):
        assert part in text, part
    for site in report.sites:
        assert text.count(f"{site.path}:{site.line}") >= 2, "a site stands in the table and in full"


def test_what_differs_is_unfolded_and_first() -> None:
    page = html.render(samples.report())
    assert page.count('<details class="site" open>') == 1
    assert page.index('id="site-1"') < page.index("Swapped.forward#0, exact") + 2000


def test_no_speed_without_xformers() -> None:
    report = samples.report(reference=True)
    timed = samples.report()
    for site, other in zip(report.sites, timed.sites, strict=True):
        site.cases, site.speedup, site.speed, site.advice = other.cases, 2.0, Speed.FASTER, "pin it"
    text = read(html.render(report)).text
    assert "NOT VERIFIED AGAINST XFORMERS" in text
    assert "No speed is claimed" in text
    assert "Old against new" not in text
    assert not any(word in text for word in ("2.00×", "times as fast"))
    assert "Another backend is faster here" in text, "that compares two backends of the new call"
    assert "old (reference)" in text, "raw figures say what they are of"


def test_no_chart_of_sites_without_a_verdict() -> None:
    report = samples.report()
    for site in report.sites:
        site.speed, site.speedup = Speed.UNKNOWN, None
    assert "Old against new" not in read(html.render(report)).text


@pytest.mark.parametrize(("factor", "logarithmic"), [(2.0, False), (100.0, True)])
def test_the_axis_is_logarithmic_where_times_are_far_apart(factor: float, logarithmic: bool) -> None:
    report = samples.report()
    report.sites = report.sites[:2]
    for site, time in zip(report.sites, (1.0, factor), strict=True):
        timings = tuple(dataclasses.replace(t, total=time) for t in site.cases[0].timings)
        site.cases = [dataclasses.replace(site.cases[0], timings=timings)]
    assert ("The axis is logarithmic." in html.render(report)) == logarithmic


def test_a_large_report_stays_readable() -> None:
    report = samples.report(copies=8)
    page = html.render(report)
    text = read(page).text
    assert f"{len(report.sites) - 40} rows more" in text
    assert page.count('<svg role="img"') == sum(1 for s in report.sites for c in s.cases if c.timings) + 1


def test_changes_since_an_earlier_run() -> None:
    report = samples.report()
    text = read(html.render(report, comparison=baseline.compare(report, samples.earlier()))).text
    assert "Since the run of 2026-11-01 09:00 UTC" in text
    assert "driver was 570.86, is 580.159" in text
    assert "speed, worse" in text
