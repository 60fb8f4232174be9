"""Layers, methods and functions of one file that another replaces by roundabout ways: old against new, in float64.

As in test_ranks_that_others_change: four dimensions turned over like three give other numbers without an error.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import assert_inline, assert_noticed
from tests.run.test_ranks_that_others_change import CALLED, FLAT, FLATTEN, FOLD, LAYER, TURN, TURNED, program

TURNS = "def turned(self, t):\n        return t.flatten(0, 1)\n"
"""A method that takes the place of one that keeps four dimensions."""
SETS = "for name, value in parts.items():\n        setattr(target, name, value)\n"
PATCH = f"def patch(target, **parts):\n    {SETS}"
ONE = "def put(target, path, value):\n    setattr(target, path.split('.')[-1], value)\n"
TO = "def to(target):\n    def put(f):\n        setattr(target, f.__name__, f)\n        return f\n\n    return put\n"


def derived(body: str, made: str = "Sub()") -> dict[str, str]:
    """A class that derives from the block and does more when it is made."""
    init = f"class Sub(Block):\n    def __init__(self, **parts):\n        super().__init__()\n        {body}\n"
    return program(FOLD, before=init, made=made)


OWN = """\
import torch
import torch.nn as nn
from xformers.ops import memory_efficient_attention

from more import *


CLASS


    def forward(self, q, k, v):
        b, n, h, d = q.shape
        q, k, v = [CHANGE for t in (q, k, v)]
        return memory_efficient_attention(q, k, v)


