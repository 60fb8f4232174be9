"""Speed and advice from timings: pure arithmetic."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from tests.timing.samples import H200
from xf2sdpa.judging.model import Case, Check, Speed
from xf2sdpa.timing.model import Timing
from xf2sdpa.verify import verdict
from xf2sdpa.verify.model import SiteReport, Status

HELD = Check("output", True, new_error=1e-3, old_error=1e-3, limit=2e-3)
FAILED = Check("output", False, "wrong", new_error=1.0, old_error=1e-3, limit=2e-3)


def timing(path, total, spread=0.01, **more):
    return Timing(path, total / 3, spread, total, spread, samples=12, **more)


def case(shape="q 2×64×8×64", checks=(HELD,), dtype="bfloat16", gradients=True, spread=0.01, **totals):
    timings = tuple(timing(path, total, spread) for path, total in totals.items())
    return Case(shape, dtype, gradients=gradients, checks=checks, timings=timings)


@pytest.mark.parametrize(
    ("old", "new", "spread", "word"),
    [
        (1.34, 1.25, 0.01, Speed.FASTER),  # the guide's shape
        (1.34, 1.25, 0.10, Speed.SAME),  # the same medians, but the quartiles overlap
        (0.95, 0.94, 0.001, Speed.SAME),  # within 3 %, however steady
        (3.63, 3.85, 0.01, Speed.SLOWER),
        (3.63, 3.85, 0.08, Speed.SAME),
    ],
)
def test_one_case(old, new, spread, word):
    seen = verdict.speed_of([case(old=old, new=new, spread=spread)], H200)
    assert seen.speed is word
    assert seen.speedup == pytest.approx(old / new)


def test_several_cases_by_the_geometric_mean_and_the_slow_one_is_named():
    cases = [case("q 4×1024×8×80", old=4.0, new=1.0), case("q 1×16384×16×128", old=1.0, new=2.0)]
    seen = verdict.speed_of(cases, H200)
    assert (seen.speed, seen.speedup) == (Speed.FASTER, pytest.approx(2**0.5))
    assert seen.note == "slower at 1 of 2 cases (q 1×16384×16×128 bfloat16: 0.50)"


def test_forward_only_counts_forward():
    only = Case("q", "bfloat16", checks=(HELD,), timings=(Timing("old", 2.0, 0.0), Timing("new", 1.0, 0.0)))
    assert verdict.speed_of([only], H200).speedup == pytest.approx(2.0)


def test_total_of_one_side_is_not_set_against_forward_of_the_other():
    mixed = Case("q", "bfloat16", checks=(HELD,), timings=(Timing("old", 2.0, 0.0, 9.0, 0.0), Timing("new", 1.0, 0.0)))
    assert verdict.speed_of([mixed], H200).speedup == pytest.approx(2.0)


def test_what_python_adds_is_said_where_it_differs():
    old, new = timing("old", 0.3, total_paced=1.43), timing("new", 0.3, total_paced=0.45)
    seen = verdict.speed_of([Case("q", "float16", checks=(HELD,), timings=(old, new))], H200)
    assert (seen.speed, seen.note) == (Speed.SAME, "with Python and launches, calls back to back: 3.18")


@pytest.mark.parametrize(
    ("cases", "change", "reason"),
    [
        ([case(old=2.0, new=1.0)], {"xformers": None}, "reference"),
        ([case(old=2.0, new=1.0)], {"device": "cpu"}, "no GPU"),
        ([case(old=2.0, new=1.0), case(checks=(FAILED,))], {}, "results differ"),
        ([case(new=1.0)], {}, "budget"),
        ([], {}, "budget"),
    ],
)
def test_no_speed_is_claimed(cases, change, reason):
    seen = verdict.speed_of(cases, dataclasses.replace(H200, **change))
    assert (seen.speed, seen.speedup) == (Speed.UNKNOWN, None)
    assert reason in seen.note


def test_a_faster_backend_everywhere():
    """Temporal attention: EFFICIENT 2.30 ms, default 3.08."""
    advice = verdict.advice_of([case("q 8192×16×8×64", old=6.27, new=3.08, flash=6.98, efficient=2.30)], H200)
    assert "EFFICIENT_ATTENTION is 1.34 times as fast as the default (bfloat16) at q 8192×16×8×64" in advice
    assert "with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):" in advice


def test_the_line_that_pins_it_is_python():
    advice = verdict.advice_of([case(new=2.0, flash=1.0)], H200)
    line = advice.split("`")[1]
    compile(line.split("#")[0] + "pass", "advice", "exec")
    compile(line.split("#")[1].strip(), "advice", "exec")


def test_at_some_shapes_only():
    cases = [
        case("q 8192×16×8×64", new=3.08, efficient=2.30),
        case("q 32×1024×16×64", new=1.25, efficient=4.27),
    ]
    advice = verdict.advice_of(cases, H200)
    assert "1.34" in advice
    assert "at 1 of 2 cases (q 8192×16×8×64); pin it only where your shapes are these" in advice


def test_a_backend_that_refuses_a_shape_is_not_advised_for_all():
    advice = verdict.advice_of([case("a", new=2.0, flash=1.0), case("b", new=2.0)], H200)
    assert "at 1 of 2 cases (a); pin it only" in advice


def test_flash_attention_4_is_advised_by_its_flag():
    cases = [case("q 1×16384×16×128", new=7.3, flash=12.2, fa4=6.28), case("q 64×257×24×64", new=0.65, fa4=0.99)]
    advice = verdict.advice_of(cases, H200)
    assert "FlashAttention-4 is 1.16 times as fast as the default (bfloat16) at 1 of 2 cases" in advice
    assert "`xf2sdpa rewrite --flags fa4`" in advice
    assert verdict.advice_of([case(new=1.0, fa4=0.95)], H200) == ""


@pytest.mark.parametrize(
    "timed",
    [
        case(old=9.0, new=1.09, efficient=1.0),  # less than 10 %
        case(old=9.0, new=1.2, efficient=1.0, spread=0.3),  # more, but within the spread
        case(old=1.0, new=9.0, math=1.0),  # math is never advised
        case(old=1.0, new=2.0),
    ],
)
def test_no_advice(timed):
    assert verdict.advice_of([timed], H200) == ""


@pytest.mark.parametrize(
    ("cudnn", "gradients", "advised"),
    [
        ("9.19.0", False, True),
        ("9.15.1", False, True),
        ("9.15.0", False, False),
        ("9.10.2", False, False),
        ("9.19.0", True, False),
        (None, False, False),
    ],
)
def test_cudnn_only_for_inference_and_from_9_15_1(cudnn, gradients, advised):
    seen = verdict.advice_of([case(new=2.0, cudnn=1.0, gradients=gradients)], dataclasses.replace(H200, cudnn=cudnn))
    assert ("CUDNN_ATTENTION" in seen) is advised


def test_half_precision_is_not_mixed_with_float32():
    cases = [case(dtype="torch.bfloat16", new=2.0, flash=1.0), case(dtype="float32", new=2.0, efficient=2.0)]
    assert "FLASH_ATTENTION is 2.00 times as fast as the default (bfloat16) at q 2×64×8×64" in verdict.advice_of(
        cases, H200
    )
    assert "(float32)" in verdict.advice_of([case(dtype="float32", new=2.0, efficient=1.0)], H200)


def test_settle():
    site = SiteReport("a.py::f#0", "a.py", 1, "exact", "old", "new", cases=[case(old=2.0, new=1.0, flash=0.5)])
    verdict.settle(site, H200)
    assert (site.status, site.speed, site.speedup) == (Status.AGREES, Speed.FASTER, pytest.approx(2.0))
    assert "FLASH" in site.advice


def test_settle_advises_without_xformers_too():
    site = SiteReport("a.py::f#0", "a.py", 1, "exact", "old", "new", cases=[case(new=1.0, flash=0.5)])
    verdict.settle(site, dataclasses.replace(H200, xformers=None))
    assert (site.speed, site.status) == (Speed.UNKNOWN, Status.AGREES)
    assert "FLASH" in site.advice


def test_settle_on_the_cpu_gives_no_advice():
    site = SiteReport("a.py::f#0", "a.py", 1, "exact", "old", "new", cases=[case(old=2.0, new=1.0, flash=0.5)])
    verdict.settle(site, dataclasses.replace(H200, device="cpu"))
    assert (site.speed, site.advice, site.status) == (Speed.UNKNOWN, "", Status.AGREES)


def test_settle_leaves_a_site_that_never_ran():
    site = SiteReport("a.py::f#0", "a.py", 1, "exact", "old", "new", reason="never called")
    verdict.settle(site, H200)
    assert (site.status, site.reason) == (Status.NOT_RUN, "never called")


def test_nothing_compared_is_not_agreement():
    unavailable = Check("exact output", True, "not available", available=False)
    assert verdict.status_of([case(checks=(unavailable,))]) is Status.NOT_RUN
    assert verdict.status_of([case(), case(checks=(FAILED,))]) is Status.DIFFERS


def test_no_torch():
    program = "import sys; import xf2sdpa.verify.verdict; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
