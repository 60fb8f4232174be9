"""Calls whose arguments cannot be sorted to parameters.

`memory_efficient_attention(*qkv)` and `memory_efficient_attention(q, k, v, **options)` hide what is passed:
a mask or a scale could be among it, and SDPA's parameters have other names and another order. A call that gives a
parameter twice (`f(q, k, v, query=c)`) raises a TypeError; it goes on doing so.
"""

from __future__ import annotations

from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.SCOPE
AFTER = ("operator_variants",)
CODES = {"XF205": "the arguments of the call cannot be sorted to parameters"}
EXAMPLES = (
    Example("import xformers.ops as xops\n\n\ndef f(qkv):\n    return xops.memory_efficient_attention(*qkv)\n"),
)


def decide(draft: CallDraft) -> None:
    """Refuse what is unpacked, missing, given twice, or no parameter at all."""
    if draft.site.bound.problem:
        message = f"the call cannot be read: {draft.site.bound.problem}"
        raise Refusal("XF205", message, "Write the arguments out: query, key, value, attn_bias=, p=, scale=.")
