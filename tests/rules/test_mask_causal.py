"""A causal mask object becomes `is_causal`; whatever else stands there does not."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, by_name, examples_hold, holds, mea

MASK = "xops.LowerTriangularMask()"


def masked(bias: str, *before: str) -> str:
    return attend(mea(f"attn_bias={bias}"), *before)


def by_condition(test: str) -> str:
    return masked(f"{MASK} if {test} else None")


WRITTEN = {
    "in the call": Case(masked(MASK), has=("is_causal=True\n",), lacks=("xops",)),
    "by position": Case(attend(mea(MASK)), has=("is_causal=True\n",)),
    "by a variable": Case(masked("m", f"m = {MASK}"), has=("is_causal=True\n",), lacks=("m = ",)),
    "by a variable that is read again": Case(
        attend(f"{mea('attn_bias=m')}, m", f"m = {MASK}"), has=(f"m = {MASK}", "is_causal=True\n")
    ),
    "under a flag": Case(by_condition("c"), has=("is_causal=bool(c)\n",)),
    "under a comparison": Case(by_condition("n > 1"), has=("is_causal=n > 1\n",)),
    "under a negation": Case(by_condition("not c"), has=("is_causal=not c\n",)),
    "the other way round": Case(masked(f"None if c else {MASK}"), has=("is_causal=not c\n",)),
    "the other way round of a comparison": Case(masked(f"None if n > 1 else {MASK}"), has=("is_causal=not (n > 1)",)),
    "the other way round of an identity": Case(
        masked(f"None if c is None else {MASK}"), has=("is_causal=c is not None",)
    ),
    "chosen before": Case(
        masked("m", f"m = {MASK} if c else None"), has=("is_causal = bool(c)\n", "is_causal=is_causal\n")
    ),
    "chosen by branches": Case(
        masked("m", "m = None", "if n > 1:", f"    m = {MASK}"), has=("is_causal = n > 1\n", "is_causal=is_causal\n")
    ),
    "chosen by branches, negated": Case(
        masked("m", "if c:", "    m = None", "else:", f"    m = {MASK}"), has=("is_causal = not c\n",)
    ),
    "where the name is taken": Case(
        masked("m", "is_causal = 1", f"m = {MASK} if c else None", "print(is_causal)"),
        has=("m_is_causal = bool(c)\n", "is_causal=m_is_causal"),
    ),
    "over two lines": Case(
        masked("m", f"m = ({MASK} if n > 1", "    and c", "    else None)"), has=("is_causal = ",), lacks=("m = ",)
    ),
    "by a variable, and its import goes": Case(masked("m", f"m = {MASK}"), lacks=("xops", "m = ")),
    "by a variable of a variable": Case(masked("m", f"x = {MASK}", "m = x"), has=("m = x\n", "is_causal=True\n")),
    "by a variable, made by more than the class": Case(
        masked("m", f"m = {MASK[:-1]}c(x))"), has=("m = LowerTriangularMask(c(x))\n", "is_causal=True\n"), helper=True
    ),
    "by two variables at once": Case(masked("m", f"m = y = {MASK}"), has=(f"m = y = {MASK}\n", "is_causal=True\n")),
    "by a variable with a type": Case(masked("m", f"m: object = {MASK}"), has=("is_causal=True\n",)),
    "under a condition on something of xformers": Case(
        by_condition("c is xops.SparseCSRTensor"), has=("as xops", "is_causal=c is xops.")
    ),
    "chosen before, on something of xformers": Case(
        masked("m", f"m = {MASK} if c is xops.SparseCSRTensor else None"),
        has=("as xops", "is_causal = c is xops.Sparse"),
    ),
    "chosen by branches, and the default goes": Case(
        masked("m", "m = None", "if n > 1:", f"    m = {MASK}"), lacks=("m = None", "if n")
    ),
}
NEAR_MISSES = {
    "the class": Case(masked("xops.LowerTriangularMask"), ("left XF211",), same=True),
    "a subclass": Case(masked("xops.fmha.attn_bias.LowerTriangularFromBottomRightMask()"), ("left XF210",), same=True),
    "with a bias": Case(masked("xops.LowerTriangularMaskWithTensorBias(bias)"), ("left XF211",), same=True),
    "something else without the flag": Case(masked(f"{MASK} if c else bias"), ("left XF211",), same=True),
    "a method of it": Case(masked(f"{MASK}.add_bias(bias)"), ("left XF210",), same=True),
    "under a flag, made by more than the class": Case(
        masked(f"{MASK[:-1]}device=c(x)) if c else None"), ("left XF210",), same=True
    ),
    "changed in between": Case(masked("m", f"m = {MASK} if c else None", "c = m"), lacks=("is_causal=c",)),
    "given by a function": Case(
        attend(mea("attn_bias=g()")) + f"\n\ndef g():\n    print()\n    return {MASK}\n", ("left XF221",), same=True
    ),
}


@by_name(WRITTEN)
def test_what_is_written(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case)


def test_the_examples_hold() -> None:
    examples_hold("mask_causal")


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        ((f"m = {MASK}", "if c:", "    m = None"), "is_causal = not c"),
        (("m = None", "if c:", f"    m = {MASK}"), "is_causal = bool(c)"),
        (("if c:", "    m = None", "else:", f"    m = {MASK}"), "is_causal = not c"),
        (("if c:", f"    m = {MASK}", "else:", "    m = None"), "is_causal = bool(c)"),
        (("m = None", "n = 2", "if c:", f"    m = {MASK}"), "is_causal = bool(c)"),
        (("m = None", "if c is None or n > 1:", f"    m = {MASK}"), "is_causal = c is None or n > 1"),
        (("m = None", "if isinstance(c, int):", f"    m = {MASK}"), "is_causal = isinstance(c, int)"),
        (("m = None", "if c not in n:", f"    m = {MASK}"), "is_causal = c not in n"),
        (("m = None", "if (c and", "        n):", f"    m = {MASK}"), "is_causal = bool(c and n)"),
        ((f"m = ({MASK} if c is", "    None else None)"), "is_causal = (c is None)"),
    ],
)
def test_how_the_choice_is_written(lines: tuple[str, ...], chosen: str) -> None:
    new = holds(Case(masked("m", *lines))).new
    assert f" {chosen} return " in " ".join(new.split()), new
    assert "m = None" not in new
    assert "xops" not in new


@pytest.mark.parametrize(
    "lines",
    [
        ("if c:", f"    m = {MASK}", "    print()", "else:", "    m = None"),
        ("if c:", f"    m = {MASK}", "elif n:", "    m = None"),
        ("m = None", "if c:", f"    m = {MASK}", "    n = 1"),
        ("m = None", "if c:", f"    m = {MASK}", "else:", "    n = 1"),
        ("m = None", "for _ in c:", f"    m = {MASK}"),
        ("m = bias", "if c:", f"    m = {MASK}"),
    ],
)
def test_a_choice_that_does_more_is_left(lines: tuple[str, ...]) -> None:
    assert holds(Case(masked("m", *lines), same=True)).sites[0].code in {"XF210", "XF211"}
