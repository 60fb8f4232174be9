"""A comment beside an input of the call that names its layout: once a transpose came or went there, it is wrong.

The rewrite moves transposes and keeps comments. `q.transpose(1, 2),  # -> [B, N, H, D]` becomes `q,` with the same
comment, which then says what is not so. The code is right; the note says which comment to mend.
"""

from __future__ import annotations

import ast
import re

from xf2sdpa.edits.kinds import Unwrap
from xf2sdpa.model import Note
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.RESULT
AFTER = ("cancelled_transposes",)
CODES = {"XF305": "a comment names a layout that the rewrite changes"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers.ops as xops


def f(q, k, v):
    b, h, n, d = q.shape
    return xops.memory_efficient_attention(
        q.transpose(1, 2),  # -> [B, N, H, D]
        k.transpose(1, 2),
        v.transpose(1, 2),
    ).transpose(1, 2)
""",
        after="""\
import torch.nn.functional as F


def f(q, k, v):
    b, h, n, d = q.shape
    return F.scaled_dot_product_attention(
        q,  # -> [B, N, H, D]
        k,
        v,
    )
""",
    ),
)
_LAYOUT = re.compile(r"[\[(][^\])(\[,]+(,[^\])(\[,]+){2,}[\])]|\b[BGMNSTLHDKC]{3,5}\b|\b([a-z] ){2,4}[a-z]\b")
"""`[B, N, heads, D]`, `BNHD`, `b n h d`."""


def decide(draft: CallDraft) -> None:
    """Look behind each input, and each statement that made one, from which a transpose goes or to which one comes."""
    nodes = [
        node
        for name in ("query", "key", "value")
        if (node := draft.argument(name)) is not None and _is_moved(draft, name)
    ]
    call = draft.site.node
    nodes += [edit.node for edit in draft.edits if isinstance(edit, Unwrap) and edit.node.lineno < call.lineno]
    for line in sorted({node.end_lineno or 0 for node in nodes} - {call.end_lineno}):
        comment = _comment_behind([node for node in nodes if node.end_lineno == line], draft.file.lines[line - 1])
        if _LAYOUT.search(comment):
            message = f"line {line}: the comment `{comment}` speaks of the layout before the rewrite"
            draft.notes.append(Note("XF305", message, "Mend the comment, or delete it."))


def _is_moved(draft: CallDraft, name: str) -> bool:
    edit = draft.arguments[name]
    return bool(edit.take or edit.suffix)


def _comment_behind(nodes: list[ast.expr], line: str) -> str:
    """The comment at the end of a line, behind all that stands in it."""
    end = max(node.end_col_offset or 0 for node in nodes)
    rest = line.encode()[end:].decode()
    found = re.match(r"[^'\"#]*(#.*)", rest.rstrip())
    return found[1] if found else ""
