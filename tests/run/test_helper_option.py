"""`--helper`: a copy in the project, the installed package, or nothing; and what `--diff` shows of a copy."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.projects.harness import COPY, rewrite, tree, write
from tests.run.commands import call, configured
from xf2sdpa import __version__
from xf2sdpa.report import diff
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.rewrite_files import rewrite_files
from xf2sdpa.settings import Settings

CALLS = """\
import torch
import xformers.ops as xops


def attend(q, k, v, b, n, h):
    mask = torch.zeros(b, h, n, n)
    x = xops.memory_efficient_attention(q, k, v)
    return xops.memory_efficient_attention(x.view(b, n, h, -1), k, v, attn_bias=mask).flatten(2)
"""
FROM_PACKAGE = "from xf2sdpa.compat import memory_efficient_attention, scaled_dot_product_attention\n"


def test_by_import(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": CALLS})
    result = rewrite(tmp_path, "--helper", "import", "--flags", "off")
    found = tree(tmp_path)
    assert list(found) == ["model.py"], "no copy"
    assert FROM_PACKAGE in found["model.py"]
    assert "scaled_dot_product_attention(" in found["model.py"]
    assert f"xf2sdpa>={__version__} into the requirements" in result.output
    rewrite(tmp_path, "--helper", "import")
    assert tree(tmp_path) == found
    namespace: dict[str, object] = {}
    exec(compile(found["model.py"], "model.py", "exec"), namespace)
    assert callable(namespace["attend"])


def test_in_the_configuration(tmp_path: Path) -> None:
    write(configured(tmp_path, "helper = 'import'"), {"model.py": CALLS})
    rewrite(tmp_path)
    assert list(tree(tmp_path)) == ["model.py"]
    assert FROM_PACKAGE in tree(tmp_path)["model.py"]


@pytest.mark.parametrize("option", [("--helper", "none"), ("--no-helper",)])
def test_without(option: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path, {"model.py": CALLS})
    rewrite(tmp_path, *option)
    found = tree(tmp_path)
    assert list(found) == ["model.py"]
    assert "xops.memory_efficient_attention(q, k, v)" in found["model.py"]


def test_by_copy(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": CALLS})
    rewrite(tmp_path, "--helper", "copy")
    assert COPY in tree(tmp_path)


def test_an_unknown_word_is_refused(tmp_path: Path) -> None:
    assert call("rewrite", "--helper", "module", tmp_path).exit_code == 2


def test_a_terminal_shows_the_users_code_first_and_a_helper_as_a_line(tmp_path: Path) -> None:
    file = write(tmp_path, {"model.py": CALLS}) / "model.py"
    run = rewrite_files([str(file)], Settings(), RunOptions(jobs=1))
    shown, whole = ("".join(diff.lines(run, shown=shown)).splitlines() for shown in (True, False))
    helper = [line for line in shown if COPY in line]
    assert shown[0].startswith("--- ")
    assert shown[0].endswith("model.py")
    assert shown[-1:] == helper
    assert "+++ " in helper[0]
    assert "lines" in helper[0]
    assert len(whole) > len(shown) + 90
    assert any(line.startswith("+def memory_efficient_attention(") for line in whole)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def on_a_terminal(folder: Path, *command: str) -> str:
    """What a command writes to a real terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, cwd=folder, env=ENVIRONMENT) as process:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # Linux ends the stream of a terminal with an error
            while piece := os.read(ours, 1 << 16):
                written += piece
        os.close(ours)
    assert process.returncode == 1, "something would change"
    return re.sub(r"\x1b\[[\d;]*m|\r", "", written.decode())


def test_the_command_shows_a_helper_as_a_line_to_people_and_whole_to_programs(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": CALLS})
    command = (sys.executable, "-m", "xf2sdpa", "rewrite", "--diff", "--flags", "off", "--jobs", "1", ".")
    shown = on_a_terminal(tmp_path, *command)
    assert re.search(
        rf"^\+\+\+ .*{COPY}: helper module, \d+ lines \(whole in a pipe: --diff \| cat\)$", shown, re.MULTILINE
    )
    assert "def memory_efficient_attention(" not in shown
    assert shown.index("model.py") < shown.index(COPY)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=ENVIRONMENT)
    piped = done.stdout
    assert "+def memory_efficient_attention(" in piped
    subprocess.run(["patch", "-p1", "-s"], input=piped, text=True, check=True, cwd=tmp_path)
    applied = tree(tmp_path)
    write(tmp_path, {"model.py": CALLS})
    (tmp_path / COPY).unlink()
    rewrite(tmp_path, "--flags", "off")
    assert tree(tmp_path) == applied


@pytest.mark.parametrize(
    "line", ["from ._attention_compat import use_flex", "from net._attention_compat import use_flex"]
)
def test_a_name_that_a_person_imports_from_the_copy_comes_into_it(line: str, tmp_path: Path) -> None:
    window = "xops.fmha.attn_bias.LocalAttentionFromBottomRightMask(3, 3)"
    attend = f"def attend(q, k, v):\n    return xops.memory_efficient_attention(q, k, v, {window})\n"
    call = f"import xformers.ops as xops\n\n\n{attend}"
    write(tmp_path, {"net/__init__.py": "", "net/model.py": call})
    rewrite(tmp_path)
    assert "flex" not in tree(tmp_path)[f"net/{COPY}"]
    write(tmp_path, {"net/start.py": f"{line}\n\nuse_flex()\n"})
    rewrite(tmp_path)
    assert "def use_flex() -> None:" in tree(tmp_path)[f"net/{COPY}"]
    (tmp_path / "net/start.py").unlink()
    rewrite(tmp_path)
    assert "flex" not in tree(tmp_path)[f"net/{COPY}"]
