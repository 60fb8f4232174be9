"""A torch-only stand-in for the attention of `xformers.ops`, importable, and copied into users' packages.

Six source modules, each of which uses only those before it:

| module | contains |
|---|---|
| `kernels.py` | attention on heads-first tensors: SDPA, the guard against cuDNN's NaN, bands, packed sequences |
| `sequences.py` | the offsets of packed sequences, and attention within each sequence |
| `masks.py`, `packed_masks.py` | the mask classes for one sequence and for several; each computes its attention |
| `attention.py` | the entry points, and the names of ops |
| `ops.py` | SwiGLU, RMSNorm, `index_select_cat`, `scaled_index_add` |

**How a copy is assembled.** The six modules are joined in this order, without the module docstrings and the
`from xf2sdpa.compat…` lines (no name is defined twice or renamed by an import). The other imports are merged,
and only the top-level definitions are kept that the wanted names use, directly or not, annotations included; of
classes, the methods that something calls; a statement whose first line ends with `# for NAME`, where that is used.
This works because top-level statements only define names. The one lookup by string is in `_as_bias`, which
looks for a mask class in `globals()` and finds those that the copy contains. `standin.py` is not copied.
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
from xf2sdpa.compat.kernels import scaled_dot_product_attention, use_flex
from xf2sdpa.compat.masks import (
    AttentionBias,
    AttentionMask,
    LocalAttentionFromBottomRightMask,
    LowerTriangularFromBottomRightLocalAttentionMask,
    LowerTriangularFromBottomRightMask,
    LowerTriangularMask,
    LowerTriangularMaskWithTensorBias,
)
from xf2sdpa.compat.ops import RMSNorm, SwiGLU, index_select_cat, rms_norm, rms_norm_add, scaled_index_add, swiglu
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
    "scaled_dot_product_attention",
    "scaled_index_add",
    "swiglu",
    "uninstall",
    "use_flex",
]
