"""The rewrite under LibCST's own command-line tool."""

import subprocess
import sys
from pathlib import Path

BEFORE = """\
import torch.nn.functional as F
import xformers.ops as xops


def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).flatten(2)
"""


def codemod(path: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "libcst.tool",
        "codemod",
        "--no-format",
        "-x",
        "xf2sdpa.libcst_command.RewriteAttention",
    ]
    return subprocess.run([*command, str(path)], capture_output=True, text=True, cwd=path.parent, check=False)


def test_the_tool_runs_it(tmp_path: Path) -> None:
    path = tmp_path / "attention.py"
    path.write_text(BEFORE)
    assert codemod(path).returncode == 0
    text = path.read_text()
    assert "F.scaled_dot_product_attention(" in text
    assert "xformers" not in text


def test_a_file_that_cannot_be_worked_on_stays(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import xformers.ops as xops\nx = xops.memory_efficient_attention(\n")
    codemod(path)
    assert path.read_text().endswith("memory_efficient_attention(\n")
