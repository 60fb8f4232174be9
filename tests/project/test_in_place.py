"""Functions that change what they are given, by what stands in them."""

from __future__ import annotations

import pytest

from xf2sdpa.project.files import Project
from xf2sdpa.project.in_place import InPlace

CALLER = "from helpers import change\n\n\ndef f(parts):\n    change(parts)\n"
LISTS = {
    "an item": "def change(parts):\n    parts[0] = 1\n",
    "an item of an item": "def change(parts):\n    parts[0][1] = 1\n",
    "a deleted item": "def change(parts):\n    del parts[0]\n",
    "a method": "def change(parts, last=None):\n    parts.append(last)\n",
    "more items": "def change(parts):\n    parts += [1]\n",
    "what is unpacked": "def change(*parts):\n    parts[0].pop()\n",
    "a coroutine": "async def change(parts):\n    parts.clear()\n",
    "a method of a class": "class Helper:\n    def change(self, parts):\n        parts.clear()\n\n\nc = Helper()\n",
    "by another function": "def change(parts):\n    put(parts)\n\n\ndef put(parts):\n    parts[0] = 1\n",
    "behind a comment at the margin": "def change(parts):\n# here\n    parts[0] = 1\n",
}
NO_LISTS = {
    "a reader": "def change(parts):\n    return parts[0]\n",
    "its own list": "def change(parts):\n    mine = list(parts)\n    mine.append(1)\n    return mine\n",
    "its own object": "class Helper:\n    def change(self, parts):\n        self[0] = parts\n",
    "a number": "def change(parts):\n    parts += 1\n",
    "one that calls itself": "def change(parts):\n    return change(parts[1:])\n",
    "no parameter": "def change():\n    parts = []\n    parts.append(1)\n",
    "no Python": "def change(parts:\n    parts[0] = 1\n",
    "the next function": "def change(parts):\n    return 1\n\n\ndef other(parts):\n    parts[0] = 1\n",
}
RANKS = {
    "in place": "def change(t):\n    t.squeeze_(0)\n",
    "by a method": "class Helper:\n    def change(self, t):\n        t.unsqueeze_(0)\n",
    "of an item": "def change(parts):\n    parts[0].t_()\n",
    "by another function": "def change(t):\n    less(t)\n\n\ndef less(t):\n    t.squeeze_(0)\n",
}


def asked(helpers: str, caller: str = CALLER) -> InPlace:
    texts = {"/p/a.py": caller, "/p/helpers.py": helpers}
    return InPlace(Project(texts, texts))


@pytest.mark.parametrize("helpers", LISTS.values(), ids=list(LISTS))
def test_it_changes_a_list(helpers: str) -> None:
    assert asked(helpers).of_lists("/p/a.py") == {"change"}


@pytest.mark.parametrize("helpers", NO_LISTS.values(), ids=list(NO_LISTS))
def test_it_changes_none(helpers: str) -> None:
    assert asked(helpers).of_lists("/p/a.py") == frozenset()


def test_only_what_is_imported_and_handed_a_variable_is_asked_for() -> None:
    helpers = LISTS["an item"]
    assert asked(helpers, "def f(parts):\n    change(parts)\n").of_lists("/p/a.py") == frozenset()
    assert asked(helpers, "from helpers import change\nchange([1])\n").of_lists("/p/a.py") == frozenset()
    assert asked(helpers, "import helpers\nhelpers.change(x)\n").of_lists("/p/a.py") == {"change"}
    assert asked(helpers, "from helpers import change\nchange(x\n").of_lists("/p/a.py") == frozenset()


@pytest.mark.parametrize("helpers", RANKS.values(), ids=list(RANKS))
def test_it_changes_a_rank(helpers: str) -> None:
    assert "change" in asked(helpers).of_ranks


@pytest.mark.parametrize(
    "helpers",
    [
        "def change(t):\n    t.mul_(2)\n",
        "def change(t):\n    mine = t * 1\n    mine.squeeze_(0)\n    return mine\n",
        "def change(t:\n    t.squeeze_(0)\n",
    ],
)
def test_it_keeps_a_rank(helpers: str) -> None:
    assert asked(helpers).of_ranks == frozenset()