attend = Block()
"""
KEEPS = "    def turned(self, t):\n        return t\n"
MADE = "    def __init__(self):\n        super().__init__()\n        self.fold = nn.Identity()\n"


def above(head: str, more: str, change: str = TURNED) -> dict[str, str]:
    """A block that says itself what it does, and bases of it, or what makes it, in another file."""
    text = OWN.replace("CLASS", head.rstrip("\n")).replace("CHANGE", change)
    return {"ops.py": text, "main.py": CALLED, "more.py": f"import torch.nn as nn\n\n\n{more}\n"}


CHANGED = {
    "a base imported under another name": program(
        TURNED, f"from block import Block as Base\n\n\nclass Sub(Base):\n    {TURNS}", "Sub()"
    ),
    "a base with another name": program(TURNED, f"Base = module.Block\n\n\nclass Sub(Base):\n    {TURNS}", "Sub()"),
    "a base that is looked up": program(
        TURNED,
        f"import importlib\n\nBase = importlib.import_module('block').Block\n\n\nclass Sub(Base):\n    {TURNS}",
        "Sub()",
    ),
    "a base that a function is given": program(
        TURNED,
        f"def made(base):\n    class Sub(base):\n        {TURNS.replace('   ret', '       ret')}\n    return Sub",
        "made(Block)()",
    ),
    "a class that is made by a call": program(TURNED, f"Sub = type('Sub', (Block,), {{'turned': {FLATTEN}}})", "Sub()"),
    "a class that reads attributes in its own way": program(
        FOLD,
        "class Sub(Block):\n    def __getattr__(self, name):\n"
        f"        return {FLAT} if name == 'fold' else super().__getattr__(name)\n",
        "Sub()",
    ),
    "a class that sets attributes in its own way": program(
        FOLD,
        "class Sub(Block):\n    def __setattr__(self, name, value):\n"
        f"        super().__setattr__(name, {FLAT} if isinstance(value, nn.Identity) else value)\n",
        "Sub()",
    ),
    "what a derived class sets by a computed name": derived(
        "for name, part in parts.items():\n            setattr(self, name, part)", f"Sub(fold={FLAT})"
    ),
    "what a derived class adds by its name": derived(f'self.add_module("fold", {FLAT})'),
    "what a derived class puts into its table": derived(f'self._modules["fold"] = {FLAT}'),
    "what a derived class sets together with another": derived(f"(self.other, self.fold) = 1, {FLAT}"),
    "what a derived class sets in a loop": derived(f"for self.fold in [{FLAT}]:\n            pass"),
    "a part that a derived class replaces": program(
        LAYER,
        f"class Sub(Block):\n    def __init__(self):\n        super().__init__()\n        self.layer[0] = {FLAT}\n",
        "Sub()",
    ),
    "a method, by a decorator of classes": program(
        TURNED, f"def other(cls):\n    cls.turned = {FLATTEN}\n    return cls\n\n\nBlock = other(Block)"
    ),
    "a layer, by a function with a self": program(
        FOLD, f"def fill(self):\n    self.fold = {FLAT}\n", after="fill(block)"
    ),
    "a layer, by its path": program(FOLD, after=f'block.set_submodule("fold", {FLAT})'),
    "layers, in their table": program(FOLD, after=f"block._modules.update(fold={FLAT})"),
    "functions, in their table": program(TURN, after=f"vars(module).update(turn={FLATTEN})"),
    "functions, by mock": program(
        TURN, "from unittest import mock", after=f"mock.patch.multiple('block', turn={FLATTEN}).start()"
    ),
    "the code of a function": program(TURN, after=f"module.turn.__code__ = ({FLATTEN}).__code__"),
    "a part of a layer, by its name": program(LAYER, after=f'setattr(block.layer, "0", {FLAT})'),
    "a part of a layer, in its table": program(LAYER, after=f'block.layer._modules["0"] = {FLAT}'),
    "a part of a layer, by a variable": program(LAYER, after=f"layers = block.layer\nlayers[0] = {FLAT}"),
    "a part of a layer, by its name and a variable": program(
        LAYER, after=f'layers = getattr(block, "layer")\nlayers[0] = {FLAT}'
    ),
    "a hook, by a variable": program(
        FOLD, after="one = block.fold\none.register_forward_hook(lambda m, a, o: o.flatten(0, 1))"
    ),
    "a hook, where a name is asked for": program(
        FOLD,
        after="for name, one in block.named_modules():\n    if name == 'fold':\n"
        "        one.register_forward_hook(lambda m, a, o: o.flatten(0, 1))",
    ),
    "a layer, by a function that is told its name": program(FOLD, ONE, after=f"put(block, 'fold', {FLAT})"),
    "a layer, by a function with keywords": program(FOLD, PATCH, after=f"patch(block, fold={FLAT})"),
    "a method, by a function with keywords": program(TURNED, f"{PATCH}\n\npatch(Block, turned={FLATTEN})"),
    "a method, by a decorator of functions": program(
        TURNED, f"{TO}\n\n@to(Block)\ndef turned(self, t):\n    return t.flatten(0, 1)"
    ),
    "a function, by its name": program(
        TURN,
        "def put(target, f):\n    setattr(target, f.__name__, f)\n\n\n"
        "def turn(t):\n    return t.flatten(0, 1)\n\n\nput(module, turn)",
    ),
    "a layer, from a table": program(
        FOLD, after=f"for name, part in {{'fold': {FLAT}}}.items():\n    setattr(block, name, part)"
    ),
    "a layer, by a name that is put together": program(FOLD, after=f"n = 'ld'\nsetattr(block, f'fo{{n}}', {FLAT})"),
    "a layer, in its table, where its name is asked for": program(
        FOLD,
        after=f"for name in list(block._modules):\n    if name == 'fold':\n        block._modules[name] = {FLAT}",
    ),
    "a base that sets it": above(
        f"class Block(Base):\n{MADE}        self.prepare()\n",
        f"class Base(nn.Module):\n    def prepare(self):\n        self.fold = {FLAT}\n",
        FOLD,
    ),
    "a base that hooks it": above(
        f"class Block(Base):\n{MADE}        self.prepare()\n",
        "class Base(nn.Module):\n    def prepare(self):\n"
        "        self.fold.register_forward_hook(lambda m, a, o: o.flatten(0, 1))\n",
        FOLD,
    ),
    "a base that sets a method": above(
        f"class Block(Base):\n{KEEPS}",
        "class Base(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.turned = {FLATTEN}\n",
    ),
    "a base that changes its classes": above(
        f"class Block(Base):\n{KEEPS}",
        f"class Base(nn.Module):\n    def __init_subclass__(cls):\n        cls.turned = {FLATTEN}\n",
    ),
    "a base that reads attributes in its own way": above(
        f"class Block(Base):\n{KEEPS}",
        "class Base(nn.Module):\n    def __getattribute__(self, name):\n"
        f"        return ({FLATTEN}) if name == 'turned' else super().__getattribute__(name)\n",
    ),
    "a base beside another one": above(
        f"class Plain(nn.Module):\n{KEEPS}\n\nclass Block(Other, Plain):\n    pass\n", f"class Other:\n    {TURNS}"
    ),
    "a class of its classes": above(
        f"class Block(nn.Module, metaclass=Maker):\n{KEEPS}",
        "class Maker(type):\n    def __new__(cls, name, bases, body):\n"
        f"        body['turned'] = {FLATTEN}\n        return super().__new__(cls, name, bases, body)\n",
    ),
    "a decorator that derives from what it is given": above(
        f"@other\nclass Block(nn.Module):\n{KEEPS}",
        "def other(base):\n    class Other(base):\n"
        "        def turned(self, t):\n            return t.flatten(0, 1)\n\n    return Other\n",
    ),
    "a layer of a class that is decorated": above(
        f"@other\nclass Keep(nn.Module):\n    def forward(self, t):\n        return t\n\n\n"
        f"class Block(nn.Module):\n{MADE.replace('nn.Identity', 'Keep')}",
        "def other(base):\n    return lambda: nn.Flatten(0, 1)\n",
        FOLD,
    ),
    "a layer that is called in its own way": above(
        f"class Keep(Base):\n    def forward(self, t):\n        return t\n\n\n"
        f"class Block(nn.Module):\n{MADE.replace('nn.Identity', 'Keep')}",
        "class Base(nn.Module):\n    def __call__(self, t):\n        return super().__call__(t).flatten(0, 1)\n",
        FOLD,
    ),
    "the forward of a class": above(
        f"class Keep(nn.Module):\n    def forward(self, t):\n        return t\n\n\n"
        f"class Block(nn.Module):\n{MADE.replace('nn.Identity', 'Keep')}",
        f"def change(ops):\n    ops.Keep.forward = {FLATTEN}\n",
        FOLD,
    )
    | {"main.py": f"import more\nimport ops\n\nmore.change(ops)\n{CALLED}"},
    "a class of the module": above(
        f"class Keep(nn.Module):\n    def forward(self, t):\n        return t\n\n\n"
        f"class Block(nn.Module):\n{MADE.replace('nn.Identity', 'Keep')}",
        f"def change(ops):\n    ops.Keep = lambda: {FLAT}\n    ops.attend = ops.Block()\n",
        FOLD,
    )
    | {"main.py": f"import more\nimport ops\n\nmore.change(ops)\n{CALLED}"},
    "a class, by a function that gets all names": above(
        f"class Keep(nn.Module):\n    def forward(self, t):\n        return t\n\n\nchange(globals())\n\n\n"
        f"class Block(nn.Module):\n{MADE.replace('nn.Identity', 'Keep')}",
        f"def change(names):\n    names['Keep'] = lambda: {FLAT}\n",
        FOLD,
    ),
    "its own layer, in a loop": above(
        f"class Block(nn.Module):\n{MADE}        for self.fold in [{FLAT}]:\n            pass\n", "", FOLD
    ),
    "its own layer, by a variable": above(
        f"class Block(nn.Module):\n{MADE.replace('nn.Identity()', 'nn.Sequential(nn.Identity())')}"
        f"        layers = self.fold\n        layers[0] = {FLAT}\n",
        "",
        FOLD,
    ),
    "its own container, by a function": above(
        f"class Block(nn.Module):\n{MADE.replace('nn.Identity()', 'nn.Sequential(nn.Identity())')}"
        "        fill(self.fold)\n",
        f"def fill(layers):\n    layers[0] = {FLAT}\n",
        FOLD,
    ),
    "its own layer, by a computed name": above(
        f"class Block(nn.Module):\n{MADE}        for name in ['fold']:\n            setattr(self, name, {FLAT})\n",
        "",
        FOLD,
    ),
    "a variable of its class": above(
        f"class Block(nn.Module):\n    fold = {FLAT}\n\n    def plain(self):\n        self.fold = nn.Identity()\n",
        "",
        FOLD,
    ),
}
STAYS = {
    "a layer whose numbers a function sets": above(
        f"class Block(nn.Module):\n{MADE}        start(self.fold)\n", "def start(layer):\n    return layer\n", FOLD
    ),
    "a loop over all parts": program(
        FOLD,
        after="for name, part in block.named_children():\n    setattr(block, name, part)",
    ),
    "settings": program(FOLD, "class args:\n    pass\n", after="for name in ['fold']:\n    setattr(args, name, 1)"),
    "another base with that name": program(FOLD, "from math import pi as Base\n\n\nclass Sub:\n    fold = 1\n"),
    "a method of its own, which a base has too": above(
        f"class Block(Base):\n{KEEPS}",
        "class Base(nn.Module):\n    def turned(self, t):\n        raise NotImplementedError\n",
    ),
    "a base that sets something else": above(
        f"class Block(Base):\n{MADE}",
        "class Base(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.other = nn.Identity()\n",
        FOLD,
    ),
    "an abstract class": above(f"import abc\n\n\nclass Block(nn.Module, metaclass=abc.ABCMeta):\n{KEEPS}", "", TURNED),
}


@pytest.mark.parametrize("files", CHANGED.values(), ids=list(CHANGED))
def test_it_is_noticed(files: dict[str, str], tmp_path: Path) -> None:
    assert_noticed(files, tmp_path)


@pytest.mark.parametrize("files", STAYS.values(), ids=list(STAYS))
def test_what_stays_is_still_known(files: dict[str, str], tmp_path: Path) -> None:
    assert_inline(files, tmp_path)
