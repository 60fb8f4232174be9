"""requirements*.txt, *.in and constraints: a requirement a line, continued by a backslash, with options and hashes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xf2sdpa.uninstall.requirement_edits.splice import Requirement, Splice
from xf2sdpa.uninstall.requirement_edits.words import requires_xformers

_COMMENT = re.compile(r"(^|\s+)#.*$")
_OPTIONS = re.compile(r"\s--?[A-Za-z].*", re.DOTALL)
_EDITABLE = re.compile(r"\s*(?:-e|--editable)(?:\s+|=)")
_VIA = re.compile(r"[ \t]+#[ \t]*(?:via\b.*)?")
_VIA_MORE = re.compile(r"[ \t]+#[ \t]{2,}\S.*")


def find(text: str) -> list[Requirement]:
    """What the file requires, line by line as pip joins them."""
    return list(_found(text.splitlines(keepends=True)))


def same(old: str, new: str) -> bool:
    """Whether two texts hold the same lines for pip, those that require xformers aside."""
    return _rest(old) == _rest(new)


def _rest(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    joined = (_said("".join(lines[first:last])) for first, last in _logical(lines))
    return [said for said in joined if said and not requires_xformers(_EDITABLE.sub("", said))]


def _found(lines: list[str]) -> Iterator[Requirement]:
    places = [0]
    for line in lines:
        places.append(places[-1] + len(line))
    for first, last in _logical(lines):
        whole = "".join(lines[first:last])
        said = _said(whole)
        if not said or (said.startswith("-") and not _EDITABLE.match(said)):
            continue
        bare = _OPTIONS.sub("", _EDITABLE.sub("", said)).strip()
        start = places[first] + whole.find(bare)
        shown = bare if bare in whole else ""
        going = Splice(places[first], places[_with_origin(lines, last)])
        yield Requirement(bare, start, start + len(shown), "pip" if shown else "", (going,), "--hash" in said)


def _logical(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Where each logical line begins and ends: as pip's `join_lines` does, a comment ends one that is continued."""
    first = 0
    for number, line in enumerate(lines):
        bare = line.rstrip("\r\n")
        if not bare.endswith("\\") or _COMMENT.match(bare):
            yield first, number + 1
            first = number + 1
    if first < len(lines):
        yield first, len(lines)


def _said(whole: str) -> str:
    """What a logical line says, without comments and backslashes."""
    lines = (_COMMENT.sub("", line.rstrip("\r\n")) for line in whole.splitlines(keepends=True))
    return " ".join(line.removesuffix("\\").strip() for line in lines).strip()


def _with_origin(lines: list[str], last: int) -> int:
    """Where the comments end by which pip-compile says, below a requirement, who asked for it."""
    end = last
    if end < len(lines) and _VIA.fullmatch(lines[end].rstrip("\r\n")):
        end += 1
        while end < len(lines) and _VIA_MORE.fullmatch(lines[end].rstrip("\r\n")):
            end += 1
    return end
