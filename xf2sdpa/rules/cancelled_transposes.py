"""Transposes that were made for xformers cancel with those that SDPA would need.

Where the code built `[B, M, H, K]` from a heads-first tensor, `q.transpose(1, 2)` in the argument or in a statement
that serves only this call, the heads-first tensor is what SDPA wants. A transpose of the result goes likewise.
"""

from __future__ import annotations

import ast
from dataclasses import replace

from xf2sdpa.analysis.flow import binds, definition_before, end, reached_loads, start
from xf2sdpa.analysis.names import Names
from xf2sdpa.edits.kinds import ReplaceStatement, Unwrap
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.spelling import heads_swap
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.RESULT
CODES: dict[str, str] = {}
RETIRED = {"XF123": "a transpose made for xformers' layout cancels with SDPA's"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers.ops as xops


def f(q, k, v):
    b, h, n, d = q.shape
    return xops.memory_efficient_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)
""",
        after="""\
import torch.nn.functional as F


def f(q, k, v):
    b, h, n, d = q.shape
    return F.scaled_dot_product_attention(q, k, v)
""",
    ),
)


def decide(draft: CallDraft) -> None:
    """Take transposes out of the arguments, the statements before the call, and around it."""
    if draft.rank != 4:
        return
    for name in ("query", "key", "value"):
        node = draft.argument(name)
        swap = heads_swap(node, draft.file.names) if node is not None else None
        if swap is not None:
            draft.arguments[name] = replace(draft.arguments[name], take=swap[1], suffix="")
        elif isinstance(node, ast.Name) and (variable := _cancel_definition(draft, node)) is not None:
            draft.arguments[name] = replace(draft.arguments[name], suffix="", text=variable)
    _cancel_result(draft)


def _cancel_definition(draft: CallDraft, node: ast.Name) -> str | None:
    """`q = q.transpose(1, 2)` before the call, read by nothing else: the variable that the call takes instead."""
    names = draft.file.names
    definition = definition_before(names, node.id, node) if node.id not in draft.read else None
    if not isinstance(definition, ast.Assign) or len(definition.targets) != 1:
        return None
    if not isinstance(definition.targets[0], ast.Name) or reached_loads(names, node.id, definition) != [node]:
        return None
    swap = heads_swap(definition.value, names)
    if swap is None or not isinstance(definition.value, ast.Call):
        return None
    inner, path = swap
    if isinstance(inner, ast.Name) and (inner.id == node.id or not _is_rebound(names, inner.id, definition, node)):
        draft.edits.append(ReplaceStatement(definition))
        return inner.id
    if path == ("func", "value"):
        draft.edits.append(Unwrap(definition.value))
        return node.id
    return None


def _is_rebound(names: Names, variable: str, definition: ast.stmt, node: ast.Name) -> bool:
    """Whether a variable may have another value at the call than at the definition."""
    scope = names.scopes[id(names.function(node))]
    owner = scope.owner(variable)
    if owner is not scope or owner is None:
        return True
    nodes = [binding.node for binding in owner.bindings[variable]]
    places = [start(n) for n in nodes if isinstance(n, ast.stmt | ast.expr | ast.arg)]
    in_loop = any(isinstance(p, ast.For | ast.While | ast.AsyncFor) for p in names.ancestors(node))
    return in_loop or any(end(definition) <= place < start(node) for place in places)


def _cancel_result(draft: CallDraft) -> None:
    names = draft.file.names
    outer = _swap_around(draft, draft.site.node)
    if outer is not None:
        draft.edits.append(Unwrap(outer))
        draft.suffix = ""
        return
    statement = names.parents[id(draft.site.node)]
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
        return
    target = statement.targets[0]
    loads = reached_loads(names, target.id, statement) if isinstance(target, ast.Name) else None
    if not loads or len(loads) != 1 or not isinstance(target, ast.Name):
        return
    outer = _swap_around(draft, loads[0])
    if outer is None:
        return
    draft.suffix = ""
    taker = names.parents[id(outer)]
    if (
        isinstance(taker, ast.Assign)
        and len(taker.targets) == 1
        and binds(taker, target.id)
        and _is_name(taker.targets[0])
    ):
        draft.edits.append(ReplaceStatement(taker))
    else:
        draft.edits.append(Unwrap(outer))


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name)


def _swap_around(draft: CallDraft, node: ast.expr) -> ast.Call | None:
    """The call `node.transpose(1, 2)`, if that is what is done with a node."""
    names = draft.file.names
    attribute = names.parents[id(node)]
    call = names.parents[id(attribute)] if isinstance(attribute, ast.Attribute) else None
    if not isinstance(call, ast.Call) or call.func is not attribute:
        return None
    swap = heads_swap(call, names)
    return call if swap is not None and swap[0] is node and swap[1] == ("func", "value") else None
