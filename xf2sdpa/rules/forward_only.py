"""`memory_efficient_attention_forward` computes the same and builds no graph: SDPA's result gets `.detach()`.

It takes one class as `op=`, no tuple, and has no backward pass, so nothing that follows can tell the two apart. With a
mask the call is left (see the rule `operator_variants`).
"""

from xf2sdpa.analysis.api import FORWARD_ONLY
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.RESULT
AFTER = ("result",)
CODES: dict[str, str] = {}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers.ops as xops


def f(x, b, n, h):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention_forward(q, q, q).flatten(2)
""",
        after="""\
import torch.nn.functional as F


def f(x, b, n, h):
    q = x.view(b, n, h, -1)
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2)
    ).transpose(1, 2).detach().flatten(2)
""",
    ),
)


def decide(draft: CallDraft) -> None:
    """Take the graph off the result."""
    if draft.site.bound.api == FORWARD_ONLY:
        draft.suffix += ".detach()"
