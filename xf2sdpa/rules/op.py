"""`op=` picks one of xformers' kernels; SDPA picks its own.

A name, an attribute, a tuple of classes or None is dropped: it changes no result. A call may have effects, so it is
not dropped.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.effects import is_idle
from xf2sdpa.model import Note
from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.OPTIONS
AFTER = ("scale",)
CODES = {"XF122": "op= is dropped: SDPA picks the kernel", "XF206": "op= is computed by a call"}
NOTES = ("XF122",)
EXAMPLES = (
    Example(
        """\
import xformers.ops as xops


def f(x, b, n, h, choose):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, op=choose(q))
"""
    ),
)
PINNED = Note(
    "XF122",
    "the kernel named by op= is no longer pinned",
    "torch.nn.attention.sdpa_kernel pins one of SDPA's.",
)


def decide(draft: CallDraft) -> None:
    """Drop an operator without effects."""
    node = draft.argument("op")
    if node is None:
        return
    if not is_idle(node):
        raise Refusal(
            "XF206",
            "op= is computed by a call, which may do something",
            "Compute it before the call, or drop it.",
        )
    draft.drop("op")
    draft.parts.add("XF122")
    if not (isinstance(node, ast.Constant) and node.value is None):
        draft.notes.append(PINNED)
