"""The short way out: no import for files without a match, and the same words as the long way."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.commands import EXACT, NO_CALL, NOTHING, PLAIN, configured, rewrite, write
from xf2sdpa import __main__

PACKAGE = "from xf2sdpa.compat import scaled_dot_product_attention\n"


def answers(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    done = __main__._nothing_to_do(arguments)
    return done, capsys.readouterr().out


def test_the_short_way_out_says_what_the_long_one_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, plain=PLAIN)
    for options in ([], ["--check"], ["--strict", "--no-new-files"], ["--quiet"], ["-q", "--check"]):
        long = rewrite(*options, tmp_path)
        assert answers(["rewrite", *options, str(tmp_path)], capsys) == (True, long.output)
        assert long.exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["rewrite"],
        ["rewrite", "-"],
        ["rewrite", "--help", "{folder}"],
        ["rewrite", "--diff", "{folder}"],
        ["rewrite", "--output-format", "json", "{folder}"],
        ["rewrite", "--select=XF1", "{folder}"],
        ["explain", "{folder}"],
        ["rewrite", "{folder}", "{folder}/missing.py"],
    ],
)
def test_the_short_way_out_leaves_the_rest_to_click(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, plain=PLAIN)
    assert answers([a.format(folder=tmp_path) for a in arguments], capsys) == (False, "")


@pytest.mark.parametrize("text", [EXACT, "import xFormers\n", "from mslk.attention import fmha\n", PACKAGE])
def test_the_short_way_out_is_not_taken_where_a_file_matches(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, plain=PLAIN, model=text)
    assert answers(["rewrite", str(tmp_path)], capsys) == (False, "")
    assert answers(["rewrite", str(tmp_path / "plain.py")], capsys) == (False, ""), "another file of the tree matches"
    hook = ["rewrite", "--requirements=keep", str(tmp_path / "plain.py")]
    assert answers(hook, capsys) == (True, NO_CALL), "a hook asks nothing of the tree"
    (tmp_path / "model.py").unlink()
    (tmp_path / "notes.md").write_text("xformers\n")
    assert answers(["rewrite", str(tmp_path)], capsys) == (False, "")


def test_the_short_way_out_respects_pyproject(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(configured(tmp_path, "paths = 3"), plain=PLAIN)
    assert answers(["rewrite", str(tmp_path / "plain.py")], capsys) == (False, "")
    (tmp_path / "pyproject.toml").write_text("[tool.other]\n")
    assert answers(["rewrite", str(tmp_path / "plain.py")], capsys) == (True, NOTHING)


def test_a_file_without_a_match_costs_no_import(tmp_path: Path) -> None:
    write(tmp_path, plain=PLAIN)
    program = (
        "import sys; sys.argv = ['xf2sdpa', 'rewrite', sys.argv[1]]\n"
        "from xf2sdpa.__main__ import main\nmain()\n"
        "print(sorted({'click', 'libcst', 'ast', 'torch', 'pathlib', 're'} & set(sys.modules) - before))"
    )
    program = "import sys; before = set(sys.modules)\n" + program
    command = [sys.executable, "-c", program, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == f"{NOTHING}[]\n"


def test_a_run_of_another_project_that_was_killed_costs_this_one_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    begun = tmp_path / "state" / "xf2sdpa" / "undo" / "begun"
    begun.mkdir(parents=True)
    (begun / "0123456789abcdef-1.journal").write_bytes(b"")
    file = tmp_path / "here" / "a.py"
    file.parent.mkdir()
    file.write_text("import torch\n")
    assert __main__._nothing_to_do(["rewrite", str(file)])


def test_who_calls_the_command_from_a_program_keeps_its_collector(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("import xformers.ops\n", "utf-8")
    before = gc.get_threshold()
    rewrite("--check", tmp_path)
    assert gc.get_threshold() == before


@pytest.mark.parametrize(("typed", "offered"), [
    ("rew", {"rewrite"}), ("rewrite --flags-", {"--flags-in"}), ("rewrite --style c", {"compat"}),
    ("explain --h", {"--help"}),
])  # fmt: skip
def test_tab_completes(typed: str, offered: set[str]) -> None:
    around = {
        "_XF2SDPA_COMPLETE": "zsh_complete",
        "COMP_WORDS": f"xf2sdpa {typed}",
        "COMP_CWORD": str(typed.count(" ") + 1),
    }
    command = [sys.executable, "-m", "xf2sdpa"]
    done = subprocess.run(command, env={**os.environ, **around}, capture_output=True, text=True, check=False)
    assert set(done.stdout.split("\n")[1::3]) == offered, done.stderr
