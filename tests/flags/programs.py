"""Small programs around one migrated module: every kind of entry point, and what is none."""

from __future__ import annotations

NETS = {
    "nets/__init__.py": "from .model import Net\n",
    "nets/attention.py": """\
import torch
import xformers.ops as xops


def attend(x, heads=2):
    b, n, c = x.shape
    q, k, v = torch.nn.functional.linear(x, x.new_ones(3 * c, c)).view(b, n, 3, heads, c // heads).unbind(2)
    return xops.memory_efficient_attention(q, k, v).reshape(b, n, c)
""",
    "nets/model.py": """\
from torch import nn

from .attention import attend


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv1d(5, 5, 1)

    def forward(self, x):
        return attend(self.mix(x))
""",
    "measures/losses.py": "def loss(x):\n    return x.square().mean()\n",
    "nets/registry.py": """\
import sys


def build(name):
    return getattr(sys.modules["nets"], name)()
""",
    "record.py": """\
import torch


def record(out):
    print(tuple(out.shape), torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark)
    return out
""",
}
"""A library with a call two hops below its `Net`, and `record`, which prints a result's shape and the flags' state."""

STUBS = {
    "fire.py": "def Fire(function):\n    return function()\n",
    "hydra.py": "def main(**_):\n    return lambda function: lambda: function({'n': 5})\n",
}
"""As much of fire and hydra as a test needs."""

PROGRAMS = {
    "main guard": (
        "train.py",
        """\
#!/usr/bin/env python
\"\"\"Train.\"\"\"
import torch
from nets.model import Net
from record import record


def main():
    record(Net()(torch.ones(1, 5, 8)))


if __name__ == "__main__":
    main()
""",
    ),
    "top-level training": (
        "train_plain.py",
        """\
import torch
from torch import nn

from nets import Net
from record import record

layer = nn.Linear(8, 8)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
for step in range(2):
    out = Net()(layer(torch.ones(1, 5, 8)))
    out.sum().backward()
    optimizer.step()
record(out)
""",
    ),
    "package run with -m": (
        "app/__main__.py",
        """\
from nets import Net
from record import record
import torch

record(Net()(torch.ones(1, 5, 8)))
""",
    ),
    "argparse, torch imported in the function": (
        "sample.py",
        """\
import argparse

from record import record


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=5)
    arguments = parser.parse_args([])
    import torch
    from nets.model import Net
    record(Net()(torch.ones(1, arguments.n, 8)))


if "__main__" == __name__:
    main()
""",
    ),
    "click": (
        "generate.py",
        """\
import click
import torch as th
from nets.model import Net
from record import record


@click.command()
@click.option("--n", default=5)
def main(n):
    record(Net()(th.ones(1, n, 8)))


if __name__ == "__main__":
    main([], standalone_mode=False)
""",
    ),
    "fire without a guard": (
        "run_it.py",
        """\
import fire, torch
from nets import Net
from record import record


def go(n=5):
    record(Net()(torch.ones(1, n, 8)))


fire.Fire(go)
""",
    ),
    "a notebook's cells": (
        "demo.py",
        """\
# %%
import torch
from nets.model import Net

# %% [markdown]
# The model

# %%
net = Net().eval()

# %%
from record import record
record(net(torch.ones(1, 5, 8)))
""",
    ),
    "launcher of processes": (
        "launch.py",
        """\
import os
import torch
import torch.distributed as dist

from nets.model import Net
from record import record


def worker(rank, world):
    if world > 1:
        dist.init_process_group("gloo", rank=rank, world_size=world)
    record(Net()(torch.ones(1, 5, 8)))


def main():
    world = int(os.environ.get("TEST_WORLD", "1"))
    for rank in range(world):
        worker(rank, world)


if __name__ == "__main__" and not os.environ.get("DRY"):
    main()
""",
    ),
    "two modules in between": (
        "eval.py",
        """\
import torch
import builders
from record import record

if __name__ == "__main__":
    record(builders.build()(torch.ones(1, 5, 8)))
""",
    ),
    "relative import": (
        "nets/train.py",
        """\
import torch
from record import record
from .model import Net


def main() -> None:
    record(Net()(torch.ones(1, 5, 8)))


if __name__ == "__main__":
    main()
""",
    ),
    "import a.b as c": (
        "infer.py",
        """\
import torch
import nets.model as m
from record import record
if __name__ == "__main__": record(m.Net()(torch.ones(1, 5, 8)))
""",
    ),
    "hydra": (
        "train_hydra.py",
        """\
import hydra
import torch
from nets import Net
from record import record


@hydra.main(config_path="conf", config_name="config")
def main(cfg):
    record(Net()(torch.ones(1, cfg["n"], 8)))


if __name__ == "__main__":
    main()
""",
    ),
    "the call in the program itself": (
        "single.py",
        """\
import torch
import xformers.ops
from record import record


def main():
    q = torch.ones(1, 5, 8).view(1, 5, 2, 4)
    record(xformers.ops.memory_efficient_attention(q, q, q).reshape(1, 5, 8))


if __name__ == "__main__":
    main()
""",
    ),
    "a registry that a package fills": (
        "train_registered.py",
        """\
import torch
from nets.registry import build
from record import record


def main():
    record(build("Net")(torch.ones(1, 5, 8)))


if __name__ == "__main__":
    main()
""",
    ),
    "imported by others as well": (
        "train_base.py",
        """\
import torch
from nets import Net
from record import record


def main():
    record(Net()(torch.ones(1, 5, 8)))


if __name__ == "__main__":
    main()
""",
    ),
}
"""By kind: the file and its text."""

