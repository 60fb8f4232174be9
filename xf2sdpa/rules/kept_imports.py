"""Imports of xformers that stay are named, with the reason: while one is there, xformers cannot be uninstalled.

Save one that nothing reads, in a `try` that only warns where it fails: that is told, and does no harm.
"""

from __future__ import annotations

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.imports import alias_name, bound_name, brings_ours, outermost_guard, whole_name
from xf2sdpa.edits.kinds import RemoveAliases
from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.helper_names import SWITCH
from xf2sdpa.rulekit.messages import only_warns
from xf2sdpa.rulekit.off_limits import registered_operators
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage
from xf2sdpa.rulekit.unused import is_unused

STAGE = Stage.IMPORTS
AFTER = ("imports",)
CODES = {"XF401": "xformers is still imported here"}
EXAMPLES = (
    Example(
        """\
from xformers.components import MultiHeadDispatch


def build(options):
    return MultiHeadDispatch(**options)
"""
    ),
)
_SWITCH_ADVICE = (
    "If it is only there for diffusers' enable_xformers_memory_efficient_attention: delete that call, SDPA is the "
    "default there."
)


def finish(file: FileDraft) -> None:
    """Name each import of ours that stays."""
    taken = {id(edit.node): edit.bound for edit in file.edits if isinstance(edit, RemoveAliases)}
    for statement in file.names.imports:
        if not brings_ours(statement):
            continue
        there = (alias for alias in statement.names if not file.is_gone(alias))
        aliases = [alias for alias in there if alias_name(alias) not in taken.get(id(statement), ())]
        if not any(is_ours(whole_name(statement, alias)) for alias in aliases):
            continue
        names = sorted({bound_name(statement, alias) for alias in aliases})
        guarded = outermost_guard(file.names, statement) is not None
        idle = guarded and all(is_unused(file, statement, alias) for alias in aliases)
        if idle and only_warns(file, statement):
            message = "xformers is imported for nothing: without it this says so, if anything, and goes on"
            file.report(statement, "XF401", message, "Delete it, unless the warning is about another library.")
            continue
        used = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} still used"
        reason = "the guard around it decides which path runs" if idle else used
        if registered_operators(file):
            reason = "it registers operators that are read here (XF404)"
        advice = _SWITCH_ADVICE if SWITCH.search(file.text) else ""
        file.report(statement, "XF401", f"xformers is still imported: {reason}", advice, FindingKind.KEEPS)
