"""A condition that is called like a flag of xformers is one only if what it comes from may say so."""

from __future__ import annotations

import pytest

from tests.rulekit.test_guard import guard_in

GUARD = "{}if {}:\n    IMPORT\n    FAST = True\nelse:\n    FAST = False\n"
FLAGS = {
    "a flag of another package": ("from library import HAS_XFORMERS\n", "HAS_XFORMERS"),
    "a flag in a module": ("import library\n", "library.has_xformers"),
    "a function of a module": ("import library\n", "library.has_xformers()"),
    "what nothing here defines": ("", "has_xformers()"),
    "looked up here": ("HAS_XFORMERS = find_spec('xformers') is not None\n", "HAS_XFORMERS"),
    "a function that looks it up": ("def has_xformers():\n    return find_spec('xformers')\n\n\n", "has_xformers()"),
}
NO_FLAGS = {
    "of what a function gives": ("from library import probe\n", "probe().has_xformers"),
    "of an item of what a function gives": ("from library import probe\n", "probe()[0].has_xformers()"),
    "of an object": ("settings = make()\n", "settings.has_xformers"),
    "a choice": ("has_xformers = False\n", "has_xformers"),
    "looked up with something else": ("has_xformers = find_spec('xformers') and torch.cuda\n", "has_xformers"),
    "a function that asks for something else": (
        "def has_xformers():\n    return find_spec('xformers') and torch.cuda.is_available()\n\n\n",
        "has_xformers()",
    ),
    "bound by a loop": ("for has_xformers in found:\n    break\n", "has_xformers"),
}


@pytest.mark.parametrize(("head", "test"), FLAGS.values(), ids=list(FLAGS))
def test_it_says_that_xformers_is_there(head: str, test: str) -> None:
    new = guard_in(GUARD.format(head, test))
    assert "OURS\n\nFAST = True\n" in new or "OURS\nFAST = True\n" in new
    assert "else" not in new


@pytest.mark.parametrize(("head", "test"), NO_FLAGS.values(), ids=list(NO_FLAGS))
def test_it_may_say_something_else(head: str, test: str) -> None:
    old = GUARD.format(head, test)
    assert guard_in(old) == old.replace("IMPORT", "OURS")
