"""What the reports say about H200 flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from tests.flags.programs import NETS, PROGRAMS
from tests.projects import harness
from xf2sdpa.cli import cli

ROOT = Path(__file__).parents[2]
MARK = "# xf2sdpa: H200 flags"
TRAIN = PROGRAMS["main guard"][1]


def rewrite(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["rewrite", "--jobs", "1", *map(str, arguments)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return harness.write(tmp_path, {**NETS, "train.py": TRAIN})


def train(root: Path) -> str:
    return (root / "train.py").read_text()


def test_the_report_says_where_why_and_what_it_changes(root: Path) -> None:
    output = rewrite(root).output
    lines = output.splitlines()
    place = f"{root / 'train.py'}:7:1: XF501 flags   tf32, cudnn-benchmark: has a main guard and leads to "
    assert [line for line in lines if line.startswith(place)] == [f"{place}nets/attention.py by nets/model.py"]
    told = lines[lines.index(f"{place}nets/attention.py by nets/model.py") + 1 :]
    assert told[0] == "    tf32: float32 products can run: nothing seen puts all of it in half precision"
    assert told[1] == "    cudnn-benchmark: a convolution, Conv1d at nets/model.py:9"
    (effect,) = (line for line in told if line.startswith("    tf32: float32 matrix products in TF32."))
    assert "Changes rounding: their factors keep 10 bits of mantissa instead of 23." in effect
    assert sum("cudnn-benchmark: cuDNN tries its convolution kernels" in line for line in lines) == 1
    assert "    `--flags safe` leaves out what lowers precision, `--flags off` takes all out" in output
    assert any(line.endswith(", 2 rewritten.") for line in lines)


def test_safe_is_not_advised_to_those_who_asked_for_it(root: Path) -> None:
    output = rewrite("--flags", "safe", root).output
    assert "XF501 flags   cudnn-benchmark: " in output
    assert "    `--flags off` takes all out; xf2sdpa explain flags\n" in output
    assert "--flags safe" not in output


def test_what_flags_do_is_said_once_for_all_programs(root: Path) -> None:
    (root / "sample.py").write_text(train(root))
    output = rewrite(root).output
    assert output.count("XF501 flags") == 2
    assert output.count("cuDNN tries its convolution kernels") == output.count("xf2sdpa explain flags") == 1


def test_without_an_entry_point_the_lines_to_paste_are_printed(root: Path) -> None:
    lines = rewrite(root / "nets").output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("XF507: no program"))
    assert [line.partition("  #")[0] for line in lines[start + 1 : start + 3]] == [
        '    torch.set_float32_matmul_precision("high")',
        "    torch.backends.cudnn.benchmark = True",
    ]
    assert "XF507" not in rewrite(root / "nets").output, "not where nothing was rewritten"


@pytest.mark.parametrize(("pin", "told"), [("2.5.1", True), ("2.10.0", True), ("2.4", False), ("2.11.0", False)])
def test_a_torch_that_keeps_cudnn_back_is_named(pin: str, told: bool, root: Path) -> None:
    (root / "requirements.txt").write_text(f"torch=={pin}\n")
    output = rewrite(root).output
    assert ("XF506: the project admits torch" in output) == told
    assert "set_priority" not in train(root)


def test_the_json_report_follows_its_schema(root: Path) -> None:
    schema = json.loads((ROOT / "xf2sdpa/report/schema.json").read_text())
    report = json.loads(rewrite("--output-format", "json", "--check", root).output)
    Draft202012Validator(schema).validate(report)
    (place,) = report["flags"]["places"]
    assert place == {
        "path": (root / "train.py").as_posix(),
        "line": 7,
        "code": "XF501",
        "flags": ["tf32", "cudnn-benchmark"],
        "why": "has a main guard and leads to nets/attention.py by nets/model.py",
        "theirs": [],
        "reasons": [
            "tf32: float32 products can run: nothing seen puts all of it in half precision",
            "cudnn-benchmark: a convolution, Conv1d at nets/model.py:9",
        ],
        "lacking": [],
    }
    assert report["flags"]["many"] == []
    assert [flag["name"] for flag in report["flags"]["wanted"]] == ["tf32", "cudnn-benchmark"]
    assert report["flags"]["paste"] == []
    report = json.loads(rewrite("--output-format", "json", "--check", root / "nets").output)
    Draft202012Validator(schema).validate(report)
    assert len(report["flags"]["paste"]) == 2


def test_the_diff_of_a_program_applies_to_its_own_newlines_and_encoding(root: Path) -> None:
    data = ("# -*- coding: latin-1 -*-\n# \xe9\n" + TRAIN.removeprefix("#!/usr/bin/env python\n")).replace("\n", "\r\n")
    (root / "train.py").write_bytes(data.encode("latin-1"))
    rewrite(root)
    new = (root / "train.py").read_bytes()
    assert b"\n" not in new.replace(b"\r\n", b"")
    assert MARK.encode() in new
    rewrite(root, "--flags", "off")
    assert (root / "train.py").read_bytes() == data.encode("latin-1")


def test_a_file_that_has_a_call_and_flags_is_one_result(root: Path) -> None:
    (root / "train.py").write_text(PROGRAMS["the call in the program itself"][1])
    report = json.loads(rewrite("--output-format", "json", root).output)
    (file,) = [file for file in report["files"] if file["path"].endswith("/train.py")]
    assert file["changed"]
    assert len(file["sites"]) == 1
    assert MARK in train(root)
