"""A bias that is None goes; one that may be something else does not."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, examples_hold, holds, mea

WRITTEN = {
    "in the call": Case(attend(mea("attn_bias=None")), ("assumed XF101",), lacks=("None", "attn_bias")),
    "by position": Case(attend(mea("None")), ("assumed XF101",), lacks=("None",)),
    "by a variable": Case(attend(mea("attn_bias=m"), "m = None"), ("assumed XF101",), lacks=("attn_mask",)),
    "on both paths": Case(
        attend(mea("attn_bias=m"), "if c:", "    m = None", "else:", "    m = None"), ("assumed XF101",)
    ),
    "left out": Case(attend(mea()), ("assumed XF101",), lacks=("attn_mask",)),
}
NEAR_MISSES = {
    "on one path": Case(attend(mea("attn_bias=m"), "m = None", "if c:", "    m = bias"), ("left XF211",), same=True),
    "a default": Case(
        attend(mea("attn_bias=bias"), given="q, k, v, bias=None").replace("drop", ""), ("left XF211",), same=True
    ),
    "what a function gives": Case(
        attend(mea("attn_bias=g()")) + "\n\ndef g():\n    return None\n", ("left XF221",), same=True
    ),
    "another constant": Case(attend(mea("attn_bias=False")), ("left XF211",), same=True),
}


@by_name(WRITTEN)
def test_what_is_written(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case)


def test_the_examples_hold() -> None:
    examples_hold("mask_none")
