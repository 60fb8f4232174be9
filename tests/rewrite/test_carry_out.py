"""Line ends of every kind in one file: each stays, and what is written is what it would be with one kind."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

FIXTURES = sorted((Path(__file__).resolve().parents[2] / "fixtures").rglob("*.py"))


def mixed(text: str, numbers: random.Random) -> str:
    """A text with some of its line ends exchanged, or doubled, which makes empty lines."""
    share = numbers.choice([0.02, 0.2, 0.9])
    ends = ("\r", "\r\n", "\n\r", "\r\r\n")
    return re.sub("\n", lambda _: numbers.choice(ends) if numbers.random() < share else "\n", text)


def plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("number", range(0, len(FIXTURES), 5))
def test_line_ends_change_nothing_of_a_rewrite(number: int) -> None:
    given = FIXTURES[number].read_text("utf-8").partition("\n# output")[0] + "\n"
    text = mixed(given, random.Random(number))
    result = rewrite_text(text, compat="_attention_compat")
    assert not [finding.message for finding in result.findings if finding.is_error]
    assert plain(result.new) == rewrite_text(plain(text), compat="_attention_compat").new


def test_lines_keep_their_ends_and_new_ones_end_as_the_first() -> None:
    text = "import xformers.ops as xops\r\nFLAG = xops.AttentionBias\n# one\r# two\r\ndef f(x):\r    return x\n"
    new = rewrite_text(text, compat="_attention_compat").new
    assert new == text.replace("import xformers.ops as xops", "from _attention_compat import AttentionBias").replace(
        "xops.", ""
    )