BESIDE = {
    "builders.py": "from factories import make\n\n\ndef build():\n    return make()\n",
    "factories.py": "from nets import Net\n\n\ndef make():\n    return Net()\n",
    "user_of_base.py": "from train_base import main\n",
}
"""Modules that some of the programs import."""

_GUARDED = """\
import torch
from nets import Net

if __name__ == "__main__":
    Net()(torch.ones(1, 5, 8)).sum().backward()
"""

OTHERS = {
    "a library module with a guard": ("nets/blocks.py", _GUARDED),
    "a module that tries itself out": (
        "block.py",
        "import torch\nfrom nets import Net\n\n\nclass Block(Net):\n    pass\n\n\n"
        "if __name__ == '__main__':\n    print(Block()(torch.randn(1, 5, 8)).shape)\n",
    ),
    "a module that others import": (
        "helpers.py",
        "import torch\nfrom nets import Net\n\n\ndef build(n):\n    return Net()\n\n\n"
        "if __name__ == '__main__':\n    print(build(1))\n",
    ),
    "its user": ("uses_helpers.py", "from helpers import build\n"),
    "a test": ("tests/test_net.py", _GUARDED),
    "a test beside": ("test_net.py", _GUARDED),
    "tests.py with tests": ("tests.py", "import unittest\n" + _GUARDED),
    "conftest": ("conftest.py", _GUARDED),
    "setup": ("setup.py", _GUARDED),
    "a converter": ("convert_weights.py", _GUARDED),
    "another": ("tools/net_to_diffusers.py", _GUARDED),
    "weights merged": ("merge_lora.py", _GUARDED),
    "documentation": ("docs/example.py", _GUARDED),
    "a benchmark": ("benchmarks/speed.py", _GUARDED),
    "another framework": ("train_flax.py", "import jax\n" + _GUARDED),
    "a program without a rewritten call": (
        "train_loss.py",
        "import torch\nfrom measures.losses import loss\n\n"
        "if __name__ == '__main__':\n    loss(torch.ones(3)).backward()\n",
    ),
    "one that only mentions it": (
        "notes.py",
        'import torch\n\nHELP = "from nets import Net"\n# from nets import Net\n'
        "if __name__ == '__main__':\n    torch.ones(3).sum().backward()\n",
    ),
    "a plain module": ("plain.py", "from nets import Net\n\nMODELS = {'net': Net}\n"),
}
"""By reason: a file that must get no flags, and its text."""
