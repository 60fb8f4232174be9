"""Programs for the command line, and the command as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from xf2sdpa.cli import cli

NOTHING_FOUND = "No call of xformers' attention found"
NO_CALL = f"{NOTHING_FOUND}.\n1 file scanned.\n"
CAN_GO = "xformers can be uninstalled: yes\n"
NOTHING = NO_CALL + CAN_GO

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


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def configured(folder: Path, table: str) -> Path:
    (folder / "pyproject.toml").write_text(f"[tool.xf2sdpa]\n{table}\n")
    return folder


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
