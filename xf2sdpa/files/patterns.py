"""Patterns for files and folders, as in a .gitignore without negation."""
# No pathlib, and `re` only where it is needed, or a run would take twice as long:
# ruff: noqa: PTH118, PLC0415

from __future__ import annotations

import os

from xf2sdpa.files.errors import DiscoverError

TYPE_CHECKING = False

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    StrPath = str | os.PathLike[str]
    Filter = Callable[[str], bool]


INCLUDE = ("*.py", "*.pyi")
"""The patterns of the files that are taken out of a folder, unless told otherwise."""


def prefix_below(folder: str, base: StrPath | None) -> str:
    """Return the folder as seen from `base`, with a slash at its end; "" if it is not below."""
    if base is None:
        return ""
    real, above = os.path.realpath(folder), os.path.join(os.path.realpath(base), "")
    return real[len(above) :].replace(os.sep, "/") + "/" if real.startswith(above) else ""


def path_filters(include: Sequence[str], exclude: Sequence[str], prefix: str) -> tuple[Filter, Filter]:
    """Return `wanted` and `excluded`, both of a path below the folder (of a folder: with a final slash)."""
    wanted = _endings(include) or _any_of([_regex(pattern, r"\Z") for pattern in include], prefix)
    hits = [_regex(pattern, r"(?:/|\Z)") for pattern in exclude]
    if prefix:
        hits = [regex for regex in hits if not _any_of([regex], "")(prefix)]
    return wanted, _any_of(hits, prefix)


def _endings(patterns: Sequence[str]) -> Filter | None:
    """Return the test for patterns that are all like `*.py`: nearly always, and ten times as fast."""
    endings = tuple(pattern[1:] for pattern in patterns)
    plain = all(
        pattern[:1] == "*" and ending and not set(ending) & set("*?[\\/")
        for pattern, ending in zip(patterns, endings, strict=True)
    )
    return (lambda name: name.endswith(endings)) if plain else None


def _any_of(regexes: Sequence[str], prefix: str) -> Filter:
    """Return the test whether one of the regular expressions hits the path, put behind `prefix`."""
    if not regexes:
        return lambda _: False
    import re

    match = re.compile("|".join(regexes), re.DOTALL).match
    return lambda name: match(prefix + name) is not None


def _regex(pattern: str, end: str) -> str:
    """Translate the pattern; `end` is what must follow it where it does not itself end in a slash."""
    import re

    body = pattern.rstrip("/")
    if not body or body.startswith("!"):
        raise DiscoverError(pattern, "a pattern must not be empty or negated")
    start = "" if "/" in body else "(?:.*/)?"
    token = r"(?:(?<=/)|^)\*\*/|/\*\*$|\*|\?|\[!?[^]]+\]|\\.|."
    regex = re.sub(token, _token_regex, body.lstrip("/"), flags=re.DOTALL)
    regex = start + regex + ("/" if pattern.endswith("/") else end)
    try:
        re.compile(regex)
    except re.error as error:
        raise DiscoverError(pattern, f"not a pattern: {error}") from None
    return regex


def _token_regex(match: re.Match[str]) -> str:
    """Translate one token of a pattern: a wildcard, a set of characters, or a character."""
    import re

    token = match[0]
    if token[0] == "[" and len(token) > 1:
        negation = "^" if token[1] == "!" else ""
        members = re.sub(r"([\\[^&~|])", r"\\\1", token[1 + len(negation) : -1])
        return f"(?!/)[{negation}{members}]"
    return {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}.get(token) or re.escape(token[-1])
