"""The report a person reads: every changed file is named, and so are dropped messages and what still needs xformers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.projects.harness import write
from xf2sdpa.cli import cli

ATTENTION = """\
from .env import HAS_XFORMERS

if HAS_XFORMERS:
    from xformers.ops import memory_efficient_attention


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias)
"""
ENV = """\
import logging

try:
    import xformers

    HAS_XFORMERS = True
except ImportError:
    HAS_XFORMERS = False
    logging.warning("xformers is not installed")
"""
MASKS = "from xformers.ops import LowerTriangularMask\n\n\ndef causal():\n    return LowerTriangularMask()\n"
FLAGS = 'from importlib.util import find_spec\n\nFAST = find_spec("xformers") is not None\n'


def report(*arguments: str | Path) -> str:
    return CliRunner().invoke(cli, ["rewrite", "--jobs", "1", "--flags", "off", *map(str, arguments)]).output


@pytest.fixture
def package(tmp_path: Path) -> Path:
    files = {"__init__": "", "attention": ATTENTION, "env": ENV, "masks": MASKS, "flags": FLAGS}
    write(tmp_path, {f"pkg/{name}.py": text for name, text in files.items()})
    return tmp_path / "pkg"


@pytest.mark.parametrize("options", [[], ["--check"], ["--verbose"]])
def test_every_changed_file_is_named(package: Path, options: list[str]) -> None:
    lines = report(*options, package).splitlines()
    for place in ("env.py:3:1: XF141 changed", "masks.py:1:1: XF140 changed", "flags.py:3:8: XF142 changed"):
        assert sum(line.startswith(f"{package}/{place}") for line in lines) == 1, place
    assert any(line.startswith(f"{package}/attention.py:8:12: XF161 compat") for line in lines)
    assert any(re.fullmatch(r"\d files scanned, \d looked into, 4 (rewritten|to rewrite)\.", line) for line in lines)


def test_what_was_done_besides_a_call_is_no_news_at_its_file(package: Path) -> None:
    assert "attention.py:3:1: XF141" not in report("--check", package)
    assert "attention.py:3:1: XF141" in report("--check", "-v", package)
    assert "XF14" not in report("--check", "-q", package)


def test_every_change_of_a_file_without_a_call_is_told(package: Path) -> None:
    write(package, {"env.py": f'{ENV}VERSION_IS_OLD = xformers.__version__ < "0.0.20"\n'})
    for options in ((), ("-v",)):
        lines = report(*options, "--check", package).splitlines()
        told = [line for line in lines if line.startswith(f"{package}/env.py:")]
        assert len(told) == 4, "three changes and the message"
    assert [code for code in ("XF141", "XF143", "XF144", "XF146") if code not in report("--check", package)] == []


def test_a_dropped_message_is_told(package: Path) -> None:
    assert f'{package}/env.py:9:5: XF144 dropped logging.warning("xformers is not installed")\n' in report(package)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ('print("xformers is missing")', True),
        ('raise ImportError("please install xformers") from None', True),
        ("raise", False),
        ("pass", False),
    ],
)
def test_what_counts_as_a_message(tmp_path: Path, statement: str, told: bool) -> None:
    guard = f"try:\n    from xformers.ops import memory_efficient_attention\nexcept ImportError:\n    {statement}\n"
    call = "def f(q, k, v, bias):\n    return memory_efficient_attention(q, k, v, attn_bias=bias)\n"
    write(tmp_path, {"main.py": f"import torch\n\n{guard}\n\n{call}"})
    output = report(tmp_path)
    assert "xformers" not in (tmp_path / "main.py").read_text()
    assert (f"{tmp_path}/main.py:6:5: XF144 dropped {statement}\n" in output) == told
    assert ("XF144" in output) == told


def test_a_raise_that_its_own_try_catches_is_no_message(tmp_path: Path) -> None:
    text = """\
import os

try:
    if os.environ.get("EAGER"):
        raise ImportError("as asked")
    from xformers.ops import memory_efficient_attention

    FAST = True
except ImportError:
    FAST = False


def f(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias) if FAST else None
"""
    write(tmp_path, {"main.py": text})
    assert "XF144" not in report("-v", tmp_path)


def test_files_that_still_need_xformers_are_named_with_the_reason(package: Path) -> None:
    write(package, {"rest.py": "from xformers.components import build_attention\n\nBUILD = build_attention\n"})
    told = f"1 file still needs xformers:\n    {package}/rest.py:3: XF402 xformers.components.build_attention stays"
    assert told in report(package)
    assert "1 file still needs xformers (see the notes above).\n" in report("-v", package)
    assert told in report(package), "by a second run too"


SCALED = """\
import torch
import xformers.ops as xops


def attend(x: torch.Tensor) -> torch.Tensor:
    b, n, h, d = x.shape
    return xops.memory_efficient_attention(x, x, x, scale=0.5)
"""


@pytest.mark.parametrize(
    ("pin", "status", "told"),
    [
        ("torch==2.0.1", 2, "error: the new code needs torch >= 2.1, and the project allows only older ones "),
        ("torch<2.1,>=1.13", 2, "(requirements.txt:1: torch<2.1,>=1.13)."),
        ("torch>=2.0", 1, "Needs torch >= 2.1, and the project admits 2.0 (requirements.txt:1: torch>=2.0)."),
        ("torch>=2.1", 1, "Needs torch >= 2.1."),
        ("numpy", 1, "Needs torch >= 2.1."),
    ],
)
def test_a_torch_that_cannot_run_the_result_is_an_error(tmp_path: Path, pin: str, status: int, told: str) -> None:
    write(tmp_path, {"model.py": SCALED, "requirements.txt": f"{pin}\n"})
    result = CliRunner().invoke(cli, ["rewrite", "--check", "--requirements", "keep", str(tmp_path)])
    assert (result.exit_code, told in result.output) == (status, True), result.output
    as_json = ("rewrite", "--check", "--requirements", "keep", "--output-format", "json", str(tmp_path))
    said = json.loads(CliRunner().invoke(cli, as_json).stdout)
    assert said["torch"]["too_old"] == (status == 2)
    verdict = "after this: yes, once the project has torch >= 2.1\n" if status == 2 else "after this: yes\n"
    assert result.output.endswith(verdict)
    assert ("    help: " in result.output) == (pin not in ("torch>=2.1", "numpy"))


def test_the_next_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"my model.py": SCALED})
    monkeypatch.chdir(tmp_path)
    assert "\nNext: `xf2sdpa rewrite 'my model.py'` writes this" in report("--check", Path("my model.py"))
    told = report(Path("my model.py"))
    assert "\nNext: `xf2sdpa verify 'my model.py'` runs old and new side by side; `xf2sdpa undo`" in told
    assert "Next:" not in report(Path("my model.py")), "nothing is left to do"
