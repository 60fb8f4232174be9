"""Projects that need the helper module, and the comparison of one before and after."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import (
    COPY,
    assert_equal,
    execute,
    imports_of_xformers,
    installed,
    rewrite,
    tree,
)
from xf2sdpa.helper.pruning import bound

CALLS_HELPER = """\
import xformers.ops as xops


def run(q, k, v, bias=None):
    return "fast", xops.memory_efficient_attention(q, k, v, attn_bias=bias)
"""
BLOCKS = """\
from xformers.ops import fmha


def run(q, k, v):
    mask = fmha.BlockDiagonalMask.from_seqlens([q.shape[1]] * q.shape[0])
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    return "fast", fmha.memory_efficient_attention(q, k, v, attn_bias=mask)
"""
INLINE = """\
import xformers.ops as xops


def run(q, k, v):
    b, n, h, d = q.shape
    return "fast", xops.memory_efficient_attention(q, k, v)
"""


def defined(path: Path) -> set[str]:
    """The names that a helper module defines at top level."""
    return set().union(*(bound(node) for node in ast.parse(path.read_text("utf-8")).body))


def same_without_xformers(root: Path, *options: str) -> str:
    """Rewrite a project and compare it with what it was; the report."""
    before = execute(root, installed)
    assert before.xformers_calls, "the example does not call xformers"
    report = rewrite(root, *options).output
    try:
        after = execute(root, oracle.absent)
    except Exception as error:
        shown = "\n".join(f"# {name}\n{text}" for name, text in tree(root).items() if not name.endswith(COPY))
        pytest.fail(f"{type(error).__name__}: {error}\n{report}\n{shown}")
    assert after.sdpa_calls
    assert_equal(before, after)
    assert not imports_of_xformers(root), report
    return report
