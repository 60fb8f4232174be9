"""`p` is `dropout_p`: the same probability, and both apply it in eval as well.

`p=0.0` is SDPA's default and goes. An expression stays as it is: `self.attn_drop.p` drops in eval with xformers too,
so adding `if self.training` would change what the program computes.
"""

from __future__ import annotations

import ast

from xf2sdpa.edits.kinds import ArgumentEdit
from xf2sdpa.model import Note
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.OPTIONS
CODES = {
    "XF303": "dropout that does not look at self.training is applied in eval too, as before",
}
RETIRED = {"XF120": "p becomes dropout_p"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers.ops as xops


def f(x, b, n, h, drop):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, None, drop).flatten(2)
""",
        after="""\
import torch.nn.functional as F


def f(x, b, n, h, drop):
    q = x.view(b, n, h, -1)
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2), dropout_p=drop
    ).transpose(1, 2).flatten(2)
""",
    ),
)
ALWAYS = Note(
    "XF303",
    "p is an attribute and is applied in eval too, as xformers did",
    "Use `p if self.training else 0.0`.",
)


def decide(draft: CallDraft) -> None:
    """Rename `p`, or drop a literal zero."""
    node = draft.argument("p")
    if node is None:
        return
    if isinstance(node, ast.Constant) and node.value == 0 and not isinstance(node.value, bool):
        draft.drop("p")
        return
    draft.arguments["p"] = ArgumentEdit("dropout_p")
    if isinstance(node, ast.Attribute):
        draft.notes.append(ALWAYS)
