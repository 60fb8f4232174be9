"""No mask: `attn_bias` is left out, or None whatever happens before. SDPA's default is the same."""

from xf2sdpa.analysis.masks import is_idle
from xf2sdpa.analysis.values import NoneValue
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.MASK
CODES: dict[str, str] = {}
RETIRED = {"XF110": "attn_bias=None is SDPA's default and goes"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers.ops as xops


def f(x, b, n, h):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, attn_bias=None).flatten(2)
""",
        after="""\
import torch.nn.functional as F


def f(x, b, n, h):
    q = x.view(b, n, h, -1)
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2)
    ).transpose(1, 2).flatten(2)
""",
    ),
)


def decide(draft: CallDraft) -> None:
    """Drop a bias that is None."""
    node = draft.argument("attn_bias")
    if isinstance(draft.site.bias, NoneValue) and (node is None or is_idle(node, draft.file.names)):
        draft.drop("attn_bias")
        draft.settled.add("attn_bias")
