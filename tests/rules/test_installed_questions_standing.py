"""Questions that stay: those of a file that nothing else changes, and releases that are shown."""

from __future__ import annotations

import pytest

from tests.rules.common import HELPER, Case, attend, holds, mea
from tests.rules.test_installed_questions import BY_NAME, FOUND, OURS, asked
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
    ("asking", "new"),
    [({".utils.there": True}, "FAST = True, [True]\n"), ({}, "FAST = there('xformers'), [utils.there('xformers')]\n")],
)
def test_a_function_of_another_file_that_says_whether_it_is_there(asking: dict[str, bool], new: str) -> None:
    head = f"from . import utils\nfrom .utils import there\n{OURS}"
    text = asked("FAST = there('xformers'), [utils.there('xformers')]", head=head)
    result = rewrite_with(text, "model.py", Options(Settings(), compat=HELPER, asking=asking))
    assert new in result.new


@pytest.mark.parametrize("head", ["from xformers.ops import SparseCSRTensor\n", "import json, xformers.ops as xops\n"])
def test_a_question_stays_beside_an_import_that_stays(head: str) -> None:
    used = "SparseCSRTensor" if "SparseCSRTensor" in head else "xops.SparseCSRTensor"
    text = asked(f"FAST = {FOUND}", f"USED = {used}", head=f"import importlib.util\n{head}{OURS}")
    holds(Case(text, ("finding XF402",), has=(f"FAST = {FOUND}\n",), helper=True), never=("XF403",))


def test_a_variable_that_is_set_to_itself_is_named() -> None:
    lines = ["spec = importlib.util.find_spec('xformers')", "spec = spec", "FAST = spec is not None"]
    holds(Case(asked(*lines), ("finding XF403",), "more is done with what it finds", has=tuple(lines), helper=True))


def test_a_name_that_a_lambda_looks_up_is_named() -> None:
    lines = [
        "def has(name):",
        "    return look(name)",
        "",
        "",
        f"look = lambda name: {BY_NAME}",
        "FAST = has('xformers')",
    ]
    holds(Case(asked(*lines), ("finding XF403",), "by a name that is handed on", has=tuple(lines), helper=True))


def test_a_release_that_is_shown_where_the_import_fails_goes_with_its_guard() -> None:
    shown = "print(version('xformers') if HAS_XFORMERS else 'none')"
    guard = f"try:\n    import xformers.ops as xops\nexcept ImportError:\n    {shown}\n"
    head = f"from importlib.metadata import version\n\nHAS_XFORMERS = True\n{guard}"
    holds(Case(asked(head=head), ("finding XF141",), lacks=("version", "print"), helper=True), never=("XF142",))


@pytest.mark.parametrize(
    "line",
    [
        "FAST = package_available('xformers.ops (fast)')",
        "if 'xformers' in names:\n    print(packages_distributions())",
        "for name in ['xformers']:\n    print(name)\nFOUND = importlib.util.find_spec(other)",
    ],
)
def test_a_word_that_is_looked_up_nowhere(line: str) -> None:
    holds(Case(asked(*line.split("\n")), has=(f"{line}\n",), helper=True), never=("XF142", "XF403"))
