"""`LowerTriangularMask()` is `is_causal=True`: both align at the top left, exact for any query and key length.

Under a condition, `LowerTriangularMask() if c else None` is `is_causal=c`. SDPA wants a real bool, so `c` is put into
`bool(…)` unless it is one by its form. The bottom-right mask is another rule: `is_causal` would show a decoding
query only the first key.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.api import CAUSAL
from xf2sdpa.analysis.flow import definition_before, reached_loads
from xf2sdpa.analysis.masks import (
    CausalChoice,
    conditional_definition,
    conditional_expression,
    is_boolean,
    is_idle,
    makes_causal,
    negation,
)
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.analysis.values import Mask
from xf2sdpa.edits.kinds import ArgumentEdit, ReplaceStatement
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.MASK
AFTER = ("mask_none",)
CODES: dict[str, str] = {}
RETIRED = {
    "XF111": "LowerTriangularMask() becomes is_causal=True",
    "XF112": "LowerTriangularMask() under a condition becomes is_causal=condition",
}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers.ops as xops


def f(x, b, n, h, causal):
    q = x.view(b, n, h, -1)
    mask = xops.LowerTriangularMask() if causal else None
    return xops.memory_efficient_attention(q, q, q, attn_bias=mask).flatten(2)
""",
        after="""\
import torch.nn.functional as F


def f(x, b, n, h, causal):
    q = x.view(b, n, h, -1)
    is_causal = bool(causal)
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2), is_causal=is_causal
    ).transpose(1, 2).flatten(2)
""",
    ),
)


def decide(draft: CallDraft) -> None:
    """Turn a causal mask object, plain or under a condition, into `is_causal`."""
    node = draft.argument("attn_bias")
    if node is None:
        return
    if draft.site.bias == Mask(CAUSAL) and is_idle(node, draft.file.names):
        _plain(draft, node)
    elif (choice := conditional_expression(node, draft.file.names)) is not None:
        wrap = "not" if choice.negated else ("" if is_boolean(choice.test) else "bool")
        take = ("test",) if choice.test is node.test else ("test", "expression")  # type: ignore[attr-defined]
        _settle(draft, ArgumentEdit("is_causal", take=take, wrap=wrap), node)
        draft.kept.append(choice.test)
    elif isinstance(node, ast.Name) and (found := conditional_definition(node, draft.file.names)) is not None:
        _by_name(draft, node, found)


def _plain(draft: CallDraft, node: ast.expr) -> None:
    _settle(draft, ArgumentEdit("is_causal", text="True"), node)
    names = draft.file.names
    if not isinstance(node, ast.Name):
        return
    definition = definition_before(names, node.id, node)
    if not isinstance(definition, ast.Assign) or len(definition.targets) != 1:
        return
    if makes_causal(definition.value, names) and reached_loads(names, node.id, definition) == [node]:
        draft.edits.append(ReplaceStatement(definition))
        draft.lost.append(definition)


def _by_name(draft: CallDraft, node: ast.Name, choice: CausalChoice) -> None:
    """Replace the statements that choose the mask by one that says whether there is one."""
    names = draft.file.names
    scope = names.scopes[id(names.function(node))]
    variable = "is_causal" if scope.owner("is_causal") is None else f"{node.id}_is_causal"
    condition = source_of(choice.test, draft.file.lines)
    if choice.negated:
        condition = negation(choice.test, draft.file.lines)
    elif not is_boolean(choice.test):
        condition = f"bool({condition})"
    if "\n" in condition and not condition.endswith(")"):
        condition = f"({condition})"
    *others, last = choice.statements
    draft.edits.append(ReplaceStatement(last, f"{variable} = {condition}"))
    draft.edits += [ReplaceStatement(statement) for statement in others]
    draft.lost += choice.statements
    draft.kept.append(choice.test)
    _settle(draft, ArgumentEdit("is_causal", text=variable), node)


def _settle(draft: CallDraft, edit: ArgumentEdit, node: ast.expr) -> None:
    draft.arguments["attn_bias"] = edit
    draft.lost.append(node)
    draft.settled.add("attn_bias")
