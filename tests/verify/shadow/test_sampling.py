"""A shadowed program does not feel it: the same losses, to the last bit, and the shadow sees what it should."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.verify.plans import run, verify
from xf2sdpa.verify.shadow import ambient
from xf2sdpa.verify.shadow import sampling as shadow

FELT = Path(__file__).parents[1] / "felt"
_SCENES = (
    "plain checkpoint_without_reentry checkpoint_with_reentry selective_checkpoint torch_compile autocast_and_scaler "
    "changed_in_place dropout popped_items an_async_caller operations_are_counted without_gradients "
    "graph_kept_and_hooked saved_tensors_are_counted threads other_modes random_numbers"
)
SCENES = _SCENES.split()


def printed(text: str) -> dict[str, Any]:
    return dict(json.loads(line) for line in text.splitlines())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What the program prints without and with a shadow, and the report of the shadow."""
    folder = tmp_path_factory.mktemp("felt")
    for path in FELT.glob("*.py"):
        if path.stem != "__init__":
            shutil.copy(path, folder)
    plain = run(folder, sys.executable, "baseline.py", "main.py")
    assert plain.returncode == 0, plain.stderr
    done, report = verify(folder, "attention.py", "--", sys.executable, "main.py")
    assert done.returncode == 3, done.stderr
    return printed(plain.stdout), printed(done.stdout), report


@pytest.mark.parametrize("scene", SCENES)
def test_the_program_does_not_feel_it(scene: str, both: Any) -> None:
    plain, shadowed, _ = both
    assert shadowed[scene] == plain[scene]


def test_no_scene_is_left_out(both: Any) -> None:
    assert sorted(both[0]) == sorted(SCENES)


def sites(report: dict[str, Any]) -> dict[str, Any]:
    return {site["id"].partition("::")[2].partition("#")[0]: site for site in report["sites"]}


def test_what_ran_was_compared(both: Any) -> None:
    found = sites(both[2])
    agree = {name for name, site in found.items() if site["status"] == "agrees"}
    assert agree == {"SelfAttention.forward", "in_place", "popped", "awaited", "counted", "kept"}
    assert found["never"]["status"] == "not run"
    assert found["never"]["calls"] == 0
    assert found["compiled"]["status"] == "not run"
    assert found["compiled"]["reason"].startswith("compiled")


def test_gradients_are_compared_with_those_of_the_program(both: Any) -> None:
    cases = sites(both[2])["in_place"]["cases"]
    assert [case["gradients"] for case in cases] == [True]
    assert {"gradient of query", "gradient of key", "gradient of value"} <= {c["name"] for c in cases[0]["checks"]}


def test_a_result_that_no_gradient_came_to_says_so(both: Any) -> None:
    (case,) = sites(both[2])["popped"]["cases"]
    assert not case["gradients"]
    assert any("no gradient came by" in note for note in case["notes"])


def test_each_mode_is_a_sample_of_its_own(both: Any) -> None:
    cases = sites(both[2])["SelfAttention.forward"]["cases"]
    assert {case["autocast"] for case in cases} == {None, "bfloat16"}
    assert {case["gradients"] for case in cases} == {True, False}  # False: the first pass of reentrant checkpointing
    assert any("0.3" in note or "dropout" in note for case in cases for note in case["notes"])


def test_samples_bound_what_is_compared(both: Any) -> None:
    site = sites(both[2])["SelfAttention.forward"]
    assert site["calls"] > len(site["cases"])
    kinds = [(c["shape"], c["dtype"], c["autocast"], c["gradients"], tuple(c["notes"])) for c in site["cases"]]
    assert max(kinds.count(kind) for kind in kinds) <= 3


def test_it_is_said_on_every_line_that_the_reference_stood_in(both: Any) -> None:
    assert both[2]["against"] == "reference"


# -- states in which nothing is compared -----------------------------------------------------------


def test_tracing_is_left_alone() -> None:
    seen = []

    def function(x: torch.Tensor) -> torch.Tensor:
        seen.append(ambient.unsuitable([x]))
        return x * 2

    torch.jit.trace(function, (torch.ones(2),), check_trace=False)
    assert any(reason.startswith("compiled: torch.jit") for reason in seen)
    assert ambient.unsuitable([torch.ones(2)]) == ""


def test_transforms_are_left_alone() -> None:
    seen = []

    def function(x: torch.Tensor) -> torch.Tensor:
        seen.append(ambient.unsuitable([x]))
        return x.sum()

    torch.func.vmap(function)(torch.ones(2, 3))
    torch.func.grad(function)(torch.ones(3))
    assert seen
    assert all("torch.func" in reason for reason in seen)


def test_tensors_of_another_kind_are_left_alone() -> None:
    with FakeTensorMode():
        assert "FakeTensor" in ambient.unsuitable([torch.ones(2)])
    assert ambient.unsuitable([torch.ones(2, device="meta")])
    assert ambient.unsuitable([torch.eye(2).to_sparse()])


def test_a_call_beyond_the_ceiling_is_not_compared() -> None:
    x = torch.ones(1000)
    assert shadow._too_large([x], None) == ""
    assert shadow._too_large([x], 4000 * shadow.WORKING_COPIES) == ""
    assert shadow._too_large([x], 4000 * shadow.WORKING_COPIES - 1).startswith("memory")


def test_modes_are_had_again_and_put_back() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        state = ambient.State.now()
    assert not torch.is_autocast_enabled("cpu")
    with state.again():
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") is torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")
    plain = ambient.State.now()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with plain.again():
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: CUDA graphs")
def test_a_cuda_graph_is_captured_as_before(tmp_path: Path) -> None:
    shutil.copy(FELT / "graph.py", tmp_path)
    plain = run(tmp_path, sys.executable, str(FELT / "baseline.py"), "graph.py")
    done, report = verify(tmp_path, "graph.py", "--", sys.executable, "graph.py")
    assert done.stdout == plain.stdout
    (site,) = report["sites"]
    assert site["status"] == "agrees"  # the calls that warm it up
    assert any("CUDA graph" in note for note in report["notes"])
