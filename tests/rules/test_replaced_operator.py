"""What stands in the place of xformers' operator is named where it is put there, and no call of the file is touched."""

from __future__ import annotations

import pytest

from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite.engine import rewrite_text

TEXT = """\
from unittest import mock


def attend(q, k, v):
    import xformers.ops as xops

    {}
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v)
"""


@pytest.mark.parametrize(
    "line",
    [
        "xops.memory_efficient_attention = print",
        "del xops.memory_efficient_attention",
        "setattr(xops, 'memory_efficient_attention', print)",
        "mock.patch.object(xops, 'memory_efficient_attention').start()",
        "mock.patch('xformers.ops.memory_efficient_attention').start()",
    ],
)
def test_the_place_is_named(line: str) -> None:
    result = rewrite_text(TEXT.format(line))
    assert not result.changed
    assert [(site.kind, site.code) for site in result.sites] == [(SiteClass.LEFT, "XF216")]
    assert [f.span.line for f in result.findings if f.code == "XF216"] == [7]
    assert all("xf2sdpa.compat.install()" in f.advice for f in result.findings if f.code == "XF216")


@pytest.mark.parametrize("line", ["setattr(mock, 'xformers', 1)", "mock.memory_efficient_attention = print", "pass"])
def test_what_replaces_nothing_of_xformers(line: str) -> None:
    assert [site.kind for site in rewrite_text(TEXT.format(line)).sites] == [SiteClass.ASSUMED]
