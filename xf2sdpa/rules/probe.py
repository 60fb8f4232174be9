"""A capability probe goes: a call on made-up tensors inside a `try`, there to see whether xformers works.

SDPA needs no probe. The whole `try` goes if all it holds serves the call, nothing of it is read afterwards, and its
handlers only raise or pass. A probe that decides whether another library (diffusers) goes on using xformers stays, for
it must try xformers itself: SDPA can do what xformers may refuse.
"""

from __future__ import annotations

import ast
import itertools

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.names import called_name
from xf2sdpa.edits.kinds import ReplaceStatement
from xf2sdpa.model import SiteClass
from xf2sdpa.rulekit.draft import CallDraft, Refusal, Settled
from xf2sdpa.rulekit.gates import holds_switch
from xf2sdpa.rulekit.helper_names import SWITCH
from xf2sdpa.rulekit.messages import only_tells
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.SCOPE
AFTER = ("unpacked_arguments",)
CODES = {
    "XF150": "a capability probe is removed",
    "XF219": "a probe whose answer decides whether another library uses xformers",
    "XF222": "a probe of xformers, which other calls of the file stay on",
}
EXAMPLES = (
    Example(
        before="""\
import torch
import xformers.ops


def enable(module):
    try:
        _ = xformers.ops.memory_efficient_attention(torch.randn(1, 2, 40), torch.randn(1, 2, 40), torch.randn(1, 2, 40))
    except Exception as error:
        raise error
    module.fast = True
""",
        after="""\
import torch


def enable(module):
    module.fast = True
""",
    ),
)
_DRAWN = frozenset({"torch.randn", "torch.rand"})
_MADE_UP = frozenset({"torch.randn", "torch.rand", "torch.zeros", "torch.ones", "torch.empty"})
_COMPUTING = frozenset(
    {"to", "cuda", "cpu", "half", "float", "bfloat16", "type", "device", "requires_grad_", "sum", "mean", "backward",
     "clone", "contiguous", "transpose", "permute", "view", "reshape", "unsqueeze", "squeeze", "is_available",
     "is_xformers_available",
     "synchronize", "getattr", "hasattr", "isinstance", "len", "dict", "tuple", "list", "int"}
)  # fmt: skip
"""What a probe may call besides."""


def decide(draft: CallDraft) -> None:
    """Remove a probe with the `try` around it."""
    if (SWITCH.search(draft.file.text) and _is_tried_out(draft)) or _leads_to_switch(draft):
        message = "this tries xformers out, to decide whether another library uses it"
        raise Refusal("XF219", message, "It can go with that library's switch: SDPA is diffusers' default.")
    guard = _guard(draft)
    if guard is None or not all(_is_made_up(draft, guard, name) for name in ("query", "key", "value")):
        return
    if draft.file.probes_stay:
        raise Refusal(
            "XF222", "this tries xformers out, and other calls of the file stay on it", "It can go with them."
        )
    draft.edits.append(ReplaceStatement(guard))
    draft.lost.append(guard)
    draft.kind, draft.code = SiteClass.REMOVED, "XF150"
    draft.message = "a probe of whether xformers works"
    if any(draft.file.names.resolve(part.func) in _DRAWN for part in ast.walk(guard) if isinstance(part, ast.Call)):
        draft.message += "; it drew random numbers, so that a seeded program draws others after it"
    raise Settled


def _leads_to_switch(draft: CallDraft) -> bool:
    """Whether a call on made-up tensors in a `try` stands in a function that tells another library to use xformers."""
    names = draft.file.names
    function = names.function(draft.site.node)
    within = itertools.takewhile(lambda parent: parent is not function, names.ancestors(draft.site.node))
    if not any(isinstance(parent, ast.Try) for parent in within) or not holds_switch(draft.file, [function]):
        return False
    return all(_is_made_up(draft, function, name) for name in ("query", "key", "value"))


def _is_tried_out(draft: CallDraft) -> bool:
    """Whether the function makes up its tensors, and a `try` around it or a call of it answers True or False."""
    names = draft.file.names
    around = [p for p in names.ancestors(draft.site.node) if isinstance(p, ast.FunctionDef)]
    parts = [part for part in ast.walk(around[-1]) if isinstance(part, ast.Return | ast.Assign)] if around else []
    answers = {p.value.value for p in parts if isinstance(p, ast.Return) and isinstance(p.value, ast.Constant)}
    made = {
        target.id
        for part in parts
        if isinstance(part, ast.Assign) and isinstance(part.value, ast.Call)
        if names.resolve(part.value.func) in _MADE_UP
        for target in part.targets
        if isinstance(target, ast.Name)
    }
    given = [draft.argument(name) for name in ("query", "key", "value")]
    return answers >= {True, False} and all(isinstance(node, ast.Name) and node.id in made for node in given)


def _guard(draft: CallDraft) -> ast.Try | None:
    """The `try` whose only purpose is the call."""
    names = draft.file.names
    around = names.ancestors(draft.site.node)
    guard = next((p for p in around if isinstance(p, ast.Try | ast.FunctionDef | ast.AsyncFunctionDef)), None)
    if not isinstance(guard, ast.Try) or guard.orelse or guard.finalbody:
        return None
    quiet = all(isinstance(s, ast.Raise | ast.Pass) for handler in guard.handlers for s in handler.body)
    return guard if quiet and _keeps_to_itself(draft, guard) else None


def _keeps_to_itself(draft: CallDraft, guard: ast.Try) -> bool:
    """Whether all statements only assign variables that nothing outside the `try` reads."""
    names = draft.file.names
    inside = {id(node) for node in ast.walk(guard)}
    statements = [node for part in guard.body for node in ast.walk(part) if isinstance(node, ast.stmt)]
    if not all(isinstance(s, ast.Assign | ast.AnnAssign | ast.If | ast.Expr) for s in statements):
        return False
    told = {id(part) for s in statements if only_tells(draft.file, s) for part in ast.walk(s)}
    if any(_does_more(draft, node) for part in guard.body for node in ast.walk(part) if id(node) not in told):
        return False
    for node in ast.walk(guard):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            return False
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            owner = names.scope_at[id(node)].owner(node.id)
            if owner is None or any(id(load) not in inside for load in loads_of(names, node.id, owner)):
                return False
    return True


def _does_more(draft: CallDraft, node: ast.AST) -> bool:
    """Whether a part of a probe may do something besides making tensors and computing with them."""
    if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
        return True
    if not isinstance(node, ast.Call):
        return False
    dotted = draft.file.names.resolve(node.func)
    return not (dotted in _MADE_UP or is_ours(dotted) or called_name(node.func) in _COMPUTING)


def _is_made_up(draft: CallDraft, guard: ast.AST, name: str) -> bool:
    node = draft.argument(name)
    if isinstance(node, ast.Name):
        values = [s.value for s in ast.walk(guard) if isinstance(s, ast.Assign) and _targets(s, node.id)]
        node = values[0] if len(values) == 1 else None
    while (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("to", "cuda", "half")
    ):
        node = node.func.value
    return isinstance(node, ast.Call) and draft.file.names.resolve(node.func) in _MADE_UP


def _targets(statement: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in statement.targets)
