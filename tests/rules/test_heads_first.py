"""Inputs built heads-first and given to an operator that takes heads second: named."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, rule

EINOPS = "import xformers.ops as xops\nfrom einops import rearrange\n"
MADE = "q, k, v = (rearrange(t, '{}', h=c) for t in (q, k, v))"
CALL = "xops.memory_efficient_attention(q, k, v).flatten(2)"


def made(pattern: str, *more: str) -> str:
    return attend(CALL, MADE.format(pattern), *more, imports=EINOPS).replace("    b, n, h, d = q.shape\n", "")


EMITTED = {
    "by a pattern": Case(
        made("b n (h d) -> b h n d"), ("note XF304",), "attends over heads", has=("q.transpose(1, 2)",)
    ),
    "another name of heads": Case(
        made("b n (heads d) -> b heads n d").replace("h=c", "heads=c"), ("note XF304",), has=("q.transpose(1, 2)",)
    ),
    "made contiguous": Case(made("b n (h d) -> b h n d", "q = q.contiguous()"), ("note XF304",)),
    "made contiguous twice": Case(made("b n (h d) -> b h n d", *["q = q.contiguous()"] * 2), ("note XF304",)),
    "the query is no variable": Case(
        made("b n (h d) -> b h n d").replace("attention(q,", "attention(q * 2,"), ("note XF304",)
    ),
    "changed by another method": Case(made("b n (h d) -> b h n d", "q = q.half()"), ("note XF304",)),
    "changed by a function": Case(made("b n (h d) -> b h n d", "q = c(q)"), ("note XF304",)),
    "another string": Case(made("b n (h d) -> b h n d", "q = c(q, 'n')"), ("note XF304",)),
    "a variable of a loop": Case(
        made("b n (h d) -> b h n d").replace("    return", "    for q in c:\n        return"), ("note XF304",)
    ),
}
NEAR_MISSES = {
    "heads second": Case(made("b n (h d) -> b n h d"), ("assumed XF101",)),
    "heads in the batch": Case(made("b n (h d) -> (b h) n d"), ("assumed XF102",)),
    "no heads by name": Case(made("b n (x d) -> b x n d").replace("h=c", "x=c"), ("assumed XF101",)),
    "both called so": Case(made("b h (heads d) -> b h heads d").replace("h=c", "heads=c"), ("assumed XF101",)),
    "turned for xformers": Case(
        made("b n (h d) -> b h n d", "q, k, v = (t.transpose(1, 2) for t in (q, k, v))"), ("assumed XF101",)
    ),
    "no pattern": Case(attend(CALL), ("assumed XF101",)),
    "in three dimensions": Case(
        made("b n (h d) -> b h n d", "q, k, v = (t.flatten(2) for t in (q, k, v))", "q = c(q, 'b n (h d) -> b h n d')"),
        ("assumed XF102",),
    ),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("heads_first").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("heads_first").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("heads_first")


@pytest.mark.parametrize("heads", ["h", "head", "heads", "nh", "num_heads", "H"])
def test_what_heads_are_called(heads: str) -> None:
    holds(Case(made(f"b n ({heads} d) -> b {heads} n d").replace("h=c", f"{heads}=c"), ("note XF304",)))
