"""Questions about the installed package are answered: `importlib.util.find_spec("xformers") is not None` is True.

What they ask for is no longer needed, and left behind they would turn the fast path off once xformers is uninstalled.
Only where the file imports nothing of xformers any more. A module variable compared with None is such a question too.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.draft import FileDraft
from xf2sdpa.edits import ReplaceExpression
from xf2sdpa.rule import Example
from xf2sdpa.rules.comparison import is_off_limits

ORDER = 95
CODES = {"XF142": "a question whether xformers is installed is answered with True"}
EXAMPLES = (
    Example(
        before="""\
import importlib.util

import xformers.ops as xops

FAST = importlib.util.find_spec("xformers") is not None


def attend(q, k, v, bias):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        after="""\
import importlib.util

from _attention_compat import memory_efficient_attention

FAST = True


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        helper=True,
    ),
)


def finish(file: FileDraft) -> None:
    """Answer what is asked, once no import of ours is left."""
    if file.compat is None or is_off_limits(file) or not (file.migrated or file.compat_names) or _still_imports(file):
        return
    for call in file.names.calls:
        if id(call) in file.gone or not _asks_for_us(file, call):
            continue
        parent = file.names.parents[id(call)]
        if isinstance(parent, ast.Compare) and len(parent.ops) == 1 and isinstance(parent.ops[0], ast.Is | ast.IsNot):
            file.edits.append(ReplaceExpression(parent, str(isinstance(parent.ops[0], ast.IsNot))))
            file.take_away(parent)
        elif not isinstance(parent, ast.Attribute):
            file.edits.append(ReplaceExpression(call, "True"))
            file.take_away(call)


def _asks_for_us(file: FileDraft, call: ast.Call) -> bool:
    """`find_spec("xformers")`, of a submodule too."""
    dotted = file.names.resolve(call.func) or ""
    first = call.args[0] if len(call.args) == 1 else None
    if dotted.rpartition(".")[2] != "find_spec" or not isinstance(first, ast.Constant):
        return False
    return isinstance(first.value, str) and is_ours(first.value)


def _still_imports(file: FileDraft) -> bool:
    statements = (s for s in file.names.imports if id(s) not in file.gone)
    return any(is_ours(getattr(s, "module", None) or s.names[0].name) for s in statements)
