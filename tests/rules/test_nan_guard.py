"""Where a masked call takes SDPA from the helper, and where it takes torch's own."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, by_name, examples_hold, holds, mea
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.rules.nan_guard import UNWANTED
from xf2sdpa.settings import Settings

MASKED = attend(mea("attn_bias=torch.zeros(b, 1, n, n)"))
PLAIN = attend(mea())
CAUSAL = attend(mea("attn_bias=xops.LowerTriangularMask()"))
CHOSEN = attend(mea("attn_bias=xops.LowerTriangularMask() if c else None"))
IMPORT = "from _attention_compat import scaled_dot_product_attention\n"
CALL = "    return scaled_dot_product_attention(\n"
GUARDED = {
    "masked": Case(MASKED, ("note XF306",), "keeps off|not by cuDNN", has=(IMPORT, CALL), helper=True),
    "beside torch's own name": Case(
        "from torch.nn.functional import scaled_dot_product_attention\n" + MASKED,
        has=(
            "    scaled_dot_product_attention as compat_scaled_dot_product_attention,\n",
            "return compat_scaled_dot_product_attention(",
        ),
        helper=True,
    ),
    "beside a local of that name": Case(
        MASKED.replace("bias, c", "bias, scaled_dot_product_attention"),
        has=("return compat_scaled_dot_product_attention(",),
        helper=True,
    ),
    "unmasked, as asked": Case(PLAIN, has=(IMPORT, CALL), helper=True, settings=Settings(nan_guard="on")),
    "causal by choice, as asked": Case(CHOSEN, has=(IMPORT, CALL), helper=True, settings=Settings(nan_guard="on")),
    "in a file with private parts": Case(
        "from xformers.ops.fmha import _memory_efficient_attention\n" + MASKED, has=(IMPORT, CALL), helper=True
    ),
}
UNGUARDED = {
    "unmasked": Case(PLAIN, ("assumed XF101",), has=("F.scaled_dot_product_attention(",), helper=True),
    "causal": Case(CAUSAL, has=("F.scaled_dot",), helper=True, settings=Settings(nan_guard="on")),
    "without a helper": Case(MASKED, ("note XF302",), "2.11 to 2.14", has=("F.scaled_dot",)),
    "not wanted": Case(
        MASKED, ("assumed XF101",), has=("F.scaled_dot",), helper=True, settings=Settings(nan_guard="off")
    ),
    "on without a helper": Case(PLAIN, ("assumed XF101",), has=("F.scaled_dot",), settings=Settings(nan_guard="on")),
}


@by_name(GUARDED)
def test_it_comes_from_the_helper(case: Case) -> None:
    says, case = case.says, Case(**{**vars(case), "says": ""})
    result = holds(case, never=("XF302",))
    assert result.compat_names == {"scaled_dot_product_attention"}
    assert not says or any(part in note.message for note in result.sites[0].notes for part in says.split("|"))


@by_name(UNGUARDED)
def test_it_is_torchs_own(case: Case) -> None:
    assert not holds(case, never=("XF306",)).compat_names


def test_what_is_not_wanted_is_an_assumption() -> None:
    case = Case(MASKED, helper=True, settings=Settings(nan_guard="off"))
    assert UNWANTED in holds(case).sites[0].assumptions


@pytest.mark.parametrize(
    ("reason", "assumed"), [("", False), ("nothing in this project takes a gradient", True), (None, None)]
)
def test_what_the_project_says(reason: str | None, assumed: bool | None) -> None:
    result = rewrite_with(MASKED, "model.py", Options(Settings(), compat="_attention_compat", plain_masks=reason))
    (site,) = result.sites
    assert (IMPORT in result.new) == (reason is None)
    assert (reason in site.assumptions) == bool(assumed)
    assert [note.code for note in site.notes] == (["XF306"] if reason is None else [])
    forced = Options(Settings(nan_guard="on"), compat="_attention_compat", plain_masks=reason)
    assert IMPORT in rewrite_with(MASKED, "model.py", forced).new


def test_the_examples_hold() -> None:
    examples_hold("nan_guard")


def test_what_an_earlier_run_imported_is_used() -> None:
    result = holds(Case(IMPORT + MASKED, has=(IMPORT, CALL), lacks=("compat_scaled",), helper=True))
    assert result.new.count(IMPORT) == 1
