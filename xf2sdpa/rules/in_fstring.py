"""A call inside an f-string is left: before Python 3.12 nothing in the syntax tree says where in the text it stands."""

from __future__ import annotations

import ast

from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.SCOPE
CODES = {"XF220": "the call stands inside an f-string"}
EXAMPLES = (
    Example(
        """\
import xformers.ops


def describe(q, k, v):
    return f"mean {xformers.ops.memory_efficient_attention(q, k, v).mean():.3f}"
"""
    ),
)


def decide(draft: CallDraft) -> None:
    """Refuse it."""
    if any(isinstance(parent, ast.JoinedStr) for parent in draft.file.names.ancestors(draft.site.node)):
        raise Refusal("XF220", "this call stands inside an f-string", "Give its result a name before the f-string.")
