"""The operator as a value, and names that may be it: told where no helper takes their place."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

FROM = "from xformers.ops import memory_efficient_attention\n"
EITHER = """\
try:
    from flash import memory_efficient_attention
except ImportError:
    from xformers.ops import memory_efficient_attention


def f(q, k, v):
    return memory_efficient_attention(q, k, v)
"""
EMITTED = {
    "handed on": Case(
        attend("c(xops.memory_efficient_attention)"), ("finding XF209",), "used as a value here", same=True
    ),
    "stored": Case(FROM + "\nATTEND = memory_efficient_attention\n", ("finding XF209",), same=True),
    "compared": Case(FROM + "\nFAST = memory_efficient_attention is not None\n", ("finding XF209",), same=True),
    "an attribute of it": Case(attend("xops.memory_efficient_attention.__doc__"), ("finding XF209",), same=True),
    "a variant": Case(attend("xops.fmha.memory_efficient_attention_forward"), ("finding XF209",), same=True),
    "one of two": Case(EITHER, ("finding XF213",), "depending on the import that worked", same=True),
}
NEAR_MISSES = {
    "called": Case(attend(mea()), ("assumed XF101",)),
    "with a helper": Case(
        attend("c(xops.memory_efficient_attention)"), has=("c(memory_efficient_attention)",), helper=True
    ),
    "another operator": Case(attend("c(xops.SparseCSRTensor, 'memory_efficient_attention')"), same=True),
    "of another library": Case("from flash import memory_efficient_attention as f\n\ng = f\n", same=True),
    "a shadowed name": Case(
        FROM + "\n\ndef f(memory_efficient_attention):\n    return c(memory_efficient_attention)\n", same=True
    ),
    "called, and left": Case(attend(mea("attn_bias=bias")), ("left XF211",), same=True),
    "called by its own name, and left": Case(
        attend("memory_efficient_attention(q, k, v, attn_bias=bias)", imports=FROM), ("left XF211",), same=True
    ),
    "in an argument that goes": Case(attend(mea("op=(xops.memory_efficient_attention, None)")), ("note XF122",)),
    "in a comparison, with a helper": Case(
        attend("assert_close(xops.memory_efficient_attention, q)"), same=True, helper=True, path="tests/test_it.py"
    ),
    "another name of two": Case(
        EITHER.replace("memory_efficient_attention", "SwiGLU") + "# memory_efficient_attention\n", same=True
    ),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("value_uses").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("value_uses").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("value_uses")


def test_each_use_is_told() -> None:
    text = FROM + "\n\nATTEND = memory_efficient_attention\nrun(ATTEND)\n"
    lines = sorted(finding.span.line for finding in holds(Case(text)).findings if finding.code == "XF209")
    assert lines == [4, 5]


def test_one_behind_a_call_is_told() -> None:
    holds(Case(attend(f"{mea()}, c(xops.memory_efficient_attention)"), ("finding XF209",)))


def test_a_name_with_a_default_is_told() -> None:
    text = (
        f"try:\n    {FROM}except ImportError:\n    memory_efficient_attention = None\nrun(memory_efficient_attention)\n"
    )
    holds(Case(text, ("finding XF401",), same=True))
