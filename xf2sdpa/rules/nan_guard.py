"""A masked call keeps off cuDNN where that gives NaN gradients.

On a Hopper GPU the default backend of torch 2.11 to 2.14, cuDNN before 9.26, can give NaN as the query's gradient: in
half precision, for a key length of 64 more than a multiple of 128, in rows of low log-sum-exp, which finite masks make
(pytorch#196678). torch 2.15 and newer are clean. So a masked call takes the helper's `scaled_dot_product_attention`:
torch's own parameters and kernels, but not cuDNN in that corner, at no cost elsewhere.

`nan-guard = "auto"`, the default, writes torch's own function where no torch that the project's files admit is one of
these, or where the project is an application in which nothing takes a gradient; `"off"` everywhere. `"on"` guards
unmasked calls as well, which can meet the corner too, but seldom do.
"""

from xf2sdpa.model import Note, Way
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.MASK
AFTER = ("mask_other",)
CODES = {
    "XF302": "masked SDPA can give NaN gradients on an H200 with torch 2.11 to 2.14",
    "XF306": "SDPA comes from the helper, which keeps off cuDNN where its gradient may be NaN",
}
NOTES = ("XF302", "XF306")
EXAMPLES = (
    Example(
        before="""\
import torch
import xformers.ops as xops


def f(q, k, v, b, h, n):
    q = q.view(b, n, h, -1)
    mask = torch.zeros(b, h, n, n, dtype=q.dtype)
    return xops.memory_efficient_attention(q, k, v, attn_bias=mask).flatten(2)
""",
        after="""\
import torch
from _attention_compat import scaled_dot_product_attention


def f(q, k, v, b, h, n):
    q = q.view(b, n, h, -1)
    mask = torch.zeros(b, h, n, n, dtype=q.dtype)
    return scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask
    ).transpose(1, 2).flatten(2)
""",
        helper=True,
    ),
)
PLAIN = Note(
    "XF302",
    "with torch 2.11 to 2.14 (cuDNN before 9.26) on a Hopper GPU, a masked call whose key length is 64 more than a "
    "multiple of 128 can give NaN gradients (pytorch#196678)",
    "Train with torch.backends.cuda.enable_cudnn_sdp(False) there, or with torch 2.15.",
)
GUARDED = Note(
    "XF306",
    "scaled_dot_product_attention comes from the helper: torch's own, but not by cuDNN where its gradient may be NaN",
    "With torch 2.15 or newer as the oldest that the project admits, the next run takes torch's own.",
)
UNWANTED = "no gradient falls into the NaN corner of cuDNN before 9.26, as nan-guard is off"


def decide(draft: CallDraft) -> None:
    """Choose between torch's own function and the helper's."""
    mask, wish, file = draft.arguments.get("attn_bias"), draft.file.settings.nan_guard, draft.file
    masked = mask is not None and mask.keyword == "attn_mask"
    causal = mask is not None and mask.keyword == "is_causal" and mask.text == "True"
    if not masked and (wish != "on" or causal or file.compat is None):
        return
    if wish == "off":
        draft.assume(UNWANTED, Way.WISH)
    elif file.compat is None:
        draft.notes.append(PLAIN)
    elif wish == "auto" and file.plain_masks is not None:
        if file.plain_masks:
            draft.assume(file.plain_masks, Way.INDEX)
    else:
        draft.guarded = True
        draft.notes.append(GUARDED)
