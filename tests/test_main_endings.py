"""However a run ends, it ends with a sentence and a status that means it: 2 for what went wrong, 130 for Ctrl-C."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xf2sdpa import __main__

ROOT = Path(__file__).parents[1]
EXACT = (
    "from xformers.ops import memory_efficient_attention\n\n\ndef f(q, k, v):\n    b, n, h, d = q.shape\n"
    "    return memory_efficient_attention(q, k, v, attn_bias=None)\n"
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(folder: Path, *arguments: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xf2sdpa", *arguments]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60, preexec_fn=before
    )


def few_handles() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))


@pytest.mark.parametrize("arguments", [("rewrite", "."), ("rewrite", "-"), ("rewrite", "--check", ".")])
def test_closed_standard_input(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "m.py").write_text(EXACT)
    done = run(tmp_path, *arguments, before=lambda: os.close(0))
    assert "Traceback" not in done.stderr
    assert done.returncode == {"-": 2, ".": 0}[arguments[-1]] + ("--check" in arguments)


@pytest.mark.parametrize("arguments", [("rewrite", "loop.py"), ("rewrite", "--check", "loop.py", "m.py")])
def test_a_circle_of_links_is_no_path(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "m.py").write_text(EXACT)
    (tmp_path / "loop.py").symlink_to("loop.py")
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (2, "xf2sdpa: loop.py: does not exist\n")


@pytest.mark.parametrize(
    "codec", ["idna", "punycode", "undefined", "rot13", "base64", "unicode_escape", "utf-7", "mbcs"]
)
def test_odd_codecs_cost_their_file(tmp_path: Path, codec: str) -> None:
    (tmp_path / "odd.py").write_text(f"# coding: {codec}\n# xn--a-ecp.ru...{'x' * 70} xformers\n")
    (tmp_path / "m.py").write_text(EXACT)
    done = run(tmp_path, "rewrite", ".")
    assert done.returncode in ({0, 2} if codec in {"idna", "punycode", "unicode_escape", "utf-7"} else {2}), done.stderr
    assert "Traceback" not in done.stderr
    assert "scaled_dot_product_attention" in (tmp_path / "m.py").read_text()


def test_few_file_handles(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"m{number}.py").write_text(EXACT)
    done = run(tmp_path, "rewrite", "--check", ".", before=few_handles)
    assert "Traceback" not in done.stderr
    assert done.returncode in {1, 2}


def test_deep_files_cost_themselves(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(EXACT)
    for name, deep in {"minus": "-" * 5_000 + "1", "plus": "1" + "+1" * 5_000, "calls": "f" + "()" * 5_000}.items():
        (tmp_path / f"{name}.py").write_text(EXACT + f"x = {deep}\n")
    done = run(tmp_path, "rewrite", ".")
    assert "Traceback" not in done.stderr
    assert done.returncode == 2, done.stdout
    assert "minus.py:1:1: XF909" in done.stdout
    assert "scaled_dot_product_attention" in (tmp_path / "m.py").read_text()


@pytest.mark.parametrize("where", ["xf2sdpa.files.listing.list_files", "xf2sdpa.run.rewrite_files.rewrite_files"])
def test_whatever_happens_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    (tmp_path / "m.py").write_text(EXACT)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(f"{tmp_path}/m.py\x1b[2J")

    monkeypatch.setattr(where, broken)
    monkeypatch.setattr(sys, "argv", ["xf2sdpa", "rewrite", "--check", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"xf2sdpa: the work broke off: ZeroDivisionError: {tmp_path}/m.py\\x1b[2J")
    assert "report" in shown
    assert "\x1b" not in shown


def test_ctrl_c_at_any_moment_is_130(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"m{number}.py").write_text(EXACT)
    code = "import os, sys; import xf2sdpa.__main__ as m; print(flush=True); m.main()"
    for wait in (0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.7):
        for file in tmp_path.iterdir():
            file.write_text(EXACT)
        process = subprocess.Popen(
            [sys.executable, "-c", code, "rewrite", "--check", "."],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert b"Traceback" not in errors, (wait, errors.decode())
        assert process.returncode in ({130} if wait < 0.5 else {130, 1}), (wait, errors)
