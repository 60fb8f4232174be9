"""Masks that are a parameter: whole projects, in which nothing passes one, or something may.

Each is executed before and after. Where the call is inline it stands behind a check, and a mask that comes after all
raises; where anything may pass one, the call stays with the helper, and masks count as before.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests import oracle
from tests.projects.harness import assert_equal, execute, fresh, installed, rewrite, tensors, tree, write
from tests.projects.ways import ATTENTION, CALL, MAIN, MODEL, PROJECT

MASK = "torch.zeros(2, 3, 5, 5, dtype=x.dtype)"
BLOCKS = """\
from functools import partial

import torch.nn as nn
from attention import MemEff


class Plain(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()

    def forward(self, x):
        return x


class Block(nn.Module):
    def __init__(self, dim, attn_class=Plain):
        super().__init__()
        self.attn = attn_class(dim, 3)

    def forward(self, x):
        return x + self.attn(x)


class Nested(Block):
    def forward_nested(self, xs):
        mask = make_mask(xs)
        return [self.attn(x, attn_bias=mask) for x in xs]

    def forward(self, x):
        if isinstance(x, list):
            return self.forward_nested(x)
        return super().forward(x)


class Net(nn.Module):
    def __init__(self, block_fn=partial(Nested, attn_class=MemEff)):
        super().__init__()
        made = [block_fn(24) for _ in range(2)]
        self.blocks = nn.ModuleList(made)

    def many(self, xs):
        xs = [x * 2 for x in xs]
        for block in self.blocks:
            xs = block(xs)
        return xs

    def features(self, x):
        if isinstance(x, list):
            return self.many(x)
        x = x * 2
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x: torch.Tensor):
        return self.features(x)


def make_mask(xs):
    return len(xs)
