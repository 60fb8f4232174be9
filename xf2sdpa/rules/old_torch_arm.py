"""A call that runs only where torch has no `scaled_dot_product_attention` goes, and so does its arm.

`if hasattr(F, "scaled_dot_product_attention"): … else:` chooses xformers for an old torch alone. Every torch since 2.0
has SDPA, so the arm is never taken. It is not made to call SDPA: that would fail in the one case in which it runs. A
guard in such an arm becomes what it does where xformers is missing, so that another way for an old torch stays.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.imports import bound_name, brings_ours, guards_around, loads_from
from xf2sdpa.analysis.names import Names
from xf2sdpa.edits.kinds import TakeArm
from xf2sdpa.model import SiteClass
from xf2sdpa.rulekit.draft import CallDraft, FileDraft, Refusal, Settled
from xf2sdpa.rulekit.frames import can_take_handler, take_handler
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.SCOPE
AFTER = ("in_fstring",)
CODES = {"XF218": "an arm for a torch without scaled_dot_product_attention"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F

if hasattr(F, "scaled_dot_product_attention"):
    MODE = "sdpa"
else:
    try:
        import xformers.ops

        MODE = "xformers"
    except ImportError:
        MODE = "plain"


def attend(q, k, v):
    if MODE == "sdpa":
        return F.scaled_dot_product_attention(q, k, v)
    elif MODE == "xformers":
        return xformers.ops.memory_efficient_attention(q, k, v)
    return (q @ k.mT).softmax(-1) @ v
""",
        after="""\
import torch.nn.functional as F

if hasattr(F, "scaled_dot_product_attention"):
    MODE = "sdpa"
else:
    MODE = "plain"


def attend(q, k, v):
    if MODE == "sdpa":
        return F.scaled_dot_product_attention(q, k, v)
    return (q @ k.mT).softmax(-1) @ v
""",
        helper=True,
    ),
)
_SDPA = "scaled_dot_product_attention"


def decide(draft: CallDraft) -> None:
    """Remove the arm of a call that only an old torch reaches."""
    found = _arm(draft.file.names, draft.site.node)
    if found is None:
        return
    if not _may_go(draft.file):
        message = "this call runs only where torch has no scaled_dot_product_attention"
        raise Refusal("XF218", message, "Every torch since 2.0 has it: delete this arm, and the import with it.")
    node, answer = found
    draft.edits.append(TakeArm(node, answer))
    draft.lost += [node.test, *(node.orelse if answer else node.body)]
    draft.kind, draft.code = SiteClass.REMOVED, "XF218"
    draft.message = "its arm is taken only where torch has no scaled_dot_product_attention, before 2.0"
    raise Settled


def finish(file: FileDraft) -> None:
    """A guard in such an arm, whose imports nothing needs any more, becomes what it does without xformers."""
    if not (file.migrated and _may_go(file)):
        return
    for guard in _guards(file):
        if not file.is_gone(guard) and not _is_needed(file, guard):
            take_handler(file, guard, "XF218")


def _may_go(file: FileDraft) -> bool:
    """Whether the guards that lead to such arms can go with them."""
    return file.may_lose_imports and not bars_helper(file) and all(map(_gives_way, _guards(file)))


def _guards(file: FileDraft) -> list[ast.Try]:
    """Every `try` in such an arm that imports xformers."""
    around = (guard for s in filter(brings_ours, file.names.imports) for guard in guards_around(file.names, s))
    found = {id(guard): guard for guard in around if isinstance(guard, ast.Try)}
    return [guard for guard in found.values() if _arm(file.names, guard) is not None]


def _gives_way(guard: ast.Try) -> bool:
    """Whether a `try` does, without xformers, what its handler says and nothing else."""
    return brings_ours(guard.body[0]) and can_take_handler(guard)


def _is_needed(file: FileDraft, guard: ast.Try) -> bool:
    """Whether something that is left reads what a guard imports."""
    inside = {id(node) for node in ast.walk(guard)}
    return any(
        name in file.handed_on
        or any(id(x) not in inside and not file.is_gone(x) for x in loads_from(file.names, statement, name))
        for statement in ast.walk(guard)
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for name in (bound_name(statement, alias) for alias in statement.names)
    )


def _arm(names: Names, node: ast.AST) -> tuple[ast.If, bool] | None:
    """The `if` whose dead arm a node is in, and its answer on every torch that has SDPA; None if there is none."""
    child = node
    for parent in names.ancestors(node):
        if isinstance(parent, ast.If):
            asked = _asks_for_sdpa(names, parent.test)
            if asked is not None and child in (parent.orelse if asked else parent.body):
                return parent, asked
            if child in parent.body and _is_chosen_without(names, parent.test):
                return parent, False
        child = parent
    return None


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
        of_torch = len(test.args) == 2 and names.resolve(test.args[0]) == "torch.nn.functional"
        return True if of_torch and ast.unparse(test.args[1]) == repr(_SDPA) else None
    return None


def _is_chosen_without(names: Names, test: ast.expr) -> bool:
    """Whether a condition compares a variable with a value that it gets only where torch has no SDPA."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        variable, wanted = test.left, test.comparators[0]
    else:
        variable, wanted = test, ast.Constant(True)
    if not (isinstance(variable, ast.Name) and isinstance(wanted, ast.Constant)):
        return False
    owner = names.scope_at[id(variable)].owner(variable.id)
    bindings = owner.bindings[variable.id] if owner else ()
    if any(not isinstance(binding.value, ast.Constant) for binding in bindings):
        return False
    chosen = [b for b in bindings if isinstance(b.value, ast.Constant) and b.value.value == wanted.value]
    return bool(chosen) and all(_arm(names, binding.node) is not None for binding in chosen)
