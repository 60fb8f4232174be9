"""Words in texts are found as a pattern with boundaries finds them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from xf2sdpa.files.words import ends_of, stands_in

TEXTS = st.lists(st.sampled_from(["ab", "_", "1", " ", ".", "\n", "é", "-", "b", "a"])).map("".join)


@given(TEXTS, st.sampled_from(["ab", "aba", "a"]))
def test_a_word_ends_where_a_pattern_finds_it(text: str, word: str) -> None:
    assert list(ends_of(word, text)) == [match.end() for match in re.finditer(rf"\b{word}\b", text)]
    assert stands_in(word, text) is (re.search(rf"\b{word}\b", text) is not None)
