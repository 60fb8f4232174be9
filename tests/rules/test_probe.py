"""Probes of whether xformers works go with the `try` around them, and those that decide something stay."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, by_name, codes_in, examples_hold, holds, rule
from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite.engine import rewrite_text

TEXT = """
import torch
import xformers.ops


def enable(module):
    try:
        _ = xformers.ops.memory_efficient_attention(torch.randn(1, 2, 40), torch.randn(1, 2, 40), torch.randn(1, 2, 40))
    except Exception as error:
        raise error
    module.fast = True


def attend(q, k, v):
    b, n, h, d = q.shape
    return xformers.ops.memory_efficient_attention(q, k, v)
"""


def test_with_a_call_that_stays_the_probe_stays() -> None:
    result = rewrite_text(TEXT, only_exact=True)
    assert result.new == TEXT
    assert [(site.kind, site.code) for site in result.sites] == [(SiteClass.LEFT, "XF222"), (SiteClass.LEFT, "XF908")]


def test_it_goes_with_the_last() -> None:
    result = rewrite_text(TEXT)
    assert [site.kind for site in result.sites] == [SiteClass.REMOVED, SiteClass.ASSUMED]
    assert "xformers" not in result.new


MADE = "torch.randn(1, 2, 40)"
TRIED = f"xops.memory_efficient_attention({MADE}, {MADE}, {MADE})"
OTHER = "\n\ndef attend(q, k, v, bias):\n    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"


def probe(*body: str, handler: str = "raise", after: str = "", more: str = "") -> str:
    lines = "".join(f"        {line}\n" for line in body)
    end = f"    except Exception:\n        {handler}\n{more}    module.fast = True{after}\n"
    return f"import torch\nimport xformers.ops as xops\n\n\ndef enable(module):\n    try:\n{lines}{end}"


ANSWERED = f"""\
import torch
import xformers.ops as xops


def works():
    q = {MADE}
    try:
        xops.memory_efficient_attention(q, q, q)
        return True
    except Exception:
        return False


def use(unet):
    if works():
        unet.enable_xformers_memory_efficient_attention()
"""
EMITTED = {
    "one that draws": Case(probe(TRIED), ("removed XF150",), "it drew random numbers", lacks=("try", "xops")),
    "one alone": Case(probe(TRIED), ("removed XF150",), "a probe of whether", lacks=("try", "xops")),
    "its result kept": Case(probe(f"_ = {TRIED}"), ("removed XF150",), lacks=("try",)),
    "of tensors with names": Case(
        probe(f"q = {MADE}.cuda()", "xops.memory_efficient_attention(q, q, q)"),
        ("removed XF150",),
        lacks=("try",),
    ),
    "its error is passed": Case(probe(TRIED, handler="pass"), ("removed XF150",), lacks=("try",)),
    "what decides for another library": Case(
        ANSWERED, ("left XF219",), "to decide whether another library uses it", same=True
    ),
    "what leads to the switch of another library": Case(
        probe(TRIED).replace("module.fast = True", "module.enable_xformers_memory_efficient_attention()"),
        ("left XF219",),
        same=True,
    ),
    "while another call stays": Case(probe(TRIED) + OTHER, ("left XF222",), "other calls of the file stay", same=True),
    "with a mask": Case(
        probe(TRIED.replace("0))", "0), attn_bias=xops.LowerTriangularMask())")), ("removed XF150",), lacks=("xops",)
    ),
    "of two tensors": Case(
        probe(f"q = {MADE}", f"k = {MADE}", "xops.memory_efficient_attention(q, k, k)"),
        ("removed XF150",),
        lacks=("try",),
    ),
    "of a tensor with two names": Case(
        probe(f"q = k = {MADE}", "xops.memory_efficient_attention(q, k, k)"), ("removed XF150",), lacks=("try",)
    ),
    "with a message in it": Case(probe("print('once')", TRIED), ("removed XF150",), lacks=("try", "print")),
    "of tensors that are moved": Case(
        probe(TRIED.replace(MADE, f"{MADE}.to('cuda').half()")), ("removed XF150",), lacks=("try",)
    ),
}
NEAR_MISSES = {
    "of tensors from elsewhere": Case(probe(TRIED.replace(MADE, "module.x", 1)), has=("try",)),
    "of tensors made of others": Case(probe(TRIED.replace(MADE, "torch.zeros_like(module.x)")), has=("try",)),
    "of a tensor that is given": Case(probe("xops.memory_efficient_attention(q, q, q)"), has=("try",)),
    "of a tensor that is set twice": Case(
        probe(f"q = {MADE}", "q = module.x", "xops.memory_efficient_attention(q, q, q)"), has=("try",)
    ),
    "in a generator": Case(probe(TRIED, "yield"), has=("yield",)),
    "of the module, beside the switch of another library": Case(
        f"import torch\nimport xformers.ops as xops\n\ny = {TRIED}\nnet.enable_xformers_memory_efficient_attention()\n",
        ("finding XF411",),
    ),
    "no try": Case(probe(TRIED).replace("    try:\n    ", "").replace("    except Exception:\n        raise\n", "")),
    "its result is read": Case(probe(f"y = {TRIED}", after="\n    return y"), has=("try",)),
    "it does something else": Case(probe(TRIED, "module.works = 1"), has=("module.works = 1",)),
    "the handler does something": Case(probe(TRIED, handler="module.fast = False"), has=("module.fast = False",)),
    "it ends with an else": Case(probe(TRIED, more="    else:\n        print()\n"), has=("print()",)),
    "it ends with a finally": Case(probe(TRIED, more="    finally:\n        print()\n"), has=("print()",)),
    "a loop in it": Case(probe("for _ in range(2):", f"    {TRIED}"), has=("for _",)),
    "an answer that only this file reads": Case(
        ANSWERED.replace("unet.enable_xformers_memory_efficient_attention()", "unet.fast = True"), has=("return False",)
    ),
    "beside the switch of another library": Case(
        "import xformers.ops as xops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
        "    return xops.memory_efficient_attention(q, k, v)\n\n\nunet.enable_xformers_memory_efficient_attention()\n",
        ("assumed XF101",),
    ),
    "an answer about other tensors": Case(ANSWERED.replace(MADE, "load()"), ("left XF201",)),
    "no answer but False": Case(ANSWERED.replace("return True", "pass"), ("left XF204",), same=True),
    "no answer": Case(ANSWERED.replace("return False", "pass"), has=("return True",)),
    "the handler speaks and raises": Case(probe(TRIED, handler="print()\n        raise"), has=("print()",)),
    "the handler speaks": Case(probe(TRIED, handler="print()"), has=("print()",)),
    "of tensors of a function": Case(probe(TRIED.replace(MADE, "make()")), has=("try",)),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("probe").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("probe").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("probe")


@pytest.mark.parametrize("maker", ["randn", "rand", "zeros", "ones", "empty"])
def test_what_makes_tensors_up(maker: str) -> None:
    result = holds(Case(probe(TRIED.replace("randn", maker)), ("removed XF150",), lacks=("try",)))
    assert ("random numbers" in result.sites[0].message) is maker.startswith("rand")


def test_a_probe_that_a_comment_leaves_stays() -> None:
    text = probe(f"{TRIED}  # xf2sdpa: ignore")
    holds(Case(text, ("left XF906",), same=True))
    holds(Case(text, ("left XF906",), same=True, helper=True))
