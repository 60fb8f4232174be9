"""A self-attention layer, written for xformers."""

import xformers.ops as xops
from torch import nn


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, causal if wanted."""

    def __init__(self, width, heads, causal=False):
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        """Attend."""
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.unbind(2)
        mask = xops.LowerTriangularMask() if self.causal else None
        x = xops.memory_efficient_attention(q, k, v, attn_bias=mask)  # [b, n, heads, c // heads]
        return self.out(x.view(b, n, c))
