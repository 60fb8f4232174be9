"""What is done with the result decides how it is handed on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import xformers.ops

from tests import oracle
from tests.rules.common import Case, attend, by_name, examples_hold, holds
from xf2sdpa.rewrite.engine import rewrite_text

HEAD = """
import torch
import xformers.ops as xops

def attend(q, k, v):
    b, n, h, d = q.shape
    out = xops.memory_efficient_attention(q, k, v)
"""
TWICE = {
    "a view is written": "out.view(b * n, h * d)[0] = 7.0\n    return out",
    "a view is scaled": "out.view(-1, d).mul_(2.0)\n    return out.flatten(2)",
    "a reshape is written": "flat = out.reshape(b, -1)\n    flat[:, 0] = 7.0\n    return out.sum(-1)",
    "the result is scaled": "flat = out.view(b, n, h * d)\n    out *= 2.0\n    return flat",
    "the result is filled": "flat = out.flatten(2)\n    out.zero_()\n    return flat",
    "under another name": "kept = out\n    out.view(b, n, -1).add_(1.0)\n    return kept.reshape(b, n, h * d)",
    "by `to`": "same = out.to(q.dtype)\n    same.view(b, n, -1).add_(1.0)\n    return out.flatten(2)",
    "in a loop": "for row in out.view(b * n, -1):\n        row.zero_()\n    return out.flatten(2)",
    "again and again": "for i in range(3):\n        y = out.view(b, n, h * d)\n        y += i\n    return y",
    "a function writes": "torch.relu_(out.view(b, n, -1))\n    return out.flatten(2)",
}
ONCE = {
    "one view": "return out.view(b, n, h * d)",
    "its shape is asked for": "print(out.shape, out.dtype)\n    return out.view(b, n, h * d)",
    "one in each arm": (
        "if n > 3:\n        y = out.view(b, n, -1)\n    else:\n        y = out.reshape(b, -1)\n    return y"
    ),
    "one before a return": "if n > 3:\n        return out.view(b, n, -1)\n    return out.reshape(b, -1)",
    "a new name": "out = out.view(b, n, -1)\n    out *= 2.0\n    return out",
}


def attended(text: str) -> torch.Tensor:
    scope: dict[str, Any] = {}
    exec(compile(text, "<form>", "exec"), scope)
    stored = torch.randn(3, 2, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, k, v = stored.transpose(2, 3)  # heads first: then SDPA's result, transposed back, is not contiguous
    with torch.no_grad():
        return scope["attend"](q, k, v)


@pytest.mark.parametrize("name", TWICE | ONCE)
def test_old_and_new_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = HEAD + f"    {(TWICE | ONCE)[name]}\n"
    new = rewrite_text(old).new
    assert "xformers" not in new
    monkeypatch.setattr(xformers.ops, "memory_efficient_attention", oracle.memory_efficient_attention)
    torch.testing.assert_close(attended(new), attended(old))


@pytest.mark.parametrize("name", ONCE)
def test_what_is_used_once_is_not_copied(name: str) -> None:
    assert ".contiguous()" not in rewrite_text(HEAD + f"    {ONCE[name]}\n").new


OPERATOR = "xops.memory_efficient_attention(q, k, v)"
LAST = "v.transpose(1, 2)\n    ).transpose(1, 2)"
WRITTEN = {
    "viewed": Case(attend(f"{OPERATOR}.view(b, n, -1)"), has=(f"{LAST}.reshape(b, n, -1)\n",)),
    "viewed as": Case(attend(f"{OPERATOR}.view_as(bias)"), has=(f"{LAST}.reshape_as(bias)\n",)),
    "viewed later": Case(attend("out.view(b, n, -1)", f"out = {OPERATOR}"), has=(f"{LAST}\n", "out.reshape(b, n, -1)")),
    "viewed twice": Case(
        attend("out.view(b, -1, n)", f"out = {OPERATOR}", "if c:", "    return out.view(b, n, -1)"),
        has=(f"{LAST}\n", "return out.reshape(b, n, -1)", "return out.reshape(b, -1, n)"),
    ),
    "returned": Case(attend(OPERATOR), has=(f"{LAST}.contiguous()\n",)),
    "stored": Case(attend("1", f"c.x = {OPERATOR}"), has=(f"{LAST}.contiguous()\n",)),
    "handed to a function": Case(attend(f"c({OPERATOR})"), has=(").transpose(1, 2).contiguous())\n",)),
    "of three dimensions": Case(
        attend(OPERATOR).replace("b, n, h, d", "b, n, d"), has=("    ).squeeze(1).contiguous()\n",)
    ),
}
NEAR_MISSES = {
    "summed": Case(attend(f"{OPERATOR}.sum()"), has=(f"{LAST}.sum()\n",)),
    "flattened": Case(attend(f"{OPERATOR}.flatten(2)"), has=(f"{LAST}.flatten(2)\n",)),
    "reshaped": Case(attend(f"{OPERATOR}.reshape(b, n, -1)"), has=(f"{LAST}.reshape(b, n, -1)\n",)),
    "into a linear layer": Case(attend(f"F.linear({OPERATOR}, bias)"), lacks=("contiguous",)),
    "viewed after something else": Case(
        attend(f"{OPERATOR}.flatten(2).view(b, -1)"), has=(f"{LAST}.flatten(2).view(b, -1)\n",)
    ),
    "a view of something else": Case(
        attend("out.flatten(2) + q.view(b, -1)", f"out = {OPERATOR}"), has=("q.view(b, -1)", f"{LAST}\n")
    ),
    "turned by the program itself": Case(
        attend("y.view(b, -1)", f"out = {OPERATOR}", "y = out.transpose(1, 2)"),
        has=("v.transpose(1, 2)\n    )\n", "return y.view(b, -1)"),
    ),
}


@by_name(WRITTEN)
def test_what_is_written(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case)


def test_the_examples_hold() -> None:
    examples_hold("result")


@pytest.mark.parametrize(("sizes", "laid_out"), [("b, n, h, d", True), ("b, n, d", False)])
def test_a_sum_has_the_strides_of_its_first_operand(sizes: str, laid_out: bool) -> None:
    """With one head the result is laid out like its query, and so is what it is added to: nothing is to be done."""
    text = HEAD.replace("b, n, h, d", sizes) + f"    y = torch.zeros({sizes}, dtype=q.dtype)\n    return y + out\n"
    assert (".contiguous()" in rewrite_text(text).new) is laid_out
