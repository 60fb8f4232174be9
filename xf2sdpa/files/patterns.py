"""Patterns for files and folders, as in a .gitignore without negation."""
# No pathlib, and `re` only where it is needed, or a run would take twice as long:
# ruff: noqa: PTH118, PLC0415

from __future__ import annotations

import os

from xf2sdpa.files.errors import DiscoverError

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    StrPath = str | os.PathLike[str]
    Filter = Callable[[str], bool]
    Name = Callable[[str], bool]


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
    wanted = _endings(include) or _any_of([_filter(pattern, below=False) for pattern in include], prefix)
    hits = [_filter(pattern, below=True) for pattern in exclude]
    if prefix:
        hits = [hit for hit in hits if not hit(prefix)]
    return wanted, _any_of(hits, prefix)


def _endings(patterns: Sequence[str]) -> Filter | None:
    """Return the test for patterns that are all like `*.py`, or `*`: nearly always, and ten times as fast."""
    endings = tuple(pattern[1:] for pattern in patterns)
    plain = all(
        pattern == "*" or (pattern[:1] == "*" and ending and not set(ending) & set("*?[\\/"))
        for pattern, ending in zip(patterns, endings, strict=True)
    )
    return (lambda name: name.endswith(endings)) if plain else None


def _any_of(filters: Sequence[Filter], prefix: str) -> Filter:
    """Return the test whether one of the filters hits the path, put behind `prefix`."""
    if not filters:
        return lambda _: False
    return lambda name: any(hit(prefix + name) for hit in filters)


def _filter(pattern: str, *, below: bool) -> Filter:
    """Return the test of a pattern; `below`: whether it hits what is below the folder that it names, too.

    A path is taken apart at its slashes, and each name held against one regular expression, so that no pattern, however
    many stars it has, costs more than its length times the path's.
    """
    body = pattern.rstrip("/")
    if not body or body.startswith("!"):
        raise DiscoverError(pattern, "a pattern must not be empty or negated")
    parts = _parts(pattern, body)
    folder = pattern.endswith("/")
    if parts[-1] is None:  # `folder/**`: all that is below
        parts, folder = parts[:-1], True
    last = len(parts)

    def hit(path: str) -> bool:
        names = path.split("/")
        count = len(names)
        part = place = 0
        star = resume = -1  # the last `**` seen, and from which name on its rest is tried next
        while True:
            if part == last and (count > place if folder else below or count == place):
                return True
            if part < last and parts[part] is None:
                star, resume = part, place
                part += 1
            elif part < last and place < count and parts[part](names[place]):  # type: ignore[misc]
                part, place = part + 1, place + 1
            elif star >= 0 and resume < count:
                resume += 1
                part, place = star + 1, resume
            else:
                return False

    return hit


def _parts(pattern: str, body: str) -> list[Name | None]:
    """Return a test for each name of the pattern; None for `**`, any number of folders."""
    import re

    names: list[list[str]] = [[]]
    for token in re.findall(r"\[!?[^]]+\]|\\.|.", body.lstrip("/"), flags=re.DOTALL):
        if token in {"/", "\\/"}:
            names.append([])
        else:
            names[-1].append(token)
    try:
        parts = [_name(tokens) if "".join(tokens) != "**" or len(names) == 1 else None for tokens in names]
    except re.error as error:
        raise DiscoverError(pattern, f"not a pattern: {error}") from None
    return parts if "/" in body else [None, *parts]


def _name(tokens: Sequence[str]) -> Name:
    """Return the test whether a whole name is what the tokens say.

    What follows a star is taken where it is found first, for good (a look-ahead does not try again); only the last star
    may try all places, as what follows it must end the name.
    """
    import re

    chunks = [""]
    for token in tokens:
        if token == "*":
            chunks.append("")
        else:
            chunks[-1] += _token_regex(token)
    first, *middle = chunks
    last = ".*" + middle.pop() if middle else ""
    held = "".join(rf"(?=(.*?{chunk}))\{number}" for number, chunk in enumerate(filter(None, middle), 1))
    match = re.compile(first + held + last, re.DOTALL).fullmatch
    return lambda name: name != "" and match(name) is not None


def _token_regex(token: str) -> str:
    """Translate one token of a name: `?`, a set of characters, or a character."""
    import re

    if token[0] == "[" and len(token) > 1:
        negation = "^" if token[1] == "!" else ""
        members = re.sub(r"([\\[^&~|])", r"\\\1", token[1 + len(negation) : -1])
        return f"[{negation}{members}]"
    return "." if token == "?" else re.escape(token[-1])
