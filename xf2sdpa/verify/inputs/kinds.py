"""Kinds of mask: which of them a site may get, and at which sizes xformers accepts them.

A kind is `none`, `causal`, one of `TENSORS`, or the name of one of xformers' mask classes.
"""

from __future__ import annotations

import re

from xf2sdpa.analysis.values import Mask, NoneValue, OneOf, Tensor, Value
from xf2sdpa.verify.inputs.shapes import Shape
from xf2sdpa.verify.planning.namespace import Helper
from xf2sdpa.verify.planning.plan import SitePlan

LEARNT = "tensor, learnt"
TENSORS = ("tensor", "tensor, a row closed", LEARNT)
_CLASSES = {"causal": "LowerTriangularMask"}
"""The classes of kinds that are not named after their class."""
_OBJECTS = (
    "causal",
    "LowerTriangularFromBottomRightMask",
    "BlockDiagonalMask",
    "BlockDiagonalCausalMask",
    "BlockDiagonalCausalFromBottomRightMask",
)
"""The most frequent mask objects, for a helper call whose mask is not known."""


def class_of(kind: str) -> str:
    """The name of xformers' class for a kind that is an object."""
    return _CLASSES.get(kind, kind)


def is_tensor(kind: str) -> bool:
    """Whether a mask of this kind is a tensor."""
    return kind.startswith("tensor")


def kinds_for(plan: SitePlan, helper: Helper | None) -> tuple[str, ...]:
    """The kinds of mask that a site may get."""
    known = _kinds_of(plan.bias)
    if known:
        return known
    if plan.mask == "none":
        return ("none",)
    if plan.report.kind == "compat":
        return ("none", *(kind for kind in (*TENSORS, *_OBJECTS) if _holds(helper, kind)))
    new = plan.shadow.new if plan.shadow else ""  # an inline call takes only masks that it has an argument for
    return ("none", *TENSORS) if "attn_mask=" in new else ("none", "causal")


def untried_for(plan: SitePlan, helper: Helper | None) -> tuple[str, ...]:
    """The kinds of mask that a call of the helper could get, but that its copy has no part for: nothing makes them."""
    if plan.report.kind != "compat" or plan.mask == "none" or _kinds_of(plan.bias):
        return ()
    return tuple(kind for kind in (*TENSORS[:1], *_OBJECTS) if not _holds(helper, kind))


def _holds(helper: Helper | None, kind: str) -> bool:
    """Whether a copy of the helper has the part for a kind of mask; without a copy, a tensor needs none."""
    if helper is None:
        return is_tensor(kind)
    part = r"def _as_mask" if is_tensor(kind) else rf"class {class_of(kind)}"
    return re.search(rf"^{part}\b", helper.text, re.MULTILINE) is not None


def _kinds_of(bias: Value | None) -> tuple[str, ...]:
    """What the analysis knows of a bias, as kinds of mask; empty if it could be anything."""
    if isinstance(bias, OneOf):
        each = [_kinds_of(option) for option in bias.options]
        return tuple(sorted(set().union(*each))) if all(each) else ()
    if isinstance(bias, Mask):
        return ("causal" if bias.name == class_of("causal") else bias.name,)
    if isinstance(bias, Tensor):
        return TENSORS
    return ("none",) if isinstance(bias, NoneValue) else ()


def rank_of(bias: Value | None) -> int | None:
    """The rank of a tensor bias, if the analysis proved it."""
    tensors = [x for x in (bias.options if isinstance(bias, OneOf) else (bias,)) if isinstance(x, Tensor)]
    return tensors[0].rank.known if tensors else None


def taken(kind: str, shape: Shape, *, float64: bool) -> bool:
    """Whether xformers accepts a mask at these sizes, and all its kernels agree on its meaning."""
    if kind == LEARNT:
        return shape.keys % 8 == 0 and not float64  # its gradient is contiguous, which needs N % 8 == 0
    if "BottomRight" in kind or "WithOffset" in kind:
        return shape.queries <= shape.keys
    return not (kind.startswith("BlockDiagonal") and "Local" in kind) or shape.queries == shape.keys


def forward_only(kind: str, rank: int) -> str:
    """Why xformers computes no gradients for this mask and rank of query, key and value; empty if it does."""
    if rank == 5:
        return "forward only: xformers has no gradients for five dimensions"
    if kind == "LowerTriangularMaskWithTensorBias":
        return f"forward only: xformers has no gradients for {kind}"
    return ""
