"""Records of many processes become one report; times are taken when the program is done."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from tests.verify.plans import planned
from xf2sdpa.judging.model import Case, Check
from xf2sdpa.judging.probe import Probe
from xf2sdpa.judging.reference import OPERATORS
from xf2sdpa.timing.model import Environment, Timing
from xf2sdpa.verify.model import Status
from xf2sdpa.verify.plain import plain
from xf2sdpa.verify.shadow.aftermath import Kept, measured
from xf2sdpa.verify.shadow.handover import Recorder, records
from xf2sdpa.verify.shadow.merge import NEVER, merge

OLD = "import xformers.ops as xops\n\n\ndef f(q, k, v):\n    return xops.memory_efficient_attention(q, k, v)\n"
SITE = "program.py::f#0"
ON_GPU = Environment("verify", "", 0, "3", "2", "13", "9", "H200", "9.0", "5", "0.0.34", "xformers 0.0.34", "")
GOOD = Case("q 1", "float16", checks=(Check("output", ok=True, new_error=0.0, limit=1.0),))
BAD = Case("q 1", "float16", checks=(Check("output", ok=False, new_error=2.0, limit=1.0, message="differs"),))


def write(folder: Path, process: str, *lines: dict[str, Any]) -> None:
    recorder = Recorder(folder)
    recorder.process, recorder.path = os.getpid(), folder / f"{process}.jsonl"
    for line in ({"process": ["python"]}, *lines):
        recorder.write({"site": SITE} | line)


def sample(number: int, case: Case) -> dict[str, Any]:
    return {"sample": number, "case": plain(case)}


def test_processes_are_added_up(tmp_path: Path) -> None:
    write(tmp_path, "1", {"calls": 1}, {"calls": 4}, sample(0, GOOD))
    write(tmp_path, "2", {"calls": 2}, sample(0, GOOD), sample(1, GOOD))
    report = merge(planned(OLD), tmp_path, ON_GPU)
    (site,) = report.sites
    assert (site.calls, len(site.cases), site.status) == (6, 3, Status.AGREES)
    assert report.notes == ["the program ran in 2 Python processes"]
    assert report.exit_status() == 0


def test_one_bad_sample_of_one_process_is_enough(tmp_path: Path) -> None:
    write(tmp_path, "1", sample(0, GOOD))
    write(tmp_path, "2", sample(0, GOOD), sample(1, BAD))
    report = merge(planned(OLD), tmp_path, ON_GPU)
    assert report.sites[0].status is Status.DIFFERS
    assert report.exit_status() == 1


def test_a_sample_with_the_programs_gradient_takes_the_place_of_the_one_without(tmp_path: Path) -> None:
    forward = dataclasses.replace(GOOD, gradients=False)
    write(tmp_path, "1", sample(0, forward), sample(1, forward), sample(0, GOOD))
    (site,) = merge(planned(OLD), tmp_path, ON_GPU).sites
    assert [case.gradients for case in site.cases] == [True, False]


def test_times_join_their_sample_unless_it_differs(tmp_path: Path) -> None:
    times = {"timings": plain((Timing("old", 2.0, 0.01), Timing("new", 1.0, 0.01)))}
    write(tmp_path, "1", sample(0, GOOD), sample(1, BAD), {"sample": 0} | times, {"sample": 1} | times)
    (site,) = merge(planned(OLD), tmp_path, ON_GPU).sites
    assert [len(case.timings) for case in site.cases] == [2, 0]


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "1", sample(0, GOOD))
    with (tmp_path / "1.jsonl").open("a") as stream:
        stream.write('{"site": "program.py::f#0", "sam')
    assert len(list(records(tmp_path))) == 2
    assert merge(planned(OLD), tmp_path, ON_GPU).sites[0].status is Status.AGREES


def test_sites_that_did_not_run_say_why(tmp_path: Path) -> None:
    def reason(*lines: dict[str, Any]) -> str:
        for path in tmp_path.glob("*"):
            path.unlink()
        write(tmp_path, "1", *lines)
        report = merge(planned(OLD), tmp_path, ON_GPU)
        assert report.sites[0].status is Status.NOT_RUN
        assert report.exit_status() == 3
        return report.sites[0].reason

    assert reason() == "the program did not load its file"
    assert reason({"loaded": os.path.realpath("program.py")}) == NEVER
    assert reason({"reason": "compiled: x"}) == "compiled: x"


def test_a_program_without_python_is_noted(tmp_path: Path) -> None:
    assert any("no Python process" in note for note in merge(planned(OLD), tmp_path, ON_GPU).notes)


def test_calls_are_timed_from_their_form_alone() -> None:
    operator = OPERATORS["memory_efficient_attention"]
    q = torch.randn(2, 3, 64, 8).transpose(1, 2).requires_grad_()
    probe = Probe(
        SITE,
        lambda operator, q, p: operator(q, q, q, p=p),
        lambda q, p: F.scaled_dot_product_attention(*[q.transpose(1, 2)] * 3, dropout_p=p).transpose(1, 2),
        operator,
        roles=("query", "p"),
    )
    ((call, timings, reason),) = measured([Kept(5, probe, [q, 0.5])], budget=30.0)
    assert not reason
    assert call.sample == 5
    assert {"old", "new"} <= {timing.path for timing in timings}
    assert any(timing.total is not None for timing in timings)  # on a busy machine not all get there


def test_what_cannot_be_timed_says_so() -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no kernel")

    x = torch.ones(1, 2, 3, 4)
    kept = Kept(0, Probe(SITE, broken, broken, broken, roles=("query",)), [x])
    ((_, timings, reason),) = measured([kept], budget=1.0)
    assert (timings, reason) == ((), "not timed: RuntimeError: no kernel")
    ((_, timings, reason),) = measured([kept], budget=0.0)
    assert reason.startswith("not timed: the 0 s")
