"""A tensor mask is `attn_mask=`, if its number of dimensions is proved too.

Both sides add it to the scaled scores. But SDPA broadcasts from the right: a 3-D mask on 4-D inputs would lay its
batch over the heads, without an error when the sizes happen to match. So 4-D inputs take a 4-D mask (or a 2-D one
that serves all). A mask of `(batch * heads, queries, keys)`, as xformers took it before 0.0.21 and the helper does,
gets its two dimensions back by `.unflatten(0, (batch, heads))`, which raises where they do not fit. On 3-D inputs
xformers takes a 2-D or a 3-D mask, and `.unsqueeze(-3)` gives either a head dimension; a value from outside is None
or such a tensor where nothing in the project makes a mask object.

A mask that may be learned stays with the helper: where query, key and value take no gradient, xformers gave it none,
and torch up to 2.13 reads out of bounds. A mask that may hide all keys of a query is right from torch 2.5 on, which
gives 0 there as xformers does; before, NaN. Masks with strided inputs are right since torch 2.2 (pytorch#112577).
"""

import ast

from xf2sdpa.analysis.mask_origin import origin
from xf2sdpa.analysis.values import BY_CALLERS, NoneValue, OneOf, Tensor, Unknown
from xf2sdpa.edits.kinds import ArgumentEdit
from xf2sdpa.model import Way
from xf2sdpa.rulekit.checks import check_before
from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.MASK
AFTER = ("mask_causal",)
CODES = {
    "XF212": "a tensor mask whose dimensions are not proved to fit",
    "XF225": "a tensor mask that may be learned",
}
RETIRED = {
    "XF113": "a tensor mask becomes attn_mask=",
    "XF215": "a tensor mask goes through the helper, which guards it on an H200",
}
EXAMPLES = (
    Example(
        before="""\
import torch
import torch.nn.functional as F
import xformers.ops as xops


def f(q, k, v, b, h, m, n):
    q = q.view(b, m, h, -1)
    bias = torch.zeros(b, h, m, n, dtype=q.dtype)
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias).flatten(2)
""",
        after="""\
import torch
import torch.nn.functional as F


def f(q, k, v, b, h, m, n):
    q = q.view(b, m, h, -1)
    bias = torch.zeros(b, h, m, n, dtype=q.dtype)
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=bias
    ).transpose(1, 2).flatten(2)
""",
    ),
)
NO_OBJECTS = "attn_bias is a tensor or None, as nothing in this project makes a mask object"
_ADVICE = "Give the mask the form (batch, heads, queries, keys)."


def decide(draft: CallDraft) -> None:
    """Pass a tensor, or a tensor that may be None, whose rank fits."""
    bias, node = draft.site.bias, draft.argument("attn_bias")
    if bias is None or node is None:
        return
    options = bias.options if isinstance(bias, OneOf) else frozenset({bias})
    tensors = [option for option in options if isinstance(option, Tensor)]
    optional = any(isinstance(option, NoneValue) for option in options)
    if _is_from_outside(draft, node):
        draft.assume(NO_OBJECTS, Way.INDEX)
        _settle(draft, node, _with_heads(node, optional=True))
        return
    if len(tensors) != 1 or len(options) != 1 + optional:
        return
    optional |= any(sentence.startswith(BY_CALLERS) for sentence in tensors[0].given)  # it may be left out some day
    rank = tensors[0].rank.known
    expands = draft.rank == 3 and rank != 2
    if rank == 3 and draft.rank == 4 and (merged := _unmerged(draft, node, optional=optional)) is not None:
        _settle_tensor(draft, node, tensors[0], merged)
        return
    fits = rank in (None, 3) if expands else rank in (2, draft.rank)
    if not fits or (expands and optional and not isinstance(node, ast.Name)):
        raise Refusal("XF212", _why(rank, draft.rank, optional=optional), _ADVICE)
    axis = 1 if rank == 3 else -3
    edit = _with_heads(node, optional=optional, axis=axis) if expands else ArgumentEdit("attn_mask")
    _settle_tensor(draft, node, tensors[0], edit)


def _is_from_outside(draft: CallDraft, node: ast.expr) -> bool:
    """Whether a mask for 3-D inputs comes from outside the function, in a project without mask objects."""
    return (
        draft.rank == 3
        and isinstance(draft.site.bias, Unknown)
        and isinstance(node, ast.Name)
        and not draft.file.mask_objects
    )


def _with_heads(node: ast.expr, *, optional: bool, axis: int = -3) -> ArgumentEdit:
    """The mask of 3-D inputs with a head dimension, unless it is None."""
    if optional and isinstance(node, ast.Name):
        return ArgumentEdit("attn_mask", text=f"None if {node.id} is None else {node.id}.unsqueeze({axis})")
    return ArgumentEdit("attn_mask", suffix=f".unsqueeze({axis})")


def _unmerged(draft: CallDraft, node: ast.expr, *, optional: bool) -> ArgumentEdit | None:
    """The mask of 4-D inputs with its batch and heads apart; None where the query is no variable to take them from."""
    query = draft.argument("query")
    if not isinstance(query, ast.Name) or not isinstance(node, ast.Name) or query.id == node.id:
        return None
    draft.read.add(query.id)
    apart = f"{node.id}.unflatten(0, ({query.id}.shape[0], {query.id}.shape[2]))"
    return ArgumentEdit("attn_mask", text=f"None if {node.id} is None else {apart}" if optional else apart)


def _settle_tensor(draft: CallDraft, node: ast.expr, mask: Tensor, edit: ArgumentEdit) -> None:
    """Pass a mask under the assumptions that its rank rests on; what callers alone tell of it is checked."""
    if any(sentence.startswith(BY_CALLERS) for sentence in mask.given):
        name, rank = node.id if isinstance(node, ast.Name) else "", mask.rank.known
        message = f"{name} must have {rank} dimensions here, as all callers passed"
        if not name or not check_before(draft, name, f"{name} is not None and {name}.ndim != {rank}", message):
            raise Refusal("XF212", "only the callers show the mask's dimensions, and no check can stand here", _ADVICE)
    for sentence in sorted(mask.given):
        draft.assume(sentence)
    _settle(draft, node, edit)


def _settle(draft: CallDraft, node: ast.expr, edit: ArgumentEdit) -> None:
    """Pass the mask, unless it may be learned, and note which torch it needs."""
    came_from = origin(node, draft.file.names)
    if came_from.learned:
        message = "the mask may be learned, and SDPA is not safe where it alone takes a gradient"
        raise Refusal("XF225", message, "Name it a mask, or detach it, if it is not learned.")
    draft.needs_torch((2, 5) if came_from.closes else (2, 2))
    draft.arguments["attn_bias"] = edit
    draft.settled.add("attn_bias")


def _why(rank: int | None, inputs: int, *, optional: bool) -> str:
    if rank is None and inputs != 3:
        return "the mask is a tensor, but the function does not show how many dimensions it has"
    if optional and rank in (None, inputs):
        return "the mask is a 3-D tensor or None, and only the tensor can be given a head dimension"
    return f"a mask with {rank} dimensions on {inputs}-D inputs would be laid over the wrong dimensions"
