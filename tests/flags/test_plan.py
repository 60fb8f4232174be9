"""`--flags` as a user meets it: sets, names, reasons, configuration, reports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.flags.planned import BENCHMARK, HALF, MARK, TF32, TRAIN, WITHOUT_CONVOLUTION, rewrite, train
from tests.flags.programs import NETS
from tests.projects import harness
from xf2sdpa.files.listing import list_files
from xf2sdpa.flags import table
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.rewrite_files import rewrite_files
from xf2sdpa.settings import Settings

ROOT = Path(__file__).parents[2]
MIGRATED = "def f(x):\n    return x\n"

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


@pytest.mark.parametrize("device", ["any", "h200"])
def test_a_device_is_warned_of(device: str, root: Path) -> None:
    assert "warning: device is no longer needed" in rewrite(root, "--device", device).output
    assert "device is no longer" not in rewrite(root).output


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
    assert len(entries) == 3
    assert all("--flags=keep" in entry for entry in entries)


def test_the_library_call_touches_no_flags_unless_asked(root: Path) -> None:
    run = rewrite_files(list_files([root]), Settings(), RunOptions(jobs=1))
    assert {result.path.name for result in run.changed} == {"attention.py"}
    assert not run.flags.wanted


def test_flags_are_never_the_only_change(root: Path) -> None:
    (root / "nets/attention.py").write_text(MIGRATED)
    result = rewrite(root)
    assert result.output.startswith("No call of xformers' attention found.\n")
    assert "1 file" not in result.output
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
        "import xformers.ops as xops\n\n\ndef attend(x, lengths=(2,)):\n"
        "    mask = xops.fmha.attn_bias.BlockDiagonalMask.from_seqlens(lengths)\n"
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


# -- reasons -----------------------------------------------------------------------------------------


def test_without_a_convolution_cudnn_benchmark_is_not_set(root: Path) -> None:
    (root / "nets/model.py").write_text(WITHOUT_CONVOLUTION)
    output = rewrite("-v", root).output
    assert "XF501 flags   tf32: has a main guard" in output
    assert "    not set: cudnn-benchmark: no convolution is constructed in what runs\n" in output
    assert BENCHMARK not in train(root)
    assert TF32 in train(root)


def test_where_all_is_half_precision_tf32_is_not_set(root: Path) -> None:
    (root / "train.py").write_text(HALF)
    output = rewrite("-v", root).output
    assert "    not set: tf32: in half precision or under autocast: `net` (line 9)\n" in output
    assert BENCHMARK in train(root)
    assert TF32 not in train(root)


def test_without_a_reason_there_is_no_block(root: Path) -> None:
    harness.write(root, {"nets/model.py": WITHOUT_CONVOLUTION, "train.py": HALF})
    output = rewrite("--check", root).output
    assert "No H200 flag for 1 entry point: no reason, or settled there (--verbose says which)." in output
    named = rewrite(root, "--flags-in", root / "train.py").output
    assert "XF504 flags   nothing set: is named by --flags-in" in named
    assert train(root) == HALF


def test_a_flag_asked_for_by_name_needs_no_reason(root: Path) -> None:
    harness.write(root, {"nets/model.py": WITHOUT_CONVOLUTION, "train.py": HALF})
    output = rewrite(root, "--flags", "h200,cudnn-benchmark").output
    assert "    cudnn-benchmark: asked for by name\n" in output
    assert BENCHMARK in train(root)
    assert TF32 not in train(root)


def test_a_reason_that_goes_takes_the_flag_along(root: Path) -> None:
    rewrite(root)
    assert BENCHMARK in train(root)
    (root / "nets/model.py").write_text(WITHOUT_CONVOLUTION)
    assert "XF502 flags   now tf32: the block had other flags" in rewrite(root).output
    assert BENCHMARK not in train(root)


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
