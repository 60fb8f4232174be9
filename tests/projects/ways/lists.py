"""Paths for lists of tensors, on which a mask is passed, and whether a list ever comes."""

# ruff: noqa: E501 - programs in one line

from __future__ import annotations

from tests.projects.ways import MAIN, Way, changed

BLOCKS = """\
import torch
import torch.nn as nn
from attention import MemEff


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = MemEff(24, 3)

    def nested(self, xs):
        return [self.attn(x, attn_bias=xs) for x in xs]

    def forward(self, x):
        if isinstance(x, list):
            return self.nested(x)
        return x + self.attn(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return self.block(x)
"""
RUN = "Net().to(q.dtype)(q.flatten(2) + k.flatten(2) * v.flatten(2))"
PASSED_ON = "def pass_on(part):\n    return part\n\n\n"
PYRAMID = "class Pyramid(nn.Module):\n    def forward(self, x):\n        outs = []\n        outs.append(x)\n        return outs\n"


def path(old: str, new: str) -> dict[str, str]:
    return changed(model=BLOCKS.replace(old, new))


def given(text: str) -> dict[str, str]:
    return changed(model=BLOCKS, main=f"{MAIN}\n\n{text}\n")


def pyramid(call: str) -> dict[str, str]:
    text = BLOCKS.replace("class Net", f"{PYRAMID}\n\nclass Net").replace(
        "self.block = ", "self.pyramid = Pyramid()\n        self.block = "
    )
    return changed(model=text.replace("self.block(x)", call))


WAY = Way(
    "attention.py",
    accepted={
        "what is computed": changed(model=BLOCKS, main=MAIN.replace(RUN, "Net().to(q.dtype)((q + k * v).flatten(2))")),
        "a part of a tensor": path("self.block(x)", "self.block(x[:2])"),
        "changed before": path("        if isinstance(x, list)", "        x = x * 1\n        if isinstance(x, list)"),
        "annotated": path("def forward(self, x):\n        return self.block(x)", "def forward(self, x: torch.Tensor):\n        return self.block(x)"),
        "through a layer": path("self.block(x)", "self.block(nn.functional.gelu(x))"),
        "handed on by a function": given(PASSED_ON + "def train(x):\n    return Net()(pass_on(x * 2))"),
        "handed on, and then another": given("def pass_on(part):\n    part = part * 2\n    return part\n\n\ndef train(x):\n    return Net()(pass_on(x[:2]))"),
        "handed on round and round": given("def one(a, n):\n    return a if n else two(a, n)\n\n\ndef two(a, n):\n    return one(a, n - 1)\n\n\ndef train(x):\n    return Net()(two(x * 2, 3))"),
        "a module that returns one tensor": pyramid("self.block(x + self.pyramid(x)[0])"),
    },
    refused={
        "made before the question": path("        if isinstance", "        x = [x, x]\n        if isinstance"),
        "made by a call before the question": path("        if isinstance", "        x = list(x.chunk(2))\n        if isinstance"),
        "made by a walrus": path("        if isinstance", "        print(x := [x])\n        if isinstance"),
        "made in a loop around": path(
            "        if isinstance(x, list):\n            return self.nested(x)\n",
            "        for _ in range(2):\n            if isinstance(x, list):\n                return self.nested(x)\n            x = [x]\n",
        ),
        "a module's": pyramid("self.block(self.pyramid(x))"),
        "a module's, in a variable": given("def train(x):\n    pyramid = P()\n    return Net()(pyramid(x))\n\n\n" + PYRAMID.replace("nn.", "torch.nn.").replace("Pyramid", "P")),
        "annotated otherwise": path("(self, x):\n        return self.block", "(self, x: torch.Tensor):\n        return self.block")
        | {"other.py": "from model import Net\n\n\ndef train(a, b):\n    return Net()([a, b])\n"},
        "two that are joined": given("def train(a, b):\n    xs = [a]\n    ys = [b]\n    return Net()(xs + ys)"),
        "a part of one": given("def train(a):\n    xs = [a, a, a]\n    return Net()(xs[:2])"),
        "put together afterwards": given(
            "def train(xs):\n    out = Net()(xs)\n    xs = torch.cat(xs)\n    return xs.shape, out\n\n\ndef go(a):\n    return train([a, a])"
        ),
        "by a function that asks another": given("def crops(x):\n    return more(x)\n\n\ndef more(x):\n    return [x]\n\n\ndef train(x):\n    return Net()(crops(x))"),
        "handed on by a function": given(PASSED_ON + "def train(a):\n    return Net()(pass_on([a, a]))"),
        "handed on by name": given(PASSED_ON + "def train(a):\n    return Net()(pass_on(part=[a, a]))"),
        "handed on in a variable": given("def pass_on(part):\n    same = part\n    return same\n\n\ndef train(a):\n    return Net()(pass_on([a, a]))"),
        "handed on by choice": given("def pass_on(part, n):\n    return part if n else None\n\n\ndef train(a):\n    return Net()(pass_on([a, a], 1))"),
        "handed on twice": given(PASSED_ON + "def further(n, it):\n    return pass_on(it)\n\n\ndef train(a):\n    return Net()(further(1, [a, a]))"),
        "handed on by a method": given("class Passing:\n    def pass_on(self, part):\n        return part\n\n\ndef train(a):\n    return Net()(Passing().pass_on([a, a]))"),
        "handed on round and round": given(
            "def one(a, n):\n    return a if n else two(a, n)\n\n\ndef two(a, n):\n    return one(a, n - 1)\n\n\n"
            "def train(x):\n    return Net()(one(x * 2, 3)), Net()(two([x, x], 3))"
        ),
        "handed on unpacked": given(PASSED_ON + "def train(a):\n    return Net()(pass_on(*[[a, a]]))"),
        "by a function's choice": given("def crops(x):\n    return x if x is None else [x]\n\n\ndef train(x):\n    return Net()(crops(x))"),
        "by a function's attribute": given(
            "class Data:\n    def __init__(self, x):\n        self.parts = [x]\n\n    def crops(self):\n        return self.parts\n\n\n"
            "def train(x):\n    return Net()(Data(x).crops())"
        ),
        "out of a batch": given("def train(batch):\n    return Net()(batch['crops'])"),
        "from a loader": given("def train(loader):\n    for batch in loader:\n        Net()(batch)"),
    },
)  # fmt: skip
