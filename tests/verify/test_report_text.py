"""The terminal's report of verify."""

from __future__ import annotations

import click
import pytest

from tests.page import samples
from xf2sdpa.judging.model import Case, Check
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.report import baseline, text, words


def plain(report: Report, **options: object) -> list[str]:
    options.setdefault("width", 120)
    return [click.unstyle(line) for line in text.lines(report, **options)]  # type: ignore[arg-type]


def test_one_line_a_site() -> None:
    lines = plain(samples.report())
    assert (
        "src/model/decoder.py:206  agrees       assumed same 1.01×   gradient of key: error 1.7e-02, limit 4.4e-02"
        in lines
    )
    assert any(line.startswith("src/model/legacy.py:77    not run      exact") for line in lines)
    starts = [line.split()[0] for line in lines if line.startswith("src/") and "::" not in line]
    assert starts == [
        words.place(site) for site in sorted(samples.report().sites, key=lambda site: (site.path, site.line))
    ]


def test_what_fails_is_said_with_figures_and_inputs() -> None:
    lines = plain(samples.report())
    where = lines.index("    fails with q 2×257×8×40, k 2×77×8×40, float16, autocast float16")
    assert lines[where + 1] == "        output: error 8.3e-01, limit 8.3e-04, old path 4.1e-04, first at [0, 0, 3, 17]"
    assert [line for line in lines if "8.3e-04" in line] == [lines[where + 1]], "no figure is said twice"
    assert any("error NaN" in line and "4,112 of 164,480 elements are NaN" in line for line in lines)
    assert any("contiguity: the new result is not contiguous" in line for line in lines)


def test_the_end_says_what_it_comes_to() -> None:
    assert plain(samples.report())[-3:] == [
        "Of 12 call sites, 1 differs, 2 were not run, 1 was not shadowed and 8 agree: 16 comparisons with "
        "xformers 0.0.34 (FlashAttention-3), on NVIDIA H200.",
        "Speed: 6 faster, 1 same and 1 slower; old time over new 1.77× (geometric mean), 0.93× at the least.",
        "NVIDIA H200, torch 2.11.0+cu130, cuDNN 9.19.0, xformers 0.0.34 (FlashAttention-3), seed 0",
    ]


@pytest.mark.parametrize("verbose", [-1, 0, 1])
@pytest.mark.parametrize("width", [60, 120])
def test_without_xformers_every_line_says_so(verbose: int, width: int) -> None:
    lines = plain(samples.report(reference=True), verbose=verbose, width=width)
    sites = [line for line in lines if line.startswith(("src/", "    agrees"))]
    assert [line for line in sites if "reference" not in line] == []
    assert [line for line in lines if line not in sites and not line.lstrip().startswith("reference: ")] == []
    assert lines[-1].startswith("reference: NOT VERIFIED AGAINST XFORMERS: xformers is installed, but has no kernels")
    said = "\n".join(lines)
    assert not any(word in said for word in ("faster", "slower", "×,", "old time over new"))


def test_nothing_compared_is_not_verified_either() -> None:
    report = samples.report()
    for site in report.sites:
        site.cases = []
    assert plain(report)[-1] == "NOT VERIFIED AGAINST XFORMERS: no numbers were compared."
    assert plain(Report(samples.XFORMERS))[0].startswith("No call site was found: 0 comparisons")


def test_no_line_is_wider_than_asked_for_where_it_can_be_helped() -> None:
    lines = plain(samples.report(), width=80)
    # Second lines hold the check, never longer here; sentences and user's names are not cut.
    sites = [line for line in lines if line.startswith("src/")]
    assert all(len(line) <= 80 for line in sites)


def test_verbose_and_quiet() -> None:
    loud, usual, quiet = (plain(samples.report(), verbose=verbose) for verbose in (1, 0, -1))
    assert len(loud) > len(usual) > len(quiet)
    assert any("exact output: no kernel that both sides have at this head size (3 times)" in line for line in loud)
    assert any(line.strip().startswith("flash ") and "FlashAttention-2" in line for line in loud)
    assert not any("agrees" in line for line in quiet)
    assert any("fails with q" in line for line in quiet)


def test_advice_and_what_a_speed_hides() -> None:
    lines = plain(samples.report())
    assert any(line.startswith("    help: EFFICIENT is 1.4 times as fast") for line in lines)
    assert any(line.startswith("    speed: slower at 2 of 3 cases") for line in lines)


