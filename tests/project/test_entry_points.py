"""Which files get flags, shown by running them: before on the reference, after without xformers."""

from __future__ import annotations

import contextlib
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch

from tests import oracle
from tests.flags.programs import BESIDE, NETS, OTHERS, PROGRAMS, STUBS
from tests.projects import harness

MARK = "# xf2sdpa: H200 flags"
EVERYTHING = {**NETS, **BESIDE, **STUBS, **dict(PROGRAMS.values()), **dict(OTHERS.values())}


@contextlib.contextmanager
def flags_kept() -> Iterator[None]:
    """This process's own flags, whatever a program sets."""
    precision, benchmark = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.benchmark = benchmark


def start(root: Path, file: str, surroundings: harness.Surroundings) -> str:
    """Run a file as a program; what it printed."""
    module = file.removesuffix(".py").replace("/", ".").removesuffix(".__main__") if "/" in file else None
    with flags_kept(), harness.fresh(root, surroundings) as (_, _, printed), mock.patch.object(sys, "argv", [file]):
        if module is not None:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(root / file), run_name="__main__")
    return str(printed.getvalue())


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = harness.write(tmp_path_factory.mktemp("project"), EVERYTHING)
    harness.rewrite(root)
    return root


@pytest.mark.parametrize("kind", PROGRAMS)
def test_an_entry_point_runs_with_the_flags_set(kind: str, rewritten: Path, tmp_path: Path) -> None:
    file, _ = PROGRAMS[kind]
    assert (rewritten / file).read_text().count(MARK) == 1
    before = start(harness.write(tmp_path, EVERYTHING), file, oracle.installed)
    after = start(rewritten, file, oracle.absent)
    assert before == "(1, 5, 8) highest False\n"
    assert after == "(1, 5, 8) high True\n"


@pytest.mark.parametrize("reason", OTHERS)
def test_what_is_no_entry_point_stays_as_it_was(reason: str, rewritten: Path) -> None:
    file, text = OTHERS[reason]
    assert (rewritten / file).read_text() == text


def test_nothing_else_has_flags_and_a_second_run_changes_nothing(rewritten: Path) -> None:
    texts = harness.tree(rewritten)
    assert {file for file, text in texts.items() if MARK in text} == {file for file, _ in PROGRAMS.values()}
    again = harness.rewrite(rewritten)
    assert harness.tree(rewritten) == texts
    assert "flags" not in again.output
    harness.rewrite("--check", rewritten)


def test_off_restores_every_program(rewritten: Path, tmp_path: Path) -> None:
    root = harness.write(tmp_path, harness.tree(rewritten))
    plain = harness.write(tmp_path / "plain", EVERYTHING)
    harness.rewrite(plain, "--flags", "off")
    assert not any(MARK in text for text in harness.tree(plain).values())
    report = harness.rewrite(root, "--flags", "off", "--exclude", "plain")
    assert report.output.count("XF503 flags   taken out") == len(PROGRAMS)
    for file, text in harness.tree(plain).items():
        assert (root / file).read_text() == text


def test_the_program_warns_of_nothing_and_the_older_api_can_still_be_read(tmp_path: Path) -> None:
    file, text = PROGRAMS["main guard"]
    text += "    import torch\n    print(torch.backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision())\n"
    text += "    print(torch.backends.cudnn.allow_tf32)\n"
    root = harness.write(tmp_path, {**NETS, file: text})
    harness.rewrite(root)
    command = [sys.executable, "-W", "error", file]
    environment = {"PYTHONPATH": str(root), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(1, 5, 8) high True\nTrue high\nTrue\n"
