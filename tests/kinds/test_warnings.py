"""What a careful reader would have noticed stands in the report: heads-first inputs, float32 under autocast.

Given `[B, H, M, K]` as it is, xformers attends over heads. The rewrite keeps that, and says so (XF304), however the
layout was made; where it is as xformers wants it, nothing is said. And where the file itself shows that the inputs are
float32 inside autocast, the call keeps computing in float32, as xformers did.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import Case, check, table

LAYER = """\
import torch
import torch.nn as nn
import xformers.ops as xops
{head}

class Attention(nn.Module):
    def __init__(self, dim=12, heads=3):
        super().__init__()
        self.heads = heads
        self.dim = dim // heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))

{more}    def forward(self, x):
        b, n, c = x.shape
        h, d = self.heads, self.dim
{body}        return xops.memory_efficient_attention(q, k, v).reshape(b, n, c)
"""
RUN = "import torch, net\nx = torch.ones(2, 5, 12)\nprint(tuple(net.Attention()(x).shape))"


def layout(name: str, body: str, *, over_heads: bool = True, head: str = "", more: str = "") -> Case:
    text = LAYER.format(head=head, more=more, body="".join(f"        {line}\n" for line in body.splitlines()))
    codes = (r"note XF304: |^net\.py:\d+:\d+: XF304 ",)
    return Case(
        name=name,
        files={"net.py": text},
        run=RUN,
        present="(2, 5, 12)",
        absent="(2, 5, 12)",
        said=codes if over_heads else (),
        unsaid=() if over_heads else codes,
    )


ROPE = """\
import torch
import torch.nn as nn
import xformers.ops as xops


class Attention(nn.Module):
    def __init__(self, dim=16, heads=2):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
{init}
    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).unbind(2)
{body}        return xops.memory_efficient_attention(q, k, v)
"""


def in_float32(name: str, body: str, init: str = "", head: str = "") -> Case:
    """Under autocast, q, k and v reach the call as float32: so does the result leave it."""
    text = head + ROPE.format(
        init="".join(f"        {line}\n" for line in init.splitlines()),
        body="".join(f"        {line}\n" for line in body.splitlines()),
    )
    return Case(
        name=name,
        files={"net.py": text},
        run="import net\nwith torch.autocast('cpu', dtype=torch.bfloat16):\n"
        "    print(net.Attention()(torch.ones(2, 5, 16)).dtype)",
        present="torch.float32",
        absent="torch.float32",
    )


QKV = "self.qkv(x).reshape(b, n, 3, h, d)"
CASES = [
    layout("permute, unbind", f"q, k, v = {QKV}.permute(2, 0, 3, 1, 4).unbind(0)"),
    layout("permute, by index", f"qkv = {QKV}.permute(2, 0, 3, 1, 4)\nq, k, v = qkv[0], qkv[1], qkv[2]"),
    layout("permute, unpacked", f"q, k, v = {QKV}.permute(2, 0, 3, 1, 4)"),
    layout("torch.unbind of a permute", f"q, k, v = torch.unbind({QKV}.permute(2, 0, 3, 1, 4), 0)"),
    layout(
        "view, transpose",
        "q = self.to_q(x).view(b, n, h, d).transpose(1, 2)\nk = self.to_k(x).view(b, n, h, d).transpose(1, 2)\n"
        "v = self.to_v(x).view(b, n, h, d).transpose(1, 2)",
    ),
    layout(
        "view, permute(0, 2, 1, 3)",
        "q, k, v = (f(x).view(b, n, h, d).permute(0, 2, 1, 3) for f in (self.to_q, self.to_k, self.to_v))",
    ),
    layout(
        "chunk, then swapaxes",
        "q, k, v = self.qkv(x).chunk(3, dim=-1)\nq, k, v = (t.reshape(b, n, h, d).swapaxes(1, 2) for t in (q, k, v))",
    ),
    layout(
        "a method that splits heads",
        "q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))",
        more="    def split(self, x):\n        b, n, c = x.shape\n"
        "        return x.view(b, n, self.heads, self.dim).transpose(1, 2)\n\n",
    ),
    layout(
        "rearrange to heads first",
        "q, k, v = (rearrange(f(x), 'b n (h d) -> b h n d', h=h) for f in (self.to_q, self.to_k, self.to_v))",
        head="from einops import rearrange\n",
    ),
    layout(
        "rearrange to three, heads first",
        "q, k, v = rearrange(self.qkv(x), 'b n (t h d) -> t b h n d', t=3, h=h)",
        head="from einops import rearrange\n",
    ),
    layout("as xformers wants it, unbind", f"q, k, v = {QKV}.unbind(2)", over_heads=False),
    layout("as xformers wants it, permute", f"q, k, v = {QKV}.permute(2, 0, 1, 3, 4).unbind(0)", over_heads=False),
    layout(
        "as xformers wants it, moved there and back",
        f"q, k, v = {QKV}.permute(2, 0, 3, 1, 4).unbind(0)\nq, k, v = (t.transpose(1, 2) for t in (q, k, v))",
        over_heads=False,
    ),
    layout(
        "as xformers wants it, rearrange",
        "q, k, v = (rearrange(f(x), 'b n (h d) -> b n h d', h=h) for f in (self.to_q, self.to_k, self.to_v))",
        head="from einops import rearrange\n",
        over_heads=False,
    ),
    in_float32(
        "times a parameter",
        "q, k, v = q * self.scale, k * self.scale, v * self.scale",
        "self.scale = nn.Parameter(torch.ones(dim // heads))",
    ),
    in_float32(
        "times a parameter, in place of q and k only, v times ones",
        "one = torch.ones(1, dtype=torch.float32)\nq, k, v = q * self.scale, k * self.scale, v * one",
        "self.scale = nn.Parameter(torch.ones(dim // heads))",
    ),
    in_float32(
        "plus an embedding",
        "q, k, v = q + self.place, k + self.place, v + self.place",
        "self.register_buffer('place', torch.zeros(1, 1, 1, dim // heads))",
    ),
    in_float32(
        "times a table of cosines",
        "angle = torch.arange(n, dtype=torch.float32)[:, None, None] * self.rate\n"
        "q, k, v = (t * angle.cos() for t in (q, k, v))",
        "self.rate = 0.1",
    ),
    in_float32(
        "a literal tensor",
        "q = torch.cat([q, torch.zeros(b, 1, *q.shape[2:], dtype=torch.float32)], 1)\n"
        "k = torch.cat([k, torch.zeros(b, 1, *k.shape[2:], dtype=torch.float32)], 1)\n"
        "v = torch.cat([v, torch.zeros(b, 1, *v.shape[2:], dtype=torch.float32)], 1)",
    ),
    in_float32(
        "a norm of its own with a float32 weight",
        "q, k, v = self.norm(q), self.norm(k), self.norm(v)",
        "self.norm = Norm(dim // heads)",
        head="import torch\nfrom torch import nn\n\n\nclass Norm(nn.Module):\n"
        "    def __init__(self, dim):\n        super().__init__()\n"
        "        self.weight = nn.Parameter(torch.ones(dim))\n\n    def forward(self, x):\n"
        "        return x * self.weight\n\n\n",
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_warnings(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
