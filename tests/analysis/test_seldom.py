"""What is seldom written: the analysis says nothing of it rather than something wrong."""

from __future__ import annotations

import pytest

from tests.analysis.test_ranks import rank_of
from xf2sdpa.rewrite.engine import rewrite_text

SHAPED = "import torch\ndef f(x, y=None, *more, **named):\n    a, b, c, d = x.shape\n    {}\n"
UNSHAPED = "import torch\ndef f(x, y=None, *more, **named):\n    {}\n"

RANKS = {
    "a call with named arguments unpacked": ("return x.flatten(1, **named)", 2),
    "the tensor of a list with its mask": (
        "import xformers.ops as xops\n    mask, z = xops.fmha.BlockDiagonalMask.from_tensor_list([x])\n    return z",
        None,
    ),
    "an operation on what is no tensor": ("return torch.squeeze((a, b), 1)", None),
    "a pattern with a side that no rank can be read from": (
        "import einops\n    return einops.rearrange(x, 'b n h d -> b n ... h d')",
        None,
    ),
    "a pattern whose left side is open": ("import einops\n    return einops.rearrange(x, '... d -> (...) d')", None),
    "nothing joined": ("return torch.stack()", None),
    "an index that is a name for a slice, on a tuple": ("part = slice(0, 2)\n    return (x, x)[part]", None),
    "a part of a tuple by a bound that is not known": ("return (x, x)[a:][0]", None),
    "a part of a shape by an index that is not known": ("return x.new_zeros(x.shape[y])", None),
    "the last sizes": ("return x.reshape(x.shape[-2:])", 2),
    "sizes with a step": ("return x.reshape(x.shape[::2])", 2),
    "seen as another dtype": ("return x.view(torch.float16)", 4),
    "seen as something unknown": ("return x.view_as(y)", None),
    "joined by a comprehension": ("return torch.cat([t for t in more])", None),
    "seen as something that is no tensor": ("return x.view_as((x, x))", None),
    "reduced, and nobody knows whether the axis stays": ("return x.mean(1, keepdim=y)", None),
    "the number of a tuple's items": ("return x.flatten(len((x,)))", 2),
    "joined with a tuple": ("return torch.cat([x, (a, b)])", 4),
    "taken from fewer items than names": ("y, z, u = (x, x)\n    return u", None),
    "a mask as a tensor": (
        "import xformers.ops as xops\n    return xops.LowerTriangularMask().materialize((2, 3, 3))",
        3,
    ),
    "a mask's method that is not known": (
        "import xformers.ops as xops\n    return xops.LowerTriangularMask().nothing(a)",
        None,
    ),
    "what is known decides": ("z = None\n    if not (z is None or a):\n        x = x[0]\n    return x", 4),
}


@pytest.mark.parametrize(("line", "rank"), RANKS.values(), ids=list(RANKS))
def test_ranks(line: str, rank: int | None) -> None:
    assert rank_of(SHAPED.format(line)) == rank


OPEN = {
    "the last two sizes": ("return x.view(x.shape[-2:])", 2),
    "a star with a known rest": ("return torch.zeros(*x.shape[:-1], 2, 3)", None),
    "a star with an unknown rest": ("return torch.zeros((*x.shape[:-1], *more))", None),
    "the first two sizes and two more": ("return x.view(*x.shape[:2], 3, 4)", 4),
}


@pytest.mark.parametrize(("line", "rank"), OPEN.values(), ids=list(OPEN))
def test_ranks_where_that_of_the_parameter_is_unknown(line: str, rank: int | None) -> None:
    assert rank_of(UNSHAPED.format(line)) == rank


HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nimport xformers.ops as xops\n\n\n"
CALL = "xops.memory_efficient_attention(q, k, v)"
PROGRAMS = {
    "adjoint turns the last two axes": (
        "def f(q, k, v):\n    b, n, h, d = q.shape\n    k, v = k.adjoint(), v.adjoint()\n"
        f"    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a method that is handed unpacked arguments": (
        "class A(nn.Module):\n    def split(self, x):\n        return x.view(2, 3, 4, 5)\n\n"
        "    def forward(self, *given):\n        q = k = v = self.split(*given)\n"
        f"        return {CALL}.flatten(2)\n",
        "compat",
    ),
    "a local function that is handed unpacked arguments": (
        "def f(*given):\n    def split(x):\n        return x.view(2, 3, 4, 5)\n\n"
        f"    q = k = v = split(*given)\n    return {CALL}.flatten(2)\n",
        "compat",
    ),
    "a class of the file that has no forward": (
        "class Split(nn.Module):\n    pass\n\n\nclass A(nn.Module):\n    def __init__(self):\n"
        "        self.split = Split()\n\n    def forward(self, x):\n        q = k = v = self.split(x)\n"
        f"        return {CALL}.flatten(2)\n",
        "compat",
    ),
    "a parameter that is annotated with a class of the file": (
        "class Split(nn.Module):\n    def forward(self, x):\n        return x.view(2, 3, 4, 5)\n\n\n"
        f"def f(x, split: Split):\n    q = k = v = split(x)\n    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "an annotation of another kind": (
        f"def f(q: Dict[str, int], k, v):\n    return {CALL}.flatten(2)\n",
        "compat",
    ),
    "a default that is computed": (
        "def f(x):\n    def split(x, n=max(1, 2)):\n        return x.view(2, 3, n, 5)\n\n"
        f"    q = k = v = split(x)\n    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a diamond of bases": (
        "class Base(nn.Module):\n    def split(self, x):\n        return x.view(2, 3, 4, 5)\n\n\n"
        "class Left(Base):\n    pass\n\n\nclass Right(Base):\n    pass\n\n\nclass A(Left, Right):\n"
        f"    def forward(self, x):\n        q = k = v = self.split(x)\n        return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "layers that are unpacked with a star": (
        "class A(nn.Module):\n    def __init__(self, d):\n        self.p, *self.rest = nn.Linear(d, d), nn.ReLU()\n\n"
        "    def forward(self, q, k, v):\n        b, n, h, d = v.shape\n        q = self.p(q)\n"
        f"        return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a match that binds the rest": (
        "def f(q, k, v, y):\n    b, n, h, d = q.shape\n    match y:\n        case [_, *_]:\n            pass\n"
        f"        case {{'a': _}}:\n            pass\n    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a match that always leaves": (
        "def f(q, k, v, y):\n    b, n, h, d = q.shape\n    match y:\n        case 1:\n            return q\n"
        f"        case _:\n            pass\n    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a loop that always leaves": (
        "def f(q, k, v, y):\n    b, n, h, d = q.shape\n    for _ in y:\n        return q\n"
        f"    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a result that decides which of two is taken": (
        "def f(q, k, v, y):\n    b, n, h, d = q.shape\n"
        f"    out = {CALL}\n    return 1 if out else 2\n",
        "assumed",
    ),
    "a method that the class of the file lacks": (
        "class Split(nn.Module):\n    def forward(self, x):\n        return x.view(2, 3, 4, 5)\n\n\n"
        "class A(nn.Module):\n    def __init__(self):\n        self.split = Split()\n\n"
        f"    def forward(self, x):\n        q = k = v = self.split.other(x)\n        return {CALL}.flatten(2)\n",
        "compat",
    ),
    "a method that gives a tensor or nothing": (
        "class A(nn.Module):\n    def split(self, x):\n        return x.view(2, 3, 4, 5) if self.on else None\n\n"
        f"    def forward(self, x):\n        q = k = v = self.split(x)\n        return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a method that gives many": (
        "class A(nn.Module):\n    def split(self, x):\n        return x.view(3, 2, 4, 5, 6).unbind(0)\n\n"
        f"    def forward(self, x):\n        q, k, v = self.split(x)\n        return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a layer that is given a tuple": (
        "class A(nn.Module):\n    def __init__(self, d):\n        self.p = nn.Linear(d, d)\n\n"
        "    def forward(self, q, k, v):\n        k = v = self.p((q, q))\n"
        f"        return {CALL}.flatten(2)\n",
        "compat",
    ),
    "a layer or a class of the file": (
        "class Split(nn.Module):\n    def forward(self, x):\n        return x\n\n\n"
        "class A(nn.Module):\n    def __init__(self, d, on):\n        self.p = nn.Linear(d, d) if on else Split()\n\n"
        "    def forward(self, x):\n        b, n, h, d = x.shape\n        q = k = v = self.p(x)\n"
        f"        return {CALL}.flatten(2)\n",
        "compat",
    ),
    "sizes that are asked twice": (
        f"def f(q, k, v):\n    b, n, h, d = q.shape\n    b, n, h, d = q.shape\n    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a loop over a tuple that always leaves": (
        "def f(q, k, v):\n    b, n, h, d = q.shape\n    for t in (q, k):\n        return t\n"
        f"    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a loop whose values take longer than it is followed": (
        "def f(q, k, v, a, b, c, y):\n    for _ in y:\n        q, a, b, c, k = a, b, c, k, k.view(2, 3, 4, 5)\n"
        f"    return {CALL}.flatten(2)\n",
        "compat",
    ),
    "an autocast of its own": (
        "class A(nn.Module):\n    def forward(self, q, k, v):\n        b, n, h, d = q.shape\n"
        "        bias = q if self.on else None\n        with self.autocast():\n"
        f"            return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a mask that nothing in the file binds": (
        "def f(q, k, v):\n    b, n, h, d = q.shape\n"
        "    return xops.memory_efficient_attention(q, k, v, attn_bias=BIAS).flatten(2)\n",
        "compat",
    ),
    "a mask of a class's body": (
        "class A:\n    q = k = v = torch.zeros(2, 3, 4, 5)\n    bias = xops.LowerTriangularMask()\n"
        "    out = xops.memory_efficient_attention(q, k, v, attn_bias=bias).flatten(2)\n",
        "compat",
    ),
    "an import that a parameter's name stands for, inside": (
        "def f(xformers):\n    import xformers.ops\n\n    def g():\n        return xformers\n\n    return g\n\n\n"
        f"def attend(q, k, v):\n    b, n, h, d = q.shape\n    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a mask in the arm of its use": (
        "def f(q, k, v, c):\n    b, n, h, d = q.shape\n    if c:\n"
        "        bias = xops.LowerTriangularMask() if c > 1 else None\n"
        "        return xops.memory_efficient_attention(q, k, v, attn_bias=bias).flatten(2)\n",
        "assumed",
    ),
    "one of two, of which the shape is unpacked": (
        "def f(q, k, v, x, c):\n    if c:\n        y = q\n    else:\n        y = x\n    b, n, h, d = y.shape\n"
        f"    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "one of two, called where it is taken": (
        f"def f(q, k, v, x, c):\n    if c:\n        y, out = q, {CALL}.flatten(2)\n    else:\n        y = out = x\n"
        "    b, n, h, d = y.shape\n    return out\n",
        "assumed",
    ),
    "one of two, called where it is taken, and asked on some paths": (
        f"def f(q, k, v, x, c):\n    if c:\n        y, out = q, {CALL}.flatten(2)\n    else:\n        y = out = x\n"
        "    if x is not None:\n        b, n, h, d = y.shape\n    return out\n",
        "compat",
    ),
    "one of two, called where it is taken before it returns": (
        f"def f(q, k, v, x, c):\n    if c:\n        y, out = q, {CALL}.flatten(2)\n        if c > 1:\n"
        "            return out\n    else:\n        y = out = x\n    b, n, h, d = y.shape\n    return out\n",
        "compat",
    ),
    "two modules of one API": (
        "if torch:\n    import xformers.ops.fmha as ops\nelse:\n    import mslk.attention.fmha as ops\n\n\n"
        "def f(q, k, v):\n    b, n, h, d = q.shape\n    return ops.memory_efficient_attention(q, k, v).flatten(2)\n",
        "assumed",
    ),
    "a name of an outer function that there is none of": (
        f"def f(q, k, v):\n    nonlocal b\n    b, n, h, d = q.shape\n    return {CALL}.flatten(2)\n",
        "assumed",
    ),
    "a result that nobody reads": (
        f"def f(q, k, v):\n    b, n, h, d = q.shape\n    {CALL}\n",
        "assumed",
    ),
    "pieces gathered for others": (
        "pieces = []\n\n\ndef f(q, k, v):\n    b, n, h, d = q.shape\n"
        f"    pieces.append({CALL})\n",
        "assumed",
    ),
    "added to what others hold": (
        "total = torch.zeros(1)\n\n\ndef f(q, k, v):\n    global total\n    b, n, h, d = q.shape\n"
        f"    total += {CALL}\n",
        "assumed",
    ),
    "an annotated name without a value": (
        "def f(q, k, v):\n    b, n, h, d = q.shape\n    out: torch.Tensor\n"
        f"    out = {CALL}\n    return out.flatten(2)\n",
        "assumed",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), PROGRAMS.values(), ids=list(PROGRAMS))
def test_programs(body: str, kind: str) -> None:
    result = rewrite_text(HEAD + body, compat="_attention_compat")
    assert not result.failed, result.findings
    assert [site.kind.value for site in result.sites] == [kind]


def test_the_rank_of_one_of_two_is_checked() -> None:
    body, _ = PROGRAMS["one of two, of which the shape is unpacked"]
    assert "if q.ndim != 4:" in rewrite_text(HEAD + body).new
