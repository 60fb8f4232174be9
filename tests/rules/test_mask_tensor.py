"""A tensor mask becomes `attn_mask` where its dimensions are proved to fit."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule
from xf2sdpa.settings import Settings


def masked(bias: str, *before: str, rank: int = 4) -> str:
    text = attend(mea(f"attn_bias={bias}"), *before)
    return text if rank == 4 else text.replace("b, n, h, d", "b, n, d").replace(".flatten(2)", "")


FOUR = "torch.zeros(b, 1, n, n)"
THREE = "torch.zeros(b, n, n)"
EMITTED = {
    "it fits": Case(masked(FOUR), ("note XF302",), "NaN gradients", has=(f"attn_mask={FOUR}",)),
    "two dimensions": Case(masked("torch.zeros(n, n)"), ("note XF302",), has=("attn_mask=torch.zeros(n, n)",)),
    "three and three": Case(masked(THREE, rank=3), ("note XF302",), has=(f"attn_mask={THREE}.unsqueeze(1)",)),
    "or None": Case(masked("m", f"m = {FOUR} if c else None"), ("note XF302",), has=("attn_mask=m\n",)),
    "three and three, or None": Case(
        masked("m", f"m = {THREE} if c else None", rank=3),
        ("note XF302",),
        has=("attn_mask=None if m is None else m.unsqueeze(1)",),
    ),
    "two and three, or None": Case(
        masked("m", "m = torch.zeros(n, n) if c else None", rank=3), ("note XF302",), has=("attn_mask=m\n",)
    ),
    "three on four": Case(masked(THREE), ("left XF212",), "a mask with 3 dimensions on 4-D inputs", same=True),
    "four on three": Case(masked(FOUR, rank=3), ("left XF212",), "a mask with 4 dimensions on 3-D inputs"),
    "where no helper may be": Case(
        "from xformers.ops.fmha import _memory_efficient_attention\n" + masked(FOUR),
        ("left XF215",),
        "the helper guards masked calls",
        same=True,
        helper=True,
    ),
    "of unknown dimensions": Case(masked("m", "m = torch.zeros(c)"), ("left XF212",), "does not show how many"),
    "three on four, or None": Case(
        masked("m", f"m = {THREE} if c else None"), ("left XF212",), "a mask with 3 dimensions on 4-D inputs"
    ),
    "three on three or None, in the call": Case(
        masked(f"{THREE} if c else None", rank=3), ("left XF212",), "a 3-D tensor or None"
    ),
}
NEAR_MISSES = {
    "no mask": Case(attend(mea()), ("assumed XF101",), lacks=("attn_mask",)),
    "a causal one": Case(masked("xops.LowerTriangularMask()"), ("assumed XF101",), lacks=("attn_mask",)),
    "None": Case(masked("None"), ("assumed XF101",), lacks=("attn_mask",)),
    "a parameter": Case(masked("bias"), ("left XF211",)),
    "a tensor or a mask object": Case(masked("m", f"m = {FOUR} if c else xops.LowerTriangularMask()"), ("left XF210",)),
    "a tensor or anything": Case(masked("m", f"m = {FOUR} if c else bias"), ("left XF211",)),
}


def test_it_needs_torch_2_2() -> None:
    assert holds(Case(masked(FOUR))).sites[0].torch_floor == (2, 2)
    assert holds(Case(attend(mea()))).sites[0].torch_floor == (2, 0)


def test_on_an_h200_the_helper_guards_it() -> None:
    (site,) = holds(Case(masked(FOUR), ("compat XF161",), helper=True)).sites
    assert site.message == "the helper guards masked calls against NaN gradients on Hopper"
    assert "any" in site.advice
    anywhere = Case(masked(FOUR), ("note XF302",), helper=True, settings=Settings(device="any"))
    assert f"attn_mask={FOUR}" in holds(anywhere).new


def test_without_the_helper_by_wish_it_is_inline() -> None:
    case = Case(masked(FOUR), ("assumed XF101",), helper=True, settings=Settings(ignore=("XF161",)))
    assert f"attn_mask={FOUR}" in holds(case).new


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("mask_tensor").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("mask_tensor").codes) - {"XF113"} <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("mask_tensor")
