"""The call sites: a layer as many are written, and functions around the operator."""

import xformers.ops as xops
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, width=16, heads=2, causal=True, dropout=0.0):
        super().__init__()
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).unbind(2)
        mask = xops.LowerTriangularMask() if self.causal else None
        x = xops.memory_efficient_attention(q, k, v, attn_bias=mask, p=self.dropout)
        return self.out(x.view(b, n, c))


def compiled(q, k, v):
    return xops.memory_efficient_attention(q, k, v).flatten(2)


def in_place(q, k, v):
    out = xops.memory_efficient_attention(q, k, v)
    out.mul_(2).add_(q.detach())
    q.detach().zero_()
    return out


def popped(items):
    return xops.memory_efficient_attention(items.pop(), (k := items.pop()), next(iter(items))) * k.sum()


async def awaited(given, name):
    return xops.memory_efficient_attention(await given(name), await given(name + "k"), await given(name + "vv"))


def counted(q, k, v):
    return xops.memory_efficient_attention(q, k, v, scale=0.25)


def kept(q, k, v):
    return xops.memory_efficient_attention(q, k, v, scale=0.125)


def never(q, k, v):
    return xops.memory_efficient_attention(q, k, v)
