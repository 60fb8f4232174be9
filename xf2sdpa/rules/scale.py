"""`scale` is `scale`, by keyword: the sixth position of SDPA is something else. Since torch 2.1.

None is the default on both sides (one over the square root of the head size) and goes.
"""

from __future__ import annotations

import ast

from xf2sdpa.edits.kinds import ArgumentEdit
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.OPTIONS
AFTER = ("dropout",)
CODES: dict[str, str] = {}
RETIRED = {"XF121": "scale becomes scale=, which needs torch 2.1"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers.ops as xops


def f(x, b, n, h):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, None, 0.0, 0.125).flatten(2)
""",
        after="""\
import torch.nn.functional as F


def f(x, b, n, h):
    q = x.view(b, n, h, -1)
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2), scale=0.125
    ).transpose(1, 2).flatten(2)
""",
    ),
)


def decide(draft: CallDraft) -> None:
    """Pass the scale by keyword."""
    node = draft.argument("scale")
    if node is None:
        return
    if isinstance(node, ast.Constant) and node.value is None:
        draft.drop("scale")
        return
    draft.arguments["scale"] = ArgumentEdit("scale")
    draft.needs_torch((2, 1))
