"""A gated feed-forward layer, fused where it can be."""

import os
import warnings

import torch.nn.functional as F
from torch import Tensor, nn


class SwiGLUFFN(nn.Module):
    """The layer in plain torch."""

    def __init__(self, in_features: int, hidden_features=None, out_features=None, bias: bool = True) -> None:
        super().__init__()
        out_features = out_features or in_features
        hidden_features = hidden_features or in_features
        self.w12 = nn.Linear(in_features, 2 * hidden_features, bias=bias)
        self.w3 = nn.Linear(hidden_features, out_features, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


XFORMERS_ENABLED = os.environ.get("XFORMERS_DISABLED") is None
try:
    if XFORMERS_ENABLED:
        from xformers.ops import SwiGLU

        XFORMERS_AVAILABLE = True
        warnings.warn("xFormers is available (SwiGLU)", stacklevel=2)
    else:
        warnings.warn("xFormers is disabled (SwiGLU)", stacklevel=2)
        raise ImportError
except ImportError:
    SwiGLU = SwiGLUFFN
    XFORMERS_AVAILABLE = False
    warnings.warn("xFormers is not available (SwiGLU)", stacklevel=2)


class SwiGLUFFNFused(SwiGLU):
    """The layer with a hidden width that kernels like."""

    def __init__(self, in_features: int, hidden_features=None, out_features=None, bias: bool = True) -> None:
        hidden_features = hidden_features or in_features
        hidden_features = (int(hidden_features * 2 / 3) + 7) // 8 * 8
        super().__init__(in_features, hidden_features, out_features or in_features, bias=bias)
