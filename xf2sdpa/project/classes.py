"""The classes of a project, found in the texts: their bases and members by name.

A class of a large project may have hundreds that derive from it, and to parse the files of all of them takes longer
than all else that is asked of a project. So these are words: `base` of `module.base[T]`, and the others that stand
there, count as bases, and whatever a class's text seems to define or set counts as its member.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

_HEAD = re.compile(r"^([ \t]*)class[ \t]+(\w+)[ \t]*", re.MULTILINE)
"""A class's indentation and its name."""
_BRACKET = re.compile(r"[()]|#[^\n]*")
_COMMENT = re.compile(r"#[^\n]*")
_WORD = re.compile(r"\w+")
_MEMBER = re.compile(
    r"\bdef[ \t]+(\w+)|\bself\.(\w+)[ \t]*(?:[:,][^=\n()]*)?=(?!=)|^[ \t]+(\w+)[ \t]*(?::[^=\n]*)?=(?!=)",
    re.MULTILINE,
)
"""A method, an attribute that is set, and a variable of the class's body (or of a method's, which does no harm)."""


@dataclass(frozen=True, eq=False)
class Class:
    """One class: its file, its name, the words among its bases, and where its body begins, how far indented."""

    file: str
    name: str
    bases: frozenset[str]
    start: int
    indent: int


class Classes:
    """All classes of some files.

    Args:
        texts: the text of each file.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._members: dict[Class, frozenset[str]] = {}
        self._all = [klass for file, text in texts.items() if "class" in text for klass in _classes_in(file, text)]

    @cached_property
    def by_file(self) -> Mapping[str, list[Class]]:
        """The classes of each file that has some."""
        return _grouped((klass.file, klass) for klass in self._all)

    @cached_property
    def named(self) -> Mapping[str, list[Class]]:
        """The classes of each name."""
        return _grouped((klass.name, klass) for klass in self._all)

    @cached_property
    def derived(self) -> Mapping[str, list[Class]]:
        """The classes that derive from one of a name."""
        return _grouped((base, klass) for klass in self._all for base in klass.bases)

    def members(self, klass: Class) -> frozenset[str]:
        """The methods of a class, what its body binds besides, and what its methods set of `self`."""
        if klass not in self._members:
            text = self._texts[klass.file]
            after = re.compile(rf"^[ \t]{{0,{klass.indent}}}(?![ \t\r\n#)\]}}])", re.MULTILINE)
            end = after.search(text, text.find("\n", klass.start) + 1)
            body = text[klass.start : end.start() if end is not None else len(text)]
            self._members[klass] = frozenset(next(filter(None, found)) for found in _MEMBER.findall(body))
        return self._members[klass]

    def below(self, name: str) -> Iterator[Class]:
        """The classes, in any file, that derive from one of a name, directly or by others between."""
        known = [name]
        for base in known:  # grows
            for klass in self.derived.get(base, ()):
                known += [klass.name] if klass.name not in known else []
                yield klass


def _classes_in(file: str, text: str) -> Iterator[Class]:
    for head in _HEAD.finditer(text):
        end = _end_of_bases(text, head.end())
        words = frozenset(_WORD.findall(_COMMENT.sub("", text[head.end() : end])))
        yield Class(file, head[2], words, end, len(head[1]))


def _end_of_bases(text: str, start: int) -> int:
    """Where the bracket closes that opens at a place; that place if none does."""
    depth = 0
    for bracket in _BRACKET.finditer(text, start) if text.startswith("(", start) else ():
        depth += {"(": 1, ")": -1}.get(bracket[0], 0)
        if not depth:
            return bracket.end()
    return start


def _grouped(pairs: Iterator[tuple[str, Class]]) -> dict[str, list[Class]]:
    found: dict[str, list[Class]] = {}
    for key, klass in pairs:
        found.setdefault(key, []).append(klass)
    return found
