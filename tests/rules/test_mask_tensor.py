"""A tensor mask becomes `attn_mask` where its dimensions are proved to fit."""

from __future__ import annotations

import pytest
import torch

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule
from xf2sdpa import compat
from xf2sdpa.analysis.values import Rank, Tensor, told_by_callers
from xf2sdpa.model import FileResult
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
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
    "four or None on three": Case(
        masked("m", f"m = {FOUR} if c else None", rank=3), ("left XF212",), "a mask with 4 dimensions on 3-D inputs"
    ),
    "learned": Case(
        masked("m", "m = table[c].view(b, 4, n, n)"), ("left XF225",), "the mask may be learned", same=True
    ),
    "learned, though it is called a mask": Case(
        masked("self.mask.view(b, 4, n, n)")
        + "\n\ndef made(self, n):\n    self.mask = torch.nn.Parameter(torch.zeros(n))\n",
        ("left XF225",),
        "the mask may be learned",
    ),
    "learned, for the helper": Case(
        masked("m", "m = table[c].view(b, 4, n, n)"), ("compat XF161",), "the mask may be learned", helper=True
    ),
    "of unknown dimensions": Case(masked("m", "m = torch.zeros(c)"), ("left XF212",), "does not show how many"),
    "three on four, named": Case(
        masked("m", f"m = {THREE}"), ("note XF302",), has=("attn_mask=m.unflatten(0, (q.shape[0], q.shape[2])),",)
    ),
    "three on four, or None": Case(
        masked("m", f"m = {THREE} if c else None"),
        ("note XF302",),
        has=("attn_mask=None if m is None else m.unflatten(0, (q.shape[0], q.shape[2])),",),
    ),
    "three on four, of a query that is transposed for it": Case(
        attend(
            "xops.memory_efficient_attention(q, k, v, attn_bias=m).flatten(2)", f"m = {THREE}", "q = q.transpose(1, 2)"
        ),
        ("note XF302",),
        has=("    q = q.transpose(1, 2)\n", "        q.transpose(1, 2),\n        k.tr"),
    ),
    "three on four, of a query without a name": Case(
        masked("m", f"m = {THREE}").replace("attention(q", "attention(q[:1]"),
        ("left XF212",),
        "a mask with 3 dimensions",
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


def test_one_that_may_close_rows_needs_torch_2_5() -> None:
    for value, floor in (("-1e4", (2, 2)), ("float('-inf')", (2, 5)), ("-1e9", (2, 5))):
        made = f"m = torch.zeros(b, 1, n, n).masked_fill(c, {value})"
        assert holds(Case(masked("m", made))).sites[0].torch_floor == floor
    given = masked("mask.view(b, 1, n, n)").replace("bias, c", "mask, c")
    assert holds(Case(given)).sites[0].torch_floor == (2, 5)


def test_a_value_from_outside_on_3_d_inputs() -> None:
    program = masked("mask", rank=3).replace("bias, c", "mask, c")
    (site,) = holds(Case(program, ("left XF211",), same=True)).sites
    options = Options(Settings(), mask_objects=False)
    result = rewrite_with(program, "model.py", options)
    (site,) = result.sites
    assert "attn_mask=None if mask is None else mask.unsqueeze(-3)" in result.new
    assert (site.kind.value, site.torch_floor) == ("assumed", (2, 5))
    assert any("nothing in this project makes a mask object" in sentence for sentence in site.assumptions)
    four = masked("mask").replace("bias, c", "mask, c")
    assert rewrite_with(four, "model.py", options).new == four, "its dimensions are not known"
    learned = masked("bias", rank=3)
    assert rewrite_with(learned, "model.py", options).new == learned
    assert rewrite_with(learned, "model.py", options).sites[0].code == "XF225"


def test_a_tensor_of_unknown_dimensions_on_3_d_inputs() -> None:
    """xformers takes two or three there, and both get a dimension of heads in one place."""
    holds(Case(masked("torch.zeros(c)", rank=3), ("note XF302",), has=("attn_mask=torch.zeros(c).unsqueeze(-3)",)))


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
    assert set(rule("mask_tensor").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("mask_tensor")


def test_a_mask_with_the_heads_in_its_batch_does_what_the_helper_does() -> None:
    """Its numbers, and an error where the sizes do not fit; xformers itself no longer takes such a mask."""
    text = masked("m", "m = mask.view(c * h, n, n)").replace("bias, c", "mask, c")
    new = holds(Case(text, ("note XF302",))).new
    given = {"xops": compat, "F": torch.nn.functional, "torch": torch}
    old, now = ({**given} for _ in range(2))
    exec(text.replace("import xformers.ops as xops", ""), old)
    exec(new, now)
    q, k, v = torch.randn(3, 2, 5, 3, 8, dtype=torch.float64)
    bias = torch.randn(6, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(now["attend"](q, k, v, bias, 2, 0), old["attend"](q, k, v, bias, 2, 0))
    for program in (old, now):
        with pytest.raises((RuntimeError, ValueError)):
            program["attend"](q, k, v, bias[:3], 1, 0)


def by_callers(call: str) -> FileResult:
    """The result where nothing but the callers shows a mask's rank."""
    told = Tensor(Rank(4), given=frozenset({told_by_callers("attend for mask", 4)}))
    program = attend(call, given="q, k, v, mask, c")
    result = rewrite_with(program, "model.py", Options(Settings(), passed={("attend", "mask"): told}))
    assert not result.failed, result.findings
    return result


def test_a_mask_that_only_the_callers_show_is_checked() -> None:
    result = by_callers(mea("attn_bias=mask"))
    (site,) = result.sites
    assert site.kind.value == "assumed"
    assert "every call in this project passes 4 dimensions to attend for mask" in site.assumptions
    assert "    if mask is not None and mask.ndim != 4:\n        raise NotImplementedError(" in result.new
    assert '"mask must have 4 dimensions here, as all callers passed (xf2sdpa)"' in result.new


@pytest.mark.parametrize(
    "call",
    [mea("attn_bias=mask * 1"), f"[c := mask, {mea('attn_bias=c')}][1]", f"(lambda: {mea('attn_bias=mask')})()"],
    ids=["no variable", "bound in the statement", "in a lambda"],
)
def test_without_a_check_the_callers_prove_nothing_of_a_mask(call: str) -> None:
    result = by_callers(call)
    (site,) = result.sites
    assert (site.kind.value, site.code) == ("left", "XF212")
    assert site.message == "only the callers show the mask's dimensions, and no check can stand here"
    assert site.advice == "Give the mask the form (batch, heads, queries, keys)."
    assert result.new == result.old
