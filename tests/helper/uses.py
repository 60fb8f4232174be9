"""Projects that use names of xformers in their functions, signatures and decorators."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.helper.samples import CALLS_HELPER


@dataclass(frozen=True)
class Use:
    """A project that uses names of xformers in some way; `run` is in main.py."""

    name: str
    files: dict[str, str] = field(default_factory=dict)


def use(name: str, main: str, **others: str) -> Use:
    return Use(name, {"main.py": main} | {f"{module}.py": text for module, text in others.items()})


NAMES = [
    use("called and taken from the helper", CALLS_HELPER),
    use(
        "under another name",
        """\
from xformers.ops import memory_efficient_attention as attend


def run(q, k, v, bias=None):
    return "fast", attend(q, k, v, bias)
""",
    ),
    use(
        "two names, one renamed, in brackets",
        """\
from xformers.ops.fmha import (
    BlockDiagonalMask as Packed,
    memory_efficient_attention,  # the operator
)


def run(q, k, v):
    mask = Packed.from_seqlens([q.shape[1]] * q.shape[0])
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    return "fast", memory_efficient_attention(q, k, v, attn_bias=mask)
""",
    ),
    use(
        "the name is a local variable",
        """\
import xformers.ops as xops


def run(q, k, v, bias=None):
    memory_efficient_attention = "fast"
    return memory_efficient_attention, xops.memory_efficient_attention(q, k, v, attn_bias=bias)
""",
    ),
    use(
        "the name is a function of the file",
        """\
import xformers.ops as xops


def memory_efficient_attention(q, k, v, bias=None):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    return "fast", memory_efficient_attention(q, k, v)
""",
    ),
    use(
        "the name is a class of the file",
        """\
import xformers.ops as xops
from xformers.ops import fmha


class BlockDiagonalMask:
    @staticmethod
    def of(x):
        return fmha.BlockDiagonalMask.from_seqlens([x.shape[1]] * x.shape[0])


def run(q, k, v):
    mask = BlockDiagonalMask.of(q)
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    return "fast", xops.memory_efficient_attention(q, k, v, attn_bias=mask)
""",
    ),
    use(
        "the other name is taken too",
        """\
import xformers.ops as xops

compat_memory_efficient_attention = "fast"


def memory_efficient_attention(q, k, v, bias=None):
    return compat_memory_efficient_attention, xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    return memory_efficient_attention(q, k, v)
""",
    ),
    use(
        "a parameter has the name",
        """\
import xformers.ops as xops


def attend(q, k, v, memory_efficient_attention, bias=None):
    if memory_efficient_attention:
        return xops.memory_efficient_attention(q, k, v, attn_bias=bias)
    return q


def run(q, k, v):
    return "fast", attend(q, k, v, memory_efficient_attention=True)
""",
    ),
    use(
        "a method has the name",
        """\
import xformers.ops as xops


class Attention:
    def memory_efficient_attention(self, q, k, v, bias=None):
        return xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    return "fast", Attention().memory_efficient_attention(q, k, v)
""",
    ),
    use(
        "another import has the name",
        """\
import xformers.ops as xops
from other import memory_efficient_attention


def run(q, k, v, bias=None):
    return memory_efficient_attention(q), xops.memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        other="def memory_efficient_attention(x):\n    return 'fast'\n",
    ),
    use(
        "in annotations",
        """\
from typing import Optional, Union

import torch
import xformers.ops as xops
from xformers.ops import AttentionBias
from xformers.ops.fmha.attn_bias import BlockDiagonalMask

Bias = Optional[Union[BlockDiagonalMask, AttentionBias, torch.Tensor, str]]


def attend(q, k, v, mask: Bias = None, other: "Optional[xops.AttentionBias]" = None) -> torch.Tensor:
    bias: Optional[AttentionBias] = mask
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    import typing

    assert typing.get_type_hints(attend)["mask"] == Bias
    assert typing.get_type_hints(attend)["other"] is not None
    return "fast", attend(q, k, v)
""",
    ),
    use(
        "in isinstance",
        """\
import xformers.ops as xops
from xformers.ops import fmha


def attend(q, k, v, mask):
    if isinstance(mask, fmha.attn_bias.BlockDiagonalMask):
        return "packed", xops.memory_efficient_attention(q, k, v, attn_bias=mask)
    if isinstance(mask, (xops.LowerTriangularMask, xops.AttentionBias)):
        return "causal", xops.memory_efficient_attention(q, k, v, attn_bias=mask)
    return "none", xops.memory_efficient_attention(q, k, v)


def run(q, k, v):
    return attend(q, k, v, xops.LowerTriangularMask())
""",
    ),
    use(
        "in default arguments",
        """\
import xformers.ops as xops


def attend(q, k, v, mask=xops.LowerTriangularMask(), operator=xops.memory_efficient_attention):
    return operator(q, k, v, attn_bias=mask)


def run(q, k, v):
    return "fast", attend(q, k, v)
""",
    ),
    use(
        "in a class body",
        """\
import xformers.ops as xops
from xformers.ops import fmha


class Attention:
    mask = xops.LowerTriangularMask()
    Packed = fmha.BlockDiagonalMask
    operator = staticmethod(xops.memory_efficient_attention)

    def forward(self, q, k, v):
        return self.operator(q, k, v, attn_bias=self.mask)


def run(q, k, v):
    assert Attention.Packed.from_seqlens([2, 3]).materialize((5, 5)).shape == (5, 5)
    return "fast", Attention().forward(q, k, v)
""",
    ),
    use(
        "as a base class",
        """\
import xformers.ops as xops
from xformers.ops import AttentionBias, LowerTriangularMask


class Causal(LowerTriangularMask):
    name = "fast"


def run(q, k, v):
    mask = Causal()
    assert isinstance(mask, AttentionBias)
    return mask.name, xops.memory_efficient_attention(q, k, v, attn_bias=mask)
""",
    ),
    use(
        "in a decorator",
        """\
import functools

import xformers.ops as xops

known = {}


def named(value):
    def decorate(function):
        known[value] = function
        return function

    return decorate


@named(xops.LowerTriangularMask)
@functools.wraps(xops.memory_efficient_attention)
def attend(q, k, v, bias):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    return "fast", known[xops.LowerTriangularMask](q, k, v, xops.LowerTriangularMask())
""",
    ),
]
