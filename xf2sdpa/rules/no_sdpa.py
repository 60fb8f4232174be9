"""A call that runs only where torch has no `scaled_dot_product_attention` is left.

`if hasattr(F, "scaled_dot_product_attention"): … else:` chooses xformers for an old torch alone. SDPA in that arm would
fail in the one case in which it runs, and the way without xformers, which worked there, would never be tried.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from xf2sdpa.analysis.names import Names
from xf2sdpa.draft import CallDraft, Refusal
from xf2sdpa.rule import Example

ORDER = 8
CODES = {"XF218": "the call runs only where torch has no scaled_dot_product_attention"}
EXAMPLES = (
    Example(
        """\
import torch.nn.functional as F
import xformers.ops


def attend(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v)
    else:
        return xformers.ops.memory_efficient_attention(q, k, v)
"""
    ),
)
_SDPA = "scaled_dot_product_attention"


def decide(draft: CallDraft) -> None:
    """Refuse a call in such an arm, or in one that only a choice made in such an arm leads to."""
    names = draft.file.names
    if _lacks_sdpa(names, draft.site.node) or any(_is_chosen_without(names, test) for test in _tests(names, draft)):
        message = "this call runs only where torch has no scaled_dot_product_attention"
        advice = "Every torch since 2.0 has it: delete this arm, and the import with it."
        raise Refusal("XF218", message, advice)


def _lacks_sdpa(names: Names, node: ast.AST) -> bool:
    """Whether a node stands in the arm of an `if` that is for a torch without SDPA."""
    child = node
    for parent in names.ancestors(node):
        if isinstance(parent, ast.If):
            asked = _asks_for_sdpa(names, parent.test)
            if asked is not None and child in (parent.orelse if asked else parent.body):
                return True
        child = parent
    return False


def _asks_for_sdpa(names: Names, test: ast.expr, depth: int = 0) -> bool | None:
    """True where a condition holds with SDPA, False where it holds without; None if it asks something else."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _asks_for_sdpa(names, test.operand, depth)
        return None if inner is None else not inner
    if isinstance(test, ast.Name) and depth < 2:
        owner = names.scope_at[id(test)].owner(test.id)
        values = [binding.value for binding in owner.bindings[test.id]] if owner else []
        return _asks_for_sdpa(names, values[0], depth + 1) if len(values) == 1 and values[0] is not None else None
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "hasattr":
        asked = test.args[1] if len(test.args) == 2 else None
        return True if isinstance(asked, ast.Constant) and asked.value == _SDPA else None
    return None


def _tests(names: Names, draft: CallDraft) -> Iterator[ast.expr]:
    """The conditions that hold where the call stands."""
    child: ast.AST = draft.site.node
    for parent in names.ancestors(child):
        if isinstance(parent, ast.If) and child in parent.body:
            yield parent.test
        child = parent


def _is_chosen_without(names: Names, test: ast.expr) -> bool:
    """Whether a condition compares a variable with a value that it gets only where torch has no SDPA."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        variable, wanted = test.left, test.comparators[0]
    else:
        variable, wanted = test, ast.Constant(True)
    if not (isinstance(variable, ast.Name) and isinstance(wanted, ast.Constant)):
        return False
    owner = names.scope_at[id(variable)].owner(variable.id)
    bindings = owner.bindings.get(variable.id, ()) if owner else ()
    if any(not isinstance(binding.value, ast.Constant) for binding in bindings):
        return False
    chosen = [b for b in bindings if isinstance(b.value, ast.Constant) and b.value.value == wanted.value]
    return bool(chosen) and all(_lacks_sdpa(names, binding.node) for binding in chosen)
