"""A run without a program: what is compared, what is not and why, and what is claimed of speed."""

from __future__ import annotations

import dataclasses
import io
import textwrap

import pytest
import torch

from xf2sdpa import timing
from xf2sdpa.judging.model import Case, Check, Speed
from xf2sdpa.judging.old_path import OldPath, find_old_path
from xf2sdpa.settings import Settings
from xf2sdpa.timing import flash4
from xf2sdpa.timing.model import Timing
from xf2sdpa.verify import inputs, run, speed
from xf2sdpa.verify.model import Status
from xf2sdpa.verify.options import Options
from xf2sdpa.verify.planning.old_text import collect
from xf2sdpa.verify.planning.plan import Plan
from xf2sdpa.verify.planning.sites import plan

SHAPES = (
    inputs.Shape("odd", 2, 9, 9, 3, 8, "packed"),
    inputs.Shape("unequal", 2, 6, 11, 3, 8, "BHMK"),
    inputs.Shape("low", 1, 12, 64, 2, 16, low=True),
)
SELF_ATTENTION = """
from xformers.ops import memory_efficient_attention

def attend(q, k, v):
    b, m, h, d = q.shape
    return memory_efficient_attention(q, k, v).reshape(b, m, h * d)
"""
CPU = Options(device="cpu", exact=False)


@pytest.fixture
def planned(tmp_path):
    def of(program: str = SELF_ATTENTION) -> Plan:
        (tmp_path / "model.py").write_text(textwrap.dedent(program))
        return plan(collect([str(tmp_path / "model.py")]), Settings())

    return of


def ran(made, options=CPU, **more):
    more.setdefault("shapes", SHAPES)
    return run.run(made, options, log=io.StringIO(), **more)


def test_every_shape_is_compared_in_both_dtypes(planned):
    report = ran(planned())
    (site,) = report.sites
    assert site.status is Status.AGREES
    assert all(case.compared for case in site.cases)
    assert [(case.dtype, case.notes[0]) for case in site.cases] == [
        ("float32", "made up: odd, stored packed"),
        ("float32", "made up: unequal, stored BHMK"),
        ("float32", "made up: low, stored BMHK"),
        ("bfloat16", "made up: odd, stored packed"),
        ("bfloat16", "made up: low, stored BMHK"),
    ]
    assert {check.name for check in site.cases[0].checks} >= {"output", "gradient of query", "gradient of key"}


def test_on_the_cpu_no_speed_is_claimed_and_nothing_is_timed(planned):
    report = ran(planned())
    assert report.environment.is_reference
    assert report.exit_status() == 3
    (site,) = report.sites
    assert (site.speed, site.speedup, site.advice) == (Speed.UNKNOWN, None, "")
    assert "no speed" in site.speed_note
    assert not any(case.timings for case in site.cases)


