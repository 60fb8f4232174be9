"""Ranks that a function states and then changes behind the walk's back: executed old against new, in float64.

Four dimensions are stated, and the call gets three (or the other way round). Turned over like four, three give other
numbers without an error; so each of these must compute the same, or raise by a check that is written for it.
"""

# ruff: noqa: E501 - programs in one line

from __future__ import annotations

from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import assert_equal, assert_noticed, execute, installed, rewrite, tree, write

OPS = """\
import contextlib

import torch
import torch.nn as nn
import torch.nn.functional as F
from xformers.ops import memory_efficient_attention


def merged(*tensors):
    return [t.transpose(1, 2).flatten(0, 1) for t in tensors]


class Held:
    pass


{head}def attend(q, k, v):
    {body}

{more}"""
MAIN = """\
from ops import attend


def run(q, k, v):
    return "fast", attend({arguments})
"""
STATED = "b, n, h, d = q.shape\n"
CALL = "\nreturn memory_efficient_attention(q, k, v)"
MERGE = "q, k, v = merged(q, k, v)"
FIRST, ONE_HEAD = "q[:, :, 0]", "q[:, :, 0], k[:, :, 0], v[:, :, 0]"
ONE = ", k[:, :, 0], v[:, :, 0])"
WIDE = "torch.ones(1, 2, 1, 1, dtype=q.dtype)"
HELD = "o = Held()\no.q, o.k, o.v = q, k, v\nb, n, h, d = o.q.shape\n"
OF_HELD = "\nreturn memory_efficient_attention(o.q, o.k, o.v)"


def program(body: str, head: str = "", more: str = "", arguments: str = "q, k, v") -> dict[str, str]:
    body = "\n    ".join(body.splitlines())
    head = f"{head}\n\n\n" if head else ""
    more = f"\n{more}\n" if more else ""
    text = OPS.replace("{head}", head).replace("{body}", body).replace("{more}", more)
    return {"ops.py": text, "main.py": MAIN.replace("{arguments}", arguments)}


def wide(operation: str) -> dict[str, str]:
    """Three dimensions that an operation broadcasts to four."""
    body = f"b, n, d = q.shape\nw = {WIDE}\nq, k, v = [{operation} for t in (q, k, v)]{CALL}"
    return program(body, arguments=ONE_HEAD)


def layer(change: str, more: str = "") -> dict[str, str]:
    """A module whose layer is not, or not only, what it is set to."""
    lines = (
        "class Block(nn.Module):", "    def __init__(self):", "        super().__init__()",
        "        self.layer = nn.Sequential(nn.Identity())", f"        {change}", "",
        "    def forward(self, q, k, v):", "        b, n, h, d = q.shape",
        "        q, k, v = [self.layer(t.transpose(1, 2)) for t in (q, k, v)]",
        "        return memory_efficient_attention(q, k, v)", "",
    )  # fmt: skip
    return program("return made()(q, k, v)", more="\n".join(lines) + (more or "\n\ndef made():\n    return Block()"))


def method(more: str, after: str = "") -> dict[str, str]:
    """A class with a method that is defined again, or replaced."""
    lines = (
        "class Block:", "    def fold(self, t):", "        return t", "", "    def attend(self, q, k, v):",
        "        b, n, h, d = q.shape", "        q, k, v = [self.fold(t.transpose(1, 2)) for t in (q, k, v)]",
        "        return memory_efficient_attention(q, k, v)", "", *more.splitlines(), "", "", *after.splitlines(),
    )  # fmt: skip
    return program("return Block().attend(q, k, v)", more="\n".join(lines))


