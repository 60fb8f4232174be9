"""Questions that stay: those of a file that nothing else changes, and releases that are shown."""

from __future__ import annotations

import pytest

from tests.rules.common import HELPER, Case, attend, holds, mea
from tests.rules.test_installed_questions import FOUND, OURS, asked
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

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


FUNCTION = "def other():\n    return 1\n\n\ndef found():\n    return importlib.util.find_spec('xformers')\n\n\n"
OWN = {
    "asked for its truth": ("if found():\n    f(1)\nelse:\n    f(2)", "f(1)\n"),
    "asked for None": ("F = found() is None", "F = False\n"),
    "held against None as an equal": ("F = found() == None", "F = found() == None\n"),
    "held against something else": ("F = found() is 3", "F = found() is 3\n"),
    "given something": ("F = found(1) is None", "F = found(1) is None\n"),
    "stored": ("g = found\nF = found() is None", "g = found\nF = found() is None\n"),
    "shown": ("F = found() is None, found()", "F = found() is None, found()\n"),
    "named in __all__": ("F = found() is None\n__all__ = ['found']", "F = found() is None\n"),
}


@pytest.mark.parametrize(("line", "new"), OWN.values(), ids=list(OWN))
def test_a_function_that_only_looks_it_up_goes_if_all_ask_so(line: str, new: str) -> None:
    case = Case(asked(*(FUNCTION + line).split("\n")), helper=True)
    result = holds(case).new
    assert new in result
    assert ("def found" in result) == (new.rstrip("\n") in line and new != "f(1)\n")
    assert "def other" in result


def test_a_function_that_is_handed_on_stays() -> None:
    case = Case(asked(*f"{FUNCTION}F = found() is None".split("\n")), helper=True, handed_on=frozenset({"found"}))
    assert "def found" in holds(case).new


@pytest.mark.parametrize(
    ("asking", "new"), [({".utils.there": True}, "FAST = True\n"), ({}, "FAST = there('xformers')\n")]
)
def test_a_function_of_another_file_that_says_whether_it_is_there(asking: dict[str, bool], new: str) -> None:
    text = asked("FAST = there('xformers')", head=f"from .utils import there\n{OURS}")
    result = rewrite_with(text, "model.py", Options(Settings(), compat=HELPER, asking=asking))
    assert new in result.new


@pytest.mark.parametrize(
    "line",
    [
        "FAST = package_available('xformers.ops (fast)')",
        "if 'xformers' in names:\n    print(packages_distributions())",
    ],
)
def test_a_word_that_is_looked_up_nowhere(line: str) -> None:
    holds(Case(asked(*line.split("\n")), has=(f"{line}\n",), helper=True), never=("XF142", "XF403"))