WRONG = {
    "key and value swapped": ("atom1.transpose(1, 2), atom2", "atom2.transpose(1, 2), atom1"),
    "scale": ("atom2.transpose(1, 2))", "atom2.transpose(1, 2), scale=0.1)"),
    "causal": ("atom2.transpose(1, 2))", "atom2.transpose(1, 2), is_causal=True)"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_rewrite_differs_and_has_no_speed(planned, wrong):
    made = planned()
    new = made.sites[0].shadow.new
    assert wrong[0] in new
    made.sites[0].shadow = dataclasses.replace(made.sites[0].shadow, new=new.replace(*wrong))
    report = ran(made)
    (site,) = report.sites
    assert (site.status, site.speed) == (Status.DIFFERS, Speed.UNKNOWN)
    assert report.exit_status() == 1


def test_a_site_that_needs_a_program_is_not_run(planned):
    made = planned()
    atoms = tuple(dataclasses.replace(atom, whole=False) for atom in made.sites[0].atoms)
    shadow = made.sites[0].shadow
    made.sites[0].shadow = dataclasses.replace(shadow, atoms=atoms, old="operator(atom0.nothing, atom1, atom2)")
    (site,) = ran(made).sites
    assert site.status is Status.NOT_RUN
    assert "needs a program" in site.reason


def test_a_site_without_two_sides_is_not_shadowed(planned):
    report = ran(
        planned(
            """
            import torch
            import xformers.ops

            try:
                xformers.ops.memory_efficient_attention(
                    torch.randn(1, 2, 40), torch.randn(1, 2, 40), torch.randn(1, 2, 40)
                )
            except Exception:
                pass
            """
        )
    )
    assert [site.status for site in report.sites] == [Status.NOT_SHADOWED]
    assert report.exit_status() == 3


def test_a_mask_that_xformers_refuses_is_not_a_difference(planned, monkeypatch):
    """What the old path does not take says nothing about the new one."""
    made = planned()
    monkeypatch.setattr(OldPath, "variant", lambda self, name: _refusing)
    (site,) = ran(made).sites
    assert site.status is Status.NOT_RUN
    assert "not take" in site.reason


def _refusing(*arguments, **options):
    raise NotImplementedError("no operator found: it does not take this")


def test_the_budget_is_kept_and_the_first_shape_always_run(planned):
    report = ran(planned(), budget=0.0)
    assert len(report.sites[0].cases) == 1
    assert "4 sets of inputs or more were left out: the budget of 0 s was used up" in report.notes


def test_ctrl_c_keeps_what_was_done(planned, monkeypatch):
    made = planned(SELF_ATTENTION + SELF_ATTENTION.replace("attend", "again") + SELF_ATTENTION.replace("attend", "no"))
    compare, calls = run.compare_probe, []

    def stopped(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return compare(*arguments, **options)

    monkeypatch.setattr(run, "compare_probe", stopped)
    with pytest.raises(run.Interrupted) as caught:
        ran(made, shapes=SHAPES[:1])
    report = caught.value.report
    assert [(site.status.value, len(site.cases)) for site in report.sites] == [
        ("agrees", 2), ("agrees", 1), ("not run", 0)
    ]  # fmt: skip
    assert report.sites[2].reason == "interrupted before anything was compared"
    assert "interrupted: 1 of 3 sites were run to the end" in report.notes


def test_progress_is_told(planned):
    log = io.StringIO()
    run.run(planned(), CPU, shapes=SHAPES[:1], log=log)
    assert "verify: 1/1" in log.getvalue()
    assert "attend#0: agrees, 2 cases" in log.getvalue()


def test_random_state_is_left_as_found(planned):
    made = planned()
    state = torch.get_rng_state()
    ran(made)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_plan_is_not_written_into(planned):
    made = planned()
    ran(made)
    assert made.sites[0].report.cases == []
    assert made.sites[0].report.status is Status.NOT_RUN


def test_paths_compute_the_sides_from_the_tensors(planned):
    made = planned(
        """
        from xformers.ops import memory_efficient_attention

        def attend(q, k, v, p):
            b, m, h, d = q.shape
            return memory_efficient_attention(q, k, v, p=p).reshape(b, m, h * d)
        """
    )
    (site,) = made.sites
    with find_old_path().install():
        probe = site.probe(find_old_path().operator, None)
        (atoms,) = inputs.make(site, SHAPES[0], "cpu", torch.float32, 0)
        leaves, paths = speed.as_paths(probe, atoms.values)
        assert list(paths) == ["old", "new"]
        assert len(leaves) == 3
        torch.testing.assert_close(paths["old"](*leaves), paths["new"](*leaves))  # p would make them differ
        doubled = [2 * leaf for leaf in leaves]
        assert not torch.equal(paths["new"](*doubled), paths["new"](*leaves))
    assert list(speed.as_paths(probe, atoms.values, with_old=False)[1]) == ["new"]


def test_too_large_for_the_device_is_said(planned, monkeypatch):
    def no_room(*arguments, **options):
        raise torch.cuda.OutOfMemoryError("no room")

    monkeypatch.setattr(run, "compare_probe", no_room)
    report = ran(planned())
    assert report.sites[0].status is Status.NOT_RUN
    assert "5 sets of inputs were too large for this device's memory, and left out" in report.notes


# -- timings, on a GPU that is made of a fake clock ------------------------------------------------------------


@pytest.fixture
def clocked(planned, monkeypatch):
    """One site, with `measure` answered from a table, and the first calls counted."""
    made, first = planned(), []
    measured = {"old": 2.0, "new": 1.0, "flash": 0.5}

    def measure(paths, leaves, *, backward, budget):
        assert backward
        for path in paths.values():
            path(*leaves)
        return {name: Timing(name, measured[name] / 3, 0.01, measured[name], 0.01, samples=9) for name in paths}

    def first_calls(paths, leaves, *, backward):
        first.append(list(paths))
        return dict.fromkeys(paths, 50.0)

    monkeypatch.setattr(timing, "measure", measure, raising=False)
    monkeypatch.setattr(timing, "first_calls", first_calls, raising=False)
    monkeypatch.setattr(timing, "backends", lambda call, leaves, *, backward: {"flash": call}, raising=False)
    monkeypatch.setattr(timing, "kernel_of", lambda call: "cudnn: k", raising=False)
    path = find_old_path()
    real = dataclasses.replace(path, version="0.0.34")
    environment = dataclasses.replace(
        timing.environment("c", 0, real, "cpu"), device="NVIDIA H200", capability="9.0", cudnn="9.19.0"
    )
    shape = dataclasses.replace(SHAPES[0], timed=True)
    cpu = torch.device("cpu")
    run_ = run._Run(made, Options(), real, cpu, environment, 60.0, True, [shape], io.StringIO())
    return run_, first


def test_old_new_and_backends_are_timed_and_the_first_call_is_the_first(clocked):
    run_, first = clocked
    (site,) = run_.report().sites
    timed = site.cases[0]
    assert [one.path for one in timed.timings] == ["old", "new", "flash"]
    assert [one.first for one in timed.timings] == [50.0, 50.0, None]  # the backends' plans may be there already
    assert first == [["old", "new"], ["old", "new"]]  # once a dtype
    assert (site.speed, site.speedup) == (Speed.FASTER, pytest.approx(2.0))
    assert "FLASH_ATTENTION is 2.00 times as fast" in site.advice


def test_flash_attention_4_is_timed_where_it_is_installed(clocked, monkeypatch):
    run_, _ = clocked
    by_flash4 = Timing("fa4", 0.1, 0.01, 0.2, 0.01, samples=9)
    monkeypatch.setattr(flash4, "is_installed", lambda: True)
    monkeypatch.setattr(flash4, "timed", lambda call, leaves, *, backward, budget: by_flash4)
    (site,) = run_.report().sites
    assert [one.path for one in site.cases[0].timings] == ["old", "new", "flash", "fa4"]
    assert "FlashAttention-4 is 5.00 times as fast" in site.advice


def test_a_second_site_with_the_same_sizes_has_no_first_call(clocked):
    run_, first = clocked
    run_.plan.sites.append(run_.plan.sites[0])
    report = run_.report()
    assert len(first) == 2
    assert [one.first for one in report.sites[1].cases[0].timings] == [None] * 3


def test_what_cannot_be_timed_is_said(clocked, monkeypatch):
    def broken(paths, leaves, *, backward):
        raise torch.OutOfMemoryError("no room")

    run_, _ = clocked
    monkeypatch.setattr(timing, "first_calls", broken, raising=False)
    (site,) = run_.report().sites
    assert site.cases[0].timings == ()
    assert "not timed: OutOfMemoryError: no room" in site.cases[0].notes
    assert "no speed" in site.speed_note


# -- the NaN corner ------------------------------------------------------------------------------------------


LOW = inputs.Shape("low", 2, 256, 192, 8, 64, low=True)
NAN = Check("nan", False, "gradient of query: 12 of 99 values are NaN, the old ones are not", first_bad=(0,))
FINE = Check("output", True, new_error=1e-3)


def hopper(**change):
    path = find_old_path()
    hopper = {"capability": "9.0", "cudnn": "9.19.0"}
    return dataclasses.replace(timing.environment("c", 0, path, "cpu"), **(hopper | change))


def test_the_corner_of_readme_is_no_difference_of_one_site():
    case = run.without_known_nan(Case("q", "bfloat16", checks=(FINE, NAN)), LOW, hopper())
    assert case.ok
    assert case.compared
    assert run.NAN_CORNER in case.notes
    assert [check.available for check in case.checks] == [True, False]


@pytest.mark.parametrize("cudnn", ["9.15.1", "9.24.0", "9.25.9", None])
def test_every_cudnn_before_the_mended_one_has_it(cudnn):
    assert run.without_known_nan(Case("q", "float16", checks=(FINE, NAN)), LOW, hopper(cudnn=cudnn)).ok


@pytest.mark.parametrize(
    ("checks", "dtype", "shape", "environment"),
    [
        ((FINE, dataclasses.replace(NAN, message="output: 3 of 9 values are NaN")), "bfloat16", LOW, {}),
        ((FINE, NAN, Check("gradient of key", False, "error 3")), "bfloat16", LOW, {}),
        ((FINE, NAN), "float32", LOW, {}),
        ((FINE, NAN), "bfloat16", dataclasses.replace(LOW, keys=193), {}),
        ((FINE, NAN), "bfloat16", LOW, {"capability": "8.0"}),
        ((FINE, NAN), "bfloat16", LOW, {"capability": None}),
        ((FINE, NAN), "bfloat16", LOW, {"cudnn": "9.26.0"}),
        ((FINE, NAN), "float16", LOW, {"cudnn": "10.0.1"}),
    ],
)
def test_anything_else_is_one(checks, dtype, shape, environment):
    assert not run.without_known_nan(Case("q", dtype, checks=checks), shape, hopper(**environment)).ok


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu(planned):
    report = run.run(planned(), Options(), budget=60)
    (site,) = report.sites
    assert site.status is Status.AGREES, [c for case in site.cases for c in case.checks if not c.ok]
    timed = [case for case in site.cases if case.timings]
    assert timed
    assert all(case.timing("new").kernel for case in timed)
    if not report.environment.is_reference:
        assert site.speedup is not None
        assert timed[0].timing("new").first > timed[0].timing("new").forward
