"""A name that somebody replaces is kept: the call goes to the helper by it, or stays."""

from __future__ import annotations

import pytest

from tests.rules.common import HELPER, by_name, codes_in, examples_hold, holds, rule
from tests.rules.common import Case as Program
from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

BY_NAME = """\
from xformers.ops import memory_efficient_attention


def attend(q, k, v):
    b, n, h, d = q.shape
    return memory_efficient_attention(q, k, v)
"""
BY_MODULE = BY_NAME.replace(
    "from xformers.ops import memory_efficient_attention", "import xformers.ops as xops"
).replace("return memory", "return xops.memory")
ASKED = BY_MODULE.replace("    return", "    if {}:\n        return q\n    return")


@pytest.mark.parametrize(
    ("program", "replaced", "told"),
    [
        (BY_NAME, "memory_efficient_attention", "compat XF161"),
        (BY_MODULE, "xops", "left XF224"),
        (BY_NAME, "attend", "assumed XF101"),
        (BY_MODULE, "", "assumed XF101"),
        (BY_NAME.replace("import memory_efficient_attention", "import memory_efficient_attention as attention").replace(
            "return memory_efficient_attention", "return attention"), "attention", "compat XF161"),
    ],
)  # fmt: skip
def test_what_another_file_replaces(program: str, replaced: str, told: str) -> None:
    options = Options(Settings(), compat=HELPER, replaced=frozenset({replaced} - {""}))
    result = rewrite_with(program, "net.py", options)
    (site,) = result.sites
    assert f"{site.kind.value} {site.code}" == told
    if site.kind is SiteClass.LEFT:
        assert result.new == program
    elif site.kind is SiteClass.COMPAT:
        name = replaced if replaced == "attention" else "memory_efficient_attention"
        why = f"another file puts something else in the place of {replaced}"
        assert why in site.message
        assert f"return {name}(q, k, v)" in result.new
        assert f"from {HELPER} import memory_efficient_attention" in result.new


def test_without_a_helper_the_call_stays_by_its_name() -> None:
    options = Options(Settings(), replaced=frozenset({"memory_efficient_attention"}))
    result = rewrite_with(BY_NAME, "net.py", options)
    (site,) = result.sites
    assert (site.kind, site.code) == (SiteClass.LEFT, "XF223")
    assert site.message == "another file puts something else in the place of memory_efficient_attention"
    assert result.new == BY_NAME


EMITTED = {
    "compared with None": Program(ASKED.format("xops is None"), ("left XF224",), "may put something else", same=True),
    "negated": Program(ASKED.format("not xops"), ("left XF224",), same=True),
    "one of two conditions": Program(ASKED.format("n > 3 and xops is None"), ("left XF224",), same=True),
    "with a helper": Program(ASKED.format("xops is None"), ("left XF224",), same=True, helper=True),
    "another file replaces it": Program(ASKED.format("None is xops or xops is None"), ("left XF224",), same=True),
}
NEAR_MISSES = {
    "the import may fail": Program(
        ASKED.format("xops is None").replace(
            "import xformers.ops as xops", "try:\n    import xformers.ops as xops\nexcept ImportError:\n    xops = None"
        ),
        ("assumed XF101",),
    ),
    "in a function": Program(
        "def attend(q, k, v):\n    import xformers.ops as xops\n\n    b, n, h, d = q.shape\n"
        "    if xops is None:\n        return q\n    return xops.memory_efficient_attention(q, k, v)\n",
        ("assumed XF101",),
    ),
    "compared with something else": Program(ASKED.format("xops is q"), ("assumed XF101",)),
}


@by_name(EMITTED)
def test_it_is_told(case: Program) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Program) -> None:
    holds(case, never=tuple(rule("replaced_names").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("replaced_names").codes) <= codes_in(EMITTED) | {"XF223"}  # which needs another file


def test_the_examples_hold() -> None:
    examples_hold("replaced_names")
