"""A probe of xformers goes only with the calls that it speaks for."""

from __future__ import annotations

from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite.engine import rewrite_text

TEXT = """
import torch
import xformers.ops


def enable(module):
    try:
        _ = xformers.ops.memory_efficient_attention(torch.randn(1, 2, 40), torch.randn(1, 2, 40), torch.randn(1, 2, 40))
    except Exception as error:
        raise error
    module.fast = True


def attend(q, k, v):
    b, n, h, d = q.shape
    return xformers.ops.memory_efficient_attention(q, k, v)
"""


def test_with_a_call_that_stays_the_probe_stays() -> None:
    result = rewrite_text(TEXT, only_exact=True)
    assert result.new == TEXT
    assert [(site.kind, site.code) for site in result.sites] == [(SiteClass.LEFT, "XF222"), (SiteClass.LEFT, "XF908")]


def test_it_goes_with_the_last() -> None:
    result = rewrite_text(TEXT)
    assert [site.kind for site in result.sites] == [SiteClass.REMOVED, SiteClass.ASSUMED]
    assert "xformers" not in result.new
