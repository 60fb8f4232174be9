"""Which comments and blank lines above removed statements are kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import libcst as cst


def without_blank_start(lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    """The leading lines of a statement that is now the first of its block, without the blank lines at the start."""
    return list(itertools.dropwhile(lambda line: line.comment is None, lines))


_ABOUT = ("xformers", "memory_efficient", "memory efficient", "memory-efficient")


def kept_comments(node: Any) -> list[cst.EmptyLine]:
    """The lines above a removed statement, if they hold comments and none mentions xformers; else nothing."""
    lines: Sequence[cst.EmptyLine] = getattr(node, "leading_lines", ())
    kept = [line for line in lines if line.comment and not any(w in line.comment.value.lower() for w in _ABOUT)]
    if len(kept) < len([line for line in lines if line.comment]):
        return []
    return list(lines) if kept else []


def apart_from_import(statements: Sequence[Any]) -> list[Any]:
    """Statements behind an import that is added: a function or class gets the blank lines that formatters want."""
    first, *others = statements or [None]
    if not isinstance(first, cst.FunctionDef | cst.ClassDef) or blank_lines(first):
        return list(statements)
    apart = [cst.EmptyLine(indent=False), cst.EmptyLine(indent=False)]
    return [first.with_changes(leading_lines=[*apart, *first.leading_lines]), *others]


def blank_lines(node: Any) -> list[cst.EmptyLine]:
    """The blank lines above a statement."""
    return [line for line in node.leading_lines if line.comment is None]


def blank_end(node: Any) -> list[cst.EmptyLine]:
    """The blank lines at the end of a compound statement: those that hold spaces belong to the block above them."""
    parts = [getattr(node, name, None) for name in ("body", "orelse", "finalbody")]
    several = [*getattr(node, "handlers", ()), *getattr(node, "cases", ())][-1:]
    last = next(part for part in (parts[2], parts[1], *several, parts[0]) if part is not None)
    while not isinstance(last, cst.IndentedBlock):
        last = getattr(last, "orelse", None) or getattr(last, "body", None)
        if not isinstance(last, cst.CSTNode):
            return []
    end = list(itertools.takewhile(lambda line: line.comment is None, reversed(last.footer)))
    inner = blank_end(last.body[-1]) if len(end) == len(last.footer) and last.body else []
    return [*inner, *(cst.EmptyLine(indent=False, newline=line.newline) for line in end)]


class BlankLines(cst.CSTTransformer):
    """Blank lines of a text that goes into a block: they are not indented with it."""

    def leave_EmptyLine(self, original_node: cst.EmptyLine, updated_node: cst.EmptyLine) -> cst.EmptyLine:  # noqa: N802
        """Take the indentation from a line that is blank."""
        if original_node.comment is not None:
            return updated_node
        return updated_node.with_changes(indent=False, whitespace=cst.SimpleWhitespace(""))
