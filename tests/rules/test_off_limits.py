"""Files that hold xformers against something else, or replace it, are left whole."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule
from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite.engine import rewrite_text

CALL = attend(mea())
EMITTED = {
    "a test that calls another attention": Case(
        CALL + "\n\ny = F.scaled_dot_product_attention(q, k, v)\n",
        ("left XF214",),
        "would make both equal",
        same=True,
        path="tests/test_it.py",
    ),
    "one that compares": Case(CALL + "\n\ntorch.allclose(a, b)\n", ("left XF214",), same=True, path="test_it.py"),
    "one that times": Case(CALL + "\n\nt = Timer(attend)\n", ("left XF214",), same=True, path="a/benchmarks/speed.py"),
    "by its end": Case(CALL + "\n\ndo_bench(attend)\n", ("left XF214",), same=True, path="speed_benchmark.py"),
    "on another system": Case(CALL + "\n\ndo_bench(attend)\n", ("left XF214",), same=True, path="a\\tests\\speed.py"),
    "an operator replaced": Case(
        CALL + "\n\nxops.memory_efficient_attention = mine\n", ("left XF216",), "puts another operator", same=True
    ),
    "an operator deleted": Case(CALL + "\n\ndel xops.memory_efficient_attention\n", ("left XF216",), same=True),
    "with a helper": Case(CALL + "\n\nxops.fmha.x = mine\n", ("left XF216",), same=True, helper=True),
}
NEAR_MISSES = {
    "a test of something else": Case(CALL + "\n\nassert attend(1)\n", ("assumed XF101",), path="tests/test_it.py"),
    "a comparison elsewhere": Case(CALL + "\n\nassert torch.allclose(a, b)\n", ("assumed XF101",), path="src/model.py"),
    "a folder that is called nearly so": Case(
        CALL + "\n\nassert torch.allclose(a, b)\n", ("assumed XF101",), path="contest/latest.py"
    ),
    "another object's attribute": Case(CALL + "\n\nself.memory_efficient_attention = xops\n", ("assumed XF101",)),
    "a variable of the name": Case(CALL + "\n\nmemory_efficient_attention = 1\n", ("assumed XF101",)),
}
PRIVATE = {
    "a private name": "from xformers.ops.fmha import _memory_efficient_attention\n",
    "its inputs": "from xformers.ops.fmha.common import Inputs\n",
    "its context": "from xformers.ops.fmha.common import Context\n",
}


@pytest.mark.parametrize("line", PRIVATE.values(), ids=PRIVATE)
def test_a_file_with_private_parts_gets_no_helper(line: str) -> None:
    text = line + attend(mea("attn_bias=bias"))
    holds(Case(text, ("left XF211",), same=True, helper=True))
    holds(Case(line + CALL, ("assumed XF101",), helper=True))


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("off_limits").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("off_limits").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("off_limits")


REPLACED = """\
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
def test_what_replaces_the_operator_is_named(line: str) -> None:
    result = rewrite_text(REPLACED.format(line))
    assert not result.changed
    assert [(site.kind, site.code) for site in result.sites] == [(SiteClass.LEFT, "XF216")]
    assert [f.span.line for f in result.findings if f.code == "XF216"] == [7]
    assert all("xf2sdpa.compat.install()" in f.advice for f in result.findings if f.code == "XF216")


@pytest.mark.parametrize("line", ["setattr(mock, 'xformers', 1)", "mock.memory_efficient_attention = print", "pass"])
def test_what_replaces_nothing_of_xformers(line: str) -> None:
    assert [site.kind for site in rewrite_text(REPLACED.format(line)).sites] == [SiteClass.ASSUMED]
