"""Lists in brackets of YAML files (`dependencies: [python=3.10, xformers]`): where they are, and their items."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_OPENING = re.compile(r"""(?<![\w.-])(["']?)(?P<key>[\w.-]+)\1[ \t]*:[ \t]+\[""")
_PIECE = re.compile(r"""(?:(?<=\s)#[^\n]*)|"(?:\\.|[^"\\])*"|'(?:''|[^'])*'|[\[\]{},]|[^\s\[\]{},"'#]+|.""", re.DOTALL)


@dataclass(frozen=True)
class Brackets:
    """A list.

    Attributes:
        key: whose value it is.
        start: where the key begins in the text.
        end: where the list ends, its bracket included.
        items: where each item stands, quotes included; also those that are lists or mappings themselves.
    """

    key: str
    start: int
    end: int
    items: list[tuple[int, int]]


def lists_in(text: str, keys: Collection[str]) -> Iterator[Brackets]:
    """The lists that are values of some keys; none in comments, and none that is not closed."""
    for opening in _OPENING.finditer(text):
        before = text[text.rfind("\n", 0, opening.start()) + 1 : opening.start()]
        if opening["key"] in keys and not re.search(r"(?:^|\s)#", before):
            found = _closed(text, opening)
            if found is not None:
                yield found


def _closed(text: str, opening: re.Match[str]) -> Brackets | None:
    items: list[tuple[int, int]] = []
    first, last, depth = -1, -1, 0
    for piece in _PIECE.finditer(text, opening.end()):
        said = piece[0]
        if depth == 0 and said in (",", "]"):
            items += [(first, last)] if first >= 0 else []
            first = -1
            if said == "]":
                return Brackets(opening["key"], opening.start(), piece.end(), items)
        elif said.strip() and not (said[0] == "#" and len(said) > 1):
            depth += (said in ("[", "{")) - (said in ("]", "}"))
            first, last = (piece.start() if first < 0 else first), piece.end()
    return None
