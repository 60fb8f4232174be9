"""Files that hold xformers against something else, or replace it, are left whole."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

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
