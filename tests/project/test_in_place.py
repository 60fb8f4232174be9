"""Functions that change in place the rank of what they are given, by what stands in them."""

from __future__ import annotations

import pytest

from xf2sdpa.analysis.others import ANY
from xf2sdpa.project.files import Project
from xf2sdpa.project.in_place import InPlace

RANKS = {
    "in place": "def change(t):\n    t.squeeze_(0)\n",
    "by a method": "class Helper:\n    def change(self, t):\n        t.unsqueeze_(0)\n",
    "of an item": "def change(parts):\n    parts[0].t_()\n",
    "by another function": "def change(t):\n    less(t)\n\n\ndef less(t):\n    t.squeeze_(0)\n",
    "by the class": "def change(t):\n    torch.Tensor.squeeze_(t, 0)\n",
    "under another name": "def change(t):\n    x = t\n    x.squeeze_(0)\n",
    "what may be the same": "def change(t):\n    x = t.float()\n    x.squeeze_(0)\n",
    "one after another": "def change(*tensors):\n    for t in tensors:\n        t.squeeze_(0)\n",
    "one after another, in a list": "def change(tensors):\n    return [t.squeeze_(0) for t in tensors]\n",
    "one after another, in a dictionary": "def change(**more):\n    for t in more.values():\n        t.squeeze_(0)\n",
    "in a tuple": "def change(t, u):\n    for x in (t, u):\n        x.t_()\n",
    "a lambda": "change = lambda t: t.squeeze_(0)\n",
    "an object that is called": "class Less:\n    def __call__(self, t):\n        t.t_()\n\n\nchange = Less()\n",
    "a class": "class change:\n    def __init__(self, t):\n        t.t_()\n",
    "a derived class": "class Less:\n    def forward(self, t):\n        t.t_()\n\n\nclass change(Less):\n    pass\n",
    "a partial": "def less(n, t):\n    t.squeeze_(n)\n\n\nchange = functools.partial(less, 0)\n",
    "a function with another name": "def less(t):\n    t.t_()\n\n\nchange: object = less\n",
}


def asked(helpers: str, caller: str = "") -> InPlace:
    texts = {"/p/a.py": caller, "/p/helpers.py": helpers}
    return InPlace(Project(texts, texts))


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


def test_an_import_gives_it_another_name() -> None:
    helpers = "def change(t):\n    t.squeeze_(0)\n"
    assert asked(helpers, "from helpers import change as less\n").of_ranks == {"change", "less"}


def test_what_is_handed_on_may_be_called_by_any_name() -> None:
    helpers = "def change(t):\n    t.squeeze_(0)\n"
    assert ANY in asked(helpers, "each(x, change)\n").of_ranks
    assert ANY not in asked(helpers, "each(x)\nchange(x)\n").of_ranks


def test_a_file_that_does_not_parse_gives_it_no_other_name() -> None:
    assert asked("def change(t):\n    t.squeeze_(0)\n", "from helpers import change as less\nless(\n").of_ranks == {
        "change"
    }


def test_a_lambda_without_a_name_is_called_by_none() -> None:
    assert asked("apply(lambda t: t.squeeze_(0), q)\n").of_ranks == frozenset()
