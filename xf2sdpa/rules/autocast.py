"""Autocast: xformers computes in the dtype it is given, SDPA is on autocast's lower-precision list.

With float32 inputs inside `torch.autocast`, xformers returns float32 and SDPA would return bfloat16. So one of query,
key and value (xformers takes only equal dtypes) must come from an operation that autocast lowers itself, a linear
layer, a convolution, a product, through operations that keep the dtype. A cast to half in plain sight is nearly as
good: only autocast to the other half type would make a difference. Where neither is seen and nothing is cast up, the
rewrite rests on an assumption. Assumptions stand in the report. What is added to, multiplied by or joined with a
float32 parameter, buffer or literal tensor (`torch.zeros(…)`) of the same file is float32 as well, as if it were cast.

Where they may be float32, the call goes on in `with torch.autocast(q.device.type, enabled=False):`, if its statement
does nothing else that autocast has a say in; else it goes to the helper, which does the same around its kernel.
"""

from xf2sdpa.analysis.values import DType
from xf2sdpa.model import Note
from xf2sdpa.rulekit.autocast_off import with_device
from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.INPUTS
AFTER = ("heads_first",)
CODES = {
    "XF204": "query, key or value is cast to float32, which SDPA would undo under autocast",
    "XF124": "autocast is switched off around the call, whose inputs may be float32",
}
NOTES = ("XF124",)
RETIRED = {"XF301": "assumed: autocast does not change the dtype that the call computes in"}
EXAMPLES = (
    Example(
        before="""\
import torch
import torch.nn.functional as F
import xformers.ops as xops


def attend(q, k, v, b, n, h):
    q, k, v = (t.view(b, n, h, -1).float() for t in (q, k, v))
    return xops.memory_efficient_attention(q, k, v).flatten(2)
""",
        after="""\
import torch
import torch.nn.functional as F


def attend(q, k, v, b, n, h):
    q, k, v = (t.view(b, n, h, -1).float() for t in (q, k, v))
    with torch.autocast(q.device.type, enabled=False):
        return F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        ).transpose(1, 2).flatten(2)
""",
    ),
    Example(
        """\
import xformers.ops as xops


def attend(q, k, v, b, n, h, project):
    q, k, v = (t.view(b, n, h, -1).float() for t in (q, k, v))
    return project(xops.memory_efficient_attention(q, k, v))
"""
    ),
)
ASSUMPTION = "inside autocast, query, key and value are not float32 (the function does not show where they come from)"
SWITCHED_OFF = Note(
    "XF124",
    "query, key and value may be float32 here, so autocast is switched off around the call: xformers did not heed it",
    "Drop the upcast and the `with`, if half precision is meant.",
)
SAME_HALF = "autocast, if it is on here, is on for the half type that the inputs are cast to"


def decide(draft: CallDraft) -> None:
    """Switch autocast off where a cast to float32 is seen, or refuse; assume where the origin is not seen."""
    dtypes = set(draft.site.dtypes)
    if DType.AUTOCAST in dtypes:
        return
    if DType.HALF in dtypes:
        draft.assume(SAME_HALF)
        return
    if DType.FLOAT32 in dtypes:
        draft.full_precision = with_device(draft)
        if draft.full_precision is not None:
            draft.read.add(draft.full_precision)
            draft.notes.append(SWITCHED_OFF)
            return
        message = "query, key and value are float32 here; under autocast SDPA would compute and return half precision"
        raise Refusal(
            "XF204",
            message,
            "Drop the upcast, or cast back behind it, if half precision is meant; or wrap the call in "
            "autocast(enabled=False).",
        )
    draft.assume(ASSUMPTION)
