"""`output_dtype=` has no counterpart: xformers honours it in one kernel and ignores it when a gradient is needed."""

from __future__ import annotations

import ast

from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.OPTIONS
AFTER = ("op",)
CODES = {"XF207": "output_dtype= has no counterpart in SDPA"}
EXAMPLES = (
    Example(
        """\
import torch
import xformers.ops as xops


def f(x, b, n, h):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, output_dtype=torch.float32)
"""
    ),
)


def decide(draft: CallDraft) -> None:
    """Drop None, refuse anything else."""
    node = draft.argument("output_dtype")
    if node is None:
        return
    if not (isinstance(node, ast.Constant) and node.value is None):
        raise Refusal("XF207", "output_dtype= has no counterpart", "Cast the result with .to(dtype), if that is meant.")
    draft.drop("output_dtype")
