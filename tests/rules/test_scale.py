"""`scale` is handed on by keyword, and needs torch 2.1."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, examples_hold, holds, mea

WRITTEN = {
    "by keyword": Case(attend(mea("scale=0.5")), ("assumed XF101",), has=("scale=0.5\n",)),
    "by position": Case(attend(mea("None", "0.0", "0.5")), ("assumed XF101",), has=("v.transpose(1, 2), scale=0.5\n",)),
    "an expression": Case(attend(mea("scale=d**-0.5")), has=("scale=d**-0.5\n",)),
    "zero": Case(attend(mea("scale=0")), has=("scale=0\n",)),
}
NEAR_MISSES = {
    "None": Case(attend(mea("scale=None")), ("assumed XF101",), lacks=("scale=",)),
    "None by position": Case(attend(mea("None", "0.0", "None")), ("assumed XF101",), lacks=("scale=", "None")),
    "left out": Case(attend(mea()), lacks=("scale=",)),
    "the query is scaled before": Case(attend(mea(), "q = q * d**-0.5"), has=("q = q * d**-0.5\n",), lacks=("scale=",)),
}


def test_which_torch_it_needs() -> None:
    assert holds(WRITTEN["by keyword"]).sites[0].torch_floor == (2, 1)
    assert holds(NEAR_MISSES["None"]).sites[0].torch_floor == (2, 0)


@by_name(WRITTEN)
def test_what_is_written(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case)


def test_the_examples_hold() -> None:
    examples_hold("scale")
