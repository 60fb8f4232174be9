"""Whole words in texts, found as plain strings first: a pattern that begins with a boundary looks at every letter."""

from __future__ import annotations

from collections.abc import Iterator


def stands_in(word: str, text: str) -> bool:
    """Whether a word stands in a text, and not only as a part of longer ones."""
    return next(ends_of(word, text), None) is not None


def ends_of(word: str, text: str) -> Iterator[int]:
    """Where a word ends, wherever it stands by itself; as `\\b` has it at both ends of a word."""
    place = text.find(word)
    while place != -1:
        end = place + len(word)
        if not (place and _is_letter(text[place - 1])) and not (end < len(text) and _is_letter(text[end])):
            yield end
        place = text.find(word, place + 1)


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"
