"""Projects that keep names of xformers in tables, attributes and other files."""

from __future__ import annotations

from tests.helper.uses import use

VALUES = [
    use(
        "in __all__",
        """\
import shared


def run(q, k, v):
    assert set(shared.__all__) <= set(vars(shared))
    return "fast", shared.memory_efficient_attention(q, k, v, shared.LowerTriangularMask())
""",
        shared="""\
from xformers.ops import LowerTriangularMask, memory_efficient_attention

__all__ = ["LowerTriangularMask", "memory_efficient_attention"]
""",
    ),
    use(
        "masks in a dict",
        """\
import xformers.ops as xops
from xformers.ops import fmha

cache = {}


def mask_for(lengths):
    key = tuple(lengths)
    if key not in cache:
        cache[key] = fmha.BlockDiagonalMask.from_seqlens(lengths)
        cache[key]._batch_sizes = [len(lengths)]
    return cache[key]


def run(q, k, v):
    lengths = [q.shape[1]] * q.shape[0]
    assert mask_for(lengths) is mask_for(lengths)
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    out = xops.memory_efficient_attention(q, k, v, attn_bias=mask_for(lengths))
    return "fast", mask_for(lengths).split(out)[0]
""",
    ),
    use(
        "masks in the object",
        """\
import xformers.ops as xops
from xformers.ops.fmha.attn_bias import BlockDiagonalCausalMask, BlockDiagonalMask


class Attention:
    def __init__(self):
        self.masks = [None, BlockDiagonalMask, BlockDiagonalCausalMask]
        self.mask = None

    def prepare(self, x):
        if self.mask is None:
            self.mask = self.masks[1].from_seqlens([x.shape[1]] * x.shape[0]).make_causal()
        assert type(self.mask) is self.masks[2]

    def forward(self, q, k, v):
        self.prepare(q)
        q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
        return xops.memory_efficient_attention(q, k, v, attn_bias=self.mask)


def run(q, k, v):
    return "fast", Attention().forward(q, k, v)
""",
    ),
    use(
        "a mask from another file",
        """\
import xformers.ops as xops
from masks import packed


def run(q, k, v):
    mask, (q, k, v) = packed(q, k, v)
    return "fast", xops.memory_efficient_attention(q, k, v, attn_bias=mask)
""",
        masks="""\
import torch
from xformers.ops.fmha import BlockDiagonalMask


def packed(*tensors):
    mask, _ = BlockDiagonalMask.from_tensor_list([tensors[0]])
    return mask, [BlockDiagonalMask.from_tensor_list([x])[1] for x in tensors]
""",
    ),
    use(
        "the operator as a value",
        """\
import functools

import xformers.ops as xops

OPERATORS = {"fast": xops.memory_efficient_attention, "slow": None}
partial = functools.partial(xops.memory_efficient_attention, p=0.0)


def timed(function, *args, **kwargs):
    return function(*args, **kwargs)


def run(q, k, v):
    first = OPERATORS["fast"](q, k, v)
    return "fast", first + partial(q, k, v) + timed(xops.memory_efficient_attention, q, k, v, attn_bias=None)
""",
    ),
    use(
        "the operator assigned, and called in another file",
        """\
import ops
from ops import attend as same


def run(q, k, v):
    b, n, h, d = q.shape
    return "fast", ops.attend(q, k, v) + same(q, k, v)
""",
        ops="""\
import xformers.ops

attend = xformers.ops.memory_efficient_attention
""",
    ),
    use(
        "the operator imported from where it was imported",
        """\
from ops import LowerTriangularMask, attend, memory_efficient_attention


def run(q, k, v):
    b, n, h, d = q.shape
    return "fast", memory_efficient_attention(q, k, v, LowerTriangularMask()) + attend(q, k, v)
""",
        ops="""\
from xformers.ops import LowerTriangularMask, memory_efficient_attention


def attend(q, k, v):
    b, n, h, d = q.shape
    return memory_efficient_attention(q, k, v)
""",
    ),
    use(
        "a module taken from where it was imported",
        """\
from ops import xops


def run(q, k, v):
    b, n, h, d = q.shape
    return "fast", xops.memory_efficient_attention(q, k, v)
""",
        ops="import xformers.ops as xops\n",
    ),
    use(
        "a star",
        """\
from xformers.ops import *


def run(q, k, v, bias=None):
    return "fast", memory_efficient_attention(q, k, v, attn_bias=bias)
""",
    ),
    use(
        "an op by name",
        """\
import xformers.ops as xops
from xformers.ops import MemoryEfficientAttentionFlashAttentionOp


class Attention:
    def __init__(self, attention_op=MemoryEfficientAttentionFlashAttentionOp):
        self.attention_op = attention_op

    def forward(self, q, k, v, bias=None):
        return xops.memory_efficient_attention(q, k, v, attn_bias=bias, op=self.attention_op)


def run(q, k, v):
    return "fast", Attention().forward(q, k, v)
""",
    ),
    use(
        "other operators",
        """\
import torch
from xformers.ops import SwiGLU, memory_efficient_attention, unbind


def run(q, k, v, bias=None):
    torch.manual_seed(0)
    layer = SwiGLU(q.shape[-1], 16).double()
    first, _ = unbind(torch.stack([q, q]), 0)
    return "fast", layer(memory_efficient_attention(first, k, v, attn_bias=bias))
""",
    ),
    use(
        "from mslk",
        """\
from mslk.attention import fmha
from mslk.attention.fmha.attn_bias import BlockDiagonalMask


def run(q, k, v):
    mask = BlockDiagonalMask.from_seqlens([q.shape[1]] * q.shape[0])
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    return "fast", fmha.memory_efficient_attention(q, k, v, attn_bias=mask)
""",
    ),
]
