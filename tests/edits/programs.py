"""Small programs on which an editor might go wrong, each in its own way."""

from __future__ import annotations

PLAIN = """\
import torch
import torch.nn.functional as F
import xformers.ops as xops
from elsewhere import kept


@kept
def first(q, k, v):
    b, n, h, d = q.shape
    # why it is done
    out = xops.memory_efficient_attention(q, k, v, p=kept.p)  # behind it
    return out.view(b, n, -1)


def second(x, other):
    y = other(x)
    z = other(y)
    return z
"""
STAYING = PLAIN.replace("z = other(y)", "z = other(y, xops.memory_efficient_attention)")
"""The import stays, as the operator is used as a value."""
NESTED = """\
import torch.nn.functional as F
import xformers.ops as xops


def attend(q, k, v, project):
    b, n, h, d = q.shape
    return project(xops.memory_efficient_attention(q, k, v), b, n)
"""
CHAIN = """\
import torch.nn.functional as F
from xformers.ops import memory_efficient_attention


def attend(q, k, v, mode):
    if mode == 1:
        out = q
    elif not hasattr(F, "scaled_dot_product_attention"):
        out = memory_efficient_attention(q, k, v)
    elif mode == 2:
        out = k
    else:
        out = v
    return out
"""
EMPTIED = """\
import torch.nn.functional as F


def attend(q, k, v, wanted):
    b, n, h, d = q.shape
    if wanted():
        import xformers.ops as xops
    return xops.memory_efficient_attention(q, k, v).flatten(2)
"""
SEMICOLONS = """\
import torch.nn.functional as F
import re; import xformers.ops as xops; import json


def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).flatten(2)
"""
MASKED = """\
import torch.nn.functional as F
import xformers.ops as xops


def attend(q, k, v):
    b, n, h, d = q.shape
    before = q.sum()
    mask = xops.LowerTriangularMask()
    after = k.sum()
    return xops.memory_efficient_attention(q, k, v, attn_bias=mask).flatten(2) + before + after
"""
HEADS_FIRST = """\
import torch.nn.functional as F
import xformers.ops as xops


def attend(q, k, v):
    b, h, n, d = q.shape
    k = k.transpose(1, 2)
    return xops.memory_efficient_attention(q.transpose(1, 2), k, v.transpose(1, 2)).transpose(1, 2)
"""
ATTRIBUTE = """\
from xformers.ops import fmha


def pack(lengths, first):
    return fmha.BlockDiagonalMask.from_seqlens(lengths, first.size, first.shape)
"""
COMPARED = """\
try:
    import xformers.ops as xops
except ImportError:
    xops = None


def attend(q, k, v, bias, n):
    fast = xops is not None
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias) if fast and n > 1 else None
"""
NEGATED = COMPARED.replace("xops is not None", "not xops")
NAMED = COMPARED.replace("fast = xops is not None", "fast = (n, 1 if bias(n) or xops else n)[1]")
CHOSEN = COMPARED.replace("fast = xops is not None", "fast = (n if bias else q, 1 if xops else k)")
CHAINED = COMPARED.replace("fast = xops is not None", "fast = (n or q, 1 if n and xops and k else 2)")
LEFT = """\
import torch.nn.functional as F
import xformers.ops as xops
from xformers.ops import memory_efficient_attention


def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).flatten(2)


def other(q, k, v, bias):
    one = memory_efficient_attention(q, k, v, attn_bias=bias)
    return one + memory_efficient_attention(q, k, v, attn_bias=bias)  # xf2sdpa: ignore
"""
QUOTED = """\
import xformers.ops as xops


def attend(q, k, v, bias: "xops.AttentionBias", name: str = "fast"):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)
"""
