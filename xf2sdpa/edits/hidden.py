"""Statements that no edit touches are hidden from LibCST, each behind a name on a line of its own, and put back after.

LibCST is slow, takes a thousand bytes of memory for one of text, refuses some valid files, and dies over long chains of
operators. What it need not see costs nothing of that, and cannot change.
"""

from __future__ import annotations

import ast
import bisect
import io
import re
import tokenize
from collections.abc import Iterator, Sequence

from xf2sdpa.analysis.spans import split_lines
from xf2sdpa.edits.kinds import AddImport, Edit, StatementEdit

_NAME = "_xf2sdpa_hidden_{}_"
_HIDDEN = re.compile(r"#_xf2sdpa_hidden_(\d+)_\n|[ \t]*#_xf2sdpa_hidden_(\d+)_ [^\n\r]*|[ \t]*_xf2sdpa_hidden_(\d+)_")
"""A form feed in a comment above a statement; a comment; a statement."""
_DEEPEST = 2_000
"""Operators of one logical line that LibCST's parser, which nests them, is trusted with; it dies at some 8,000."""
_OPERATORS = frozenset({"and", "or", "not", "if", "lambda", "await", "in", "is"})
_COUNTED = re.compile(rf"[^\w\s]|\b(?:{'|'.join(sorted(_OPERATORS))})\b")
"""Whatever counts as one holds one of these."""
_BLOCKS = ("body", "orelse", "finalbody")


class Touched:
    """Which statements the edits of a file lie in, by lines: quick, and never too few."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        lines = [edit.node.lineno for edit in edits if not isinstance(edit, AddImport)]
        lines += [e.after.lineno for e in edits if isinstance(e, AddImport) and e.after is not None]
        self._lines = sorted(lines)

    def __call__(self, node: ast.stmt) -> bool:
        """Whether some edit lies in a statement."""
        nearest = bisect.bisect_left(self._lines, first_line(node))
        return nearest < len(self._lines) and self._lines[nearest] <= (node.end_lineno or node.lineno)


def first_line(node: ast.stmt) -> int:
    """The line on which a statement begins, decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in _decorators(node))])


def _decorators(node: ast.stmt) -> list[ast.expr]:
    found: list[ast.expr] = getattr(node, "decorator_list", [])
    return found


class Hidden:
    """A text without what no edit touches.

    Attributes:
        text: what LibCST is to see; it has as many statements as the whole, in the same blocks.
        tail: what follows the last statement; LibCST loses some of it.
    """

    def __init__(self, text: str, tree: ast.Module, edits: Sequence[Edit]) -> None:
        self._kept: list[str] = []
        self._lines = split_lines(text)
        self._touched = Touched(edits)
        self._whole = {id(edit.node) for edit in edits if isinstance(edit, StatementEdit)}
        if _HIDDEN.search(text) is None:
            self._hide(tree.body)
            self._hide_feeds(tree.body)
        end = tree.body[-1].end_lineno if tree.body else 0
        self.text, self.tail = "".join(self._lines[:end]), "".join(self._lines[end:])

    def restored(self, text: str) -> str:
        """A text with the hidden statements in the place of their names."""
        return (
            _HIDDEN.sub(lambda match: self._kept[int(match[match.lastindex or 1])], text) if self._kept else text
        ) + self.tail

    def _hide(self, block: Sequence[ast.stmt]) -> None:
        """Hide the statements of a block; of those with edits, the statements in their own blocks."""
        for index, node in enumerate(block):
            first, last = first_line(node), node.end_lineno or node.lineno
            before = block[index - 1].end_lineno if index else None
            after = first_line(block[index + 1]) if index + 1 < len(block) else None
            if self._touched(node):
                if id(node) not in self._whole:
                    for inner in _blocks_of(node):
                        self._hide(inner)
                elif after is not None:  # nothing in it is hidden: it may move to another indentation
                    self._set_apart(node, after)
            elif before != first and after != last and self._is_alone(node, first):
                self._replace(first, last)

    def _hide_feeds(self, block: Sequence[ast.stmt]) -> None:
        """Put a form feed that stands before a statement into a comment above it."""
        for number in {first_line(node) for node in block}:
            line = self._lines[number - 1]
            rest = line.lstrip("\f")
            if rest != line:
                self._lines[number - 1] = "#" + _NAME.format(len(self._kept)) + "\n" + rest
                self._kept.append(line[: len(line) - len(rest)])

    def _set_apart(self, node: ast.stmt, after: int) -> None:
        """Keep comments between a compound statement and the next one out of the former's last block.

        LibCST counts an indented comment or blank line there as part of that block, and it would go with it.
        """
        body = next(reversed([block for block in _blocks_of(node) if block]), [])
        if not body:
            return
        inside, own = (re.match(r"\s*", self._lines[n - 1])[0] for n in (body[-1].lineno, first_line(node)))  # type: ignore[index]
        below = False
        for index in range(node.end_lineno or node.lineno, after - 1):
            line = self._lines[index].rstrip("\r\n")
            words = line.strip()
            below |= bool(words) and not line.startswith(inside)
            if below and line and not line.startswith(own + "#"):
                name = _NAME.format(len(self._kept))
                self._lines[index] = f"{own}#{name} {words}{self._lines[index][len(line) :]}"
                self._kept.append(line)

    def _is_alone(self, node: ast.stmt, first: int) -> bool:
        """Whether a statement is the first on its line; an `elif` belongs to the `if` above."""
        line = self._lines[first - 1]
        start = line.lstrip(" \t\f")
        if _decorators(node):
            return start.startswith("@")
        column = len(line.encode("utf-8", "surrogatepass")) - len(start.encode("utf-8", "surrogatepass"))
        return column == node.col_offset and re.match(r"elif\b", start) is None

    def _replace(self, first: int, last: int) -> None:
        """Put a name in the place of lines; its indentation and the end of the last line stay.

        LibCST takes a form feed for a part of the indentation, which Python counts anew behind it.
        """
        whole = "".join(self._lines[first - 1 : last])
        kept = whole.rstrip("\r\n")
        indent = whole[: len(whole) - len(whole.lstrip(" \t\f"))].rpartition("\f")[2]
        line = indent + _NAME.format(len(self._kept)) + whole[len(kept) :]
        self._kept.append(kept)
        self._lines[first - 1 : last] = [line, *[""] * (last - first)]


def _blocks_of(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in _BLOCKS:
        yield getattr(node, name, [])
    for arm in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield arm.body


def nests_too_deep(text: str) -> bool:
    """Whether some logical line chains so many operators, strings, calls or brackets that LibCST might die over it."""
    if len(_COUNTED.findall(text)) <= _DEEPEST:  # in all of it
        return False
    count = 0
    before = None
    for token in tokenize.generate_tokens(io.StringIO(text, newline="").readline):
        if token.type == tokenize.NEWLINE:
            count = 0
        elif token.type == tokenize.OP:
            count += token.string not in ",:;=)]}"
        elif token.type == tokenize.STRING:
            count += before == tokenize.STRING
        elif token.type == tokenize.NAME:
            count += token.string in _OPERATORS
        if count > _DEEPEST:
            return True
        if token.type not in {tokenize.NL, tokenize.COMMENT}:
            before = token.type
    return False
