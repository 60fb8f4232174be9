"""The layout: xformers takes `[B, M, H, K]`, SDPA takes `[B, H, M, K]`.

A 4-D call gets its heads moved, `.transpose(1, 2)` on the way in and out. A 3-D call `[B, M, K]` has one head:
`.unsqueeze(1)` in, `.squeeze(1)` out; handed over as it is, it would run unfused, and transposed it would attend over
channels without any error. So the number of dimensions must be proved by what the function shows: sizes given to
`view`, `reshape` or `permute`, an unpacked shape, an einops pattern, a helper of the same file. Where only another
path of the function unpacks the shape of an argument, its rank is assumed, and the new text checks it before the call
(XF307); so it is where all calls of the function in the project pass tensors of one rank, two calls up, where a
subclass may override what shows the rank, and where a library documents it. Where no check can stand, the call is
the helper's. Since torch 2.0.
"""

import ast

from xf2sdpa.analysis.values import BY_CALLERS
from xf2sdpa.edits.kinds import ArgumentEdit
from xf2sdpa.model import Way
from xf2sdpa.rulekit.checks import check_before
from xf2sdpa.rulekit.draft import CallDraft, Refusal
from xf2sdpa.rulekit.recorded import seen_at
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.INPUTS
CODES = {
    "XF101": "a 4-D call: heads are moved with .transpose(1, 2)",
    "XF102": "a 3-D call: a head dimension is added with .unsqueeze(1)",
    "XF201": "the number of dimensions of query, key and value is not shown by the function",
    "XF202": "the evidence for the number of dimensions disagrees",
    "XF203": "grouped-query inputs with five dimensions",
}
EXAMPLES = (
    Example(
        before="""\
import torch
import xformers.ops


def attend(x, qkv, b, n, h):
    q, k, v = qkv(x).view(b, n, 3, h, -1).unbind(2)
    return xformers.ops.memory_efficient_attention(q, k, v).reshape(b, n, -1)
""",
        after="""\
import torch


def attend(x, qkv, b, n, h):
    q, k, v = qkv(x).view(b, n, 3, h, -1).unbind(2)
    return torch.nn.functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).reshape(b, n, -1)
""",
    ),
)

_MOVES = {4: (".transpose(1, 2)", ".transpose(1, 2)", "XF101"), 3: (".unsqueeze(1)", ".squeeze(1)", "XF102")}


def decide(draft: CallDraft) -> None:
    """Give query, key and value the moves of their rank, or refuse."""
    site = draft.site
    if site.rank == 5:
        advice = "Expand key and value to 4-D, or flatten the groups and use enable_gqa=True."
        raise Refusal("XF203", "query, key and value have five dimensions (groups and heads)", advice)
    if site.conflict:
        advice = "Make the shapes on the way to this call agree, or assert the rank: assert query.ndim == 4."
        raise Refusal("XF202", "the code gives query, key and value different numbers of dimensions", advice)
    rank = site.rank if site.rank is not None else _supposed(draft) or _seen(draft)
    if rank not in _MOVES:
        advice = "State it where the call is made, `b, n, h, d = query.shape`, or `assert query.ndim == 4`."
        raise Refusal("XF201", "the function does not show whether query, key and value are 3-D or 4-D", advice)
    if site.given and not _checked(draft, rank, _reason(site.given)):
        advice = "Give query, key or value a name in a statement of its own, for a check of the dimensions before it."
        raise Refusal("XF201", "the dimensions are assumed, and no check of them can stand before the call", advice)
    move_in, move_out, draft.code = _MOVES[rank]
    draft.rank = rank
    draft.suffix = move_out
    for sentence in sorted(site.given):
        draft.assume(sentence)
    for name in ("query", "key", "value"):
        draft.arguments[name] = ArgumentEdit(None, suffix=move_in)


def _checked(draft: CallDraft, rank: int, why: str) -> bool:
    """Ask for a check of a rank that is assumed, on the first argument that is a variable; whether there is a place."""
    node = next((n for n in map(draft.argument, ("query", "key", "value")) if isinstance(n, ast.Name)), None)
    if node is None:
        return False
    message = f"{node.id} must have {rank} dimensions here, {why}"
    return check_before(draft, node.id, f"{node.id}.ndim != {rank}", message)


def _reason(given: frozenset[str]) -> str:
    """Why a rank is assumed, as a clause; what would break a string in double quotes is not said."""
    if any(sentence.startswith(BY_CALLERS) for sentence in given):
        return "as all callers passed"
    said = next((s for s in sorted(given) if not set(s) & set('"\\\n')), "")
    return f"assuming that {said}" if said else "as was assumed"


def _seen(draft: CallDraft) -> int | None:
    """The rank that came in every case of a recorded run, if a check of it can stand before the call."""
    seen, node = seen_at(draft), draft.argument("query")
    if seen is None or seen.rank not in _MOVES or not isinstance(node, ast.Name):
        return None
    message = f"{node.id} must have {seen.rank} dimensions here, as in the recorded run"
    if not check_before(draft, node.id, f"{node.id}.ndim != {seen.rank}", message):
        return None
    draft.assume(f"{node.id} has {seen.rank} dimensions here, as it had in the recorded run", Way.RUN)
    return seen.rank


def _supposed(draft: CallDraft) -> int | None:
    """The rank that another path of the function states of an argument, if a check of it can stand before the call."""
    name, rank = draft.site.supposed or ("", 0)
    node = draft.argument(name)
    if rank not in _MOVES or not isinstance(node, ast.Name):
        return None
    message = f"{node.id} must have {rank} dimensions here, as where its shape is unpacked"
    if not check_before(draft, node.id, f"{node.id}.ndim != {rank}", message):
        return None
    draft.assume(f"{node.id} has {rank} dimensions here as on the path where its shape is unpacked")
    return rank
