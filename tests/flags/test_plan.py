"""`--flags` as a user meets it: sets, names, configuration, reports, standing blocks, settings of the user's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from tests.flags.programs import NETS, PROGRAMS
from tests.projects import harness
from xf2sdpa.cli import cli
from xf2sdpa.files.listing import list_files
from xf2sdpa.flags import table
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.rewrite_files import rewrite_files
from xf2sdpa.settings import Settings

ROOT = Path(__file__).parents[2]
MARK = "# xf2sdpa: H200 flags"
TRAIN = PROGRAMS["main guard"][1]
TF32, BENCHMARK = "set_float32_matmul_precision", "cudnn.benchmark"
MIGRATED = "def f(x):\n    return x\n"


def rewrite(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["rewrite", "--jobs", "1", *map(str, arguments)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return harness.write(tmp_path, {**NETS, "train.py": TRAIN})


def train(root: Path) -> str:
    return (root / "train.py").read_text()


# -- what is wanted ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "there"),
    [
        ([], {TF32, BENCHMARK}),
        (["--flags", "h200"], {TF32, BENCHMARK}),
        (["--flags", "safe"], {BENCHMARK}),
        (["--only", "exact"], {BENCHMARK}),
        (["--only", "exact", "--flags", "h200"], {TF32, BENCHMARK}),
        (["--flags", "tf32"], {TF32}),
        (["--flags", "safe,avoid-recompile"], {BENCHMARK, "AVOID_RECOMPILE"}),
        (["--flags", "off"], set()),
        (["--flags", "keep"], set()),
        (["--ignore", "XF5"], set()),
        (["--select", "XF1"], set()),
        (["--ignore", "XF502", "--flags", "tf32"], {TF32}),
        (["--device", "any"], set()),
        (["--device", "any", "--flags", "h200"], set()),
    ],
)
def test_the_option_says_which_flags(arguments: list[str], there: set[str], root: Path) -> None:
    result = rewrite(root, *arguments)
    assert result.exit_code == 0, result.output
    assert {name for name in (TF32, BENCHMARK, "AVOID_RECOMPILE") if name in train(root)} == there
    assert ("XF501 flags" in result.output) == bool(there)
    assert (MARK in train(root)) == bool(there)


def test_a_block_that_stands_is_brought_up_to_date_without_a_rewritten_call(root: Path) -> None:
    rewrite(root)
    full = train(root)
    safe = rewrite(root, "--flags", "safe")
    assert "XF502 flags   now cudnn-benchmark" in safe.output
    assert TF32 not in train(root)
    assert rewrite("--check", root, "--flags", "safe").exit_code == 0
    assert rewrite("--check", root).exit_code == 1
    rewrite(root)
    assert train(root) == full
    assert "XF503 flags   taken out" in rewrite(root, "--device", "any").output
    assert train(root) == TRAIN


def test_keep_neither_adds_changes_nor_removes(root: Path) -> None:
    rewrite(root, "--flags", "tf32")
    before = train(root)
    assert rewrite("--check", root, "--flags=keep").exit_code == 0
    assert rewrite("--check", root, "--flags=keep", "--device", "any").exit_code == 0
    assert train(root) == before


@pytest.mark.parametrize(("codes", "there"), [("XF502", True), ("XF503", False)])
def test_a_block_that_stands_stays_where_its_code_is_not_selected(codes: str, there: bool, root: Path) -> None:
    rewrite(root)
    before = train(root)
    output = rewrite("--flags", "tf32", "--ignore", codes, root).output
    assert (train(root) == before) == there
    assert ("XF502" in output) == (not there)


def test_no_lines_to_paste_where_flags_are_not_selected(root: Path) -> None:
    (root / "train.py").unlink()
    assert table.NOWHERE in rewrite("--check", root).output
    assert table.NOWHERE not in rewrite("--check", "--ignore", "XF5", root).output


def test_the_hooks_keep_flags_as_they_are() -> None:
    entries = re.findall(r"entry: (.*)", (ROOT / ".pre-commit-hooks.yaml").read_text())
    assert len(entries) == 2
    assert all("--flags=keep" in entry for entry in entries)


def test_the_library_call_touches_no_flags_unless_asked(root: Path) -> None:
    run = rewrite_files(list_files([root]), Settings(), RunOptions(jobs=1))
    assert {result.path.name for result in run.changed} == {"attention.py"}
    assert not run.flags.wanted


def test_flags_are_never_the_only_change(root: Path) -> None:
    (root / "nets/attention.py").write_text(MIGRATED)
    result = rewrite(root)
    assert result.output == "No call of xformers' attention found.\n"
    assert train(root) == TRAIN


def test_a_left_call_brings_no_flags(root: Path) -> None:
    text = NETS["nets/attention.py"].replace("q, k, v)", "q, k, v)  # xf2sdpa: ignore")
    (root / "nets/attention.py").write_text(text)
    result = rewrite(root)
    assert "1 left" in result.output
    assert "XF50" not in result.output
    assert train(root) == TRAIN


def test_a_later_run_knows_files_with_the_helper_as_rewritten(root: Path) -> None:
    """A second migrated module brings flags to programs that lead only to the first, which uses the helper."""
    (root / "nets/attention.py").write_text(
        "import xformers.ops as xops\n\n\ndef attend(x, mask=None):\n"
        "    return xops.memory_efficient_attention(x, x, x, attn_bias=mask)\n"
    )
    rewrite(root, "--flags", "keep")
    assert MARK not in train(root)
    (root / "more.py").write_text(NETS["nets/attention.py"])
    assert "train.py" in rewrite(root).output
    assert MARK in train(root)


# -- --flags-in --------------------------------------------------------------------------------------


def test_named_files_get_the_flags_and_no_others(root: Path) -> None:
    other = "import torch\n\nx = 1\n"
    harness.write(root, {"setup_env.py": other})
    result = rewrite(root, "--flags-in", root / "setup_env.py")
    assert "is named by --flags-in" in result.output
    assert MARK in (root / "setup_env.py").read_text()
    assert train(root) == TRAIN
    assert rewrite("--check", root, "--flags-in", root / "setup_env.py").exit_code == 0


def test_a_named_file_needs_no_rewritten_call(root: Path) -> None:
    (root / "nets/attention.py").write_text(MIGRATED)
    rewrite(root, "--flags-in", root / "train.py")
    assert MARK in train(root)


def test_a_named_file_outside_of_the_paths_and_one_that_is_none(root: Path) -> None:
    rewrite(root / "nets", "--flags-in", root / "train.py")
    assert MARK in train(root)
    result = rewrite(root, "--flags-in", root / "nothing.py")
    assert result.exit_code == 2
    assert "nothing.py is no file" in result.output


def test_a_named_file_that_does_not_parse_is_an_error(root: Path) -> None:
    harness.write(root, {"broken.py": "import torch\nx = (\n"})
    result = rewrite(root, "--flags-in", root / "broken.py")
    assert result.exit_code == 2
    assert "broken.py:1:1: XF901" in result.output
    assert (root / "broken.py").read_text() == "import torch\nx = (\n"


# -- configuration -----------------------------------------------------------------------------------


def test_the_configuration_says_the_same(root: Path) -> None:
    configured = '[tool.xf2sdpa]\nflags = ["safe", "avoid-recompile"]\nflags-in = ["measures/losses.py"]\n'
    (root / "pyproject.toml").write_text(configured)
    rewrite(root)
    assert "AVOID_RECOMPILE" in (root / "measures/losses.py").read_text()
    assert train(root) == TRAIN
    (root / "pyproject.toml").write_text('[tool.xf2sdpa]\nflags = "off"\n')
    rewrite(root)
    assert (root / "measures/losses.py").read_text() == NETS["measures/losses.py"]


@pytest.mark.parametrize(
    ("words", "said"), [("h20", "did you mean 'h200'"), ("off,tf32", "stand alone"), ("h200,keep", "stand alone")]
)
def test_a_word_that_is_none_is_refused(words: str, said: str, root: Path) -> None:
    result = rewrite(root, "--flags", words)
    assert result.exit_code == 2
    assert said in result.output
    assert train(root) == TRAIN


# -- blocks that a person edited ---------------------------------------------------------------------


@pytest.mark.parametrize("words", ["off", "safe", "h200"])
def test_an_edited_block_stays_and_is_reported(words: str, root: Path) -> None:
    rewrite(root)
    edited = train(root).replace("benchmark = True", "benchmark = False")
    (root / "train.py").write_text(edited)
    (root / "nets/attention.py").write_text(NETS["nets/attention.py"])
    result = rewrite(root, "--flags", words)
    assert "XF505 flags   the block was edited by hand" in result.output
    assert train(root) == edited


END = "# xf2sdpa: end of H200 flags\n"
WAY_OUT = "the block lost its last line, so it stays as it is: put `# xf2sdpa: end of H200 flags` back"


@pytest.mark.parametrize("arguments", [["--flags", "off"], ["--flags-in", "train.py"], ["--device", "any"]])
def test_a_block_without_its_last_line_stays_and_is_reported(
    arguments: list[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    rewrite(".")
    whole = train(root)
    damaged = whole.replace(END, "")
    assert damaged != whole
    (root / "train.py").write_text(damaged)
    result = rewrite(".", *arguments)
    assert f"train.py:7:1: XF505 flags   {WAY_OUT}" in result.output
    assert "settled already" not in result.output
    assert train(root) == damaged
    (root / "train.py").write_text(whole)
    rewrite(".", "--flags", "off")
    assert train(root) == TRAIN


def test_a_block_without_its_first_line_stays_and_is_reported(root: Path) -> None:
    rewrite(root)
    damaged = re.sub(f"{MARK}.*\n", "", train(root))
    (root / "train.py").write_text(damaged)
    result = rewrite(root, "--flags-in", root / "train.py")
    assert "train.py:9:1: XF505 flags   the block lost its first line" in result.output
    assert train(root) == damaged


def test_a_file_that_only_quotes_the_mark_gets_no_block(root: Path) -> None:
    quoting = f'import torch\n\nMARK = "{MARK}"\nBLOCK = """\n{MARK} 0a1b2c3d\n"""\n'
    harness.write(root, {"quoting.py": quoting})
    rewrite(root)
    assert MARK in train(root)
    assert "quoting.py" not in rewrite(root, "--flags", "off").output
    assert (root / "quoting.py").read_text() == quoting


# -- what the user sets ------------------------------------------------------------------------------


def test_what_the_program_sets_is_left_to_it_and_reported(root: Path) -> None:
    text = TRAIN.replace("def main", "torch.backends.cuda.matmul.allow_tf32 = False\n\n\ndef main")
    (root / "train.py").write_text(text)
    result = rewrite(root)
    assert "XF501 flags   cudnn-benchmark: has a main guard" in result.output
    assert "    left to you: tf32: train.py:8: torch.backends.cuda.matmul.allow_tf32 = False\n" in result.output
    assert TF32 not in train(root)
    assert BENCHMARK in train(root)


def test_a_module_that_it_imports_counts(root: Path) -> None:
    harness.write(root, {"record.py": NETS["record.py"] + "\n\ntorch.backends.cudnn.benchmark = False\n"})
    assert "left to you: cudnn-benchmark: record.py:9: " in rewrite(root).output
    assert BENCHMARK not in train(root)


def test_our_own_helper_module_is_no_setting_of_theirs(root: Path) -> None:
    harness.write(
        root,
        {
            "nets/attention.py": "import xformers.ops as xops\n\n\ndef attend(x, mask=None):\n"
            "    return xops.memory_efficient_attention(x, x, x, attn_bias=mask, op=xops.MemoryEfficientAttentionOp)\n"
            "\n\ndef fast(x, bias):\n"
            "    return xops.memory_efficient_attention_forward(x, x, x, attn_bias=bias)\n"
        },
    )
    rewrite(root, "--flags", "h200,avoid-recompile")
    (copy,) = root.rglob("_attention_compat.py")
    assert "sdpa_kernel(" in copy.read_text()
    first = train(root)
    assert "AVOID_RECOMPILE" in first
    again = rewrite(root, "--flags", "h200,avoid-recompile")
    assert "XF50" not in again.output
    assert train(root) == first
    assert rewrite("--check", root, "--flags", "h200,avoid-recompile").exit_code == 0


def test_where_everything_is_set_no_block_is_made(root: Path) -> None:
    harness.write(
        root,
        {
            "record.py": NETS["record.py"]
            + "\n\ntorch.backends.fp32_precision = 'ieee'\ntorch.backends.cudnn.benchmark = True\n"
        },
    )
    assert "Left alone: 1 entry point with every H200 flag settled already" in rewrite("--check", root).output
    result = rewrite("-v", root)
    assert train(root) == TRAIN
    assert "train.py:1:1: XF504 flags   nothing set: has a main guard" in result.output
    assert "    left to you: tf32: record.py:9: torch.backends.fp32_precision = 'ieee'\n" in result.output


def test_the_two_precision_apis_are_never_mixed(root: Path) -> None:
    text = TRAIN.replace("def main", "torch.backends.cuda.matmul.fp32_precision = 'tf32'\n\n\ndef main")
    (root / "train.py").write_text(text)
    rewrite(root)
    assert TF32 not in train(root)


def test_a_setting_added_later_takes_the_flag_out(root: Path) -> None:
    rewrite(root)
    (root / "train.py").write_text(train(root) + "    torch.backends.cudnn.deterministic = True\n")
    assert "XF502 flags   now tf32" in rewrite(root).output
    assert BENCHMARK not in train(root)


# -- the report --------------------------------------------------------------------------------------


def test_the_report_says_where_why_and_what_it_changes(root: Path) -> None:
    output = rewrite(root).output
    lines = output.splitlines()
    place = f"{root / 'train.py'}:7:1: XF501 flags   tf32, cudnn-benchmark: has a main guard and leads to "
    assert [line for line in lines if line.startswith(place)] == [f"{place}nets/attention.py by nets/model.py"]
    told = lines[lines.index(f"{place}nets/attention.py by nets/model.py") + 1 :]
    assert max(map(len, told)) <= 120
    (start,) = (n for n, line in enumerate(told) if line.startswith('    torch.set_float32_matmul_precision("high"): '))
    assert "Changes rounding: their factors keep 10 bits of mantissa instead of 23." in " ".join(
        line.strip() for line in told[start : start + 2]
    )
    assert sum("torch.backends.cudnn.benchmark = True: " in line for line in lines) == 1
    assert "    `--flags safe` leaves out what lowers precision, `--flags off` takes all out" in output
    assert "2 files rewritten." in lines


def test_safe_is_not_advised_to_those_who_asked_for_it(root: Path) -> None:
    output = rewrite("--flags", "safe", root).output
    assert "XF501 flags   cudnn-benchmark: " in output
    assert "    `--flags off` takes all out; xf2sdpa explain flags\n" in output
    assert "--flags safe" not in output


def test_what_flags_do_is_said_once_for_all_programs(root: Path) -> None:
    (root / "sample.py").write_text(train(root))
    output = rewrite(root).output
    assert output.count("XF501 flags") == 2
    assert output.count("torch.backends.cudnn.benchmark = True: ") == output.count("xf2sdpa explain flags") == 1


def test_without_an_entry_point_the_lines_to_paste_are_printed(root: Path) -> None:
    lines = rewrite(root / "nets").output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("XF507: no entry point"))
    assert [line.partition("  #")[0] for line in lines[start + 1 :]] == [
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
    }
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


# -- the table ---------------------------------------------------------------------------------------


def test_the_page_is_the_table() -> None:
    page = CliRunner().invoke(cli, ["explain", "flags"]).output
    for flag in (*table.FLAGS, *table.NOT_SET):
        assert flag.code.format(torch="torch") in page
        assert flag.source
        assert f"Since torch {'.'.join(map(str, flag.since))}" in page
    for code in table.CODES:
        assert CliRunner().invoke(cli, ["explain", code]).output.startswith(f"{code}: ")


def test_safe_leaves_out_what_lowers_precision() -> None:
    assert {flag.name for flag in table.chosen(["h200"])} - {flag.name for flag in table.chosen(["safe"])} == {
        flag.name for flag in table.FLAGS if flag.by_default and flag.lowers_precision
    }


def test_every_figure_in_the_table_was_measured() -> None:
    """The figures are those of the stored run of `xf2sdpa bench`: none is made up here."""
    stored = json.loads((ROOT / "benchmarks" / "results" / "h200_bench.json").read_text("utf-8"))
    times = {module["name"]: module["forward"]["forward_paced"] for module in stored["modules"] if module["forward"]}
    without, with_tf32 = times["encoder fp32"], times["encoder tf32"]
    told = " ".join(f"{flag.effect} {flag.comment}" for flag in table.FLAGS)
    assert set(re.findall(r"\d+\.\d+", told)) == {
        f"{with_tf32:.1f}",
        f"{without:.1f}",
        f"{without / with_tf32:.2f}",
        f"{without / with_tf32:.1f}",
    }
