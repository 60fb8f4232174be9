"""What stands inside an f-string: left with a finding, and never half of it."""

from __future__ import annotations

import ast

from tests.rules.common import IMPORTS, Case, by_name, codes_in, examples_hold, holds, rule
from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite.engine import rewrite_text

CALL = """
import xformers.ops as xops


def describe(q, k, v):
    b, n, h, d = q.shape
    out = xops.memory_efficient_attention(q, k, v)
    return f"{out.mean():.3f} {xops.memory_efficient_attention(q, k, v).mean():.3f}"
"""
MASK = """
import xformers.ops as xops


def describe(q, k, v, masks):
    out = xops.memory_efficient_attention(q, k, v, attn_bias=masks[0])
    return f"{out.mean():.3f} with {xops.LowerTriangularMask.__name__}"
"""


def test_a_call_in_one_is_left_and_keeps_its_import() -> None:
    for compat in (None, "_attention_compat"):
        result = rewrite_text(CALL, compat=compat)
        assert not result.failed
        first, second = result.sites
        assert first.kind is not SiteClass.LEFT
        assert (second.kind, second.code) == (SiteClass.LEFT, "XF220")
        assert "import xformers.ops as xops" in result.new
        assert "{xops.memory_efficient_attention(q, k, v).mean():.3f}" in result.new


def test_a_mask_class_in_one_does_not_lose_its_name() -> None:
    result = rewrite_text(MASK, compat="_attention_compat")
    bound = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(result.new))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    names = {node.id for node in ast.walk(ast.parse(result.new)) if isinstance(node, ast.Name)}
    assert "xops" not in names or "xops" in bound, result.new


CALLED = "xops.memory_efficient_attention(q, k, v)"


def shown(line: str) -> str:
    return f"{IMPORTS}\n\ndef show(q, k, v):\n    b, n, h, d = q.shape\n    {line}\n"


EMITTED = {
    "a call": Case(shown(f"return f'{{{CALLED}}}'"), ("left XF220",), "inside an f-string", same=True),
    "part of an expression": Case(shown(f"return f'a {{{CALLED}.mean():.3f}} b'"), ("left XF220",), same=True),
    "in the width": Case(shown(f"return f'{{q:{{{CALLED}}}}}'"), ("left XF220",), same=True),
    "with a helper": Case(shown(f"return f'{{{CALLED}}}'"), ("left XF220",), helper=True),
    "joined to a string": Case(shown(f"return 'a' f'{{{CALLED}}}'"), ("left XF220",), same=True),
}
NEAR_MISSES = {
    "in a string": Case(shown(f"return '{{{CALLED}}}'"), same=True),
    "beside one": Case(shown(f"return {CALLED}.flatten(2), f'{{q}}'"), ("assumed XF101",)),
    "in a call beside one": Case(shown(f"return '{{}}'.format({CALLED}.flatten(2)), f'{{q}}'"), ("assumed XF101",)),
    "an argument beside one": Case(shown(f"print(f'{{q}}', {CALLED}.flatten(2))"), ("assumed XF101",)),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("in_fstring").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("in_fstring").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("in_fstring")
