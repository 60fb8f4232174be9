"""A name that somebody puts something else in the place of stays a name.

A test that stores `net.memory_efficient_attention = mine`, or patches it by its path, wants the call in `net` to go to
`mine`. Written inline, the call would no longer read the name, and the test would try out something else than before.
So a call by a name that the helper has keeps the name, and the import brings it from the helper. A call by a module
(`xops.memory_efficient_attention` where somebody stores `net.xops = None`) is left, with its import. So is one by a
module that the file asks for (`if xops is not None`) though nothing in it can make it None: somebody else does.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.names import first_name
from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.replaced import is_replaced
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.SCOPE
AFTER = ("own_function",)
CODES = {
    "XF223": "a name that another file puts something else in the place of",
    "XF224": "a module that somebody may put something else in the place of",
}
EXAMPLES = (
    Example(
        """\
import xformers.ops as xops


def attend(q, k, v):
    b, n, h, d = q.shape
    if xops is None:  # who makes it so?
        return q
    return xops.memory_efficient_attention(q, k, v)
"""
    ),
)


def decide(draft: CallDraft) -> None:
    """Keep the name, or the whole call."""
    function = draft.site.node.func
    first = first_name(function)
    if not isinstance(first, ast.Name) or not is_replaced(draft.file, first):
        return
    if function is first and first.id in draft.file.replaced:
        raise Refusal("XF223", f"another file puts something else in the place of {first.id}")
    advice = "Delete the question, or say by a flag of its own which path is to run; then run again."
    raise Refusal("XF224", f"somebody may put something else in the place of {first.id} while the program runs", advice)
