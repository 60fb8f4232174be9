"""A comment that names the layout of an input is told of where a transpose goes or comes beside it."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, rule
from xf2sdpa.rewrite.engine import rewrite_text

HEAD = "import torch.nn.functional as F\nimport xformers.ops as xops\n\n\ndef f(q, k, v):\n    b, h, n, d = q.shape\n"
INPUTS = "    return xops.memory_efficient_attention(\n        {},{}\n        k,\n        v,\n    ).flatten(2)\n"


def layouts_told(text: str) -> list[str]:
    result = rewrite_text(HEAD + text)
    assert not result.failed
    (site,) = result.sites
    assert site.code == "XF101"
    return [note.message for note in site.notes if note.code == "XF305"]


@pytest.mark.parametrize("query", ["q", "q.transpose(1, 2)"])
@pytest.mark.parametrize(
    "layout", ["-> [B, N, H, D]", "(b, n, heads, d // 2)", "now BNHD", "b n h d", "[B*T, N, H, D]"]
)
def test_a_layout_is_told_of(query: str, layout: str) -> None:
    assert layouts_told(INPUTS.format(query, f"  # {layout}")) == [
        f"line 8: the comment `# {layout}` speaks of the layout before the rewrite"
    ]


@pytest.mark.parametrize("query", ["q.to('cuda')", 'q.to("cuda")'])
def test_strings_in_an_input_are_no_comment(query: str) -> None:
    assert layouts_told(INPUTS.format(query, "  # BNHD  ")) == [
        "line 8: the comment `# BNHD` speaks of the layout before the rewrite"
    ]


@pytest.mark.parametrize("comment", ["", "  # the query", "  # see f(a, b)", "  # TODO: drop", "  # noqa: E501"])
def test_another_comment_is_not(comment: str) -> None:
    assert layouts_told(INPUTS.format("q", comment)) == []


def test_a_comment_behind_the_whole_call_is_about_its_result() -> None:
    assert layouts_told("    out = xops.memory_efficient_attention(q, k, v)  # [B, N, H, D]\n    return out\n") == []


def test_the_statement_that_made_the_input() -> None:
    text = "    x = (q * 2).transpose(1, 2)  # [B, N, H, D]\n    return xops.memory_efficient_attention(x, k, v)\n"
    assert layouts_told(text) == ["line 7: the comment `# [B, N, H, D]` speaks of the layout before the rewrite"]


HERE = "xops.memory_efficient_attention(\n        {},{}\n        k,\n        v,\n    ).flatten(2)"
LAYOUT = "  # [B, N, H, D]"
EMITTED = {
    "behind an input": Case(
        attend(HERE.format("q", LAYOUT)), ("note XF305",), "speaks of the layout before the rewrite"
    ),
    "behind one that loses its transpose": Case(
        attend(HERE.format("q.transpose(1, 2)", "  # BNHD")),
        ("note XF305",),
        "line 9: the comment `# BNHD`",
        has=("        q,  # BNHD",),
    ),
    "behind the key": Case(attend(HERE.format("q", "").replace("k,", f"k,{LAYOUT}")), ("note XF305",), "line 10"),
    "behind the value": Case(attend(HERE.format("q", "").replace("v,", f"v,{LAYOUT}")), ("note XF305",), "line 11"),
}
NEAR_MISSES = {
    "of two axes": Case(attend(HERE.format("q", "  # (n, d)"))),
    "no comment": Case(attend(HERE.format("q", ""))),
    "a hash in a string": Case(attend(HERE.format("q", "").replace("        k,", "        k['# b n h d'],"))),
    "above the call": Case(attend(HERE.format("q", ""), "# [B, N, H, D]")),
    "a call that is left": Case(attend(HERE.format("*q", LAYOUT)), ("left XF205",)),
    "behind an input whose statement goes": Case(attend(HERE.format("x", LAYOUT), "x = q.transpose(1, 2)")),
    "behind the statement that goes": Case(attend(HERE.format("x", ""), f"x = q.transpose(1, 2){LAYOUT}")),
    "behind the result": Case(
        attend("y.flatten(2)", "out = xops.memory_efficient_attention(q, k, v)", f"y = out.transpose(1, 2){LAYOUT}")
    ),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("layout_comment").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("layout_comment").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("layout_comment")
