"""What newcomers stumbled over: next steps that lead nowhere, sentences that were not true, common mistakes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import Result

from tests.projects.harness import write
from tests.run.commands import COMPAT, EXACT, LEFT, call, rewrite, run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")


def in_git() -> None:
    subprocess.run(["git", "init", "-q"], check=True)


def next_step(result: Result) -> str:
    return next(line for line in result.output.splitlines() if line.startswith("Next: "))


# -- next steps ------------------------------------------------------------------------------------


def test_git_is_named_only_where_there_is_git() -> None:
    write(Path(), {"model.py": COMPAT})
    told = rewrite(".")
    assert "git" not in told.output
    assert next_step(told) == "Next: `xf2sdpa verify .` runs old and new side by side; `xf2sdpa undo` takes this back."


def test_the_next_step_stands_above_the_verdict() -> None:
    write(Path(), {"model.py": f"# xformers\n{EXACT}"})
    for arguments in (("--check", "."), (".",)):
        *_, step, verdict = rewrite(*arguments).output.splitlines()
        assert step.startswith("Next: ")
        assert verdict.startswith("xformers can be uninstalled")


def test_with_git_its_commands_are_named() -> None:
    write(Path(), {"model.py": COMPAT})
    in_git()
    told = rewrite(".")
    assert "    git add _attention_compat.py\n" in told.output
    assert "`git diff` shows the changes; `xf2sdpa undo` takes them back." in next_step(told)


@pytest.mark.parametrize("git", [False, True])
def test_undo_is_not_promised_without_a_journal(git: bool) -> None:
    write(Path(), {"model.py": EXACT})
    if git:
        in_git()
    told = rewrite("--no-journal", ".")
    assert "undo" not in told.output
    assert ("`git diff` shows the changes." in told.output) == git
    assert ("xf2sdpa verify" in told.output) == git, "verify has the old text from git or the journal"


# -- what is said of choices and programs ----------------------------------------------------------

OPTION = """\
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--use_xformers", action="store_true")
"""
IDLE = "The option is accepted as before, and nothing that it chooses needs xformers: rename or drop it when you may"
HARMLESS = "Choices that name xformers; they are yours, and do no harm:"


def test_an_option_still_chooses_as_long_as_something_needs_xformers() -> None:
    write(Path(), {"model.py": LEFT, "train.py": OPTION})
    for told in (rewrite("."), call("status", "--jobs", "1")):
        assert "Choices that name xformers; they are yours:\n" in told.output
        assert "'--use_xformers' (Drop it once nothing needs xformers any more)" in told.output
        assert IDLE not in told.output


def test_an_option_chooses_nothing_once_nothing_needs_xformers() -> None:
    write(Path(), {"model.py": EXACT, "train.py": OPTION})
    for told in (rewrite("."), call("status", "--jobs", "1")):
        assert f"{HARMLESS}\n" in told.output
        assert IDLE in told.output


PROGRAM = "import torch\n\ntorch.backends.cuda.matmul.allow_tf32 = True\nmodel = build(config)\nmodel.train()\n"


def test_a_program_that_is_not_seen_to_lead_to_a_call_is_not_denied() -> None:
    write(
        Path(), {"model.py": EXACT, "train.py": PROGRAM.replace("torch.backends.cuda.matmul.allow_tf32 = True\n", "")}
    )
    told = rewrite(".").output
    assert (
        "XF507: no program here is seen to lead to a rewritten call. H200 flags to paste where yours imports torch:"
        in told
    )


def test_a_flag_that_some_program_sets_itself_is_not_offered() -> None:
    write(Path(), {"model.py": EXACT, "train.py": PROGRAM})
    assert "XF507" not in rewrite(".").output


# -- counts and names ------------------------------------------------------------------------------


def test_requirement_files_are_counted_apart() -> None:
    write(Path(), {"model.py": EXACT, "requirements.txt": "xformers\ntorch\n"})
    assert "1 file scanned, 1 looked into, 1 to rewrite.\n" in rewrite("--check", ".").output
    assert "1 file scanned, 1 looked into, 1 rewritten.\n" in rewrite(".").output


def test_a_line_that_becomes_torch_is_told_as_one_thing() -> None:
    write(Path(), {"model.py": EXACT, "requirements.txt": "numpy\nxformers\n"})
    told = rewrite(".").output
    assert "Lines dropped:\n    requirements.txt:2: xformers\n" in told
    assert "    requirements.txt:2: that line is now torch>=2.0\n" in told
    assert Path("requirements.txt").read_text() == "numpy\ntorch>=2.0\n"


def test_places_are_named_as_seen_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"pkg/sub/model.py": f"# xformers\n{EXACT}", "pkg/other.py": "# xformers\n", "far.py": "# xformers\n"}
    write(Path(), {**texts, "pkg/sub/requirements.txt": "xformers\n"})
    in_git()
    monkeypatch.chdir("pkg/sub")
    told = call("status", "--jobs", "1", "--verbose").output
    assert "    model.py:3: code: is not rewritten yet" in told
    assert "    ../other.py:1: code" in told
    assert "    ../../far.py:1: code" in told
    told = rewrite(".").output
    assert "    requirements.txt:1: that line is now torch>=2.0\n" in told
    assert "pkg" not in told


SWITCH = """\
from diffusers.utils.import_utils import is_xformers_available