"""
BLOCKS = "import torch\n" + BLOCKS
TWO_DEEP = MODEL.replace("forward(self, x):", "forward(self, x, mask=None):").replace(CALL, "self.inner(x, mask)") + (
    "\n    def inner(self, x, mask=None):\n        return self.attn(x, attn_bias=mask)\n"
)


def changed(**files: str) -> dict[str, str]:
    return PROJECT | {name.replace("__", "/") + ".py": text for name, text in files.items()}


def model(call: str, *more: str) -> dict[str, str]:
    return changed(model=MODEL.replace(CALL, call) + "".join(more))


MASKED = (
    "\n\nclass Masked(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.attn = MemEff(24, 3)\n\n    def forward(self, x):\n"
    f"        return self.attn(x, attn_bias={MASK})\n"
)
OUTER = (
    "\n\nclass Outer(Net):\n    def many(self, xs):\n        return [self.inner(x, mask=x) for x in xs]\n\n"
    "    def forward(self, x):\n        if isinstance(x, list):\n            return self.many(x)\n"
    "        return super().forward(x)\n"
)
NOTHING_PASSED = {
    "left out": PROJECT,
    "None": model("self.attn(x, attn_bias=None)"),
    "None by its place": model("self.attn(x, None)"),
    "None, which has to be given": changed(
        attention=ATTENTION.replace("attn_bias=None):", "attn_bias):"), model=MODEL.replace(CALL, "self.attn(x, None)")
    ),
    "two calls deep": changed(model=TWO_DEEP),
    "through partial, a default, a list and a path for lists": changed(model=BLOCKS),
    "in a container": model("self.parts[0](x)").copy()
    | {"model.py": MODEL.replace("self.attn = MemEff(24, 3)", "self.parts = nn.Sequential(MemEff(24, 3))").replace(
        CALL, "self.parts(x)")},
    "from a table that is read by a key": changed(
        model=MODEL.replace("class Net", 'KINDS = {"fast": MemEff}\n\n\nclass Net').replace(
            "MemEff(24, 3)", 'KINDS["fast"](24, 3)'
        )
    ),
    "by a function that makes it": changed(
        model=MODEL.replace("class Net", "def made():\n    return MemEff(24, 3)\n\n\nclass Net").replace(
            "self.attn = MemEff(24, 3)", "self.attn = made()"
        )
    ),
    "a class that nobody makes": model(CALL, MASKED),
    "two classes that nobody makes": model(CALL, MASKED, MASKED.replace("Masked", "Other")),
    "lists, two calls up": changed(model=TWO_DEEP + OUTER),
    "weights are set by a function": changed(
        model=MODEL.replace(
            "        self.attn = MemEff(24, 3)\n",
            "        self.attn = MemEff(24, 3)\n        for name, part in self.named_modules():\n"
            "            if isinstance(part, nn.Linear):\n                nn.init.zeros_(part.bias)\n",
        )
    ),
    "the name in __all__ and an annotation": changed(
        attention=ATTENTION + '\n\n__all__ = ["MemEff"]\n\n\ndef shown(part: "MemEff") -> None:\n    """MemEff"""\n'
    ),
    "handed on by a package": {
        "parts/__init__.py": "from .attention import MemEff as Fast\n",
        "parts/attention.py": ATTENTION,
        "model.py": MODEL.replace("from attention import MemEff", "from parts import Fast").replace("MemEff(", "Fast("),
        "main.py": MAIN,
    },
}  # fmt: skip


def by_class(text: str) -> dict[str, str]:
    """The project with other text before the class of the model."""
    return changed(model=MODEL.replace("\n\nclass Net", f"\n\n{text}\n\n\nclass Net", 1))


PICK = "import attention\n\n\ndef pick(kind):\n    return getattr(attention, {})"
REFUSED: dict[str, Mapping[str, str]] = {
    "passed by keyword": model(f"self.attn(x, attn_bias={MASK})"),
    "passed by its place": model(f"self.attn(x, {MASK})"),
    "passed two calls up": changed(
        model=TWO_DEEP, main=MAIN.replace("v.flatten(2))", "v.flatten(2), torch.zeros(2, 3, 5, 5, dtype=q.dtype))")
    ),
    "passed from a file without xformers": PROJECT
    | {"other.py": "def use(net, x, m):\n    return net.attn(x, m)\n"},
    "** at the call": model("self.attn(x, **{})"),
    "* at the call": model("self.attn(*[x])"),
    "a registry that decorates": changed(
        attention=ATTENTION.replace(
            "class MemEff",
            "KINDS = {}\n\n\ndef register(k):\n    KINDS[k.__name__] = k\n    return k\n\n\n@register\nclass MemEff",
        )
    ),
    "a registry of a library": by_class("import library\n\nlibrary.register(MemEff)"),
    "a registry whose entries are called": by_class(
        "TABLE = {}\n\n\ndef register(kind):\n    TABLE[1] = kind\n\n\nregister(MemEff)\n\n\n"
        "def use(x, m):\n    return TABLE[1](24, 3)(x, m)"
    ),
    "its name in a string": by_class('KIND = "MemEff"'),
    "its path in a string": by_class('KIND = "attention.MemEff"'),
    "a name that is built": by_class(PICK.format('f"Mem{kind}"')),
    "a name put together": by_class(PICK.format('"Mem" + kind')),
    "a name by format": by_class('def pick(kind):\n    return globals()["Mem{}".format(kind)]'),
    "any name of the module": by_class(PICK.format("kind")),
    "any name of the file": by_class("def pick(kind):\n    return globals()[kind]"),
    "settings that name it": PROJECT | {"conf/model.yaml": "attention:\n  class: attention.MemEff\n"},
    "a notebook that names it": PROJECT | {"demo.ipynb": '{"cells": ["from attention import MemEff"]}'},
    "hubconf": PROJECT | {"hubconf.py": "from attention import MemEff\n\n\ndef fast():\n    return MemEff(24, 3)\n"},
    "checkpoint": model("torch.utils.checkpoint.checkpoint(self.attn, x, use_reentrant=False)"),
    "DataParallel": changed(model=MODEL.replace("MemEff(24, 3)", "torch.nn.DataParallel(MemEff(24, 3))")),
    "a processor handed to a library": by_class("import library\n\nlibrary.set_processor(MemEff(24, 3))"),
    "a hook that changes arguments": changed(
        model=MODEL.replace(
            "MemEff(24, 3)\n",
            "MemEff(24, 3)\n        self.attn.register_forward_pre_hook(lambda m, a, k: (a, k), with_kwargs=True)\n",
        )
    ),
    "a hook on all parts": changed(
        main=MAIN + "\n\ndef hook(net, f):\n    for part in net.modules():\n"
        "        part.register_forward_pre_hook(f, with_kwargs=True)\n"
    ),
    "forward put in its place": changed(
        main=MAIN + "\n\ndef patch(net, f):\n    for name, part in net.named_modules():\n        part.forward = f\n"
    ),
    "a subclass that passes one": by_class(
        f"class Masked(MemEff):\n    def forward(self, x, attn_bias=None):\n"
        f"        return super().forward(x, {MASK})\n\n"
        "\ndef masked(x):\n    return Masked(24, 3)(x)"
    ),
    "a list comes": changed(
        model=BLOCKS.replace("def forward(self, x: torch.Tensor)", "def forward(self, x)"),
        main=MAIN + "\n\ndef train(a, b):\n    return Net()([a, b])\n",
    ),
    "a list may come": changed(
        model=BLOCKS.replace("def forward(self, x: torch.Tensor)", "def forward(self, x)"),
        main=MAIN + "\n\ndef train(batch):\n    return Net()(batch)\n",
    ),
    "a library's list may come": changed(
        model=BLOCKS.replace("def forward(self, x: torch.Tensor)", "def forward(self, x)"),
        main=MAIN + "\n\ndef train(path):\n    import library\n\n"
        "    images = library.load(path)\n    return Net()(images)\n",
    ),
    "a function's list comes": changed(
        model=BLOCKS.replace("def forward(self, x: torch.Tensor)", "def forward(self, x)"),
        main=MAIN + "\n\ndef crops(x):\n    made = [x, x]\n    return made\n\n"
        "\ndef train(x):\n    return Net()(crops(x))\n",
    ),
    "a method for lists that others may call": changed(
        model=BLOCKS.replace("return self.many(x)", "raise TypeError"),
    ),
    "saved whole": changed(main=MAIN + "\n\ndef keep(net):\n    torch.save(net.attn, 'attn.pt')\n"),
    "handed to what is not known": changed(main=MAIN + "\n\ndef keep(net, wrap):\n    return wrap(net.attn)\n"),
    "it hands itself on": changed(
        attention=ATTENTION.replace(
            "        self.heads = heads\n", "        self.heads = heads\n        print_all([self], x=self)\n"
        )
        .replace("class MemEff", "def print_all(parts, x):\n    return parts[0](x, x)\n\n\nclass MemEff")
        .replace("print_all([self], x=self)", "self.show = lambda: print_all([self], x=self)")
    ),
    "loaded whole": changed(
        main=MAIN + "\n\ndef use(path, x, m):\n    part = torch.load(path).eval()\n    return part(x, m)\n"
    ),
    "by a module that is imported by a string": changed(
        main=MAIN + "\n\ndef use(m, x):\n    import importlib\n\n"
        "    return importlib.import_module('attention').MemEff(24, 3)(x, m)\n"
    ),
    "nothing uses it": changed(model=MODEL.replace("MemEff(24, 3)", "nn.Identity()")),
    "a default that is something": model("self.attn(x, None)")
    | {"attention.py": ATTENTION.replace("attn_bias=None):", "attn_bias=0):")},
    "set on another object": changed(main=MAIN + "\n\ndef share(net, other):\n    setattr(other, 'part', net.attn)\n"),
    "an attribute by a name that is built": changed(
        main=MAIN + "\n\ndef use(net, x, m, kind):\n    return getattr(net, f\"at{kind}\")(x, m)\n"
    ),
}  # fmt: skip


LIST = "nothing in this project gives one"
UNCALLED = "which nothing in this project calls"
PASSES = re.compile(r"attn_bias=mask\) for|attn_bias=torch|mask=x")
UNREACHED = {
    "through partial, a default, a list and a path for lists": (
        f"model.py:{{}} passes attn_bias to MemEff.forward only for a list of tensors, and {LIST}",
        "Nested.forward_nested passes one only for a list of tensors, and nothing in this project gave one",
    ),
    "a class that nobody makes": (
        f"model.py:{{}} passes attn_bias to MemEff.forward in Masked.forward, {UNCALLED}",
        "Masked.forward passes one, and nothing in this project called it",
    ),
    "two classes that nobody makes": (
        "model.py:{} and model.py:{} pass attn_bias to MemEff.forward in Masked.forward and Other.forward, "
        f"{UNCALLED}",
        "Masked.forward and Other.forward pass one, and nothing in this project called them",
    ),
    "lists, two calls up": (
        f"model.py:{{}} passes mask to Net.inner only for a list of tensors, and {LIST}",
        "Outer.many passes one only for a list of tensors, and nothing in this project gave one",
    ),
}
"""Where a call passes a mask after all, but none that is reached: what is assumed, and what the check says."""


@pytest.mark.parametrize("files", NOTHING_PASSED.values(), ids=list(NOTHING_PASSED))
def test_nothing_passes_one(files: Mapping[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = write(tmp_path, files)
    usual = ("nothing in this project passes attn_bias to MemEff.forward", "nothing in this project passed one")
    assumed, told = UNREACHED.get(request.node.callspec.id, usual)
    before = execute(root, installed)
    output = rewrite(root, "--flags", "off").output
    passing = [n for n, line in enumerate(files["model.py"].splitlines(), 1) if PASSES.search(line)]
    assert f"assuming that {assumed.format(*passing)}\n" in output
    new = next(text for name, text in tree(root).items() if name.endswith("attention.py"))
    assert "if attn_bias is not None:\n            raise NotImplementedError(" in new
    assert "attn_mask" not in new
    assert_equal(before, execute(root, oracle.absent))
    home = next(name for name in tree(root) if name.endswith("attention.py"))[:-3].replace("/", ".")
    with fresh(root, oracle.absent):
        x = tensors()[0].flatten(2).detach()
        part = importlib.import_module(home).MemEff(24, 3).to(x.dtype)
        with pytest.raises(NotImplementedError, match=re.escape(f"attn_bias must be None here: {told} (xf2sdpa)")):
            part(x, torch.zeros(2, 3, 5, 5, dtype=x.dtype))


@pytest.mark.parametrize("files", REFUSED.values(), ids=list(REFUSED))
def test_something_may_pass_one(files: Mapping[str, str], tmp_path: Path) -> None:
    root = write(tmp_path, files)
    rewrite(root, "--flags", "off")
    assert "memory_efficient_attention(q, k, v, attn_bias=attn_bias)" in tree(root)["attention.py"]


def test_only_exact_leaves_it(tmp_path: Path) -> None:
    root = write(tmp_path, PROJECT)
    rewrite(root, "--flags", "off", "--only", "exact")
    assert tree(root) == PROJECT


MADE = "memory_efficient_attention(q, k, v, attn_bias=attn_bias)"
PLACES = {
    "a lambda": f"call = lambda: {MADE}\n        return call().reshape(b, n, c)",
    "a comprehension": f"return [{MADE} for _ in '1'][0].reshape(b, n, c)",
    "one arm": f"return ({MADE} if b else q).reshape(b, n, c)",
    "behind a semicolon": f"y = b; return {MADE}.reshape(b, n, c)",
    "a condition": f"if {MADE}.sum() > 0:\n            return x\n        return x * 2",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_without_a_place_for_the_check_it_is_the_helpers(place: str, tmp_path: Path) -> None:
    old = "return memory_efficient_attention(q, k, v, attn_bias=attn_bias).reshape(b, n, c)"
    root = write(tmp_path, changed(attention=ATTENTION.replace(old, place)))
    rewrite(root, "--flags", "off")
    assert "memory_efficient_attention(q, k, v, attn_bias=attn_bias)" in tree(root)["attention.py"]
    assert "NotImplementedError" not in tree(root)["attention.py"]


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    root = write(tmp_path, PROJECT)
    rewrite(root, "--flags", "off")
    once = tree(root)
    rewrite(root, "--flags", "off")
    assert tree(root) == once
