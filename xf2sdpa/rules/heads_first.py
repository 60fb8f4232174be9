"""Heads-first tensors given to an operator that takes heads second: kept as they compute, and said so.

Some programs build `[B, H, M, K]`, by `rearrange(x, "b n (h d) -> b h n d", h=heads)` or by
`x.view(b, n, heads, d).transpose(1, 2)`, and hand it to xformers, which reads it as `[B, M, H, K]`: it attends over
heads. The rewrite computes the same numbers; the note says that they are probably not what was meant. Which axis is
that of the heads is told by the names of sizes (`h`, `heads`, `self.num_heads`) and followed through what moves axes.
"""

from __future__ import annotations

from xf2sdpa.model import Note
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.INPUTS
AFTER = ("rank",)
CODES = {"XF304": "the inputs look heads-first, so the call attends over heads, as before"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers.ops as xops
from einops import rearrange


def f(q, k, v, h):
    q, k, v = (rearrange(t, "b n (h d) -> b h n d", h=h) for t in (q, k, v))
    return xops.memory_efficient_attention(q, k, v).flatten(2)
""",
        after="""\
import torch.nn.functional as F
from einops import rearrange


def f(q, k, v, h):
    q, k, v = (rearrange(t, "b n (h d) -> b h n d", h=h) for t in (q, k, v))
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).flatten(2)
""",
    ),
)
NOTE = Note(
    "XF304",
    "the inputs are built heads-first, but xformers takes heads second: the call attends over heads, and still does",
    "If that was not meant, drop the transposes around the new call.",
)


def decide(draft: CallDraft) -> None:
    """Say so where the heads stand first among the axes that the code names."""
    if draft.rank == 4 and draft.site.heads == 1:
        draft.notes.append(NOTE)
