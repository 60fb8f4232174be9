"""Heads-first tensors given to an operator that takes heads second: kept as they compute, and said so.

Some programs build `[B, H, M, K]`, `rearrange(x, "b n (h d) -> b h n d", h=heads)`, and hand it to xformers, which
reads it as `[B, M, H, K]`: it attends over heads. The rewrite computes the same numbers; the note says that they are
probably not what was meant.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.flow import definition_before
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
_HEADS = frozenset({"h", "head", "heads", "nh", "num_heads", "H"})
NOTE = Note(
    "XF304",
    "query is built heads-first, but xformers takes heads second: the call attends over heads, and still does",
    "If that was not meant, drop the transposes around the new call.",
)


def decide(draft: CallDraft) -> None:
    """Look at the einops pattern that makes the query."""
    node = draft.argument("query")
    if draft.rank != 4 or not isinstance(node, ast.Name):
        return
    definition = definition_before(draft.file.names, node.id, node)
    while definition is not None and _is_tidying(definition):  # `q = q.contiguous()`
        definition = definition_before(draft.file.names, node.id, definition)
    strings = (part.value for part in ast.walk(definition) if isinstance(part, ast.Constant)) if definition else ()
    if any(isinstance(text, str) and _is_heads_first(text) for text in strings):
        draft.notes.append(NOTE)


def _is_tidying(definition: ast.stmt) -> bool:
    value = definition.value if isinstance(definition, ast.Assign) else None
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "contiguous"


def _is_heads_first(pattern: str) -> bool:
    axes = pattern.partition("->")[2].split()
    return len(axes) == 4 and axes[1] in _HEADS and axes[2] not in _HEADS
