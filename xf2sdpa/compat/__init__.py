"""A torch-only stand-in for the attention of `xformers.ops`, importable, and copied into users' packages.

Six source modules, each using only those before it:

| module | holds |
|---|---|
| `kernels.py` | one attention on heads-first tensors: SDPA, the NaN guard, bands, packed sequences |
| `sequences.py` | where packed sequences lie, and attention within each |
| `masks.py`, `packed_masks.py` | the mask classes, of one sequence and of several; each knows how to attend |
| `attention.py` | the entry points, and the names of ops |
| `ops.py` | SwiGLU, RMSNorm, `index_select_cat`, `scaled_index_add` |

**How a copy is assembled.** Put the six one behind the other in this order, drop the module docstrings and
the `from xf2sdpa.compat…` lines (no name is defined twice, none is renamed by an import), merge the other
imports, and keep the top-level definitions that the wanted names reach, annotations and all. That is all:
nothing registers itself, no statement at top level does anything but define. One lookup goes by string:
`_as_bias` asks `globals()` for a mask class, and finds those that the copy kept. `standin.py` stays here.
"""

from __future__ import annotations

from xf2sdpa.compat.attention import (
    AttentionBwOpBase,
    AttentionFwOpBase,
    AttentionOp,
    AttentionOpBase,
    MemoryEfficientAttentionCkOp,
    MemoryEfficientAttentionCutlassFwdFlashBwOp,
    MemoryEfficientAttentionCutlassOp,
    MemoryEfficientAttentionFlashAttentionOp,
    MemoryEfficientAttentionOp,
    MemoryEfficientAttentionSplitKCkOp,
    MemoryEfficientAttentionTritonFwdFlashBwOp,
    TritonFlashAttentionOp,
    memory_efficient_attention,
    memory_efficient_attention_forward,
    memory_efficient_attention_forward_requires_grad,
)
from xf2sdpa.compat.masks import (
    AttentionBias,
    AttentionMask,
    LocalAttentionFromBottomRightMask,
    LowerTriangularFromBottomRightLocalAttentionMask,
    LowerTriangularFromBottomRightMask,
    LowerTriangularMask,
    LowerTriangularMaskWithTensorBias,
)
from xf2sdpa.compat.ops import (
    RMSNorm,
    SwiGLU,
    index_select_cat,
    rms_norm,
    rms_norm_add,
    scaled_index_add,
    swiglu,
)
from xf2sdpa.compat.packed_masks import (
    BlockDiagonalCausalFromBottomRightMask,
    BlockDiagonalCausalLocalAttentionFromBottomRightMask,
    BlockDiagonalCausalLocalAttentionMask,
    BlockDiagonalCausalLocalAttentionPaddedKeysMask,
    BlockDiagonalCausalMask,
    BlockDiagonalCausalWithOffsetPaddedKeysMask,
    BlockDiagonalLocalAttentionPaddedKeysMask,
    BlockDiagonalMask,
    BlockDiagonalPaddedKeysMask,
)
from xf2sdpa.compat.standin import install, uninstall

__all__ = [
    "AttentionBias",
    "AttentionBwOpBase",
    "AttentionFwOpBase",
    "AttentionMask",
    "AttentionOp",
    "AttentionOpBase",
    "BlockDiagonalCausalFromBottomRightMask",
    "BlockDiagonalCausalLocalAttentionFromBottomRightMask",
    "BlockDiagonalCausalLocalAttentionMask",
    "BlockDiagonalCausalLocalAttentionPaddedKeysMask",
    "BlockDiagonalCausalMask",
    "BlockDiagonalCausalWithOffsetPaddedKeysMask",
    "BlockDiagonalLocalAttentionPaddedKeysMask",
    "BlockDiagonalMask",
    "BlockDiagonalPaddedKeysMask",
    "LocalAttentionFromBottomRightMask",
    "LowerTriangularFromBottomRightLocalAttentionMask",
    "LowerTriangularFromBottomRightMask",
    "LowerTriangularMask",
    "LowerTriangularMaskWithTensorBias",
    "MemoryEfficientAttentionCkOp",
    "MemoryEfficientAttentionCutlassFwdFlashBwOp",
    "MemoryEfficientAttentionCutlassOp",
    "MemoryEfficientAttentionFlashAttentionOp",
    "MemoryEfficientAttentionOp",
    "MemoryEfficientAttentionSplitKCkOp",
    "MemoryEfficientAttentionTritonFwdFlashBwOp",
    "RMSNorm",
    "SwiGLU",
    "TritonFlashAttentionOp",
    "index_select_cat",
    "install",
    "memory_efficient_attention",
    "memory_efficient_attention_forward",
    "memory_efficient_attention_forward_requires_grad",
    "rms_norm",
    "rms_norm_add",
    "scaled_index_add",
    "swiglu",
    "uninstall",
]
