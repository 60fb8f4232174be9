"""The command line: exit statuses, what is printed, what is written; README's promises; the rules' own examples."""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from xf2sdpa import __main__, codes
from xf2sdpa.cli import cli
from xf2sdpa.files import source
from xf2sdpa.files.source import SourceError
from xf2sdpa.flags import table
from xf2sdpa.rewrite import pages
from xf2sdpa.rewrite.engine import rewrite_text
from xf2sdpa.rewrite.registry import all_rules
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.run import write as writing

ROOT = Path(__file__).parent.parent
NOTHING = "No call of xformers' attention found.\n"

EXACT = """\
import torch
import xformers.ops as xops


def attend(x, weight, b, n, h):
    q, k, v = torch.nn.functional.linear(x, weight).view(b, n, 3, h, -1).unbind(2)
    return xops.memory_efficient_attention(q, k, v).reshape(b, n, -1)
"""
EXACT_AFTER = """\
import torch


def attend(x, weight, b, n, h):
    q, k, v = torch.nn.functional.linear(x, weight).view(b, n, 3, h, -1).unbind(2)
    return torch.nn.functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).reshape(b, n, -1)
"""
ASSUMED = """\
import torch.nn.functional as F
import xformers.ops as xops


def attend(q, k, v, b, n, h):
    q, k, v = (x.view(b, n, h, -1) for x in (q, k, v))
    return xops.memory_efficient_attention(q, k, v).flatten(2)
"""
COMPAT = """\
import xformers.ops as xops


def attend(q, k, v, mask):
    return xops.memory_efficient_attention(q, k, v, attn_bias=mask)
"""
LEFT = """\
from xformers.ops.fmha import memory_efficient_attention_partial


def attend(q, k, v):
    return memory_efficient_attention_partial(q, k, v)
"""
PLAIN = "import torch\n\n\ndef relu(x):\n    return torch.relu(x)\n"
BROKEN = "import xformers.ops\n\nxformers.ops.memory_efficient_attention(q, k, v\n"


def call(*arguments: str | Path, given: str | bytes | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=given)


def rewrite(*arguments: str | Path, given: str | bytes | None = None) -> Result:
    return call("rewrite", *arguments, given=given)


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "xf2sdpa", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "model.py"
    place.write_text(EXACT)
    return place


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return folder


# -- what is done, and the exit status ---------------------------------------------------------------


def test_rewrites_in_place_and_a_second_run_changes_nothing(file: Path) -> None:
    first = rewrite(file)
    assert first.exit_code == 0
    assert file.read_text() == EXACT_AFTER
    assert f"{file}:7:12: XF101 exact" in first.output
    assert "1 call site: 1 exact, 0 left.\n1 file rewritten.\nNeeds torch >= 2.0.\n" in first.output
    second = rewrite(file)
    assert (second.exit_code, second.output) == (0, NOTHING)
    assert file.read_text() == EXACT_AFTER


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_check_and_diff_write_nothing_and_exit_with_1(file: Path, option: str) -> None:
    result = rewrite(option, file)
    assert result.exit_code == 1
    assert file.read_text() == EXACT
    assert "1 file would be rewritten." in result.output
    file.write_text(EXACT_AFTER)
    assert rewrite(option, file).exit_code == 0


def test_the_diff_alone_is_on_standard_output_and_applies(file: Path) -> None:
    result = run("rewrite", "--diff", "model.py", cwd=file.parent)
    assert result.returncode == 1
    assert result.stdout.startswith("--- a/model.py\n+++ b/model.py\n")
    assert "1 file would be rewritten." in result.stderr
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
    assert result.stdout.startswith("--- /dev/null\n+++ b/_attention_compat.py\n")
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
    assert f"git add {helper}" in result.output
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


