"""Patterns cost no more than their length times the path's, and mean what those of a .gitignore mean."""

from __future__ import annotations

import itertools
import re
import time

import pytest

from xf2sdpa.files.patterns import path_filters

LONG = "a" * 200


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 100 + "b", "?*" * 100 + "b", "[a]*" * 100 + "b", "**/" * 60 + "b", "**/a/" * 40 + "b", "*/**/*" * 30 + "b"],
)
def test_no_pattern_takes_long(pattern: str) -> None:
    wanted, excluded = path_filters([pattern], [pattern], "")
    started = time.perf_counter()
    for path in (f"{LONG}.py", "/".join(["a"] * 200) + "/x.py", "/".join([LONG] * 15) + ".py"):
        assert not wanted(path)
        assert not excluded(path)
    assert time.perf_counter() - started < 2


def by_backtracking(pattern: str, name: str) -> bool:
    """What a pattern of one name means, the slow way."""
    return re.fullmatch("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern), name) is not None


def test_stars_mean_what_they_mean() -> None:
    patterns = ["".join(letters) for n in range(1, 6) for letters in itertools.product("ab*?", repeat=n)]
    names = ["".join(letters) for n in range(1, 6) for letters in itertools.product("ab", repeat=n)]
    for pattern in patterns[::3]:
        wanted, _ = path_filters([pattern], [], "")
        assert [wanted(name) for name in names] == [by_backtracking(pattern, name) for name in names], pattern
