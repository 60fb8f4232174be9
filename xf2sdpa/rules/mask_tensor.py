"""A tensor mask is `attn_mask=`, if its number of dimensions is proved too.

Both sides add it to the scaled scores. But SDPA broadcasts from the right: a 3-D mask on 4-D inputs would lay its
batch over the heads, without an error when the sizes happen to match. So 4-D inputs take a 4-D mask (or a 2-D one
that serves all), 3-D inputs a 3-D mask with a head dimension added. Masks with strided inputs are right since
torch 2.2 (pytorch#112577).

On a Hopper GPU the default backend of torch 2.11 to 2.13 can give NaN gradients with a mask (pytorch#196678). For the
device h200, which is the default, such a call therefore goes through the helper module, which avoids that backend
where it fails and costs nothing elsewhere.
"""

import ast

from xf2sdpa.analysis.values import NoneValue, OneOf, Tensor
from xf2sdpa.edits.kinds import ArgumentEdit
from xf2sdpa.model import Note
from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.MASK
AFTER = ("mask_causal",)
CODES = {
    "XF212": "a tensor mask whose dimensions are not proved to fit",
    "XF215": "a tensor mask goes through the helper, which guards it on an H200",
    "XF302": "masked SDPA can give NaN gradients on an H200 with torch 2.11 to 2.13",
}
RETIRED = {"XF113": "a tensor mask becomes attn_mask="}
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
NAN_CORNER = Note(
    "XF302",
    "with torch 2.11 to 2.13 on a Hopper GPU, a masked call whose key length is 64 more than a multiple of 128 "
    "can give NaN gradients (pytorch#196678)",
    "Train with torch.backends.cuda.enable_cudnn_sdp(False) there.",
)


def decide(draft: CallDraft) -> None:
    """Pass a tensor, or a tensor that may be None, whose rank fits."""
    bias = draft.site.bias
    if "attn_bias" in draft.settled or bias is None:
        return
    options = bias.options if isinstance(bias, OneOf) else frozenset({bias})
    tensors = [option for option in options if isinstance(option, Tensor)]
    optional = any(isinstance(option, NoneValue) for option in options)
    if len(tensors) != 1 or len(options) != 1 + optional:
        return
    rank = tensors[0].rank.known
    node = draft.argument("attn_bias")
    expands = optional and rank == draft.rank == 3
    if rank not in (2, draft.rank) or (expands and not isinstance(node, ast.Name)):
        raise Refusal(
            "XF212",
            _why(rank, draft.rank, optional=optional),
            "Give the mask the form (batch, heads, queries, keys).",
        )
    if draft.file.compat is not None and draft.file.settings.device == "h200":
        raise Refusal(
            "XF215", "the helper guards masked calls against NaN gradients on Hopper", "--device any writes it inline."
        )
    for sentence in sorted(tensors[0].given):
        draft.assume(sentence)
    if expands and isinstance(node, ast.Name):
        text = f"None if {node.id} is None else {node.id}.unsqueeze(1)"
        draft.arguments["attn_bias"] = ArgumentEdit("attn_mask", text=text)
    else:
        suffix = ".unsqueeze(1)" if rank == draft.rank == 3 else ""
        draft.arguments["attn_bias"] = ArgumentEdit("attn_mask", suffix=suffix)
    draft.settled.add("attn_bias")
    draft.needs_torch((2, 2))
    draft.notes.append(NAN_CORNER)


def _why(rank: int | None, inputs: int, *, optional: bool) -> str:
    if rank is None:
        return "the mask is a tensor, but the function does not show how many dimensions it has"
    if optional and rank == inputs:
        return "the mask is a 3-D tensor or None, and only the tensor can be given a head dimension"
    return f"a mask with {rank} dimensions on {inputs}-D inputs would be laid over the wrong dimensions"
