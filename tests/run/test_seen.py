"""A program's run, recorded by verify, as evidence for the rewrite: both commands, one after the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.projects.harness import rewrite, tree, write
from xf2sdpa.cli import cli
from xf2sdpa.model import Seen
from xf2sdpa.run.seen import read_seen

CASE = {"shape": "q 2×5×3×8, k 2×5×3×8", "mask": "none"}


def site(
    path: Path, *cases: dict[str, str], calls: int = 3, call: str = "attend#0", function: str = "f"
) -> dict[str, object]:
    return {"id": f"{path}::{call}", "path": str(path), "calls": calls, "cases": list(cases), "function": function}


def read(folder: Path, *runs: list[dict[str, object]]) -> dict[Path, dict[str, Seen]]:
    files = []
    for number, sites in enumerate(runs):
        files.append(folder / f"run{number}.json")
        files[-1].write_text(json.dumps({"sites": sites}), encoding="utf-8")
    return read_seen(files)


def test_ranks_and_masks_are_those_of_all_cases(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    flat = CASE | {"shape": "q 6×5×8, k 6×5×8"}
    assert read(tmp_path, [site(path, CASE)]) == {path.resolve(): {"attend#0": Seen("f", 4, False)}}
    assert read(tmp_path, [site(path, flat)])[path.resolve()]["attend#0"].rank == 3
    assert read(tmp_path, [site(path, CASE, flat)])[path.resolve()]["attend#0"].rank is None
    assert read(tmp_path, [site(path, CASE, CASE | {"mask": "causal"})])[path.resolve()]["attend#0"].masked


def test_inputs_that_verify_made_up_are_no_evidence(tmp_path: Path) -> None:
    assert read(tmp_path, [site(tmp_path / "a.py", CASE, calls=0), site(tmp_path / "b.py")]) == {}


def test_two_runs_count_for_what_both_saw(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    masked = site(path, CASE | {"mask": "tensor"})
    assert read(tmp_path, [site(path, CASE)], [masked])[path.resolve()]["attend#0"] == Seen("f", 4, True)
    other = site(path, CASE, function="g")
    assert read(tmp_path, [site(path, CASE)], [other])[path.resolve()]["attend#0"].function == ""


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"sites": [{}]}', '{"sites": [{"calls": 1, "cases": [1], "id": "a"}]}']
)
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="no report"):
        read_seen([file])
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    rewrite("--seen", file, tmp_path / "a.py", status=2)


PROGRAM = {
    "model.py": """\
import torch
import torch.nn.functional as F
from xformers.ops import memory_efficient_attention


def attend(q, k, v, attn_bias=None):
    return memory_efficient_attention(q, k, v, attn_bias=attn_bias).flatten(2)
""",
    "main.py": """\
import sys

import model
import torch

q = torch.randn(2, 5, 3, 8)
getattr(model, sys.argv[1] if sys.argv[1:] else "attend")(q, q, q)
""",
}


def test_a_run_is_recorded_and_taken_as_evidence(tmp_path: Path) -> None:
    root = write(tmp_path / "project", PROGRAM)
    file = tmp_path / "run.json"
    arguments = ["verify", str(root), "--json", str(file), "--", "python", str(root / "main.py")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 3, done.output  # against the reference: no GPU, no xformers
    rewrite(root, "--flags", "off", "--seen", file)
    new = tree(root)["model.py"]
    assert "if q.ndim != 4:" in new
    assert "if attn_bias is not None:" in new
    assert "F.scaled_dot_product_attention(" in new


def test_a_function_that_changed_since_goes_to_the_helper(tmp_path: Path) -> None:
    root = write(tmp_path / "project", PROGRAM)
    file = tmp_path / "run.json"
    CliRunner().invoke(cli, ["verify", str(root), "--json", str(file), "--", "python", str(root / "main.py")])
    (root / "model.py").write_text(PROGRAM["model.py"].replace(".flatten(2)", ".flatten(2) * 2"), encoding="utf-8")
    output = rewrite(root, "--flags", "off", "--seen", file).output
    assert "memory_efficient_attention(q, k, v, attn_bias=attn_bias)" in tree(root)["model.py"]
    assert "XF311" in output


def test_who_gives_a_recorded_run_is_told_unasked_that_it_does_not_count(tmp_path: Path) -> None:
    root = write(tmp_path, {"model.py": PROGRAM["model.py"]})
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"sites": [site(root / "model.py", CASE, function="of another text")]}), "utf-8")
    arguments = ("rewrite", "--check", "--flags", "off", str(root))
    told = "model.py:7:12: XF311 note    the recorded run is of another text of this function, and does not count"
    assert told in CliRunner().invoke(cli, [*arguments, "--seen", str(file)]).output
    assert "XF311" not in CliRunner().invoke(cli, [*arguments, "--seen", str(file), "--quiet"]).output
    assert "XF311" not in CliRunner().invoke(cli, list(arguments)).output
