"""Masks that cannot be read at the call.

A parameter, an attribute or a mask object of another class (block-diagonal, windows, bottom-right causal) says only
at run time what it keeps. SDPA takes a tensor or nothing. A call is not dropped either, as it may do something besides
giving None or a causal mask.
"""

from xf2sdpa.analysis.api import CAUSAL
from xf2sdpa.analysis.values import NONE, Mask, OneOf, Value
from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.MASK
AFTER = ("mask_seen",)
CODES = {
    "XF210": "a mask object that SDPA has no argument for",
    "XF211": "what attn_bias is cannot be told from the function",
    "XF221": "attn_bias is computed by a call, which may do something",
}
EXAMPLES = (
    Example(
        """\
import xformers.ops as xops


def attend(x, b, n, h, attn_bias=None):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, attn_bias=attn_bias)
"""
    ),
)


def decide(draft: CallDraft) -> None:
    """Refuse whatever mask the rules before this one did not settle."""
    if draft.argument("attn_bias") is None or "attn_bias" in draft.settled:
        return
    if draft.site.bias in (NONE, Mask(CAUSAL)):
        message = "attn_bias is computed by a call, which may do something"
        raise Refusal("XF221", message, "Compute it before the call.")
    kinds = sorted(_mask_names(draft.site.bias))
    if kinds:
        message = f"the mask is a {' or a '.join(kinds)}, which scaled_dot_product_attention has no argument for"
        raise Refusal(
            "XF210",
            message,
            "Keep xformers for this call, or use torch.nn.attention.varlen or flex_attention.",
        )
    message = "attn_bias comes from outside the function, so whether it is None, a tensor or a mask object is not known"
    raise Refusal("XF211", message, "Make the kind of mask visible where the call is made.")


def _mask_names(bias: Value | None) -> set[str]:
    options = bias.options if isinstance(bias, OneOf) else {bias}
    return {option.name for option in options if isinstance(option, Mask)}
