"""A check of the rewrite's is known again; nothing else is taken for one."""

import ast

import pytest

from xf2sdpa.analysis.checks import is_check

CHECK = 'if m is not None:\n    raise NotImplementedError("no mask here (xf2sdpa)")\n'


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (CHECK, True),
        (CHECK.replace(" (xf2sdpa)", ""), False),
        (CHECK + "else:\n    m = 1\n", False),
        (CHECK + "    m = 1\n", False),
        ("if m:\n    m = 1\n", False),
        ("if m:\n    raise\n", False),
        ("if m:\n    raise ValueError(m)\n", False),
        ("m = 1\n", False),
    ],
)
def test_a_check_is_known_again(text: str, answer: bool) -> None:
    assert is_check(ast.parse(text).body[0]) is answer
