"""The command's bytes: files, standard input and output, colours, and what ends it early."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.commands import BROKEN, EXACT, EXACT_AFTER, PLAIN, on_a_terminal, rewrite, run

# -- bytes --------------------------------------------------------------------------------------------


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


# -- standard input -----------------------------------------------------------------------------------


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


# -- colours ------------------------------------------------------------------------------------------


def test_no_colours_where_no_person_watches(file: Path) -> None:
    assert "\x1b" not in run("rewrite", "--check", file).stdout
    assert "\x1b" not in run("rewrite", "--diff", file).stdout


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


# -- what ends it early -------------------------------------------------------------------------------


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
