"""The operator used as a value: handed to a function, stored, compared.

Whoever calls it later passes `[B, M, H, K]`, so the name cannot simply become SDPA's. Such uses are reported.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.api import ATTENTION, ATTENTION_VARIANTS, api_name, is_ours
from xf2sdpa.analysis.scopes import Binding
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.NAMES
AFTER = ("helper_names",)
CODES = {
    "XF209": "the operator is used as a value",
    "XF213": "a name that may be xformers' operator or something else",
}
EXAMPLES = (
    Example(
        """\
import xformers.ops as xops


def pick(fast, slow):
    return xops.memory_efficient_attention if fast else slow
"""
    ),
)


def finish(file: FileDraft) -> None:
    """Report every use of the operator that is not a call, and every name that is not certain."""
    if file.compat is not None:  # the helper's operator is a value like xformers'
        return
    suspects = {
        name for scope in file.names.scopes.values() for name, found in scope.bindings.items() if _could_be_ours(found)
    }
    for load in (load for name in suspects for load in file.names.loads.get(name, ())):
        node, parent = _whole(file, load)
        if file.is_gone(node) or (isinstance(parent, ast.Call) and parent.func is node):
            continue
        if api_name(file.names.resolve(node)) in {ATTENTION, *ATTENTION_VARIANTS}:
            message = "the operator is used as a value here; whoever calls it passes xformers' layout"
            advice = "Hand on a function that transposes and calls scaled_dot_product_attention."
            file.report(node, "XF209", message, advice)
    for call in file.names.calls:
        if _is_uncertain(file, call):
            message = "this name may be xformers' operator or something else, depending on the import that worked"
            file.report(call, "XF213", message, "Give the two imports different names.")


def _could_be_ours(bindings: list[Binding]) -> bool:
    return any(is_ours(b.dotted) or isinstance(b.value, ast.Name | ast.Attribute) for b in bindings)


def _whole(file: FileDraft, load: ast.Name) -> tuple[ast.expr, ast.AST]:
    """The longest dotted expression that a name begins, and what it stands in."""
    node: ast.expr = load
    parent = file.names.parents[id(node)]
    while isinstance(parent, ast.Attribute):
        if api_name(file.names.resolve(node)) == ATTENTION:
            break
        node, parent = parent, file.names.parents[id(parent)]
    return node, parent


def _is_uncertain(file: FileDraft, call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Name) or file.names.resolve(call.func) is not None:
        return False
    meanings = file.names.could_be(call.func.id, file.names.scope_at[id(call)])
    return any(api_name(meaning) == ATTENTION for meaning in meanings)
