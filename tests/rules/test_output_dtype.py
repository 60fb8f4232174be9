"""`output_dtype=` leaves a call, unless it asks for nothing."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

EMITTED = {
    "a dtype": Case(attend(mea("output_dtype=torch.float32")), ("left XF207",), "no counterpart", same=True),
    "a variable": Case(attend(mea("output_dtype=c")), ("left XF207",), same=True),
    "another constant": Case(attend(mea("output_dtype=0")), ("left XF207",), same=True),
}
NEAR_MISSES = {
    "none": Case(attend(mea()), ("assumed XF101",)),
    "None": Case(attend(mea("output_dtype=None")), ("assumed XF101",), lacks=("dtype",)),
    "a cast of the result": Case(attend(mea() + ".to(torch.float32)"), ("assumed XF101",), has=(".to(torch.float32)",)),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("output_dtype").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("output_dtype").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("output_dtype")
