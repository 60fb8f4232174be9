"""Questions that stay: those of a file that nothing else changes, and releases that are shown."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, holds, mea
from tests.rules.test_installed_questions import FOUND, OURS, asked

SHOWN_OR_UNREAD = {
    "printed": "print(importlib.util.find_spec('xformers'))",
    "put into a text": "f(f\"{importlib.util.find_spec('xformers')}\")",
    "a flag that nothing reads": f"FAST = {FOUND}",
    "a question that nothing calls": f"def has_xformers():\n    return {FOUND}",
}
READ = {
    "given to a function": "f(importlib.util.find_spec('xformers'))",
    "printed if it is there": f"print(1 if {FOUND} else 2)",
    "a flag that is read": f"FAST = {FOUND}\nprint(FAST)",
    "a flag that is listed": f"FAST = {FOUND}\n__all__ = ['FAST']",
    "a question that is called": f"def has_xformers():\n    return {FOUND}\n\n\nf(has_xformers())",
    "a function that is called otherwise": f"def run():\n    return {FOUND}",
    "a method that nothing calls": f"class A:\n    def has_xformers(self):\n        return {FOUND}",
    "an attribute": f"x.y = {FOUND}",
}


@pytest.mark.parametrize("line", SHOWN_OR_UNREAD.values(), ids=list(SHOWN_OR_UNREAD))
def test_without_a_helper_what_is_only_shown_or_not_read_is_not_named(line: str) -> None:
    holds(Case(f"import importlib.util\n{attend(mea())}\n\n{line}\n", ("assumed XF101",)), never=("XF403",))


@pytest.mark.parametrize("line", READ.values(), ids=list(READ))
def test_without_a_helper_what_is_read_is_named(line: str) -> None:
    holds(Case(f"import importlib.util\n{attend(mea())}\n\n{line}\n", ("finding XF403",)))


def test_a_flag_that_is_handed_on_is_read() -> None:
    text = f"import importlib.util\n{attend(mea())}\n\nFAST = {FOUND}\n"
    holds(Case(text, ("finding XF403",), handed_on=frozenset({"FAST"})))


SHOWN = "version('xformers') if HAS_XFORMERS else"


@pytest.mark.parametrize(
    "line",
    [
        f"x = {SHOWN} 'none'",
        f"f({SHOWN} 'none', {SHOWN} 'none')",
        f"f({SHOWN} 1)",
        f"f({SHOWN} '')",
        f"f({SHOWN} g())",
    ],
)
def test_a_release_that_is_not_only_shown_is_named(line: str) -> None:
    head = f"from importlib.metadata import version\n{OURS}HAS_XFORMERS = True\n"
    holds(Case(asked(line, head=head), ("finding XF403",), has=(f"{line}\n",), helper=True))
