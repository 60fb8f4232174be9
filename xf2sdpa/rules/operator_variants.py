"""Calls that SDPA alone cannot stand in for.

`memory_efficient_attention_forward` builds no graph: without a mask that is SDPA's result, `.detach()`ed (see the rule
`forward_only`), and with one it is left. `…_forward_requires_grad` also returns the logsumexp,
`…_backward` is the backward pass by hand, `…_partial` and `merge_attentions` work on parts of a softmax.
SDPA has no argument for any of these.
"""

from __future__ import annotations

from xf2sdpa.analysis.api import ATTENTION, FORWARD_ONLY
from xf2sdpa.analysis.values import NONE
from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.SCOPE
AFTER = ("off_limits",)
CODES = {"XF208": "a variant of the operator that SDPA has no equivalent for"}
EXAMPLES = (
    Example(
        """\
import xformers.ops as xops


def f(q, k, v):
    return xops.memory_efficient_attention_forward_requires_grad(q, k, v)
"""
    ),
)


def decide(draft: CallDraft) -> None:
    """Refuse anything but the plain operator, and the one that only runs forward where there is no mask."""
    api = draft.site.bound.api
    if api == ATTENTION or (api == FORWARD_ONLY and _is_plain(draft)):
        return
    advice = {
        FORWARD_ONLY: "If no gradient is needed here anyway, call memory_efficient_attention.",
        "memory_efficient_attention_backward": "Let autograd do it: call the plain operator on inputs that need grad.",
    }.get(api, "Keep xformers (or its successor mslk) for this call.")
    raise Refusal("XF208", f"{api} has no equivalent in scaled_dot_product_attention", advice)


def _is_plain(draft: CallDraft) -> bool:
    """Whether a call has neither a mask nor an argument that only its variant honours."""
    masked = draft.argument("attn_bias") is not None and draft.site.bias != NONE
    return not masked and draft.argument("output_dtype") is None
