"""A mask that is a parameter, and that nothing in this project passes: the call is written without one, and checks it.

Asked is the whole project: who makes objects of the class, where they are kept, who calls them and with what; whether a
list of tensors, for which masks are made, ever comes. Where the class or function gets anywhere that cannot be followed
(a registry, a name in a string or in a file of settings, a library, `**kwargs`, `checkpoint(block, …)`), nothing is
known. What holds in this project need not hold in another one that imports it, so it is an assumption, and before the
call stands `if attn_bias is not None: raise NotImplementedError(…)`: a mask is never dropped in silence. A call that
passes one but is never reached (on a path for lists of tensors, in a class that nobody makes) is named in the
assumption and in the check. Where no statement can stand, such calls go to the helper.

If a mask may come after all, `xf2sdpa rewrite --style compat` gives every call to the helper, which takes masks, and
`--only exact` leaves the calls that rest on an assumption with xformers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from xf2sdpa.analysis.names import FunctionNode
from xf2sdpa.analysis.values import Unknown
from xf2sdpa.model import Assumption, Unreached, Way
from xf2sdpa.rulekit.checks import leave_out_mask
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

_MOST = 3
"""How many calls are named one by one."""
STAGE = Stage.MASK
AFTER = ("mask_tensor",)
CODES = {"XF307": "an assumption that the new text checks before the call"}
NOTES = ("XF307",)
EXAMPLES = (
    Example(
        """\
import xformers.ops as xops


def attend(x, b, n, h, attn_bias=None):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, attn_bias=attn_bias)
"""
    ),
)


def decide(draft: CallDraft) -> None:
    """Leave out a parameter that is never passed, behind a check."""
    node = draft.argument("attn_bias")
    if "attn_bias" in draft.settled or not isinstance(node, ast.Name) or not isinstance(draft.site.bias, Unknown):
        return
    function = draft.file.names.function(node)
    if (place := _place(draft, function, node.id)) not in draft.file.never_passed:
        return
    if len(draft.file.names.scopes[id(function)].bindings.get(node.id, ())) != 1:
        return
    assumed, told = _said_of(draft.file.never_passed[place])
    assumption = assumed or f"nothing in this project passes {node.id} to {place[0]}"
    why = told or "nothing in this project passed one"
    leave_out_mask(draft, node, why, Assumption(assumption, Way.CALLERS))


def _said_of(unreached: Iterable[Unreached]) -> tuple[str, str]:
    """What is assumed of the calls that pass a mask but are not reached, and what the check says of them."""
    groups: dict[tuple[str, str, bool], list[Unreached]] = {}
    for call in unreached:
        groups.setdefault((call.callee, call.parameter, call.for_list), []).append(call)
    assumed, told = [], []
    for (callee, parameter, for_list), calls in groups.items():
        places = list(dict.fromkeys(f"{call.file}:{call.line}" for call in calls))
        functions = list(dict.fromkeys(call.function for call in calls))
        what = f"{_listed(places)} {_pass(places)} {parameter} to {callee}"
        who = f"{_listed(functions)} {_pass(functions)} one"
        if for_list:
            assumed.append(f"{what} only for a list of tensors, and nothing in this project gives one")
            told.append(f"{who} only for a list of tensors, and nothing in this project gave one")
        else:
            assumed.append(f"{what} in {_listed(functions)}, which nothing in this project calls")
            told.append(f"{who}, and nothing in this project called {'it' if len(functions) == 1 else 'them'}")
    return "; ".join(assumed), "; ".join(told)


def _listed(parts: list[str]) -> str:
    """The first of some parts, in words."""
    if len(parts) > _MOST + 1:
        parts = [*parts[:_MOST], f"{len(parts) - _MOST} more"]
    return " and ".join([part for part in (", ".join(parts[:-1]), parts[-1]) if part])


def _pass(parts: list[str]) -> str:
    return "passes" if len(parts) == 1 else "pass"


def _place(draft: CallDraft, function: FunctionNode | ast.Module, name: str) -> tuple[str, str]:
    return draft.file.names.scopes[id(function)].qualname, name
