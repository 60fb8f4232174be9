"""Ranks that one file shows and another one changes: executed old against new, in float64.

As in test_ranks_that_change: turned over like four dimensions, three give other numbers without an error.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import assert_inline, assert_noticed

BLOCK = """\
import torch
import torch.nn as nn
from xformers.ops import memory_efficient_attention


def turn(t):
    return t


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Identity())
        self.fold = nn.Identity()

    def turned(self, t):
        return t

    def forward(self, q, k, v):
        b, n, h, d = q.shape
        q, k, v = [CHANGE for t in (q, k, v)]
        return memory_efficient_attention(q, k, v)
"""
MAIN = """\
import torch
import torch.nn as nn

import block as module
from block import Block

BEFORE


def run(q, k, v):
    block = MADE
    AFTER
    return "fast", block(q, k, v)
"""
BY_PARTS = "t.transpose(1, 2)"
FLAT = "nn.Flatten(0, 1)"
FLATTEN = "lambda *given: given[-1].flatten(0, 1)"


def program(change: str, before: str = "", made: str = "Block()", after: str = "pass") -> dict[str, str]:
    """A block whose own text keeps four dimensions: what is done to it before it is made, how, and after."""
    text = BLOCK.replace("CHANGE", change)
    main = MAIN.replace("BEFORE", before).replace("MADE", made).replace("AFTER", after.replace("\n", "\n    "))
    return {"block.py": text, "main.py": main}


LAYER, FOLD = f"self.layer({BY_PARTS})", f"self.fold({BY_PARTS})"
TURN, TURNED = f"turn({BY_PARTS})", f"self.turned({BY_PARTS})"
FLAT_CLASS = (
    "class Flat(Block):\n    def __init__(self):\n        super().__init__()\n        self.fold = nn.Flatten(0, 1)"
)

OPS = """\
import torch
from xformers.ops import memory_efficient_attention

IMPORT


def attend(q, k, v):
    BODY
    return memory_efficient_attention(q, k, v)
"""
CALLED = 'from ops import attend\n\n\ndef run(q, k, v):\n    return "fast", attend(q, k, v)\n'
COPIES = "b, n, h, d = q.shape\nq, k, v = [t[:1] * 1 for t in (q, k, v)]\n"


def apart(body: str, imported: str, helpers: str, called: str = CALLED) -> dict[str, str]:
    """A function that calls one of another file."""
    text = OPS.replace("IMPORT", imported).replace("BODY", body.replace("\n", "\n    "))
    return {"ops.py": text, "main.py": called, "helpers.py": helpers}


LISTED = "b, n, h, d = q.shape\nparts = [q, k, v]\n"
LESS = "[t.transpose(1, 2).flatten(0, 1) for t in parts]"
WRAPPED = """\
class Held:
    def __init__(self, t):
        self.t = t

    def view(self, *sizes):
        return self.t.transpose(1, 2).reshape(-1, sizes[1], sizes[3])
"""
MET = "from helpers import Held\nfrom ops import attend\n\n\ndef run(q, k, v):\n    held = map(Held, (q, k, v))\n"
MET += '    return "fast", attend(*held)\n'
VIEWED = "b, n, h, d = 2, 5, 3, 8\nq, k, v = [t.view(b, n, h, d) for t in (q, k, v)]"
OTHER_VIEW = "self.t.transpose(1, 2).reshape(6, 5, 8)"
HOLDS = "class Held:\n    def __init__(self, t):\n        self.t = t\n\n"
KEPT = """\
class Kept:
    def __init__(self, q, k, v):
        self.q, self.k, self.v = q, k, v

    def fold(self):
        self.q, self.k, self.v = [t.transpose(1, 2).flatten(0, 1) for t in (self.q, self.k, self.v)]
