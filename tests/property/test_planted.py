"""Every planted bug is found by the property test, within far fewer programs than it has."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from tests.property.check import numbers
from tests.property.planted import BUGS, Planted
from tests.property.program import Program
from tests.property.strategy import programs

engine = pytest.importorskip("xf2sdpa.rewrite.engine")

LIMIT = 500


class FoundError(AssertionError):
    """The bug shows."""


@functools.cache
def rewritten(text: str) -> Any:
    return engine.rewrite_text(text)


def looked_at_until_found(bug: Planted) -> int | None:
    """How many programs it took; None if `LIMIT` were not enough."""
    seen = 0

    @settings(max_examples=LIMIT, phases=[Phase.generate], report_multiple_bugs=False)
    @given(programs())
    def agrees(program: Program) -> None:
        nonlocal seen
        seen += 1
        new = bug.new_text(program, rewritten)
        if new is not None and shows(program, new):
            raise FoundError

    try:
        agrees()
    except FoundError:
        return seen
    return None


def shows(program: Program, new: str) -> bool:
    """Whether the bug is what makes the difference."""
    kind = kind_for(program)
    return bool(numbers(program, new, kind)) and not numbers(program, rewritten(program.text).new, kind)


def kind_for(program: Program) -> str:
    """What the bug pretends the site to be: what it is, or `exact` for one that should be left."""
    kinds = {site.kind.value for site in rewritten(program.text).sites if "forward" in site.qualname}
    return "assumed" if kinds == {"assumed"} else "exact"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_bug_is_found(bug: Planted) -> None:
    seen = looked_at_until_found(bug)
    assert seen is not None, f"not found in {LIMIT} programs"
    print(f"{bug.name}: found after {seen} programs")
