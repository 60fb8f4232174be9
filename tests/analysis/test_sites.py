"""Call sites in private methods of a file that is loaded by itself: what the file's own calls of the method pass."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.sites import find_sites

PROGRAM = """\
import torch
import xformers.ops as xops


class A(torch.nn.Module):
    def {name}(self, q):
        return xops.memory_efficient_attention(q, q, q)

    def forward(self, x):
        {body}
{rest}
"""
SPLIT = "return self._attend(x.view(2, 3, 4, 5))"
RANKS = {
    "called with one rank": (SPLIT, "", 4),
    "called with two": (f"self._attend(x.view(6, 4, 5))\n        {SPLIT}", "", None),
    "called with nobody knows what": ("return self._attend(x)", "", None),
    "handed on": (f"keep(self._attend)\n        {SPLIT}", "", None),
    "called from outside": (SPLIT, "\n\ndef g(a, x):\n    return a._attend(x)\n", None),
    "looked up": (SPLIT, '\n\ndef g(a, x):\n    return getattr(a, "_attend")(x)\n', None),
}


def rank_of(text: str) -> int | None:
    (site,) = find_sites(ClassAttributes(Names(ast.parse(text))), loaded_alone=True)
    return site.rank


@pytest.mark.parametrize(("body", "rest", "rank"), RANKS.values(), ids=list(RANKS))
def test_a_private_method(body: str, rest: str, rank: int | None) -> None:
    assert rank_of(PROGRAM.format(name="_attend", body=body, rest=rest)) == rank


def test_a_public_method_may_be_called_by_anybody() -> None:
    assert rank_of(PROGRAM.format(name="attend", body=SPLIT.replace("_attend", "attend"), rest="")) is None


def test_a_private_function_is_no_method() -> None:
    text = "import xformers.ops as xops\n\n\ndef _f(q):\n    return xops.memory_efficient_attention(q, q, q)\n"
    assert rank_of(text) is None
