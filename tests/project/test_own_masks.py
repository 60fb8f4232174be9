"""Which files' mask objects must stay xformers', as its operator may be handed them."""

from __future__ import annotations

import pytest

from xf2sdpa.project.files import Project
from xf2sdpa.project.own_masks import why_masks_stay

MOVED = "from _attention_compat import LowerTriangularMask\n\nMASK = LowerTriangularMask()\n"
OPERATOR = "from xformers.ops import LowerTriangularMask, memory_efficient_attention as mea\n\n\n"
ASKING = "import _attention_compat\n\n\ndef f(m):\n    return isinstance(m, _attention_compat.LowerTriangularMask)\n"


def reasons(beside: str, **more: str) -> list[str]:
    """Why the masks of `moved.py` stay, beside another file."""
    texts = {"moved.py": MOVED, "beside.py": beside} | {f"{name}.py": text for name, text in more.items()}
    project = Project((), texts)
    return list(why_masks_stay(project, list(texts), ["moved.py"]).values())


HARMLESS = {
    "a call without a mask": "def f(q):\n    b, n, h, d = q.shape\n    return mea(q, q, q)\n",
    "a call with None": "def f(q):\n    b, n, h, d = q.shape\n    return mea(q, q, q, attn_bias=None)\n",
    "a file that does not parse": "def f(q, m):\n    return mea(q, q, q, m\n",
    "a mask of its own, for its own call": (
        "def f(q):\n    b, n, h, d = q.shape\n    m = LowerTriangularMask()\n    return mea(q, q, q, m)\n"
    ),
}
HANDED = {
    "a call with anything": "def f(q, m):\n    return mea(q, q, q, m)\n",
    "arguments that are unpacked": "def f(q, m):\n    return mea(*q)\n",
    "the operator handed on": "def f(g, q):\n    return g(mea, q)\n",
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=list(HARMLESS))
def test_the_masks_may_be_the_helpers(text: str) -> None:
    assert not reasons(OPERATOR + text)


@pytest.mark.parametrize("text", HANDED.values(), ids=list(HANDED))
def test_a_call_that_stays_may_be_handed_one(text: str) -> None:
    (why,) = reasons(OPERATOR + text)
    assert "stays, and may be handed a mask object" in why


@pytest.mark.parametrize(
    ("made", "kept"),
    [
        ("MASK = LowerTriangularMask()\n", True),
        ("class A:\n    mask = LowerTriangularMask()\n", True),
        ("def f():\n    return LowerTriangularMask()\n", True),
        ("def f(q):\n    b, n, h, d = q.shape\n    m = LowerTriangularMask()\n    return mea(q, q, q, m)\n", False),
    ],
)
def test_masks_of_both_kinds_and_a_question_for_the_class(made: str, kept: bool) -> None:
    found = reasons(OPERATOR + made, asking=ASKING)
    assert bool(found) is kept
    assert all("asks for the class" in why for why in found)
