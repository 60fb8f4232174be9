"""A guard around the import of xformers becomes what it stood for: the fast path is there.

`try: import xformers … FLAG = True / except ImportError: FLAG = False` becomes the helper's import, if one is needed,
and `FLAG = True`; messages that would now lie go. An environment switch keeps its meaning: people use it to reach the
eager path. Left behind, such a guard would quietly turn the fast path off once xformers is uninstalled. A guard that
does more keeps its frame; only the import in it goes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.imports import GuardNode, brings_ours, guards_around
from xf2sdpa.analysis.lookups import looks_up
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.gates import is_others_matter
from xf2sdpa.rulekit.guard import NotAGuard, read_guard, written
from xf2sdpa.rulekit.helper_imports import import_above
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.spelling import import_line
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.GUARDS
CODES = {"XF141": "a guard around xformers goes; the flag that it set stays"}

EXAMPLES = (
    Example(
        before="""\
import os

ENABLED = os.environ.get("XFORMERS_DISABLED") is None
try:
    if ENABLED:
        from xformers.ops import memory_efficient_attention

        AVAILABLE = True
    else:
        raise ImportError
except ImportError:
    AVAILABLE = False
    print("xformers is not there")


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias) if AVAILABLE else None
""",
        after="""\
import os
from _attention_compat import memory_efficient_attention

ENABLED = os.environ.get("XFORMERS_DISABLED") is None
AVAILABLE = ENABLED


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias) if AVAILABLE else None
""",
        helper=True,
    ),
)


def finish(file: FileDraft) -> None:
    """Resolve every guard whose imports the file can do without."""
    if not file.may_lose_imports or bars_helper(file) or not file.migrated:
        return
    names = file.names
    loads = [load for loads in names.loads.values() for load in loads] if names.may_mean_ours else []
    named = (load for load in loads if isinstance(names.parents[id(load)], ast.Expr))
    bare = (load for load in named if is_ours(names.resolve(load)))
    asking = [
        names.statement(node) for node in (*(c for c in names.calls if looks_up(names, c)), *_answered(file), *bare)
    ]
    for statement in (*filter(brings_ours, names.imports), *asking):
        for guard in guards_around(names, statement):
            if file.is_gone(guard) or _resolve(file, guard):
                break


def _answered(file: FileDraft) -> Iterator[ast.expr]:
    """The questions about the installed release that were settled."""
    nodes = file.names.nodes if file.answers else ()
    return (node for node in nodes if isinstance(node, ast.expr) and id(node) in file.answers)


def _resolve(file: FileDraft, node: GuardNode) -> bool:
    """Put what a guard stands for in its place; whether that can be said."""
    if is_others_matter(file, node):
        return False
    try:
        guard = read_guard(file, node)
    except NotAGuard:
        return False
    always = node in file.tree.body
    served = dict(guard.names)
    if always and not guard.fallbacks:
        guard.names.update(file.pending())
    brought = dict(guard.names)
    place = import_above(file, node, guard.names) if always and not guard.fallbacks else None
    if place is not None:
        guard.names = {}
    if not file.replace(node, written(guard, file.compat or ""), "XF141", keeping=guard.kept):
        return False
    if place is not None:
        file.add_import(import_line(file.compat or "", brought), place)
    file.compat_names.update(served)
    file.bound_in_place.update(brought)
    if always and guard.condition is None:
        file.bind_at_top(brought, place or node)
    return True