FOLD = "    def fold(self, t):\n        return t.flatten(0, 1)"
CHANGED = {
    "in a loop over a tuple, left by break": program(
        f"{STATED}for i in (0, 1):\n    if i == len(q) - 2:\n        {MERGE}\n        break{CALL}"
    ),
    "in a loop over a tuple, gone on with": program(
        f"{STATED}for i in (0, 1):\n    if i == len(q) - 2:\n        {MERGE}\n        continue\n    print(i){CALL}"
    ),
    "in the else of a loop over a tuple": program(f"{STATED}for i in (0, 1):\n    print(i)\nelse:\n    {MERGE}{CALL}"),
    "in a loop left by break, and otherwise in its else": program(
        f"{STATED}for i in range(2):\n    if i == len(q) - 1:\n        {MERGE}\n        break\nelse:\n    q, k, v = q * 1, k * 1, v * 1{CALL}"
    ),
    "before an error that is swallowed": program(
        f"{STATED}with contextlib.suppress(ValueError):\n    {MERGE}\n    raise ValueError{CALL}"
    ),
    "twice around an error that is swallowed": program(
        f"{STATED}with contextlib.suppress(ValueError):\n    {MERGE}\n    int('x')\n"
        f"    q, k, v = [t.unsqueeze(1) for t in (q, k, v)]{CALL}"
    ),
    "twice around an error that is caught": program(
        f"{STATED}try:\n    {MERGE}\n    int('x')\n    q, k, v = [t.unsqueeze(1) for t in (q, k, v)]\n"
        f"except ValueError:\n    pass{CALL}"
    ),
    "twice, and read in a finally": program(
        f"{STATED}try:\n    {MERGE}\n    int('x')\n    q, k, v = [t.unsqueeze(1) for t in (q, k, v)]\n"
        "finally:\n    return memory_efficient_attention(q, k, v)"
    ),
    "by a walrus in a comprehension": program(
        f"{STATED}[(q := t) for t in merged(q)]\n[(k := t) for t in merged(k)]\n[(v := t) for t in merged(v)]{CALL}"
    ),
    "in place, in a comprehension": program(
        f"{STATED}q, k, v = [t[:1] * 1 for t in (q, k, v)]\n[t.squeeze_(0) for t in (q, k, v)]{CALL}"
    ),
    "in place, by a function": program(
        f"{STATED}q, k, v = [t[:1] * 1 for t in (q, k, v)]\nfold(q)\nfold(k)\nfold(v){CALL}", "def fold(t):\n    t.squeeze_(0)"
    ),
    "in place, under another name, to any shape": program(
        f"{STATED}q, k, v = [t.detach().clone() for t in (q, k, v)]\nx, y, z = q, k, v\nx.resize_(6, 5, 8)\n"
        f"y.resize_(6, 5, 8)\nz.resize_(6, 5, 8)\no = memory_efficient_attention(q, k, v)\nreturn o + 0 * w.sum()"
        .replace("w.sum", "(a + b_ + c_).sum").replace(STATED, f"{STATED}a, b_, c_ = q, k, v\n", 1)
    ),
    "by a number that grows": program(f"b, n, d = q.shape\nw = 0\nw += {WIDE}\nq, k, v = q * w, k * w, v * w{CALL}",
        arguments=ONE_HEAD),
    "by a variable that a lambda reads later": program(
        f"b, n, d = q.shape\nw = 2\nf = lambda t: t * w\nw = {WIDE}\nq, k, v = f(q), f(k), f(v){CALL}", arguments=ONE_HEAD
    ),
    "behind a lambda": program(f"{STATED}f = lambda: q\n{MERGE}\nreturn memory_efficient_attention(f(), k, v)"),
    "broadcast by masked_fill": wide("t.masked_fill(w < 0, 0.0)"),
    "broadcast by clamp": wide("t.clamp(max=w)"),
    "broadcast by pow": wide("(t.abs() + 1).pow(w)"),
    "an item of a list": program(
        f"{STATED}x = [q, k, v]\nfor i in range(3):\n    x[i] = merged(x[i])[0]\nq, k, v = x{CALL}"
    ),
    "all items of a list": program(f"{STATED}x = [q, k, v]\nx[:] = merged(*x)\nq, k, v = x{CALL}"),
    "an item of a list in a list": program(f"{STATED}x = [[q]]\nx[0][0] = {FIRST}\nreturn memory_efficient_attention(x[0][0]{ONE}"),
    "an item, under another name": program(
        f"{STATED}x = [q]\ny = x\ny[0] = {FIRST}\nreturn memory_efficient_attention(x[0]{ONE}"
    ),
    "an item, put in under another name": program(
        f"{STATED}x = [q]\ny = x\ny.insert(0, {FIRST})\nreturn memory_efficient_attention(x[0]{ONE}"
    ),
    "an item, appended under another name": program(
        f"{STATED}x = [q]\ny = x\ny.append({FIRST})\nreturn memory_efficient_attention(x[-1]{ONE}"
    ),
    "an item, by a function": program(
        f"{STATED}x = [q]\nput(x, {FIRST})\nreturn memory_efficient_attention(x[0]{ONE}", "def put(x, t):\n    x[0] = t"
    ),
    "an item, by a function within": program(
        f"{STATED}x = [q]\ndef put():\n    x[0] = {FIRST}\nput()\nreturn memory_efficient_attention(x[0]{ONE}"
    ),
    "a list turned round": program(f"{STATED}x = [{FIRST}, q]\nx.reverse()\nreturn memory_efficient_attention(x[1]{ONE}"),
    "a list that loses one": program(f"{STATED}x = [q, {FIRST}]\nx.pop(0)\nreturn memory_efficient_attention(x[0]{ONE}"),
    "a list of which one is deleted": program(
        f"{STATED}x = [q, {FIRST}]\ndel x[0]\nreturn memory_efficient_attention(x[0]{ONE}"
    ),
    "an attribute": program(f"{HELD}o.q, o.k, o.v = merged(o.q, o.k, o.v){OF_HELD}"),
    "an attribute, by a function": program(
        f"{HELD}fold(o){OF_HELD}", "def fold(o):\n    o.q, o.k, o.v = merged(o.q, o.k, o.v)"
    ),
    "attributes by their names": program(
        f"{HELD}for name in 'qkv':\n    setattr(o, name, merged(getattr(o, name))[0]){OF_HELD}"
    ),
    "the object with the attribute": program(
        f"{HELD}p = Held()\np.q, p.k, p.v = merged(q, k, v)\no = p{OF_HELD}"
    ),
    "a method that is defined again": method(FOLD),
    "a method that is defined under a condition": method("    if True:\n" + FOLD.replace("    ", "        ", 1).replace("\n", "\n    ")),
    "a method that is put in its place": method("", "Block.fold = lambda self, t: t.flatten(0, 1)"),
    "a layer that gets a further part": layer("self.layer.append(nn.Flatten(0, 1))"),
    "a layer of which a part is replaced": layer("self.layer[0] = nn.Flatten(0, 1)"),
    "a layer with a hook": layer("self.layer.register_forward_hook(lambda m, a, o: o.flatten(0, 1))"),
    "a layer whose forward is replaced": layer("self.layer.forward = lambda t: t.flatten(0, 1)"),
    "a layer that is replaced from outside": layer(
        "", "\n\ndef made():\n    block = Block()\n    block.layer = nn.Flatten(0, 1)\n    return block"
    ),
    "a function that a star replaces": program(
        f"{STATED}q, k, v = fold(q), fold(k), fold(v){CALL}", "def fold(t):\n    return t", "from more import *"
    ) | {"more.py": "def fold(t):\n    return t.transpose(1, 2).flatten(0, 1)\n"},
    "a function that globals() replaces": program(
        f"{STATED}q, k, v = fold(q), fold(k), fold(v){CALL}", "def fold(t):\n    return t",
        "globals()['fold'] = lambda t: t.transpose(1, 2).flatten(0, 1)",
    ),
}  # fmt: skip
STAYS = {
    "an item with a written number": program(
        f"{STATED}x = [q, k, v]\nx[0] = x[0] * 2\nreturn memory_efficient_attention(x[0], x[1], x[2])"
    ),
    "a lambda for map": program(f"{STATED}w = 1\nw = 2\nq, k, v = map(lambda t: t * w, (q, k, v)){CALL}"),
    "no more dimensions in masked_fill": program(f"{STATED}q = q.masked_fill(q > 9, 0.0){CALL}"),
    "numbers for clamp and pow": program(f"{STATED}q = q.clamp(min=-9.0).pow(1){CALL}"),
    "a number that grows": program(f"{STATED}w = 0\nw += 1\nq = q * w{CALL}"),
}  # fmt: skip


@pytest.mark.parametrize("files", CHANGED.values(), ids=list(CHANGED))
def test_it_is_noticed(files: dict[str, str], tmp_path: Path) -> None:
    assert_noticed(files, tmp_path)


@pytest.mark.parametrize("files", STAYS.values(), ids=list(STAYS))
def test_what_stays_is_still_known(files: dict[str, str], tmp_path: Path) -> None:
    root = write(tmp_path, files)
    before = execute(root, installed)
    rewrite(root, "--flags", "off")
    new = tree(root)["ops.py"]
    assert "scaled_dot_product_attention(" in new
    assert "NotImplementedError" not in new
    assert_equal(before, execute(root, oracle.absent))
