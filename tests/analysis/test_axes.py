"""Which axis is that of the heads, through all that moves axes; checked against torch with sizes of their own."""

from __future__ import annotations

import ast

import pytest
import torch
from einops import rearrange

from xf2sdpa.analysis.axes import asked_shape, heads_among, indexed
from xf2sdpa.analysis.values import NONE, Scalar, Slice
from xf2sdpa.rewrite.engine import rewrite_text

B, N, HEADS, D = 2, 5, 3, 7
CHAINS = [
    "x.view(b, n, h, d)",
    "x.view((b, n, h, d)).transpose(1, 2)",
    "x.reshape([b, n, h, d]).transpose(-3, -2)",
    "x.reshape(b, n, h, d).swapaxes(-2, 1)",
    "torch.transpose(x.view(b, n, h, d), 1, 2)",
    "x.view(b, n, h, d).permute(0, 2, 1, 3)",
    "x.view(b, n, h, d).permute((0, 2, 1, -1)).transpose(1, 2)",
    "x.view(b, n, h, d).movedim(2, 1)",
    "torch.movedim(x.view(b, n, h, d), 1, 2)",
    "x.view(b, n, h, d).movedim(3, 0).movedim(0, 3)",
    "x.unflatten(-1, (h, d)).transpose(1, 2).contiguous()",
    "x.unflatten(2, (h, d)).float().to(x)",
    "x.view(b, n, h, d).transpose(1, 2).unsqueeze(0)[0]",
    "x.view(b, n, h, d).transpose(1, 2)[:, :, None].squeeze(2).view(b, h, n, d)",
    "x.view(b, n, h, d)[None].unbind(0)[0].transpose(1, 2)",
    "torch.stack([x.view(b, n, h, d).transpose(1, 2), x.view(b, n, h, d).transpose(1, 2)])[1]",
    "torch.stack([x.view(b, n, h, d), x.view(b, n, h, d)], dim=2).permute(2, 0, 3, 1, 4)[0]",
    "torch.stack((x.view(b, n, h, d), x.view(b, n, h, d)), 2)[:, :, 0]",
    "torch.cat([x.view(b, n, h, d).transpose(1, 2)], 2).chunk(2, 2)[0]",
    "x.view(b, n, h, d).transpose(1, 2) * 2 + x.view(b, n, h, d).transpose(1, 2)",
    "x.view(b, 1, n, h, d).flatten(0, 1).transpose(1, 2)",
    "x.view(b, n, h, d).transpose(1, 2).view_as(x.view(b, h, n, d))",
    "rearrange(x, 'b n (h d) -> b h n d', h=h)",
    "torch.einsum('bnhd->bhnd', x.view(b, n, h, d))",
]


@pytest.mark.parametrize("chain", CHAINS)
def test_the_note_says_where_the_heads_are(chain: str) -> None:
    text = f"""\
import torch
import xformers.ops as xops
from einops import rearrange

def attend(x, h, d):
    b, n, c = x.shape
    q = {chain}
    return xops.memory_efficient_attention(q, q, q).reshape(b, -1)
"""
    x = torch.randn(B, N, HEADS * D)
    result = eval(chain, {"x": x, "b": B, "n": N, "h": HEADS, "d": D, "torch": torch, "rearrange": rearrange})
    assert HEADS in result.shape[1:3]
    codes = [note.code for site in rewrite_text(text).sites for note in site.notes]
    assert ("XF304" in codes) == (result.shape[1] == HEADS), (chain, tuple(result.shape))


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (["b", "h", "n", "d"], 1),
        (["b", "n", "", "num_heads", "d"], 3),
        (["b", "n", "n_local_kv_heads", "d"], 2),
        (["b", "h", "w", "c"], None),
        (["B", "H", "W", "heads", "d"], 3),
        (["b", "nh", "nw", "c"], None),
        (["b", "n", "dim_heads", "d"], None),
        (["b", "q_heads", "kv_heads", "d"], None),
        (["(b h)", "n", "d"], None),
        (["b", "n", "c"], None),
    ],
)
def test_names(names: list[str], place: int | None) -> None:
    assert heads_among(names) == place


def test_an_index() -> None:
    number, part, dots = Scalar(0, is_constant=True), Slice(), Scalar(..., is_constant=True)
    assert indexed(2, [number]) == 1
    assert indexed(2, [part, number]) == 1
    assert indexed(1, [part, NONE, part]) == 2
    assert indexed(1, [part, part, number]) == 1
    assert indexed(1, [part, number]) is None
    assert indexed(2, [number, dots]) == 1
    assert indexed(2, [dots, number]) is None
    assert indexed(None, [number]) is None


def test_a_shape_that_is_taken_apart_names_the_axes() -> None:
    assert asked_shape(ast.parse("q.shape", mode="eval").body) == "q"
    assert asked_shape(ast.parse("q.size()", mode="eval").body) == "q"
    assert asked_shape(ast.parse("q.size(0)", mode="eval").body) == ""
    text = """\
import xformers.ops as xops

def attend(q, k, v):
    b, h, n, d = q.shape
    return xops.memory_efficient_attention({q}, k, v).reshape(b, -1)
"""
    for q, told in (("q", True), ("q.transpose(1, 2)", False)):
        codes = [note.code for site in rewrite_text(text.format(q=q)).sites for note in site.notes]
        assert ("XF304" in codes) == told


def test_two_layouts_are_not_one() -> None:
    text = """\
import xformers.ops as xops

def attend(x, b, n, h, d, first):
    if first:
        q = x.view(b, n, h, d).transpose(1, 2)
    else:
        q = x.view(b, n, h, d)
    return xops.memory_efficient_attention(q, q, q).reshape(b, -1)
"""
    assert not [note for site in rewrite_text(text).sites for note in site.notes]
