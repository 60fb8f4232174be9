"""`# xf2sdpa: ignore` and `# xf2sdpa: ignore[XF101,XF140]`: what people ask to leave as it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

_COMMENT = re.compile(r"#\s*xf2sdpa:\s*ignore(?:\[([\w,\s]*)\])?", re.IGNORECASE)
_GUARDS = (ast.Try, ast.If, ast.With)


@dataclass(frozen=True)
class _Comment:
    """One comment: the lines it speaks for, and the beginnings of the codes it names; none for all codes."""

    first: int
    last: int
    codes: frozenset[str]


class IgnoreComments:
    """The comments of one text.

    A comment speaks for every statement and call that it stands in; behind `try:`, `if …:` or `with …:`, for all that
    stands below it.

    Args:
        tree: the text's syntax tree.
        lines: its lines, as `ast` counts them.
    """

    def __init__(self, tree: ast.Module, lines: Sequence[str]) -> None:
        found = ((number, _COMMENT.search(line)) for number, line in enumerate(lines, 1) if "xf2sdpa" in line)
        codes = {number: _codes(match) for number, match in found if match is not None}
        blocks = [node for node in ast.walk(tree) if isinstance(node, _GUARDS)] if codes else []
        ends = {node.lineno: node.end_lineno or 0 for node in blocks if node.body[0].lineno > node.lineno}
        self._wishes = [_Comment(line, ends.get(line, line), named) for line, named in codes.items()]

    def listed_in(self, node: ast.expr | ast.stmt) -> list[frozenset[str]]:
        """What the comments that speak for a node name; an empty set for one that names all codes."""
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        last = node.end_lineno or node.lineno
        return [wish.codes for wish in self._wishes if first <= wish.last and wish.first <= last]

    def forbid(self, node: ast.expr | ast.stmt, code: str) -> bool:
        """Whether a comment asks to leave a node as it is, under this code."""
        if not self._wishes:
            return False
        return any(not codes or code.startswith(tuple(codes)) for codes in self.listed_in(node))


def _codes(match: re.Match[str]) -> frozenset[str]:
    named = (code.strip().upper() for code in (match[1] or "").split(","))
    return frozenset(filter(None, named))
