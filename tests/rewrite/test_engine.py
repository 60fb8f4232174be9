"""One text from old to new: what cannot be read, what the user asks to leave, and how a call is laid out."""

from __future__ import annotations

import pytest

from tests.rules.common import HELPER, attend, mea
from xf2sdpa.codes import GUARDED, RUN_CODES
from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite.engine import rewrite_text, rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

PINNED = attend(
    mea("op=fmha.flash.FwOp"), imports=attend("").partition("\n\n\ndef")[0] + "\nfrom xformers.ops import fmha\n"
)


def test_a_text_with_a_nul_byte_is_no_python() -> None:
    result = rewrite_text(attend(mea()) + "\0")
    assert result.failed
    assert [finding.code for finding in result.findings] == ["XF901"]
    assert result.new == result.old


def test_a_call_that_cannot_be_rewritten_is_left_as_the_comment_asks() -> None:
    call = "xops.memory_efficient_attention(*given)  # xf2sdpa: ignore[XF2]"
    (site,) = rewrite_text(attend(call), compat=HELPER).sites
    assert "as the comment asks" in site.message


def test_a_call_with_an_ignored_part_is_left() -> None:
    settings = Settings(ignore=("XF122",))
    (site,) = rewrite_text(PINNED, settings=settings).sites
    assert site.message == "left alone: XF122 is ignored, and belongs to this call"
    assert rewrite_text(PINNED).sites[0].kind.value == "assumed"


LAID_OUT = {
    "a comment behind the last argument that stays": (
        "xops.memory_efficient_attention(\n        q,\n        k,\n        v,  # three\n        p=0.0)",
        "# three",
    ),
    "a comma behind the last of one line": (
        "xops.memory_efficient_attention(\n        q, k, v, scale=a_rather_long_name_of_a_scale.of_some[which],\n    )",
        "        scale=a_rather_long_name_of_a_scale.of_some[which],\n",
    ),
}


@pytest.mark.parametrize(("call", "piece"), LAID_OUT.values(), ids=list(LAID_OUT))
def test_how_a_call_is_laid_out(call: str, piece: str) -> None:
    result = rewrite_text(attend(call))
    assert not result.failed, result.findings
    assert "F.scaled_dot_product_attention(" in result.new
    assert piece in result.new


def test_a_call_is_left_whose_check_would_stand_before_one_that_is_left() -> None:
    masked, left = (f"xops.memory_efficient_attention(q, k, v, {more})" for more in ("attn_bias=bias", "op=choose(q)"))
    program = attend(f"{masked} + {left}")
    options = Options(Settings(), never_passed={("attend", "bias"): ()})
    result = rewrite_with(program, "model.py", options)
    assert result.new == program
    told = "left alone, as it belongs to a call that is left"
    assert [(site.code, site.message) for site in result.sites][:1] == [("XF906", told)]


@pytest.mark.parametrize("settings", [Settings(ignore=("XF140",)), Settings()])
def test_a_call_for_the_helper_stays_with_an_import_that_has_to_stay(settings: Settings) -> None:
    """The example of the page of XF162, kept by its comment or, without that, by an option."""
    text = RUN_CODES[GUARDED].example + "\n"
    text = text.replace("  # xf2sdpa: ignore[XF140]", "") if settings.ignore else text
    result = rewrite_text(text, settings=settings, compat="_attention_compat")
    assert [(site.kind, site.code) for site in result.sites] == [(SiteClass.LEFT, GUARDED)]
    assert result.sites[0].message.endswith("; and the import that brings its name has to stay")
    assert result.new == text
    assert rewrite_text(text.replace("  # xf2sdpa: ignore[XF140]", ""), compat="_attention_compat").new != text
