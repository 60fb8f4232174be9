"""The result keeps its contract: xformers' can be `.view`ed, SDPA's, transposed back, not always.

Where everything done with the result copes with any strides (`.reshape`, `.flatten`, `rearrange`, a linear layer,
`torch.cat`, a mean), it stays as it is; a `.view` becomes `.reshape`. What arithmetic and activations make of it is
followed in the same way, for it is laid out like its first operand. Where it is handed on (returned, stored, passed to
a function), it gets `.contiguous()`, which is free when nothing has to move.
"""

from __future__ import annotations

from xf2sdpa.analysis.uses import VIEWS, uses_of
from xf2sdpa.edits.kinds import Rename
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.RESULT
AFTER = ("layout_comment",)
CODES: dict[str, str] = {}
RETIRED = {"XF130": "the result is made contiguous, or its .view becomes .reshape"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers.ops as xops


def f(x, b, n, h):
    q = x.view(b, n, h, -1)
    out = xops.memory_efficient_attention(q, q, q)
    return out.view(b, n, -1)
""",
        after="""\
import torch.nn.functional as F


def f(x, b, n, h):
    q = x.view(b, n, h, -1)
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2)
    ).transpose(1, 2)
    return out.reshape(b, n, -1)
""",
    ),
)


def decide(draft: CallDraft) -> None:
    """Look at what is done with the result."""
    if not draft.suffix:
        return
    names = draft.file.names
    use = uses_of(names, draft.site.node, draft.file.attributes, one_head=draft.rank == 3)
    if use.escapes:
        draft.suffix += ".contiguous()"
    else:
        draft.edits += [Rename(node, VIEWS[node.attr]) for node in use.views]
