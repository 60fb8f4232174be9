"""Tensors that a file makes: where they are float32, what they are multiplied by is so too, as torch has it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from xf2sdpa.rewrite.engine import rewrite_text

FORM = """\
import torch
import torch.nn as nn
import xformers.ops as xops

class Attention(nn.Module):
    def __init__(self, dim=4):
        super().__init__()
        self.proj = nn.Linear(dim, dim)
        {init}

    def forward(self, x):
        b, n, c = x.shape
        v = self.proj(x).view(b, n, 1, c)
        v = ({made}).view(b, n, 1, c)
        return xops.memory_efficient_attention(v, v, v).flatten(2)
"""
MADE = {
    "v * torch.ones(4)": True,
    "v * torch.ones(4, dtype=v.dtype)": False,
    "v * torch.ones(4, dtype=torch.bfloat16)": False,
    "v * torch.ones(())": False,
    "v * torch.tensor([0.5])": True,
    "v * torch.tensor(0.5)": False,
    "v * torch.arange(4)": False,
    "v * torch.arange(4.0)": True,
    "v * torch.linspace(0, 1, 4)": True,
    "v * torch.full((4,), 2)": False,
    "v * torch.full((4,), 2.0)": True,
    "v + torch.zeros_like(v)": False,
    "v * torch.ones(4).to(v)": False,
    "v * self.made": True,
    "v * self.made.to(v.dtype)": False,
    "(v * self.made).to(v.dtype)": False,
    "self.made[None] + v": True,
    "v * self.made.view(1, 1, 1, 4)": True,
    "2 * self.made * v": True,
    "v @ self.made.view(1, 4).expand(4, 4)": False,
    "torch.cat([v[:, :1], torch.zeros(1, 4, 1, 4)], 1)": True,
}
INITS = {
    "self.made = nn.Parameter(torch.ones(dim))": True,
    "self.made = nn.Parameter(0.02 * torch.randn(1, dim), requires_grad=False)": True,
    "self.made = torch.nn.parameter.Parameter(torch.empty(dim)) if dim else None": True,
    "self.register_buffer('made', torch.ones(dim), persistent=False)": True,
    "self.register_parameter('made', nn.Parameter(torch.ones(dim)))": True,
    "self.made = nn.Parameter(torch.ones([]))": False,
    "self.made = nn.Parameter(torch.tensor(0.5))": False,
    "self.made = nn.Parameter(torch.ones(dim, dtype=torch.bfloat16))": False,
    "self.made = dim ** -0.5": False,
}


def sees_float32(init: str, made: str) -> bool:
    (site,) = rewrite_text(FORM.format(init=init, made=made), compat="_attention_compat").sites
    return any(note.code == "XF124" for note in site.notes)


def gives_float32(init: str, made: str) -> bool:
    class Holder(nn.Module):
        pass

    space: dict[str, Any] = {"torch": torch, "nn": nn, "self": Holder(), "dim": 4}
    exec(init, space)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result: torch.Tensor = eval(made, space, {"v": torch.ones(1, 5, 1, 4, dtype=torch.bfloat16)})
    return result.dtype is torch.float32


@pytest.mark.parametrize("made", MADE)
def test_made_on_the_way(made: str) -> None:
    init = "self.made = nn.Parameter(torch.ones(dim))"
    assert sees_float32(init, made) == gives_float32(init, made) == MADE[made]


@pytest.mark.parametrize("init", INITS)
def test_made_by_the_class(init: str) -> None:
    made = "v * self.made"
    assert sees_float32(init, made) == gives_float32(init, made) == INITS[init]
