"""A package that trains on nested tensors, executed: with xformers before the rewrite, without it after."""

from __future__ import annotations

import ast
import multiprocessing
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.projects.harness import COPY, imports_of_xformers, rewrite, tree
from xf2sdpa.files.source import decode
from xf2sdpa.rewrite.options import Options
from xf2sdpa.run.jobs import Job
from xf2sdpa.run.pool import run_jobs
from xf2sdpa.settings import Settings

NESTED = Path(__file__).parents[1] / "projects" / "nested_dino"
TRAIN = """\
import os
import sys
import warnings

import torch

from tests.oracle import absent
from tests.projects.harness import installed

warnings.simplefilter("ignore")
place, surroundings, output = sys.argv[1:]
torch.set_num_threads(1)
sys.path.insert(0, place)
sys.dont_write_bytecode = True
results = {}
for switch in (None, "1"):
    os.environ.pop("XFORMERS_DISABLED", None)
    if switch:
        os.environ["XFORMERS_DISABLED"] = switch
    with {"installed": installed, "absent": absent}[surroundings]() as calls:
        from nested_dino.train import run

        result = results[switch] = run()
        result["calls"] = getattr(calls, "count", 0)
        for name in ("attention", "block", "swiglu"):
            result["flag of " + name] = sys.modules["nested_dino." + name].XFORMERS_AVAILABLE
        try:
            import xformers
        except ImportError:
            result["xformers"] = "absent"
        else:
            result["xformers"] = "there"
    for name in [name for name in sys.modules if name.partition(".")[0] == "nested_dino"]:
        del sys.modules[name]
torch.save(results, output)
"""


def train(place: Path, surroundings: str) -> dict[str | None, dict[str, Any]]:
    """Run the training below `place` in a process of its own; by the value of XFORMERS_DISABLED."""
    output = place / "results.pt"
    command = [sys.executable, "-c", TRAIN, str(place), surroundings, str(output)]
    repository = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(output)


@pytest.fixture(scope="module")
def trained(nested: Path) -> list[dict[str | None, dict[str, Any]]]:
    return [train(nested / "before", "installed"), train(nested / "after", "absent")]


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package before (`before/nested_dino`) and after (`after/nested_dino`)."""
    root = tmp_path_factory.mktemp("nested")
    for name in ("before", "after"):
        shutil.copytree(NESTED, root / name / "nested_dino", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "-v", str(root / "after")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (root / "report.txt").write_text(done.stdout)
    return root


def assert_same_training(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for name in before.keys() - {"calls", "xformers"}:
        old, new = before[name], after[name]
        if not isinstance(old, torch.Tensor):
            assert new == old, name
            continue
        assert (new.shape, new.dtype) == (old.shape, torch.float64), name
        assert torch.isfinite(old).all(), name
        assert (new - old).abs().max() <= 1e-9, name


def test_nested_training_is_the_same_without_xformers(trained: list[dict[str | None, dict[str, Any]]]) -> None:
    before, after = (results[None] for results in trained)
    assert (before["path"], before["xformers"], after["xformers"]) == ("fast", "there", "absent")
    assert before["calls"] == 4  # two blocks, two steps
    assert before["masks"] > 1
    assert len([name for name in before if "gradient" in name or "." in name]) > 30
    assert_same_training(before, after)


def test_nested_training_stays_eager_when_switched_off(trained: list[dict[str | None, dict[str, Any]]]) -> None:
    before, after = (results["1"] for results in trained)
    assert (before["path"], before["calls"], before["masks"]) == ("eager", 0, 0)
    assert_same_training(before, after)


def test_nested_training_needs_xformers_no_more(nested: Path) -> None:
    assert imports_of_xformers(nested / "before")
    assert not imports_of_xformers(nested / "after")
    report = (nested / "report.txt").read_text()
    assert "1 call site: 1 compat, 0 left." in report
    assert "XF401" not in report
    assert "XF402" not in report


def test_nested_training_has_one_helper_with_what_it_uses(nested: Path) -> None:
    copies = [name for name in tree(nested / "after") if name.endswith(COPY)]
    assert copies == [f"nested_dino/{COPY}"]
    text = (nested / "after" / copies[0]).read_text()
    defined = {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    needed = {"memory_efficient_attention", "BlockDiagonalMask", "SwiGLU", "index_select_cat", "scaled_index_add"}
    assert needed <= defined
    assert not {"RMSNorm", "LowerTriangularMaskWithTensorBias", "BlockDiagonalPaddedKeysMask"} & defined
    after = tree(nested / "after" / "nested_dino")
    assert all("from ._attention_compat import" in after[f"{name}.py"] for name in ("attention", "block", "swiglu"))


def test_nested_training_is_finished_after_one_run(nested: Path) -> None:
    before = tree(nested / "after")
    rewrite(nested / "after")
    assert tree(nested / "after") == before


@pytest.mark.skipif(sys.version_info < (3, 11, 5), reason="the work under way is ended there")
def test_workers_end_at_once_when_nobody_waits_for_the_rest() -> None:
    call = (
        "\n\ndef attend_{}(q, k, v):\n    b, n, h, d = q.shape\n    return xops.memory_efficient_attention(q, k, v)\n"
    )
    text = "import xformers.ops as xops\n" + "".join(map(call.format, range(40)))
    source = decode(text.encode(), Path("model.py"))
    jobs = [Job(replace(source, path=Path(f"{n}.py")), Options(Settings())) for n in range(16)]
    others = set(multiprocessing.active_children())
    running = run_jobs(jobs, 2)
    assert next(running).changed
    workers = set(multiprocessing.active_children()) - others
    running.close()
    assert len(workers) == 2
    for worker in workers:
        worker.join(30)
    assert {worker.exitcode for worker in workers} == {-signal.SIGTERM}
