"""A causal mask under a negated condition: which way round the condition ends up."""

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

PROGRAM = """\
import torch.nn.functional as F
import xformers.ops as xops


def attend(q, k, v, c, bias):
    b, n, h, d = q.shape
{lines}
    return xops.memory_efficient_attention(q, k, v, attn_bias={bias}).flatten(2)
"""
MASK = "xops.LowerTriangularMask()"
CHOICES = [
    (f"{MASK} if not c else None", "not c"),
    (f"None if not c else {MASK}", "bool(c)"),
    (f"None if c else {MASK}", "not c"),
    (f"{MASK} if c else None", "bool(c)"),
    (f"None if c is not None else {MASK}", "c is None"),
]


@pytest.mark.parametrize(("choice", "condition"), CHOICES)
def test_in_the_call(choice: str, condition: str) -> None:
    new = rewrite_text(PROGRAM.format(lines="    pass", bias=choice)).new
    assert f"is_causal={condition}\n" in new or f"is_causal={condition},\n" in new


@pytest.mark.parametrize(("choice", "condition"), CHOICES)
def test_in_a_variable(choice: str, condition: str) -> None:
    new = rewrite_text(PROGRAM.format(lines=f"    mask = {choice}", bias="mask")).new
    assert f"    is_causal = {condition}\n" in new


def test_in_branches() -> None:
    lines = f"    if not c:\n        mask = None\n    else:\n        mask = {MASK}"
    assert "    is_causal = bool(c)\n" in rewrite_text(PROGRAM.format(lines=lines, bias="mask")).new


NO_CHOICE = {
    "two kinds": f"    if c:\n        mask = {MASK}\n    else:\n        mask = bias",
    "an attribute of it is set": "    if c:\n        mask.x = None\n    else:\n        mask = None",
    "neither is none": f"    if c:\n        mask = {MASK}\n    else:\n        mask = {MASK}",
    "an item is set": f"    mask = {MASK}\n    if c:\n        mask[0] = None\n    else:\n        mask = None",
    "more than one target": f"    mask = None\n    if c:\n        other = mask = {MASK}",
    "an attribute is set": f"    if c:\n        mask = other.mask = {MASK}\n    else:\n        mask = None",
}


@pytest.mark.parametrize("lines", NO_CHOICE.values(), ids=list(NO_CHOICE))
def test_what_is_no_choice_of_two_statements(lines: str) -> None:
    assert "is_causal =" not in rewrite_text(PROGRAM.format(lines=lines, bias="mask")).new


@pytest.mark.parametrize("line", [f"bias, d = {MASK}, 1", f"bias = d = {MASK}", f"d = bias, {MASK}"])
def test_assigned_with_something_else(line: str) -> None:
    """`bias` may be more than None or the mask: nothing is said of a condition."""
    lines = f"    bias = None\n    if c:\n        {line}"
    result = rewrite_text(PROGRAM.format(lines=lines, bias="bias"))
    assert "is_causal=bool(c)" not in result.new
    assert "is_causal=not c" not in result.new
