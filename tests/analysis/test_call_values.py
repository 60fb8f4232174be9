"""What a call proves: methods that a subclass may override, and calls in an argument that goes."""

import textwrap

import pytest

from xf2sdpa.model import Site
from xf2sdpa.rewrite.engine import rewrite_text

HEAD = """\
import torch
import torch.nn as nn
import xformers.ops as xops


"""
BASE = """\
class Base(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h = h
        self.qkv = nn.Linear(d, 3 * d)

    def split(self, t):
        b, n, d = t.shape
        return t.view(b, n, self.h, d // self.h)

    def forward(self, x):
        q, k, v = (self.split(t) for t in self.qkv(x).chunk(3, -1))
        return xops.memory_efficient_attention(q, k, v).flatten(2)


"""
FOLDS = """\
def split(self, t):
    b, n, d = t.shape
    return t.view(b, n, self.h, d // self.h).transpose(1, 2).flatten(0, 1)
"""
SPLITS = """\
def split(self, t):
    b, n, _ = t.shape
    return t.reshape(b, n, self.h, -1)
"""


def method(text: str) -> str:
    return textwrap.indent(text, "    ")


def only_site(text: str) -> Site:
    (site,) = rewrite_text(HEAD + text, compat="_attention_compat").sites
    return site


def test_a_method_proves_a_rank_if_no_subclass_overrides_it() -> None:
    site = only_site(BASE)
    assert (site.kind.value, site.code) == ("assumed", "XF101")
    assert site.assumptions == ("no subclass overrides `split`",)


@pytest.mark.parametrize(
    "subclasses",
    [
        "class Folded(Base):\n" + method(FOLDS),
        "class Between(Base):\n    pass\n\n\nclass Folded(Between):\n" + method(FOLDS),
        "class Mixin:\n" + method(FOLDS) + "\n\nclass Folded(Mixin, Base):\n    pass\n",
        "class Folded(Base[int]):\n" + method(FOLDS),
        "class Folded(Base):\n" + method("@torch.no_grad()\n" + SPLITS),
        "class Folded(Base):\n    split = torch.relu\n",
        "class Folded(Base):\n    def set(self):\n        self.split = torch.relu\n",
    ],
    ids=[
        "child",
        "grandchild",
        "mixin",
        "of a generic",
        "decorated",
        "attribute of the class",
        "attribute of an object",
    ],
)
def test_an_override_in_the_same_file_that_says_otherwise(subclasses: str) -> None:
    assert only_site(BASE + subclasses).kind.value == "compat"


def test_an_override_that_says_the_same() -> None:
    site = only_site(BASE + "class Same(Base):\n" + method(SPLITS))
    assert (site.kind.value, site.code) == ("assumed", "XF101")


def test_a_class_that_is_no_subclass_says_nothing() -> None:
    assert only_site(BASE + "class Other(nn.Module):\n" + method(FOLDS)).kind.value == "assumed"


def test_a_method_private_to_its_class_needs_no_assumption() -> None:
    assert only_site(BASE.replace("split", "__split")).kind.value == "exact"


def test_an_object_made_here_is_of_no_subclass() -> None:
    text = """\
class Heads(nn.Module):
    def split(self, t):
        return t.unflatten(-1, (8, -1))

    def forward(self, t):
        return self.split(t)


class Attention(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.qkv = nn.Linear(d, 3 * d)
        self.heads = Heads()

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k, v = {split}(q), {split}(k), {split}(v)
        return xops.memory_efficient_attention(q, k, v).flatten(2)
"""
    for split in ("self.heads", "self.heads.split"):
        site = only_site(text.replace("{split}", split))
        assert (site.kind.value, site.code) == ("exact", "XF101")


