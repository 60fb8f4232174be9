"""Ranks that only the callers show, and masks that all of them pass."""

# ruff: noqa: E501 - programs in one line

from __future__ import annotations

import json

from tests.projects.ways import Way

OPS = """\
import torch.nn as nn
import torch.nn.functional as F
from xformers.ops import memory_efficient_attention


class Attend(nn.Module):
    def forward(self, query, mask=None):
        query = query * 0.5
        return memory_efficient_attention(query, query, query, attn_bias=mask)
"""
MODEL = """\
import torch
import torch.nn as nn
from ops import Attend


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend = Attend()

    def forward(self, x):
        b, n, c = x.shape
        q = x.reshape(b, n, 3, 8)
        return self.attend(q).reshape(b, n, c)
"""
MAIN = """\
import torch
from model import Net


def run(q, k, v):
    return "fast", Net()(q.flatten(2) + k.flatten(2) * v.flatten(2))
"""
PROJECT = {"ops.py": OPS, "model.py": MODEL, "main.py": MAIN}
MADE, CALL = "self.attend = Attend()", "self.attend(q)"
FOUR, THREE = "x.new_zeros(b, 3, n, n)", "x.new_zeros(b * 3, n, n)"


def made(text: str) -> dict[str, str]:
    return PROJECT | {"model.py": MODEL.replace(MADE, text)}


def call(text: str, more: str = "") -> dict[str, str]:
    return PROJECT | {"model.py": MODEL.replace(CALL, text) + more}


def notebook(*lines: str) -> dict[str, str]:
    """The project with a notebook of one cell."""
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cell["source"] = [f"{line}\n" for line in lines]
    book = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return PROJECT | {"demo.ipynb": json.dumps(book, indent=1)}


RANKS = Way(
    "ops.py",
    accepted={
        "a notebook has one of its own": notebook("class Attend:", "    pass", "Attend()(1)"),
        "one call": PROJECT,
        "two calls": call("(self.attend(q) + self.attend(q * 2))"),
        "in a list of modules": made("self.attend = nn.ModuleList([Attend()])[0]"),
        "by its forward": call("self.attend.forward(q)"),
    },
    refused={
        "behind a part that changes it": made("self.attend = nn.Sequential(nn.Flatten(0, 1), Attend())"),
        "in a sequence of its own": made("self.attend = Seq(nn.Flatten(0, 1), Attend())")
        | {"main.py": MAIN.replace("import torch\n", "import torch\nimport model\n")}
        | {"model.py": MODEL.replace(MADE, "self.attend = Seq(nn.Flatten(0, 1), Attend())").replace(
            "class Net", "class Seq(nn.Sequential):\n    pass\n\n\nclass Net")},
        "appended": made("self.attend = nn.Sequential(nn.Flatten(0, 1))\n        self.attend.append(Attend())"),
        "out of a list": made("parts = [nn.Flatten(0, 1), Attend()]\n        self.attend = nn.Sequential(*parts)"),
        "another rank": call(CALL, "\n\ndef use(net, x):\n    b, n, c = x.shape\n    return net.attend(x)\n"),
        "a hook": made("self.attend = Attend()\n        self.attend.register_forward_pre_hook(lambda m, a: a[0][0])"),
        "a call of its own": PROJECT
        | {"ops.py": OPS + "\n    def __call__(self, query):\n        return super().__call__(query.flatten(0, 1))\n"},
        "a module handed on": PROJECT
        | {"other.py": "import ops\n\n\ndef use(pick, name):\n    return pick(ops, name)\n"},
        "a notebook imports it": notebook("from ops import Attend", "Attend()(x)"),
        "a notebook takes all": notebook("from ops import *", "class Attend:", "    pass"),
        "a notebook reads it": notebook("import ops", "class Attend:", "    pass", "ops.Attend()(x)"),
        "a notebook of another kind": notebook("Attend()(x)"),
        "a notebook's command": notebook("!python -c 'from ops import Attend'", "class Attend:", "    pass"),
        "code in a string": call(CALL, "\n\ndef use(x):\n    return eval('Attend()(x)')\n"),
    },
)  # fmt: skip
MASKS = Way(
    "ops.py",
    accepted={
        "a tensor": call(f"self.attend(q, {FOUR})"),
        "a tensor and None": call(f"(self.attend(q, {FOUR}) + self.attend(q, None))"),
        "a tensor by keyword, or left out": call(f"(self.attend(q, mask={FOUR}) + self.attend(q))"),
    },
    refused={
        "of two ranks": call(f"(self.attend(q, {FOUR}) + self.attend(q, x.new_zeros(n, n)))"),
        "of nobody knows how many": call(f"self.attend(q, {{1: {FOUR}}}[1])"),
        "an object": call("self.attend(q, xops.LowerTriangularMask())")
        | {"model.py": "import xformers.ops as xops\n" + MODEL.replace(CALL, "self.attend(q, xops.LowerTriangularMask())")},
        "that would be laid over the heads": call(f"self.attend(q, {THREE})").copy()
        | {"model.py": MODEL.replace(CALL, "self.attend(q, more[0])").replace("(self, x)", "(self, x, *more)")},
        "** at the call": call(f"self.attend(q, **{{'mask': {FOUR}}})"),
    },
)  # fmt: skip