def test_slower_than_asked() -> None:
    lines = plain(samples.report(), min_speedup=1.0)
    assert any("The new path of 1 call site is slower than asked (1.00×)." in line for line in lines)
    assert "    src/model/decoder.py:175: 0.93×" in lines


def test_changes_since_an_earlier_run() -> None:
    report = samples.report()
    lines = plain(report, comparison=baseline.compare(report, samples.earlier()))
    assert any("changes since the run of 2026-11-01 09:00 UTC" in line for line in lines)
    assert "    src/model/decoder.py::CausalSelfAttention.forward#0: speed 1.21× before, 0.93× now" in lines


def test_the_name_of_a_check_is_not_said_twice() -> None:
    check = Check("exact", ok=False, message="exact: not available (no GPU)", available=False)
    site = SiteReport("a.py::f#0", "a.py", 1, "exact", "", "")
    site.cases = [Case("q", "float32", checks=(check, check))]
    assert words.unavailable(site) == ["exact: not available (no GPU) (2 times)"]
    gone = Check("gradient of key", ok=False, message="gradient of key: the new side gives none")
    assert words.failure(gone) == "gradient of key: the new side gives none"


def test_a_case_without_figures_does_not_hold() -> None:
    shape_only = type(samples.failing(__import__("random").Random(0)))(
        "q", "float32", checks=(Check("shape", ok=True),)
    )
    assert words.verdict(shape_only) == ("not compared", "warn")


def test_the_outcome_is_good_only_when_all_agrees() -> None:
    report = samples.report()
    assert words.outcome(report)[1] == "bad"
    report.sites = [site for site in report.sites if site.status is not Status.DIFFERS]
    assert words.outcome(report)[1] == "warn"
    report.sites = [site for site in report.sites if site.status is Status.AGREES]
    sentence, tone = words.outcome(report)
    assert (sentence[:25], tone) == ("All 8 call sites agree: 1", "good")
    assert words.outcome(Report(report.environment, report.sites[:1]))[0].startswith("The call site agrees: 1 comp")
    assert words.outcome(report, min_speedup=1.0)[1] == "bad"
    report.environment = samples.REFERENCE
    assert words.outcome(report)[1] == "warn"


def test_the_diff_is_the_whole_of_both() -> None:
    site = SiteReport("a.py::f#0", "a.py", 1, "exact", samples.BEFORE, samples.AFTER)
    lines = words.diff(site)
    assert "\n".join(line for sign, line in lines if sign != "+") == samples.BEFORE
    assert "\n".join(line for sign, line in lines if sign != "-") == samples.AFTER


def test_the_case_with_the_worst_check_comes_first_and_counts_are_said() -> None:
    bad, worse = (Check("output", ok=False, new_error=error, limit=1.0) for error in (2.0, 9.0))
    held = Check("shape", ok=True)
    cases = [Case("q 1", "float16", checks=(held, bad)), Case("q 2", "float16", checks=(held, worse))]
    site = SiteReport("a.py::f#0", "a.py", 1, "compat", "f(q)", "f(q)", Status.DIFFERS, "look at b.py", cases=cases)
    assert words.finding(site) == "2 of 4 checks fail, the worst: output"
    assert plain(Report(samples.XFORMERS, [site]))[1:6] == [
        "    look at b.py",
        "    fails with q 2, float16",
        "        output: error 9.0e+00, limit 1.0e+00",
        "    fails with q 1, float16",
        "        output: error 2.0e+00, limit 1.0e+00",
    ]
    site.cases = cases[:1]
    assert words.finding(site) == "1 of 2 checks fails: output"


def test_an_exact_check_that_holds_is_not_the_worst() -> None:
    near = Check("exact gradient of query", ok=True, new_error=0.9, limit=1.0)
    far = Check("output", ok=True, new_error=0.1, limit=1.0)
    site = SiteReport("a.py::f#0", "a.py", 1, "exact", "", "", cases=[Case("q 1", "float16", checks=(near, far))])
    assert words.worst(site) is far
    broken = Check("exact output", ok=False, new_error=0.1, limit=0.0)
    site.cases = [Case("q 1", "float16", checks=(broken, far))]
    assert words.worst(site) is broken
