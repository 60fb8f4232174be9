"""Calls whose arguments cannot be sorted to parameters are left."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, rule


def called(arguments: str) -> str:
    return attend(f"xops.memory_efficient_attention({arguments})")


EMITTED = {
    "unpacked": Case(called("*q"), ("left XF205",), "the call cannot be read", same=True),
    "some unpacked": Case(called("q, *k"), ("left XF205",), same=True),
    "keywords unpacked": Case(called("q, k, v, **c"), ("left XF205",), same=True),
    "too few": Case(called("q, k"), ("left XF205",), same=True),
    "too many": Case(called("q, k, v, None, 0.0, None, None, None, None, None"), ("left XF205",), same=True),
    "given twice": Case(called("q, k, v, query=c"), ("left XF205",), "is given twice", same=True),
    "given twice, an option": Case(called("q, k, v, None, 0.0, p=0.1"), ("left XF205",), same=True),
    "no parameter": Case(called("q, k, v, dropout_p=0.1"), ("left XF205",), same=True),
}


NEAR_MISSES = {
    "by position": Case(called("q, k, v"), ("assumed XF101",)),
    "by keyword": Case(called("value=v, key=k, query=q"), ("assumed XF101",)),
    "unpacked elsewhere": Case(attend("c(*q, *xops.memory_efficient_attention(q, k, v))"), ("assumed XF101",)),
    "in an f-string": Case(attend("f'{xops.memory_efficient_attention(*q)}'"), ("left XF220",), same=True),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("unpacked_arguments").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("unpacked_arguments").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("unpacked_arguments")