"""
ASKED = "\n    b, n, h, d = KEPT.q.shape\n    FOLD\n    return memory_efficient_attention(KEPT.q, KEPT.k, KEPT.v)\n"


def kept(head: str, of: str, fold: str, helpers: str, main: str) -> dict[str, str]:
    """Tensors that an object keeps, whose rank is asked for before another file changes them."""
    asked = ASKED.replace("KEPT", of).replace("FOLD", fold)
    text = f"import torch\nfrom xformers.ops import memory_efficient_attention\n{head}"
    asked = asked.replace("\n    ", "\n        ") if of == "self" else asked
    main = f"import torch\n{main}\n\n\ndef run(q, k, v):\n    return 'fast', go(q, k, v)\n"
    return {"ops.py": text + asked, "helpers.py": helpers, "main.py": main}


OWN = "class Attend(BASE):\n    def __init__(self, q, k, v):\n        self.q, self.k, self.v = q, k, v\n\n"
CALLS = "\n\ndef go(*tensors):\n    return MADE(*tensors).attend()"
CHANGED = {
    "what an object keeps": kept(
        "from helpers import Kept\n\n\ndef go(*tensors):\n    kept = Kept(*tensors)",
        "kept",
        "kept.fold()",
        KEPT,
        "from ops import go",
    ),
    "what an object gives": kept(
        "from helpers import Kept\n\n\ndef go(*tensors):\n    kept = Kept(*tensors)",
        "kept",
        "kept.fold()",
        "class Kept:\n    def __init__(self, *tensors):\n        self.all = tensors\n\n    def fold(self):\n"
        "        self.all = [t.transpose(1, 2).flatten(0, 1) for t in self.all]\n\n"
        + "".join(f"    @property\n    def {n}(self):\n        return self.all[{i}]\n\n" for i, n in enumerate("qkv")),
        "from ops import go",
    ),
    "what it keeps itself, by its base": kept(
        f"from helpers import Kept\n\n\n{OWN.replace('BASE', 'Kept')}    def attend(self):",
        "self",
        "self.fold()",
        KEPT,
        f"from ops import Attend{CALLS.replace('MADE', 'Attend')}",
    ),
    "what it keeps itself, by a class below": kept(
        f"\n\n{OWN.replace('BASE', 'object')}    def fold(self):\n        pass\n\n    def attend(self):",
        "self",
        "self.fold()",
        KEPT,
        "from helpers import Kept\nfrom ops import Attend\n\n\nclass Sub(Attend):\n    def fold(self):\n"
        f"        Kept.fold(self)\n        self.q = self.q{CALLS.replace('MADE', 'Sub')}",
    ),
    "what it keeps itself, by a function": kept(
        f"from helpers import fold\n\n\n{OWN.replace('BASE', 'object')}    def attend(self):",
        "self",
        "fold(self)",
        "def fold(o):\n    o.q, o.k, o.v = [t.transpose(1, 2).flatten(0, 1) for t in (o.q, o.k, o.v)]\n",
        f"from ops import Attend{CALLS.replace('MADE', 'Attend')}",
    ),
    "a view that has another name, too": apart(
        VIEWED,
        "import math",
        f"{HOLDS}    def other(self, *sizes):\n        return {OTHER_VIEW}\n\n    view = other\n",
        MET,
    ),
    "a view that it is given": apart(
        VIEWED, "import math", f"{HOLDS}        self.view = lambda *sizes: {OTHER_VIEW}\n".replace("\n\n", "\n"), MET
    ),
    "a view whose self has another name": apart(
        VIEWED,
        "import math",
        f"{HOLDS}    def view(s, *sizes):\n        return {OTHER_VIEW.replace('self', 's')}\n",
        MET,
    ),
    "what has a shape and operations of its own": apart(
        "b, n, h, d = q.shape\nq, k, v = [t.transpose(1, 2) for t in (q, k, v)]",
        "import math",
        f"{HOLDS}        self.shape = t.shape\n\n    def transpose(self, a, b):\n"
        "        return self.t.transpose(a, b).flatten(0, 1)\n".replace("\n\n\n", "\n"),
        MET,
    ),
    "a layer, by its name": program(FOLD, after=f"block.fold = {FLAT}"),
    "a layer, by setattr": program(FOLD, after=f'setattr(block, "fold", {FLAT})'),
    "a layer, in its table": program(FOLD, after=f'block._modules["fold"] = {FLAT}'),
    "a layer, together with another": program(FOLD, after=f"block.fold, other = {FLAT}, None"),
    "a layer, added by its name": program(FOLD, after=f'block.add_module("fold", {FLAT})'),
    "a layer that gets a part": program(LAYER, after=f"block.layer.append({FLAT})"),
    "a layer with a hook": program(FOLD, after="block.fold.register_forward_hook(lambda m, a, o: o.flatten(0, 1))"),
    "a layer with another forward": program(FOLD, after="block.fold.forward = lambda t: t.flatten(0, 1)"),
    "a layer of a derived class": program(FOLD, before=FLAT_CLASS, made="Flat()"),
    "a method of the class": program(TURNED, before=f"Block.turned = {FLATTEN}"),
    "a method of the object": program(TURNED, after=f"block.turned = {FLATTEN}"),
    "a function of the module": program(TURN, before=f"module.turn = {FLATTEN}"),
    "a function, by mock.patch": program(
        TURN, before="from unittest import mock", after=f'mock.patch("block.turn", {FLATTEN}).start()'
    ),
    "a function, in its table": program(TURN, before=f'module.__dict__["turn"] = {FLATTEN}'),
    "a tensor, in place": apart(
        f"{COPIES}fold(q)\nfold(k)\nfold(v)", "from helpers import fold", "def fold(t):\n    t.squeeze_(0)\n"
    ),
    "a tensor, by the module": apart(
        f"{COPIES}for t in (q, k, v):\n    helpers.fold(t)", "import helpers", "def fold(t):\n    t.squeeze_(0)\n"
    ),
    "a tensor, by what a function calls": apart(
        f"{COPIES}fold(q)\nfold(k)\nfold(v)",
        "from helpers import fold",
        "def fold(t):\n    less(t)\n\n\ndef less(t):\n    t.squeeze_(0)\n",
    ),
    "a tensor, by a method": apart(
        f"{COPIES}helper = Helper()\nhelper.fold(q)\nhelper.fold(k)\nhelper.fold(v)",
        "from helpers import Helper",
        "class Helper:\n    def fold(self, t):\n        t.squeeze_(0)\n",
    ),
    "a list": apart(
        f"{LISTED}less(parts)\nq, k, v = parts",
        "from helpers import less",
        f"def less(parts):\n    parts[:] = {LESS}\n",
    ),
    "a list, by its methods": apart(
        f"{LISTED}helpers.less(parts)\nq, k, v = parts",
        "import helpers",
        f"def less(parts):\n    new = {LESS}\n    parts.clear()\n    parts.extend(new)\n",
    ),
    "a list, by what a function calls": apart(
        f"{LISTED}less(parts)\nq, k, v = parts",
        "from helpers import less",
        f"def less(parts):\n    put(parts)\n\n\ndef put(parts):\n    parts[:] = {LESS}\n",
    ),
    "a list, under another name there": apart(
        f"{LISTED}less(parts)\nq, k, v = parts",
        "from helpers import less",
        f"def less(parts):\n    same = parts\n    same[:] = {LESS}\n",
    ),
    "a list, under another name here": apart(
        f"{LISTED}other(parts)\nq, k, v = parts",
        "from helpers import less as other",
        f"def less(parts):\n    parts[:] = {LESS}\n",
    ),
    "a list, by an object that keeps it": apart(
        f"{LISTED}Keeper(parts).change()\nq, k, v = parts",
        "from helpers import Keeper",
        "class Keeper:\n    def __init__(self, parts):\n        self.parts = parts\n\n    def change(self):\n"
        f"        self.parts[:] = {LESS.replace('parts', 'self.parts')}\n",
    ),
    "a list, in a dictionary": apart(
        f"{LISTED}less({{'x': parts}})\nq, k, v = parts",
        "from helpers import less",
        f"def less(held):\n    parts = held['x']\n    parts[:] = {LESS}\n",
    ),
    "a list, in a tuple": apart(
        f"{LISTED}less((parts, 1))\nq, k, v = parts",
        "from helpers import less",
        f"def less(held):\n    parts = held[0]\n    parts[:] = {LESS}\n",
    ),
    "a list that is kept elsewhere": apart(
        f"{LISTED}KEPT['x'] = parts\nless()\nq, k, v = parts",
        "from helpers import KEPT, less",
        f"KEPT = {{}}\n\n\ndef less():\n    parts = KEPT['x']\n    parts[:] = {LESS}\n",
    ),
    "a list that an attribute holds": apart(
        f"{LISTED}keeper.parts = parts\nless()\nq, k, v = parts",
        "from helpers import keeper, less",
        f"class keeper:\n    pass\n\n\ndef less():\n    parts = keeper.parts\n    parts[:] = {LESS}\n",
    ),
    "a list that a lambda gives away": apart(
        f"{LISTED}less(lambda: parts)\nq, k, v = parts",
        "from helpers import less",
        f"def less(give):\n    parts = give()\n    parts[:] = {LESS}\n",
    ),
    "a list, by a function that is handed in": apart(
        f"less = q.less\n{LISTED}less(parts)\nq, k, v = parts",
        "import math",
        f"def less(parts):\n    parts[:] = {LESS}\n",
        "import torch\nfrom helpers import less\nfrom ops import attend\n\n\ndef run(q, k, v):\n"
        '    q.less = less\n    return "fast", attend(q, k, v)\n',
    ),
    "a list, by what a checkpoint calls": apart(
        f"{LISTED}checkpoint(less, parts, use_reentrant=False)\nq, k, v = parts",
        "from torch.utils.checkpoint import checkpoint\n\nfrom helpers import less",
        f"def less(parts):\n    parts[:] = {LESS}\n",
    ),
    "a tensor, by what a checkpoint calls": apart(
        f"{COPIES}for t in (q, k, v):\n    checkpoint(fold, t, use_reentrant=False)",
        "from torch.utils.checkpoint import checkpoint\n\nfrom helpers import fold",
        "def fold(t):\n    t.squeeze_(0)\n",
    ),
    "a list, by who asks for more": apart(
        f"{LISTED}yield parts\nq, k, v = parts\nyield memory_efficient_attention(q, k, v)",
        "import math",
        f"def less(parts):\n    parts[:] = {LESS}\n",
        "from helpers import less\nfrom ops import attend\n\n\ndef run(q, k, v):\n    asked = attend(q, k, v)\n"
        '    less(next(asked))\n    return "fast", next(asked)\n',
    ),
    "a list, by a name of Python's": apart(
        f"{LISTED}q, k, v = tuple(parts)", "from helpers import *", f"def tuple(parts):\n    return {LESS}\n"
    ),
    "a tensor, under another name there": apart(
        f"{COPIES}fold(q)\nfold(k)\nfold(v)",
        "from helpers import fold",
        "def fold(t):\n    x = t\n    x.squeeze_(0)\n",
    ),
    "tensors, one after another": apart(
        f"{COPIES}fold(q, k, v)",
        "from helpers import fold",
        "def fold(*tensors):\n    for t in tensors:\n        t.squeeze_(0)\n",
    ),
    "tensors, in a dictionary": apart(
        f"{COPIES}fold({{'q': q, 'k': k, 'v': v}})",
        "from helpers import fold",
        "def fold(tensors):\n    for t in tensors.values():\n        t.squeeze_(0)\n",
    ),
    "a tensor, by an object": apart(
        f"{COPIES}[fold(t) for t in (q, k, v)]",
        "from helpers import fold",
        "class Fold:\n    def __call__(self, t):\n        t.squeeze_(0)\n\n\nfold = Fold()\n",
    ),
    "a tensor, by what map calls": apart(
        f"{COPIES}list(map(fold, (q, k, v)))", "from helpers import fold", "def fold(t):\n    t.squeeze_(0)\n"
    ),
    "a tensor, by a function that is handed in": apart(
        f"less = q.fold\n{COPIES}for t in (q, k, v):\n    less(t)",
        "import math",
        "def fold(t):\n    t.squeeze_(0)\n",
        "import torch\nfrom helpers import fold\nfrom ops import attend\n\n\ndef run(q, k, v):\n"
        '    setattr(q, "fold", fold)\n    return "fast", attend(q, k, v)\n',
    ),
    "what has a view of its own": apart(
        "b, n, h, d = 2, 5, 3, 8\nq, k, v = [t.view(b, n, h, d) for t in (q, k, v)]",
        "import math",
        WRAPPED,
        "from helpers import Held\nfrom ops import attend\n\n\ndef run(q, k, v):\n"
        '    return "fast", attend(Held(q), Held(k), Held(v))\n',
    ),
    "what has a view of its own, in the same file": {
        "main.py": "from ops import Held, attend\n\n\ndef run(q, k, v):\n"
        '    return "fast", attend(Held(q), Held(k), Held(v))\n',
        "ops.py": OPS.replace("IMPORT", WRAPPED).replace("BODY", "q, k, v = [t.view(2, 5, 3, 8) for t in (q, k, v)]"),
    },
}
STAYS = {
    "a layer that is not put elsewhere": program(FOLD, after="block.other = 1"),
    "its own layer": program(FOLD, before="class Other:\n    def __init__(self):\n        self.fold = 1"),
    "a layer that is read": program(FOLD, after="fold = block.fold"),
    "a keyword of that name": program(FOLD, after="print(block.heads if hasattr(block, 'heads') else 1, end='')"),
    "a function that changes numbers in place": apart(
        f"{COPIES}fold(q)\nfold(k)\nfold(v)", "from helpers import fold", "def fold(t):\n    t.mul_(2)\n"
    ),
    "a list that Python's functions are given": apart(
        f"{LISTED}print(len(parts), end='')\nq, k, v = list(parts)", "import math", ""
    ),
    "a list that is logged": apart(f"{LISTED}logging.debug('%s', parts)\nq, k, v = parts", "import logging", ""),
    "a tuple that a function is given": apart(
        "b, n, h, d = q.shape\nparts = q, k, v\nlook(parts)\nq, k, v = parts",
        "from helpers import look",
        "def look(parts):\n    return len(parts)\n",
    ),
    "sizes that a function is given": apart(
        "b, n, h, d = q.shape\nsizes = [b, n, h, d]\nlook(sizes)\nq, k, v = [t.view(sizes) for t in (q, k, v)]",
        "from helpers import look",
        "def look(parts):\n    return len(parts)\n",
    ),
    "the parts of a list": apart(
        f"{LISTED}look(*parts)\nq, k, v = parts", "from helpers import look", "def look(*parts):\n    return 1\n"
    ),
    "a module with a view": apart(
        "b, n, h, d = q.shape\nq, k, v = [t.view(b, n, h, d) for t in (q, k, v)]",
        "from helpers import Viewing",
        "from torch import nn\n\n\nclass Viewing(nn.Module):\n    def view(self, t):\n        return t\n",
    ),
}


@pytest.mark.parametrize("files", CHANGED.values(), ids=list(CHANGED))
def test_it_is_noticed(files: dict[str, str], tmp_path: Path) -> None:
    assert_noticed(files, tmp_path)


@pytest.mark.parametrize("files", STAYS.values(), ids=list(STAYS))
def test_what_stays_is_still_known(files: dict[str, str], tmp_path: Path) -> None:
    assert_inline(files, tmp_path)
