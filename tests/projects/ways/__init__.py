"""Ways of knowing what a function does not show, as a table: each with projects that it must refuse, and must accept.

A case is a project by its files. Accepted, its call is inline afterwards and computes the same; refused, it is the
helper's. `WAYS` is put together in `tests/run/test_ways.py`; a cell with fewer than three cases fails there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Files = Mapping[str, str]


@dataclass(frozen=True)
class Way:
    """One way of knowing.

    Attributes:
        home: the file with the call of the operator.
        accepted, refused: projects by what is special about them.
        seen: whether a recorded run is the evidence; `run.json` of the project's files is its report.
    """

    home: str
    accepted: Mapping[str, Files] = field(default_factory=dict)
    refused: Mapping[str, Files] = field(default_factory=dict)
    seen: bool = False


ATTENTION = """\
import torch.nn as nn
import torch.nn.functional as F
from xformers.ops import memory_efficient_attention


class MemEff(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x, attn_bias=None):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).unbind(2)
        return memory_efficient_attention(q, k, v, attn_bias=attn_bias).reshape(b, n, c)
"""
MODEL = """\
import torch
import torch.nn as nn
from attention import MemEff


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = MemEff(24, 3)

    def forward(self, x):
        return x + self.attn(x)
"""
MAIN = """\
import torch
from model import Net


def run(q, k, v):
    torch.manual_seed(0)
    return "fast", Net().to(q.dtype)(q.flatten(2) + k.flatten(2) * v.flatten(2))
"""
PROJECT = {"attention.py": ATTENTION, "model.py": MODEL, "main.py": MAIN}
CALL = "self.attn(x)"


def changed(**files: str) -> dict[str, str]:
    """The project with some files in the place of others."""
    return PROJECT | {f"{name}.py": text for name, text in files.items()}


def model(call: str, more: str = "") -> dict[str, str]:
    """The project with another call in the model, and more below it."""
    return changed(model=MODEL.replace(CALL, call) + more)


def by_class(text: str) -> dict[str, str]:
    """The project with other text before the class of the model."""
    return changed(model=MODEL.replace("\n\nclass Net", f"\n\n{text}\n\n\nclass Net", 1))


def in_main(text: str, before: str = "") -> dict[str, str]:
    """The project with other text below its entry."""
    return changed(main=f"{before}{MAIN}\n\n{text}\n")


def on_base(base: str) -> dict[str, str]:
    """The project with a class of another file between the attention and torch's."""
    return changed(attention="import base\n" + ATTENTION.replace("(nn.Module)", "(base.Base)"), base=base)
