"""Runs that meet another run, or what a killed one has left: no file is left with an import of what is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xf2sdpa.files.source import write

ROOT = Path(__file__).parents[2]
EXACT = (
    "from xformers.ops import memory_efficient_attention\n\n\ndef f(q, k, v):\n    b, n, h, d = q.shape\n"
    "    return memory_efficient_attention(q, k, v, attn_bias=None)\n"
)
COMPAT = EXACT.replace("    b, n, h, d = q.shape\n", "")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> str:
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 0, told + errors
    return told + errors


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
def test_a_second_run_waits(tmp_path: Path) -> None:
    import fcntl  # noqa: PLC0415 - not on Windows

    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "m.py").write_text(EXACT)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    process = start(tmp_path, "pkg")
    assert process.stderr is not None
    assert process.stderr.readline() == f"xf2sdpa: waiting for another run in {tmp_path}\n"
    assert (tmp_path / "pkg" / "m.py").read_text() == EXACT
    os.close(descriptor)
    ended(process)
    assert "xformers" not in (tmp_path / "pkg" / "m.py").read_text()


def test_two_runs_at_once_leave_the_helper_that_is_imported(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "a.py").write_text(COMPAT)
    ended(start(tmp_path, "a.py"))
    for _ in range(3):
        (tmp_path / "a.py").write_text("x = 1  # xformers\n")  # nobody imports the helper now
        (tmp_path / "b.py").write_text(COMPAT)
        runs = [start(tmp_path, "."), start(tmp_path, "b.py")]
        for process in runs:
            ended(process)
        assert "_attention_compat" in (tmp_path / "b.py").read_text()
        assert (tmp_path / "_attention_compat.py").exists()


@pytest.mark.parametrize("statement", ["from ._attention_compat", "from pkg._attention_compat"])
def test_a_helper_that_is_gone_comes_back(tmp_path: Path, statement: str) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "m.py").write_text(f"{statement} import memory_efficient_attention\n")
    told = ended(start(tmp_path, "."))
    assert "New pkg/_attention_compat.py, for 1 file." in told
    assert "def memory_efficient_attention" in (package / "_attention_compat.py").read_text()
    assert "New" not in ended(start(tmp_path, "."))


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    old, young = tmp_path / f".xf2sdpa-{'0' * 16}.tmp", tmp_path / f".xf2sdpa-{'1' * 16}.tmp"
    theirs = tmp_path / ".xf2sdpa-notes.tmp"
    for file in (old, young, theirs):
        file.write_text("x")
    for file in (old, theirs):
        os.utime(file, (time.time() - 3_600,) * 2)
    write(tmp_path / "a.py", b"x = 1\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, theirs.name, "a.py"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "m.py").write_text(EXACT)
    for number in range(120):  # enough for a pool, whose processes outlive it
        (tmp_path / f"m{number}.py").write_text(EXACT)
    process = start(tmp_path, ".")
    time.sleep(1.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "waiting" not in ended(start(tmp_path, "."))


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32"])
def test_a_file_in_utf_16_is_named(tmp_path: Path, codec: str) -> None:
    mark = "\ufeff" if codec == "utf-16-be" else ""
    (tmp_path / "wide.py").write_bytes((mark + EXACT).encode(codec))
    process = start(tmp_path, "--check", ".")
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "wide.py:1:1: XF903 error" in told