@pytest.mark.parametrize(
    "forward",
    [
        "q = self.split(x)\n    k = x.view(q.shape)\n    y = attend(k, k, k)",
        "q = self.split(x)\n    k = x.view_as(q)\n    y = attend(k, k, k)",
        "q = self.split(x)\n    q = q + torch.zeros(1, 1, 1, 1)\n    y = attend(q, q, q)",
        "q = x\n    if self.split(x).ndim == 4:\n        q = q.unflatten(-1, (2, -1))\n    y = attend(q, q, q)",
        "b, n, d = x.shape\n    q = x\n    if self.flag():\n        q = q.unsqueeze(2)\n    y = attend(q, q, q)",
        "self.look(x)\n    y = attend(x, x, x)",
        "y = self.same(x)\n    attend(x, x, x)\n    b, n, h, d = y.shape",
        "q = x.view(*self.parts(x))\n    y = attend(q, q, q)",
        "q = x.view(self.sizes(x))\n    y = attend(q, q, q)",
        "q = attend(self.split(x), self.split(x), self.split(x))\n    y = attend(q, q, q)",
    ],
    ids=["shape", "view_as", "sum", "ndim", "constant", "unpacking", "argument", "parts", "sizes", "result"],
)
def test_what_rests_on_a_method_is_never_exact(forward: str) -> None:
    methods = """\
def flag(self):
    return True

def look(self, x):
    b, n, h, d = x.shape

def same(self, x):
    return x

def sizes(self, x):
    return 2, 5, 3, -1

def parts(self, x):
    return x.shape[0], 5, self.h, -1

def forward(self, x):
    x = self.qkv(x)
    {forward}
    return y.sum(-1)
"""
    text = BASE[: BASE.index("    def forward")] + method(methods.replace("{forward}", forward))
    text = text.replace("attend(", "xops.memory_efficient_attention(")
    kinds = {site.kind.value for site in rewrite_text(HEAD + text, compat="_attention_compat").sites}
    assert "exact" not in kinds


HOOKED = """\
class Base(nn.Module):
    def make_bias(self, q):
        {made}

    def forward(self, x, b, n, h):
        q = x.view(b, n, h, -1)
        {before}
        return xops.memory_efficient_attention(q, q, q, attn_bias={bias}).flatten(2)


"""


@pytest.mark.parametrize(
    "made", ["return None", "pass", "raise NotImplementedError", "return xops.LowerTriangularMask()"]
)
@pytest.mark.parametrize(("before", "bias"), [("pass", "self.make_bias(q)"), ("bias = self.make_bias(q)", "bias")])
def test_a_hook_proves_no_mask(made: str, before: str, bias: str) -> None:
    result = rewrite_text(HEAD + HOOKED.format(made=made, before=before, bias=bias), compat="_attention_compat")
    assert [site.kind.value for site in result.sites] == ["compat"]
    assert f"attn_bias={bias})" in result.new


def test_a_tensor_from_a_hook_is_assumed() -> None:
    text = HEAD + HOOKED.format(made="return torch.zeros(1, 1, 5, 5)", before="pass", bias="self.make_bias(q).detach()")
    (site,) = rewrite_text(text, compat="_attention_compat").sites
    assert site.kind.value == "assumed"
    assert "no subclass overrides `make_bias`" in site.assumptions


def test_a_causal_mask_moved_to_a_device_is_dropped() -> None:
    text = """\
def attend(x, b, n, h):
    q = x.view(b, n, h, -1)
    a = xops.memory_efficient_attention(q, q, q, attn_bias=xops.LowerTriangularMask().to(x.device))
    return a.flatten(2)
"""
    assert "is_causal=True" in rewrite_text(HEAD + text).new


@pytest.mark.parametrize("made", ["None", "xops.LowerTriangularMask()"])
def test_a_call_in_the_place_of_the_mask_is_not_dropped(made: str) -> None:
    text = f"""\
def attend(x, b, n, h):
    def make_bias():
        print("made")
        return {made}

    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, attn_bias=make_bias()).flatten(2)
"""
    result = rewrite_text(HEAD + text, compat="_attention_compat")
    assert [site.kind.value for site in result.sites] == ["compat"]
    assert "attn_bias=make_bias())" in result.new
    assert result.sites[0].message == "attn_bias is computed by a call, which may do something"
