"""Ranks from einops patterns: `"b n (h d) -> b n h d"` takes three dimensions and gives four."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\([^()]*\)|\.\.\.|…|[^\s()]+")


def side_ranks(pattern: str) -> tuple[int | None, int | None] | None:
    """The ranks of both sides of a pattern, None for a side with an ellipsis. None if the text is not a pattern.

    By einops' grammar, a side is a list of axes and a parenthesised group is one axis.
    """
    left, arrow, right = pattern.partition("->")
    if not arrow or left.count("(") != left.count(")") or right.count("(") != right.count(")"):
        return None
    return _rank(left), _rank(right)


def right_axes(pattern: str) -> list[str]:
    """The axes of the result, by name; a group of several has its brackets."""
    return _TOKEN.findall(pattern.partition("->")[2])


def ellipsis_change(pattern: str) -> int | None:
    """By how much a pattern with an ellipsis on both sides changes the rank; None otherwise."""
    left, _, right = pattern.partition("->")
    if not all(any(token in ("...", "…") for token in _TOKEN.findall(side)) for side in (left, right)):
        return None
    return len(_TOKEN.findall(right)) - len(_TOKEN.findall(left))


def _rank(side: str) -> int | None:
    tokens = _TOKEN.findall(side)
    return None if any("..." in token or "…" in token for token in tokens) else len(tokens)
