"""Lines fit the terminal, broken between words; colours take no column; what is to be copied stays whole."""

from __future__ import annotations

import click
import pytest

from xf2sdpa.folding import Code, Paste, folded

PLACE = "model.py:7:12: XF101 assumed scaled_dot_product_attention(query, key, value, attn_mask=mask)"


@pytest.mark.parametrize("width", [40, 80, 100])
def test_no_piece_is_wider_and_no_word_is_lost(width: int) -> None:
    pieces = list(folded(PLACE, width))
    assert all(len(piece) <= max(width, 4 + max(map(len, PLACE.split()))) for piece in pieces)
    assert " ".join(pieces).split() == PLACE.split()
    assert all(piece.startswith("    ") for piece in pieces[1:])
    assert (len(pieces) == 1) == (width >= len(PLACE))


def test_what_stands_in_goes_on_further_in() -> None:
    assert list(folded("    one two three", 12)) == ["    one two", "      three"]


def test_colours_take_no_column() -> None:
    line = f"{click.style('model.py:7:12:', bold=True)} {click.style('XF101', dim=True)}"
    assert list(folded(line, 20)) == [line]
    assert list(map(click.unstyle, folded(line, 19))) == ["model.py:7:12:", "    XF101"]


def test_spaces_that_align_columns_stay() -> None:
    assert list(folded("a   b   c", 7)) == ["a   b", "    c"]


def test_code_is_cut_where_it_does_not_fit() -> None:
    line = Code.after(click.style("model.py:7:12:", bold=True), "scaled_dot_product_attention(query, key)")
    assert list(folded(line, 55)) == [line]
    assert list(map(click.unstyle, folded(line, 50))) == ["model.py:7:12: scaled_dot_product_attention(query…"]
    assert list(map(click.unstyle, folded(line, 40))) == ["model.py:7:12:", "    scaled_dot_product_attention(query,…"]


def test_a_command_stays_one_line() -> None:
    line = Paste("    git add one.py two.py three.py")
    assert list(folded(line, 10)) == [line]
    assert list(folded("one two", None)) == ["one two"]
