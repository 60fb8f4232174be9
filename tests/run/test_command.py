"""The command: exit statuses, what is printed, what is written, and what cannot be worked on."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.commands import ASSUMED, BROKEN, COMPAT, EXACT, EXACT_AFTER, LEFT, NOTHING, call, rewrite, run, write
from xf2sdpa.files import source
from xf2sdpa.files.source import SourceError
from xf2sdpa.run import write as writing

# -- what is done, and the exit status ---------------------------------------------------------------


def test_rewrites_in_place_and_a_second_run_changes_nothing(file: Path) -> None:
    first = rewrite(file)
    assert first.exit_code == 0
    assert file.read_text() == EXACT_AFTER
    assert f"{file}:7:12: XF101 exact" in first.output
    assert (
        "1 call site: 1 exact, 0 left.\n1 file scanned, 1 looked into, 1 rewritten.\nNeeds torch >= 2.0.\n"
        in first.output
    )
    second = rewrite(file)
    assert (second.exit_code, second.output) == (0, NOTHING)
    assert file.read_text() == EXACT_AFTER


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_check_and_diff_write_nothing_and_exit_with_1(file: Path, option: str) -> None:
    result = rewrite(option, file)
    assert result.exit_code == 1
    assert file.read_text() == EXACT
    assert "1 to rewrite." in result.output
    file.write_text(EXACT_AFTER)
    assert rewrite(option, file).exit_code == 0


def test_the_diff_alone_is_on_standard_output_and_applies(file: Path) -> None:
    result = run("rewrite", "--diff", "model.py", cwd=file.parent)
    assert result.returncode == 1
    assert result.stdout.startswith("--- a/model.py\n+++ b/model.py\n")
    assert "1 to rewrite." in result.stderr
    patched = subprocess.run(
        ["git", "apply", "-"], input=result.stdout, text=True, cwd=file.parent, capture_output=True, check=False
    )
    assert patched.returncode == 0, patched.stderr
    assert file.read_text() == EXACT_AFTER


def test_the_diff_brings_the_helper_module_along(tmp_path: Path) -> None:
    text = "import xformers.ops as xops\n\n\ndef f(q, k, v, mask):\n    "
    text += "return xops.memory_efficient_attention(q, k, v, attn_bias=mask)\n"
    write(tmp_path, model=text)
    result = run("rewrite", "--diff", ".", cwd=tmp_path)
    assert result.stdout.startswith("--- a/model.py\n"), "what a person has to read comes first"
    assert "--- /dev/null\n+++ b/_attention_compat.py\n" in result.stdout
    applied = ["git", "apply", "-"]
    patched = subprocess.run(applied, input=result.stdout, text=True, cwd=tmp_path, capture_output=True, check=False)
    assert patched.returncode == 0, patched.stderr
    by_diff = {path.name: path.read_text() for path in tmp_path.iterdir()}
    (tmp_path / "_attention_compat.py").unlink()
    (tmp_path / "model.py").write_text(text)
    rewrite(tmp_path)
    assert by_diff == {path.name: path.read_text() for path in tmp_path.iterdir()}


def test_left_sites_are_a_success_unless_strict(tmp_path: Path) -> None:
    write(tmp_path, left=LEFT)
    result = rewrite(tmp_path)
    assert result.exit_code == 0
    assert "1 call site: 1 left." in result.output
    assert "Why a site was left: xf2sdpa explain XF208" in result.output
    assert (tmp_path / "left.py").read_text() == LEFT
    assert rewrite("--strict", tmp_path).exit_code == 1


def test_strict_does_not_mind_what_was_rewritten(file: Path) -> None:
    assert rewrite("--strict", file).exit_code == 0


def test_strict_does_not_mind_what_one_asks_to_leave(tmp_path: Path) -> None:
    write(tmp_path, wish=EXACT.replace("(b, n, -1)\n", "(b, n, -1)  # xf2sdpa: ignore\n"), assumed=ASSUMED)
    assert rewrite("--strict", "--only", "exact", tmp_path).exit_code == 0
    assert rewrite("--strict", "--ignore", "XF101", tmp_path).exit_code == 0
    write(tmp_path, left=LEFT)
    assert rewrite("--strict", "--only", "exact", tmp_path).exit_code == 1


def test_only_exact_leaves_what_rests_on_an_assumption(tmp_path: Path) -> None:
    write(tmp_path, assumed=ASSUMED)
    result = rewrite("--only", "exact", tmp_path)
    assert result.exit_code == 0
    assert "XF908 left" in result.output
    assert (tmp_path / "assumed.py").read_text() == ASSUMED
    result = rewrite(tmp_path)
    assert "XF101 assumed" in result.output
    assert "    assuming that inside autocast, query, key and value are not float32" in result.output
    assert "scaled_dot_product_attention" in (tmp_path / "assumed.py").read_text()


def test_what_cannot_be_inline_uses_a_helper_module(tmp_path: Path) -> None:
    write(tmp_path, model=COMPAT)
    helper = tmp_path / "_attention_compat.py"
    assert rewrite("--check", tmp_path).exit_code == 1
    assert not helper.exists()
    result = rewrite(tmp_path)
    assert result.exit_code == 0
    assert "1 call site: 1 compat, 0 left." in result.output
    assert f"New {helper}, for 1 file." in result.output
    ast.parse(helper.read_text())
    assert "_attention_compat import memory_efficient_attention" in (tmp_path / "model.py").read_text()
    again = rewrite("--check", tmp_path)
    assert again.exit_code == 0, again.output


def test_no_helper_makes_no_file(tmp_path: Path) -> None:
    write(tmp_path, compat=COMPAT, model=EXACT)
    result = rewrite("--no-helper", tmp_path)
    assert result.exit_code == 0
    assert "2 call sites: 1 exact, 1 left." in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compat.py", "model.py"]
    assert (tmp_path / "compat.py").read_text() == COMPAT
    assert (tmp_path / "model.py").read_text() == EXACT_AFTER


def test_quiet_prints_nothing_and_verbose_prints_advice(tmp_path: Path) -> None:
    write(tmp_path, left=LEFT, model=EXACT)
    assert rewrite("--check", "--quiet", tmp_path).output == ""
    assert "    help: " not in rewrite("--check", tmp_path).output
    told = rewrite("--check", "--verbose", tmp_path).output
    assert "    help: " in told
    assert re.search(r"XF40\d note", told)


# -- what cannot be worked on ------------------------------------------------------------------------


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    write(tmp_path, broken=BROKEN, model=EXACT)
    result = rewrite(tmp_path)
    assert result.exit_code == 2
    assert re.search(r"broken\.py:3:\d+: XF901 error", result.output)
    assert "1 file could not be worked on and stayed as before." in result.output
    assert (tmp_path / "broken.py").read_text() == BROKEN
    assert (tmp_path / "model.py").read_text() == EXACT_AFTER


def test_quiet_still_names_what_failed(tmp_path: Path) -> None:
    write(tmp_path, broken=BROKEN, model=EXACT)
    result = rewrite("--quiet", tmp_path)
    assert result.exit_code == 2
    assert "XF901 error" in result.output
    assert "XF101" not in result.output


def test_bytes_that_are_not_what_they_declare(tmp_path: Path) -> None:
    file = tmp_path / "latin.py"
    data = EXACT.replace("import torch\n", "import torch  # caf\xe9\n").encode("latin-1")
    file.write_bytes(data)
    result = rewrite(file)
    assert result.exit_code == 2
    assert f"{file}:1:20: XF903 error" in result.output
    assert file.read_bytes() == data


def test_a_read_only_file(file: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("for root no file is read-only")
    file.chmod(0o444)
    result = rewrite(file)
    assert result.exit_code == 2
    assert "XF904 error" in result.output
    assert file.read_text() == EXACT


def test_a_helper_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, model=COMPAT, other=EXACT)
    helper = tmp_path / "_attention_compat.py"

    def no_helper(path: Path, data: bytes, **options: object) -> None:
        if path == helper:
            raise SourceError(path, 1, 0, "XF904", "cannot be written: No such file or directory")
        source.write(path, data)

    monkeypatch.setattr(writing, "write", no_helper)
    result = rewrite(tmp_path)
    assert result.exit_code == 2
    assert f"{helper}:1:1: XF904 error   cannot be written: No such file or directory" in result.output
    assert f"model.py:1:1: XF904 error   stays as it was: its helper module {helper} cannot be written" in result.output
    assert "help: Look at the permissions" in result.output
    assert "New " not in result.output
    assert "git add" not in result.output
    assert (tmp_path / "model.py").read_text() == COMPAT
    assert "scaled_dot_product_attention" in (tmp_path / "other.py").read_text()


def test_a_helper_goes_again_if_no_user_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, model=COMPAT)

    def one_is_read_only(path: Path, data: bytes, **options: object) -> None:
        if path.name == "model.py":
            raise SourceError(path, 1, 0, "XF904", "cannot be written: the file is read-only")
        source.write(path, data)

    monkeypatch.setattr(writing, "write", one_is_read_only)
    result = rewrite(tmp_path)
    assert result.exit_code == 2
    assert "New " not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]


def test_an_unreadable_file(file: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("for root no file is unreadable")
    file.chmod(0)
    result = rewrite(file)
    assert result.exit_code == 2
    assert "XF902 error" in result.output


def test_nested_too_deep(tmp_path: Path) -> None:
    deep = tmp_path / "deep.py"
    deep.write_text(f"{EXACT}\n\ny = {'-' * 3000}1\n")
    result = rewrite(deep)
    assert result.exit_code == 2, result.output
    assert re.search(r"XF90[19] error", result.output)


@pytest.mark.parametrize(
    "arguments",
    [
        ("rewrite", "no_such_path"),
        ("rewrite",),
        ("rewrite", "-", "other.py"),
        ("rewrite", "--no-such-option", "."),
        ("rewrite", "--torch", "new", "."),
        ("rewrite", "--select", "E501", "."),
        ("rewrite", "--select", "XF999", "."),
        ("rewrite", "--ignore", "XF1,XF8", "."),
        ("rewrite", "--select", "", "."),
        ("rewrite", "--flags", "", "."),
        ("rewrite", "--exclude", "!kept.py", "."),
        ("explain", "XF000"),
        ("no_such_command",),
    ],
)
def test_what_cannot_be_asked_is_2(tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*arguments, given="")
    assert result.exit_code == 2
    assert result.output


def test_torch_is_never_imported(file: Path) -> None:
    program = "import sys\nfrom xf2sdpa.cli import cli\ncli(['rewrite', sys.argv[1]], standalone_mode=False)"
    program = f"import sys\ntry:\n    exec({program!r})\nexcept SystemExit:\n    pass\nprint('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("False\n")
    assert file.read_text() == EXACT_AFTER