# -- bytes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (EXACT.replace("\n", "\r\n"), EXACT_AFTER.replace("\n", "\r\n")),
        ("\ufeff" + EXACT, "\ufeff" + EXACT_AFTER),
        (EXACT.rstrip("\n"), EXACT_AFTER.rstrip("\n")),
        (EXACT + "\n\n\n", EXACT_AFTER + "\n\n\n"),
        ("# -*- coding: utf-8 -*-\n# naïve\n" + EXACT, "# -*- coding: utf-8 -*-\n# naïve\n" + EXACT_AFTER),
        (EXACT + "\n\ns = '''\r\n\t \\\n'''  # \x0c\n", EXACT_AFTER + "\n\ns = '''\r\n\t \\\n'''  # \x0c\n"),
    ],
    ids=["crlf", "byte order mark", "no final newline", "blank lines at the end", "not ascii", "mixed newlines"],
)
def test_bytes_outside_the_edits_stay(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "model.py"
    file.write_bytes(old.encode())
    assert rewrite(file).exit_code == 0
    assert file.read_bytes() == new.encode()


def test_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    head = "# coding: latin-1\n# caf\xe9\n"
    file.write_bytes((head + EXACT).encode("latin-1"))
    assert rewrite(file).exit_code == 0
    assert file.read_bytes() == (head + EXACT_AFTER).encode("latin-1")


def test_mode_and_links_stay(file: Path) -> None:
    file.chmod(0o754)
    link = file.with_name("link.py")
    link.symlink_to("model.py")
    assert rewrite(link).exit_code == 0
    assert link.is_symlink()
    assert file.read_text() == EXACT_AFTER
    assert stat.S_IMODE(file.stat().st_mode) == 0o754
    assert sorted(path.name for path in file.parent.iterdir()) == ["link.py", "model.py"]


# -- standard input ----------------------------------------------------------------------------------


def test_standard_input_to_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "-"]
    result = subprocess.run(command, input=EXACT.encode(), capture_output=True, check=False)
    assert (result.returncode, result.stdout.decode()) == (0, EXACT_AFTER)
    assert b"<stdin>:7:12: XF101 exact" in result.stderr
    result = subprocess.run(command, input=PLAIN.encode(), capture_output=True, check=False)
    assert (result.returncode, result.stdout.decode()) == (0, PLAIN)


def test_standard_input_with_check_and_diff() -> None:
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "-", "--stdin-filename", "src/model.py"]
    checked = subprocess.run([*command, "--check"], input=EXACT, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert "src/model.py:7:12: XF101 exact" in checked.stderr
    diff = subprocess.run([*command, "--diff"], input=EXACT, text=True, capture_output=True, check=False)
    assert diff.returncode == 1
    assert diff.stdout.startswith("--- a/src/model.py\n+++ b/src/model.py\n")


def test_standard_input_that_does_not_parse_comes_back_as_it_was() -> None:
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "-"]
    result = subprocess.run(command, input=BROKEN, text=True, capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (2, BROKEN)
    assert "XF901 error" in result.stderr


# -- colours -----------------------------------------------------------------------------------------


def test_no_colours_where_no_person_watches(file: Path) -> None:
    assert "\x1b" not in run("rewrite", "--check", file).stdout
    assert "\x1b" not in run("rewrite", "--diff", file).stdout


def on_a_terminal(*arguments: str | Path) -> tuple[int, bytes]:
    """Run the command as a user does who watches: the status, and what the terminal was sent."""
    import pty  # noqa: PLC0415 - there is none on Windows

    told: list[bytes] = []

    def reader(descriptor: int) -> bytes:
        told.append(os.read(descriptor, 4096))
        return told[-1]

    saved = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        status = pty.spawn([sys.executable, "-m", "xf2sdpa", *map(str, arguments)], reader, lambda _: b"")
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    return os.waitstatus_to_exitcode(status), b"".join(told)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("wish", "coloured"), [("", True), ("1", False)])
def test_colours_on_a_terminal(file: Path, wish: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", wish)
    status, told = on_a_terminal("rewrite", "--check", file)
    assert status == 1
    assert b"exact" in told
    assert (b"\x1b[32mexact" in told) == coloured
    assert (b"\x1b" in told) == coloured


def test_colours_where_they_are_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32mexact" in run("rewrite", "--check", file).stdout
    assert "\x1b[32m\x1b[22m+" in run("rewrite", "--diff", file).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("rewrite", "--check", file).stdout


# -- what ends it early ------------------------------------------------------------------------------


def test_ctrl_c_is_130_and_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xf2sdpa.run.rewrite_files.rewrite_files", interrupted)
    result = rewrite(file)
    assert result.exit_code == 130
    assert result.output == "xf2sdpa: interrupted; no file is half written\n"
    assert file.read_text() == EXACT


def test_ctrl_c_while_files_are_written_leaves_no_part_of_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    assert rewrite(file).exit_code == 130
    assert file.read_text() == EXACT
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
@pytest.mark.parametrize("text", [EXACT, PLAIN])
def test_output_that_cannot_be_written_is_an_error_in_one_line(file: Path, text: str) -> None:
    file.write_text(text)
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "--check", str(file)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "xf2sdpa: the output cannot be written: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such pipes")
@pytest.mark.parametrize(("options", "status"), [((), 0), (("--check",), 1), (("--diff",), 1)])
def test_a_reader_that_leaves_early_changes_no_status(file: Path, options: tuple[str, ...], status: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", *options, str(file)]
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert done.returncode == status
    assert "Error" not in done.stderr
    assert (file.read_text() == EXACT) == bool(options)


# -- comments and configuration ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comment", "kind"),
    [
        ("# xf2sdpa: ignore", "XF906 left"),
        ("# xf2sdpa: ignore[XF101]", "XF906 left"),
        ("# xf2sdpa: ignore[XF999, xf101] later", "XF906 left"),
        ("# xf2sdpa: ignore[XF1]", "XF906 left"),
        ("# xf2sdpa: ignore[XF102]", "XF101 exact"),
        ("# ignore", "XF101 exact"),
    ],
)
def test_suppression_comment(tmp_path: Path, comment: str, kind: str) -> None:
    old = EXACT.replace(".reshape(b, n, -1)", f".reshape(b, n, -1)  {comment}")
    write(tmp_path, model=old)
    result = rewrite(tmp_path)
    assert result.exit_code == 0
    assert kind in result.output
    assert ((tmp_path / "model.py").read_text() == old) == ("left" in kind)


