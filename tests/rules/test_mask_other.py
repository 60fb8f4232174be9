"""Masks that cannot be read at the call leave it, each with its reason."""

from __future__ import annotations

from dataclasses import replace

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule


def masked(bias: str, *before: str) -> Case:
    return Case(attend(mea(f"attn_bias={bias}"), *before), same=True)


BLOCKS = "xops.fmha.BlockDiagonalMask.from_seqlens([1, 2])"
EMITTED = {
    "a parameter": replace(masked("bias"), told=("left XF211",), says="comes from outside the function"),
    "an attribute": replace(masked("c.bias"), told=("left XF211",)),
    "an unknown call": replace(masked("make(q)"), told=("left XF211",)),
    "another mask object": replace(masked(BLOCKS), told=("left XF210",), says="the mask is a BlockDiagonalMask, which"),
    "one of two": replace(
        masked("m", f"m = {BLOCKS} if c else xops.LowerTriangularMask()"),
        told=("left XF210",),
        says="a BlockDiagonalMask or a LowerTriangularMask,",
    ),
    "one or none": replace(
        masked("m", f"m = {BLOCKS} if c else None"), told=("left XF210",), says="a BlockDiagonalMask,"
    ),
    "a function that gives a causal one": Case(
        attend(mea("attn_bias=g()")) + "\n\ndef g():\n    print()\n    return xops.LowerTriangularMask()\n",
        ("left XF221",),
        "may do something",
        same=True,
    ),
    "a function that gives None": Case(
        attend(mea("attn_bias=g()")) + "\n\ndef g():\n    print()\n    return None\n", ("left XF221",), same=True
    ),
}
NEAR_MISSES = {
    "none at all": Case(attend(mea()), ("assumed XF101",)),
    "None": Case(attend(mea("attn_bias=None")), ("assumed XF101",)),
    "a causal one": Case(attend(mea("attn_bias=xops.LowerTriangularMask()")), ("assumed XF101",)),
    "a tensor": Case(attend(mea("attn_bias=torch.zeros(n, n)")), ("assumed XF101",)),
    "a tensor that does not fit": Case(attend(mea("attn_bias=torch.zeros(b, n, n)")), ("left XF212",)),
    "what is not the bias": Case(attend(mea("p=c.bias")), ("assumed XF101",)),
}


def test_the_helper_takes_such_a_call_with_the_reason() -> None:
    (site,) = holds(Case(attend(mea("attn_bias=bias")), ("compat XF161",), helper=True)).sites
    assert "comes from outside the function" in site.message


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("mask_other").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("mask_other").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("mask_other")
