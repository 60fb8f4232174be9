"""The names of xformers' attention API, under every module path that has ever exported them.

Source: xformers 0.0.13 to 0.0.35, and `mslk.attention.fmha`, to which the implementation moved in 2026.
"""

from __future__ import annotations

import re

ROOTS = ("xformers", "mslk")
"""The top-level packages whose names this project resolves; comments call them "ours"."""

_PREFIXES = (
    "xformers.ops.fmha.attn_bias.",
    "xformers.ops.fmha.",
    "xformers.ops.",
    "mslk.attention.fmha.attn_bias.",
    "mslk.attention.fmha.",
)

ATTENTION = "memory_efficient_attention"
FORWARD_ONLY = "memory_efficient_attention_forward"
ATTENTION_VARIANTS = frozenset(
    {
        FORWARD_ONLY,
        "memory_efficient_attention_forward_requires_grad",
        "memory_efficient_attention_backward",
        "memory_efficient_attention_partial",
        "merge_attentions",
    }
)
NEVER_RELEASED = frozenset({"xformers.ops.cross_entropy"})
"""Names that published code imports and that no release of xformers has ever had."""
CAUSAL = "LowerTriangularMask"
_MASK_CLASS = re.compile(
    r"Attention(Bias|Mask)|(LowerTriangular|BlockDiagonal|PagedBlock|LocalAttention)\w*(Mask|Bias)"
)


def is_mask_class(api: str | None) -> bool:
    """Whether a name is that of a class of mask objects."""
    return api is not None and _MASK_CLASS.fullmatch(api) is not None


PARAMETERS = ("query", "key", "value", "attn_bias", "p", "scale")
"""Positional parameters of `memory_efficient_attention`, in order (xformers 0.0.16 and later)."""
KEYWORDS = frozenset({*PARAMETERS, "op", "output_dtype"})


def api_name(dotted: str | None) -> str | None:
    """The API's own name for a dotted path: `xformers.ops.fmha.attn_bias.X` and `xformers.ops.X` are both `X`.

    None for anything that is not below the attention packages.
    """
    if dotted is None:
        return None
    for prefix in _PREFIXES:
        if dotted.startswith(prefix):
            return dotted[len(prefix) :]
    return None


def is_ours(dotted: str | None) -> bool:
    """Whether a dotted path starts with xformers or mslk."""
    return dotted is not None and dotted.partition(".")[0] in ROOTS
