"""Variants of the operator are left, each with its advice; the plain one is not."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, rule

VARIANTS = {
    "memory_efficient_attention_backward": "Let autograd do it",
    "memory_efficient_attention_forward_requires_grad": "Keep xformers",
    "memory_efficient_attention_partial": "Keep xformers",
    "merge_attentions": "Keep xformers",
}


def called(name: str, imports: str = "from xformers.ops.fmha import {}\n") -> str:
    return attend(f"{name}(q, k, v)", imports=imports.format(name))


EMITTED = {name: Case(called(name), ("left XF208",), f"{name} has no equivalent", same=True) for name in VARIANTS}
EMITTED |= {
    f"forward, given {more}": Case(
        called("memory_efficient_attention_forward").replace("v)", f"v, {more})"), ("left XF208",), same=True
    )
    for more in ("bias", "attn_bias=bias", "output_dtype=None")
}
NEAR_MISSES = {
    "forward alone": Case(called("memory_efficient_attention_forward"), ("assumed XF101",), has=(".detach()",)),
    "forward without a mask": Case(
        called("memory_efficient_attention_forward").replace("v)", "v, None, drop, op=None)"),
        ("assumed XF101",),
        has=("dropout_p=drop", ".transpose(1, 2).contiguous().detach()"),
    ),
    "the plain one": Case(called("memory_efficient_attention"), ("assumed XF101",)),
    "of another library": Case(called("merge_attentions", "from other import {}\n"), same=True),
    "a function of the file": Case(
        "def merge_attentions(a):\n    return a\n\n\nmerge_attentions(1)  # not xformers'\n", same=True
    ),
    "as a value": Case(called("memory_efficient_attention_forward").replace("(q, k, v)", ""), ("finding XF209",)),
}


@pytest.mark.parametrize(("name", "advice"), VARIANTS.items())
def test_each_says_what_would_help(name: str, advice: str) -> None:
    assert holds(Case(called(name))).sites[0].advice.startswith(advice)


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("operator_variants").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("operator_variants").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("operator_variants")
