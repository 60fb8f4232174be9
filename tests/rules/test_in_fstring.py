"""What stands inside an f-string: left with a finding, and never half of it."""

from __future__ import annotations

import ast

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