def test_a_suppression_comment_of_another_code_is_told(tmp_path: Path) -> None:
    write(tmp_path, model=EXACT.replace(".reshape(b, n, -1)", ".reshape(b, n, -1)  # xf2sdpa: ignore[XF102]"))
    assert "the comment here ignores XF102: this is XF101" in rewrite(tmp_path, "-v").output


@pytest.mark.parametrize(
    ("option", "code", "kind"),
    [
        ("--select", "XF102", "XF907 left"),
        ("--select", "XF1", "XF101 exact"),
        ("--ignore", "XF101", "XF907 left"),
        ("--ignore", "XF2,XF102", "XF101 exact"),
    ],
)
def test_rule_selection(file: Path, option: str, code: str, kind: str) -> None:
    assert kind in rewrite("--check", option, code, file).output


def test_a_beginning_that_no_code_has_names_those_there_are(file: Path) -> None:
    result = rewrite("--select", "XF999", file)
    assert "select: no code begins with 'XF999'. There are XF1 (what was done), XF2 (why" in result.output
    assert file.read_text() == EXACT


def test_flags_that_say_nothing_name_the_choices(file: Path) -> None:
    assert "flags: must name at least one of h200, safe, off, keep, tf32" in rewrite("--flags", "", file).output
    assert "flags: 'bogus' is unknown. Allowed: h200, safe" in rewrite("--flags", "bogus", file).output


def configured(folder: Path, table: str) -> Path:
    (folder / "pyproject.toml").write_text(f"[tool.xf2sdpa]\n{table}\n")
    return folder


def test_paths_and_exclude_from_pyproject(tmp_path: Path) -> None:
    configured(tmp_path, 'paths = ["src"]\nexclude = ["old"]')
    (tmp_path / "src" / "old").mkdir(parents=True)
    for place in ("src/model.py", "src/old/model.py", "model.py"):
        (tmp_path / place).write_text(EXACT)
    result = run("rewrite", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    changed = [
        place.relative_to(tmp_path).as_posix() for place in tmp_path.rglob("*.py") if "xops" not in place.read_text()
    ]
    assert changed == ["src/model.py"]


def test_options_override_pyproject(tmp_path: Path) -> None:
    write(configured(tmp_path, 'ignore = ["XF101"]'), model=EXACT)
    assert "XF907 left" in rewrite("--check", tmp_path).output
    assert "XF101 exact" in rewrite("--check", "--ignore", "XF102", tmp_path).output


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('exclud = ["a"]', "did you mean 'exclude'"),
        ("paths = 3", "must be a list of strings"),
        ("torch = 2.1", "must be a version in quotes"),
        ('select = ["E501"]', "must hold codes"),
        ("paths = [", "is not valid TOML"),
    ],
)
def test_bad_configuration(tmp_path: Path, table: str, told: str) -> None:
    write(configured(tmp_path, table), model=EXACT)
    result = rewrite(tmp_path)
    assert result.exit_code == 2
    assert told in result.output
    assert (tmp_path / "model.py").read_text() == EXACT


def test_a_pin_that_is_too_old_is_told(tmp_path: Path) -> None:
    scaled = EXACT.replace("(q, k, v)", "(q, k, v, scale=0.5)")
    write(tmp_path, model=scaled)
    (tmp_path / "requirements.txt").write_text("torch==2.0.1\n")
    told = "Needs torch >= 2.1, but the project admits 2.0 (requirements.txt:1: torch==2.0.1)."
    assert told in rewrite("--check", tmp_path).output
    assert "Needs torch >= 2.1." in rewrite("--check", "--torch", "2.4", tmp_path).output


# -- the short way out -------------------------------------------------------------------------------


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


@pytest.mark.parametrize("text", [EXACT, "import xFormers\n", "from mslk.attention import fmha\n"])
def test_the_short_way_out_is_not_taken_where_a_file_matches(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, plain=PLAIN, model=text)
    assert answers(["rewrite", str(tmp_path)], capsys) == (False, "")
    assert answers(["rewrite", str(tmp_path / "plain.py")], capsys) == (True, NOTHING)


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