def main(unet):
    if is_xformers_available():
        unet.enable_xformers_memory_efficient_attention()
        unet.ema.enable_xformers_memory_efficient_attention()
    else:
        raise ValueError("install xformers")
"""


def test_a_question_and_the_switch_that_it_is_asked_for_are_one_thing_to_do() -> None:
    write(Path(), {"model.py": SWITCH})
    told = call("status", "--jobs", "1").output
    assert "uninstalled; it goes with the switch of another library in line 6\n" in told
    assert told.count("help: Delete the call, with lines 5 to 9, which ask for xformers first") == 1
    assert "…" not in told
    assert "model.py:6: XF411" in rewrite(".").output, "what there is to do, not the question"


def test_a_change_is_told_by_its_code_first() -> None:
    flagged = "try:\n    import xformers.ops as xops\n    FAST = True\nexcept ImportError:\n    FAST = False\n"
    text = f"{flagged}\n\ndef f(x, y):\n    assert FAST, 'none'\n    return xops.unbind(x, 0)\n"
    write(Path(), {"model.py": text})
    told = rewrite(".").output
    assert (
        "XF141 changed try: import xformers.ops as xops … (a guard around xformers goes; the flag that it set stays)\n"
        in told
    )
    assert "XF147 changed assert FAST, 'none' (what hangs on a flag that is always True now goes)\n" in told


def test_nothing_found_is_not_said_where_something_changed() -> None:
    text = "import torch\nimport xformers.ops as xops\n\nprint(xops.unbind(torch.ones(2)))\n"
    write(Path(), {"model.py": text})
    assert "No call of xformers' attention found" not in rewrite(".").output
    assert "No call of xformers' attention found" in rewrite(".").output


def test_help_cuts_no_sentence() -> None:
    assert "..." not in call("--help").output.partition("Commands:")[2]


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [".", "empty"])
def test_a_folder_without_python_is_most_likely_the_wrong_one(folder: str) -> None:
    Path("empty").mkdir()
    for arguments in (("rewrite", folder), ("rewrite", "--check", folder), ("status", folder)):
        told = run(*arguments)
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr == (
            f"xf2sdpa: no Python file or notebook in {folder}\n    help: Name the folder of your project.\n"
        )


def test_a_file_that_is_no_python_is_called_that() -> None:
    write(Path(), {"README.md": "# Attention × 2\n\nNeeds xformers.\n", "model.py": EXACT})
    told = rewrite("README.md")
    assert told.exit_code == 2
    assert "README.md:3:" in told.output
    assert (
        "help: README.md is no Python file by its name: name Python files, notebooks, or their folder." in told.output
    )


def test_a_script_without_a_suffix_is_python_if_it_is_named() -> None:
    write(Path(), {"train": EXACT})
    assert rewrite("train").exit_code == 0
    assert "scaled_dot_product_attention" in Path("train").read_text()


@pytest.mark.parametrize("command", ["rewrite", "status", "verify", "undo"])
def test_a_path_that_is_not_there_is_told_alike(command: str) -> None:
    told = call(command, "nope")
    assert (told.exit_code, told.output) == (2, "xf2sdpa: nope: does not exist\n")


def test_undo_names_no_runs_of_unrelated_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path(), {"model.py": EXACT})
    rewrite(".")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    told = call("undo")
    assert told.exit_code == 2
    assert told.output == (
        f"xf2sdpa: no run to take back in {tmp_path / 'other'}\n"
        "    help: There is one to take back in another folder; `xf2sdpa undo --list` names it.\n"
    )
    listed = call("undo", "--list")
    assert listed.exit_code == 0
    assert listed.output.endswith(f" in {tmp_path / 'project'}: 1 file\n")


def test_a_notebook_on_standard_input_needs_its_name() -> None:
    told = call("rewrite", "-", given='{"cells": [], "nbformat": 4}\n')
    assert told.exit_code == 2
    assert "xf2sdpa: standard input looks like a notebook" in told.output
    assert "--stdin-filename NAME.ipynb" in told.output


def test_a_dash_is_standard_output() -> None:
    write(Path(), {"model.py": EXACT})
    told = call("rewrite", "--check", "--output-format", "junit", "--output-file", "-", ".")
    assert told.exit_code == 2
    assert not Path("-").exists()
    assert "--output-file: - is no file" in told.output


@pytest.mark.parametrize(("beside", "status"), [("", 1), ("torchvision==0.15.2\n", 2)])
def test_a_pin_that_the_run_raises_is_no_error(beside: str, status: int) -> None:
    write(Path(), {"model.py": COMPAT, "requirements.txt": f"torch==2.0.1\n{beside}xformers==0.0.20\n"})
    told = rewrite("--check", ".")
    assert told.exit_code == status
    assert ("error: the new code needs torch >= 2.1" in told.output) == (status == 2)
    assert told.output.endswith(f": yes{', once the project has torch >= 2.1' if status == 2 else ''}\n")
    assert rewrite(".").exit_code == (0 if status == 1 else 2), "as it was said"
