"""A call's statement in a `with` of its own that switches autocast off: SDPA then computes in the dtype it is given.

Only what autocast would not change may run inside: the call itself, moves of its arguments and of its result, sizes.
So the statement must be the call's own, and hold no other work; else there is no such rewrite.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.names import Names
from xf2sdpa.edits.kinds import Within
from xf2sdpa.rulekit.checks import standing
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.spelling import torch_function

_OWN = (ast.Assign, ast.AnnAssign, ast.Return)
_MOVES = frozenset(
    {"view", "reshape", "transpose", "permute", "contiguous", "flatten", "unflatten", "squeeze", "unsqueeze", "expand",
     "to", "type", "type_as", "float", "half", "bfloat16", "double", "detach", "size", "dim", "view_as", "reshape_as",
     "swapaxes", "movedim", "chunk", "unbind", "split", "narrow", "clone"}
)  # fmt: skip
"""Methods that compute nothing: what they return has the values of their receiver, perhaps in another dtype."""
_QUIET = (
    ast.Name, ast.Attribute, ast.Constant, ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.keyword, ast.IfExp,
    ast.BoolOp, ast.Compare, ast.UnaryOp, ast.expr_context, ast.unaryop, ast.boolop, ast.cmpop, ast.operator,
)  # fmt: skip
_PLAIN_SUMS = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv)
"""Operators that are on none of autocast's lists."""


def with_device(draft: CallDraft) -> str | None:
    """The argument, a variable, whose device autocast is switched off for; None where the statement is not split."""
    device = next((a.id for a in map(draft.argument, ("query", "key", "value")) if isinstance(a, ast.Name)), None)
    statement = standing(draft, "")
    if device is None or not isinstance(statement, _OWN) or statement.value is None or not _has_torch(draft):
        return None
    names, call = draft.file.names, draft.site.node
    return device if _is_moved(statement.value, call) and all(_is_quiet(a, names) for a in _around(call)) else None


def autocast_off(draft: CallDraft, device: str) -> Within:
    """The edit that puts a call's statement into the `with`."""
    function = torch_function(draft.file, draft.site.node.func, "autocast")
    return Within(draft.file.names.statement(draft.site.node), f"with {function}({device}.device.type, enabled=False):")


def _has_torch(draft: CallDraft) -> bool:
    """Whether `torch` means torch where the call stands, or nothing so far."""
    names, node = draft.file.names, draft.site.node
    scope = names.scope_at[id(node)]
    return scope.owner("torch") is None or names.resolve(ast.Name("torch", ast.Load()), scope) == "torch"


def _around(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _is_moved(node: ast.expr, call: ast.Call) -> bool:
    """Whether an expression is the call, perhaps with moves of its result behind it."""
    while node is not call:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MOVES):
            return False
        if not all(_is_quiet(argument, None) for argument in _around(node)):
            return False
        node = node.func.value
    return True


def _is_quiet(node: ast.expr, names: Names | None) -> bool:
    """Whether autocast has no say in the value of an expression; with `names`, masks of xformers may be made in it."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            moves = isinstance(part.func, ast.Attribute) and part.func.attr in _MOVES
            if not moves and not (names is not None and is_ours(names.resolve(part.func))):
                return False
        elif isinstance(part, ast.BinOp):
            if not isinstance(part.op, _PLAIN_SUMS):
                return False
        elif not isinstance(part, _QUIET):
            return False
    return True