def test_torch_is_never_imported(file: Path) -> None:
    program = "import sys\nfrom xf2sdpa.cli import cli\ncli(['rewrite', sys.argv[1]], standalone_mode=False)"
    program = f"import sys\ntry:\n    exec({program!r})\nexcept SystemExit:\n    pass\nprint('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("False\n")
    assert file.read_text() == EXACT_AFTER


# -- explain -----------------------------------------------------------------------------------------


def test_explain_without_a_code_lists_them_all() -> None:
    listed = call("explain")
    assert listed.exit_code == 0
    assert [line.partition("  ")[0] for line in listed.output.splitlines()] == list(pages.all_codes())


@pytest.mark.parametrize("code", pages.all_codes())
def test_explain(code: str) -> None:
    result = call("explain", code)
    assert result.exit_code == 0
    assert result.output.startswith(code)
    assert len(result.output.splitlines()) > 2
    assert call("explain", code.lower()).output == result.output


@pytest.mark.parametrize("code", pages.all_codes())
def test_a_page_has_a_title_a_reason_an_example_and_a_way_out(code: str) -> None:
    title, *parts = call("explain", code).output.split("\n\n")
    assert title == f"{code}: {pages.all_codes()[code]}"
    if code in table.CODES:  # the table of flags
        assert "torch.set_float32_matmul_precision" in parts[-1] or "`--flags h200`" in parts[1]
        return
    assert len(parts[0]) > 20
    assert any(part.startswith(("example:\n    ", "before:\n    ", "left as it is:\n    ")) for part in parts)
    assert sum(part.startswith("Way out: ") for part in parts) == 1


def test_every_code_is_of_a_known_family() -> None:
    assert {code[:3] for code in pages.all_codes()} == set(codes.FAMILIES)


def test_what_does_not_parse_may_be_for_a_newer_python() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    page = " ".join(call("explain", "XF901").output.split())
    assert f"This is Python {version}: for the syntax of a newer one, run xf2sdpa with that Python." in page


def test_explain_lists_the_codes_that_begin_so() -> None:
    listed = call("explain", "xf40").output.splitlines()
    assert [line[:5] for line in listed] == [code for code in pages.all_codes() if code.startswith("XF40")]
    assert len(call("explain", "XF").output.splitlines()) == len(pages.all_codes())


def test_explain_shows_one_flag() -> None:
    shown = call("explain", "tf32").output
    assert shown.startswith('tf32: torch.set_float32_matmul_precision("high")\n    float32 matrix products')
    assert "cudnn.benchmark" not in shown
    assert call("explain", "H200").output == call("explain", "flags").output


@pytest.mark.parametrize(("word", "meant"), [("tf23", "tf32"), ("XF217", "XF2"), ("flag", "flags"), ("zebra", "")])
def test_explain_suggests(word: str, meant: str) -> None:
    result = call("explain", word)
    assert result.exit_code == 2
    assert (f"there is no page about {word}; did you mean {meant}" in result.output) == bool(meant)


def test_codes_belong_to_one_rule_each() -> None:
    owners = [code for rule in all_rules() for code in rule.codes] + list(codes.RUN_CODES)
    assert sorted(owners) == sorted(set(owners))
    assert all(re.fullmatch(r"XF\d{3}", code) for code in owners)


EXAMPLES = [
    pytest.param(example, id=f"{rule.name}-{number}")
    for rule in all_rules()
    for number, example in enumerate(rule.examples)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_rules_hold(example: Example) -> None:
    helper = "_attention_compat" if example.helper else None
    result = rewrite_text(example.before, compat=helper)
    assert not result.failed, result.findings
    assert result.new == (example.after or example.before)
    ast.parse(result.new)
    assert rewrite_text(result.new, compat=helper).new == result.new


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_every_rule_has_a_page_and_an_example(rule: object) -> None:
    assert rule.page  # type: ignore[attr-defined]
    assert rule.examples, "an EXAMPLES table is what `explain` shows"  # type: ignore[attr-defined]


# -- README ------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_before_and_after_of_the_readme_are_real(tmp_path: Path) -> None:
    copy = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", copy)
    before = (copy / "attention.py").read_text()
    result = run("rewrite", "examples/attention.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    shown = blocks("python")
    assert shown[:2] == [before, (copy / "attention.py").read_text()]
    assert result.stdout in blocks("text")


def test_the_readme_names_every_option() -> None:
    text = (ROOT / "README.md").read_text()
    told = re.findall(r"^\s+(?:-\w, )?(--[\w-]+)", call("rewrite", "--help").output, re.MULTILINE)
    missing = [option for option in told if f"`{option}" not in text and option != "--help"]
    assert not missing
