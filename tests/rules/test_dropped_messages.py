"""What a person would have read is named when the code around it goes."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, by_name, codes_in, examples_hold, holds, rule

USE = "\n\ndef attend(q, k, v, bias):\n    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"


def guard(*handler: str, before: str = "", kind: str = "ImportError") -> str:
    """A program whose import of xformers is guarded, and what its handler does."""
    lines = "".join(f"    {line}\n" for line in handler)
    return f"{before}try:\n    import xformers.ops as xops\nexcept {kind}:\n{lines}{USE}"


def gone(*handler: str, says: str) -> Case:
    return Case(guard(*handler), ("finding XF144",), says, lacks=("try:", says), helper=True)


EMITTED = {
    "print": gone('print("no xformers")', says='print("no xformers")'),
    "a logger": gone("logger.warning('slow')", says="logger.warning('slow')"),
    "warnings": gone("warnings.warn('slow')", says="warnings.warn('slow')"),
    "an exception": gone("raise ImportError('install xformers')", says="raise ImportError('install xformers')"),
    "one over several lines": Case(
        guard("print(", "    'a',", "    'b',", ")"), ("finding XF144",), "print( 'a', 'b', )", helper=True
    ),
    "a long one is cut": Case(guard(f"print('{'x' * 200}')"), ("finding XF144",), f"print('{'x' * 82}…", helper=True),
}
NEAR_MISSES = {
    "a handler that says nothing": Case(guard("pass"), ("compat XF161",), lacks=("try:",), helper=True),
    "an exception without a word": Case(guard("raise ImportError"), ("compat XF161",), lacks=("try:",), helper=True),
    "an exception raised again": Case(guard("raise"), ("compat XF161",), lacks=("try:",), helper=True),
    "a message that stays": Case("print('hello')\n" + guard("pass"), has=("print('hello')",), helper=True),
    "a guard that stays": Case(guard("print('slow')"), ("left XF201",), has=("print('slow')",)),
    "a jump to the handler": Case(
        "try:\n    if not FAST:\n        raise ImportError('off')\n    import xformers.ops as xops\n"
        f"except ImportError:\n    xops = None\n{USE}",
        helper=True,
    ),
    "a jump to the handler, and nothing else": Case(
        "import torch.nn.functional as F\nimport xformers.ops as xops\n\n\ndef attend(q, k, v):\n"
        "    if not hasattr(F, 'scaled_dot_product_attention'):\n"
        "        try:\n            raise ImportError('off')\n        except ImportError:\n            pass\n"
        "        return xops.memory_efficient_attention(q, k, v)\n"
        "    return F.scaled_dot_product_attention(q, k, v)\n",
        ("removed XF218",),
        helper=True,
    ),
    "an exception called without a word": Case(guard("raise ImportError()"), lacks=("try:",), helper=True),
}


def test_each_is_named_with_its_line() -> None:
    result = holds(Case(guard("print('a')", "print('b')"), helper=True))
    found = [(f.span.line, f.message) for f in result.findings if f.code == "XF144"]
    assert found == [(4, "print('a')"), (5, "print('b')")]


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("dropped_messages").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("dropped_messages").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("dropped_messages")


@pytest.mark.parametrize(("length", "shown"), [(90, 90), (91, 90), (200, 90)])
def test_how_much_is_shown(length: int, shown: int) -> None:
    said = f"print('{'x' * (length - 9)}')"
    assert len(said) == length
    (message,) = [f.message for f in holds(Case(guard(said), helper=True)).findings if f.code == "XF144"]
    assert len(message) == shown
    assert message == (said if length == shown else f"{said[: shown - 1]}…")
