"""Mask objects of xformers' own classes, or of their stand-ins, and the sequences that some of them pack."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.verify.inputs.kinds import class_of
from xf2sdpa.verify.inputs.shapes import Shape

Blocks = tuple[list[int], list[int]]
"""Lengths of the packed sequences, of queries and of keys."""

_BLOCK_DIAGONAL = {
    "BlockDiagonalMask": ("", 0),
    "BlockDiagonalCausalMask": ("make_causal", 0),
    "BlockDiagonalCausalFromBottomRightMask": ("make_causal_from_bottomright", 0),
    "BlockDiagonalCausalLocalAttentionMask": ("make_local_attention", 1),
    "BlockDiagonalCausalLocalAttentionFromBottomRightMask": ("make_local_attention_from_bottomright", 1),
    "BlockDiagonalPaddedKeysMask": ("from_seqlens", 0),
    "BlockDiagonalCausalWithOffsetPaddedKeysMask": ("from_seqlens", 0),
}
"""How each is made: a method of `BlockDiagonalMask` and how many windows it takes; or its own `from_seqlens`."""


def blocks_of(kind: str, shape: Shape) -> Blocks | None:
    """Lengths for a mask over packed sequences: 2 to 8 sequences, of different lengths if possible; else None."""
    if not kind.startswith("Block"):
        return None
    count = min(8, max(2, shape.batch))
    queries = [max(1, shape.queries * (count - index) // count) for index in range(count)]
    keys = [max(1, shape.keys * (count - index) // count) for index in range(count)]
    return queries, keys


def mask_object(
    kind: str, shape: Shape, blocks: Blocks | None, device: torch.device, bias: Callable[[], Tensor]
) -> Any:
    """A mask object of a kind; `bias` makes the tensor `[B, H, M, N]` for `LowerTriangularMaskWithTensorBias`.

    Raises:
        ValueError: this module cannot make objects of this class.
    """
    classes = importlib.import_module("xformers.ops.fmha.attn_bias")
    name = class_of(kind)
    window = max(1, shape.queries // 4)
    if name in {"LowerTriangularMask", "LowerTriangularFromBottomRightMask"}:
        return getattr(classes, name)()
    if name == "LowerTriangularMaskWithTensorBias":
        return getattr(classes, name)(bias())
    if name == "LowerTriangularFromBottomRightLocalAttentionMask":
        return getattr(classes, name)(window)
    if name == "LocalAttentionFromBottomRightMask":
        return getattr(classes, name)(window_left=window, window_right=window // 2)
    if blocks is None or name not in _BLOCK_DIAGONAL:
        raise ValueError(f"no inputs are known for {name}")
    method, arguments = _BLOCK_DIAGONAL[name]
    if method == "from_seqlens":
        queries, keys = blocks
        return getattr(classes, name).from_seqlens(queries, max(keys), keys, device=device)
    mask = classes.BlockDiagonalMask.from_seqlens(*blocks, device=device)
    return getattr(mask, method)(*([window] * arguments)) if method else mask
