"""What a person would have read, and what goes with the code around it: each is named, with the line of the old text.

A guard around the import of xformers often logs, prints or raises where xformers is missing. That would be a lie now,
so it goes with the guard; but no words that somebody wrote go without being named in the report.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.imports import is_message
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.TIDYING
AFTER = ("settled_flags",)
CODES = {"XF144": "a message about xformers is dropped with the code around it"}
NOTES = ("XF144",)
EXAMPLES = (
    Example(
        before="""\
import logging

try:
    import xformers.ops as xops
except ImportError:
    logging.warning("xformers is not installed")


def f(q, k, v, bias):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        after="""\
from _attention_compat import memory_efficient_attention


def f(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        helper=True,
    ),
)
_LONGEST = 90


def finish(file: FileDraft) -> None:
    """Name each message, and each exception raised, that no rule has a place for any more."""
    if not file.anything_gone():
        return
    for node in file.names.nodes:
        if isinstance(node, ast.stmt) and file.is_gone(node) and (is_message(node) or _tells(file, node)):
            text = " ".join(source_of(node, file.lines).split())
            shown = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
            file.report(node, "XF144", shown, kind=FindingKind.DROPPED)


def _tells(file: FileDraft, node: ast.stmt) -> bool:
    """Whether a statement raises an exception for a person; one that its own `try` catches is only a jump."""
    if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call) or not node.exc.args:
        return False
    child: ast.AST = node
    for parent in file.names.ancestors(node):
        if isinstance(parent, ast.Try) and child in parent.body and parent.handlers:
            return False
        child = parent
    return True
