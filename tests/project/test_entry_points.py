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


WITHOUT_CONVOLUTION = "the call in the program itself"


@pytest.fixture(scope="module")
def one_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one program of the usual kind, and everything that is none."""
    file, text = PROGRAMS["main guard"]
    root = harness.write(tmp_path_factory.mktemp("one"), {**NETS, **STUBS, **dict(OTHERS.values()), file: text})
    harness.rewrite(root)
    return root


@pytest.mark.parametrize("kind", PROGRAMS)
def test_an_entry_point_runs_with_the_flags_set(kind: str, tmp_path: Path) -> None:
    file, text = PROGRAMS[kind]
    root = harness.write(tmp_path, {**NETS, **BESIDE, **STUBS, file: text})
    before = start(root, file, oracle.installed)
    harness.rewrite(root)
    assert {name for name, text in harness.tree(root).items() if MARK in text} == {file}
    assert before == "(1, 5, 8) highest False\n"
    assert start(root, file, oracle.absent) == f"(1, 5, 8) high {kind != WITHOUT_CONVOLUTION}\n"


@pytest.mark.parametrize("reason", OTHERS)
def test_what_is_no_entry_point_stays_as_it_was(reason: str, one_program: Path) -> None:
    file, text = OTHERS[reason]
    assert (one_program / file).read_text() == text


def test_nothing_else_has_flags_and_a_second_run_changes_nothing(one_program: Path) -> None:
    texts = harness.tree(one_program)
    assert [file for file, text in texts.items() if MARK in text] == [PROGRAMS["main guard"][0]]
    again = harness.rewrite(one_program)
    assert harness.tree(one_program) == texts
    assert "flags" not in again.output
    harness.rewrite("--check", one_program)


def test_off_restores_every_program(tmp_path: Path) -> None:
    root, plain = (harness.write(tmp_path / name, EVERYTHING) for name in ("root", "plain"))
    harness.rewrite(plain, "--flags", "off")
    assert not any(MARK in text for text in harness.tree(plain).values())
    named = [part for file, _ in PROGRAMS.values() for part in ("--flags-in", str(root / file))]
    harness.rewrite(root, *named)
    assert sum(MARK in text for text in harness.tree(root).values()) == len(PROGRAMS)
    report = harness.rewrite(root, "--flags", "off")
    assert report.output.count("XF503 flags   taken out") == len(PROGRAMS)
    for file, text in harness.tree(plain).items():
        assert (root / file).read_text() == text


def test_of_many_entry_points_none_is_edited(tmp_path: Path) -> None:
    root = harness.write(tmp_path, EVERYTHING)
    output = harness.rewrite(root).output
    assert not any(MARK in text for text in harness.tree(root).values())
    told = f"XF508: {len(PROGRAMS)} entry points would get H200 flags, and more than 3 are not edited unasked"
    assert output.count(told) == output.count("XF50") == 1


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
