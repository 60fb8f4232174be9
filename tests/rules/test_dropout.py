"""`p` becomes `dropout_p`, a literal zero goes, and an attribute is named."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

EMITTED = {
    "an attribute": Case(attend(mea("p=c.p")), ("note XF303",), "applied in eval too", has=("dropout_p=c.p",)),
    "by position": Case(attend(mea("None", "c.a.p")), ("note XF303",), has=("dropout_p=c.a.p",)),
}
NEAR_MISSES = {
    "a variable": Case(attend(mea("p=drop")), ("assumed XF101",), has=("dropout_p=drop\n",)),
    "a number": Case(attend(mea("p=0.1")), ("assumed XF101",), has=("dropout_p=0.1\n",)),
    "by training": Case(attend(mea("p=c.p if c.t else 0.0")), has=("dropout_p=c.p if c.t else 0.0,\n",)),
    "zero": Case(attend(mea("p=0.0")), ("assumed XF101",), lacks=("dropout_p",)),
    "zero as an integer": Case(attend(mea("p=0")), lacks=("dropout_p",)),
    "zero by position": Case(attend(mea("None", "0.0")), lacks=("dropout_p", "0.0")),
    "a bool": Case(attend(mea("p=False")), has=("dropout_p=False\n",)),
    "no number": Case(attend(mea("p=''")), has=("dropout_p=''\n",)),
    "none given": Case(attend(mea()), lacks=("dropout_p",)),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("dropout").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("dropout").codes) - {"XF120"} <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("dropout")
