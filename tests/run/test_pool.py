"""A file over which the work breaks off, or the interpreter dies, costs that file alone."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from xf2sdpa.cli import cli
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.run import pool

EXACT = (
    "from xformers.ops import memory_efficient_attention\n\n\ndef f(q, k, v):\n    b, n, h, d = q.shape\n"
    "    return memory_efficient_attention(q, k, v, attn_bias=None)\n"
)


def dying(text: str, path: str, options: object) -> object:
    if "bad" in path:
        faulthandler.disable()  # pytest's own would print a stack into the log, as if something had gone wrong
        os.kill(os.getpid(), signal.SIGSEGV)
    return rewrite_with(text, path, options)  # type: ignore[arg-type]


def stumbling(text: str, path: str, options: object) -> object:
    if "bad" in path:
        raise KeyError("\x1b]0;what")
    return rewrite_with(text, path, options)  # type: ignore[arg-type]


def made(folder: Path, count: int, bad: tuple[int, ...]) -> list[Path]:
    paths = [folder / f"{'bad' if number in bad else 'm'}{number}.py" for number in range(count)]
    for path in paths:
        path.write_text(EXACT)
    return paths


@pytest.mark.skipif(sys.platform != "linux", reason="the processes must inherit the planted fault")
@pytest.mark.parametrize(("count", "bad"), [(5, (0,)), (40, (3, 17, 39)), (6, (0, 1, 2, 3, 4, 5))])
def test_a_death_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, bad: tuple[int, ...]
) -> None:
    monkeypatch.setattr(pool, "rewrite_with", dying)
    paths = made(tmp_path, count, bad)
    result = CliRunner().invoke(cli, ["rewrite", "--jobs", "2", str(tmp_path)])
    assert result.exit_code == 2, result.output
    for number, path in enumerate(paths):
        assert ("xformers" in path.read_text()) == (number in bad), path
        assert (f"{path}:1:1: XF910 error   the process that worked on it died" in result.output) == (number in bad)


@pytest.mark.skipif(sys.platform != "linux", reason="the processes must inherit the planted fault")
def test_a_large_file_is_worked_on_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "rewrite_with", dying)
    (bad,) = made(tmp_path, 1, (0,))
    bad.write_text(EXACT + "#" * pool.LARGE)
    result = CliRunner().invoke(cli, ["rewrite", str(tmp_path)])
    assert result.exit_code == 2, result.output
    assert "XF910" in result.output


@pytest.mark.parametrize("count", [2, 8])
def test_an_error_of_ours_costs_one_file_and_asks_for_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(pool, "rewrite_with", stumbling)
    paths = made(tmp_path, count, (1,))
    result = CliRunner().invoke(cli, ["rewrite", str(tmp_path)])
    assert result.exit_code == 2, result.output
    assert f"{paths[1]}:1:1: XF910 error   the work on it broke off: KeyError" in result.output
    assert "report" in result.output
    assert "\x1b" not in result.output
    assert "xformers" not in paths[0].read_text()
