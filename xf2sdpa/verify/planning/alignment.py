"""Aligns the syntax tree before a rewrite with the tree after it.

Both are walked together. At an edit of the rewrite, whatever is at that place in the new tree counts as its result,
hand edits included; everywhere else the two must be equal, function by function. Imports are not compared.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from xf2sdpa.analysis.checks import is_check
from xf2sdpa.edits.kinds import (
    AddImport,
    CallEdit,
    Edit,
    InsertBefore,
    Rename,
    ReplaceExpression,
    ReplaceStatement,
    TakeArm,
    TakeBranch,
    TakeElse,
    TakeHandler,
    Unguard,
    Unwrap,
    Within,
)

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_IGNORED = frozenset({"lineno", "col_offset", "end_lineno", "end_col_offset", "kind", "type_comment", "ctx"})


@dataclass
class Alignment:
    """Counterparts in the new tree, by `id` of the old tree's node.

    Attributes:
        expressions: the new expression of each call site and each edited expression.
        statements: the new statements of each replaced statement.
        values: the new right side of each assignment.
        by_hand: old assignments whose right side was edited by hand, where `loose` allowed that.
        failures: functions, classes or the module that differ outside of the edits, and how.
    """

    expressions: dict[int, ast.expr] = field(default_factory=dict)
    statements: dict[int, list[ast.stmt]] = field(default_factory=dict)
    values: dict[int, ast.expr] = field(default_factory=dict)
    by_hand: list[ast.Assign] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)


def align(
    old: ast.Module,
    new: ast.Module,
    edits: Sequence[Edit],
    sites: Iterable[ast.expr],
    loose: Callable[[ast.Assign], bool] = lambda _: False,
    *,
    flags: Collection[int] = frozenset(),
) -> Alignment:
    """Align two trees.

    Args:
        old: the tree that the edits belong to.
        new: the tree of the text on disk, or of the rewrite's result.
        edits: the rewrite's edits of the whole file.
        sites: the call sites, each of which may have become any expression.
        loose: returns whether an old assignment's right side may have become any expression too.
        flags: statements of both trees, by `id`, that may be added or removed: xf2sdpa's block of flags.
    """
    aligner = _Aligner(edits, {id(site) for site in sites}, loose, flags)
    aligner.members(old, new)
    return aligner.found


class _Mismatch(Exception):
    """The trees differ where there is no edit."""


class _Aligner:
    def __init__(
        self, edits: Sequence[Edit], sites: set[int], loose: Callable[[ast.Assign], bool], flags: Collection[int]
    ) -> None:
        self.edits = {id(e.node): e for e in edits if not isinstance(e, AddImport | InsertBefore | Within)}
        self.within = {id(edit.node): edit.head for edit in edits if isinstance(edit, Within)}
        self.sites = sites
        self.loose = loose
        self.flags = flags
        self.found = Alignment()

    def members(self, old: ast.Module | ast.ClassDef, new: ast.Module | ast.ClassDef) -> None:
        """Pair definitions by name, and everything else in order."""
        theirs: dict[tuple[str, int], _Definition] = dict(_numbered(new.body))
        for key, definition in _numbered(old.body):
            self.definition(definition, theirs.get(key))
        try:
            self.block(_without_definitions(old.body), _without_definitions(new.body))
        except _Mismatch as mismatch:
            self.found.failures[id(old)] = str(mismatch)

    def definition(self, old: _Definition, new: ast.AST | None) -> None:
        """Pair two functions or classes; a difference is recorded for the old one."""
        if type(old) is not type(new):
            self.found.failures[id(old)] = f"{old.name} is not in the new text"
            return
        try:
            if isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef):
                self.fields(old, new, skipped=("body",))
                self.members(old, new)
            else:
                self.fields(old, new)
        except _Mismatch as mismatch:
            self.found.failures[id(old)] = str(mismatch)

    def block(self, old: Sequence[ast.stmt], new: Sequence[ast.stmt]) -> None:
        waiting = [statement for statement in new if not self.is_neutral(statement)]
        kept = {ast.dump(statement.test) for statement in waiting if isinstance(statement, ast.If)}
        for statement in self.taken(old, kept):
            edit = self.edits.get(id(statement))
            if isinstance(edit, ReplaceStatement):
                count = _statements_in(edit.text)
                self.found.statements[id(statement)], waiting = waiting[:count], waiting[count:]
            elif not self.is_neutral(statement):
                if not waiting:
                    raise _Mismatch(f"line {statement.lineno} of the old text has no counterpart")
                self.pair(statement, waiting.pop(0))
        if waiting:
            raise _Mismatch(f"line {waiting[0].lineno} of the new text is not of the rewrite's making")

    def taken(self, statements: Sequence[ast.stmt], kept: Collection[str]) -> Iterator[ast.stmt]:
        """Statements of the old text, with those of the arm in the place of an `if` whose answer is known.

        One whose condition is among the `kept` stays: the new text may be that of an earlier rewrite, or partly undone.
        """
        for statement in statements:
            edit = self.edits.get(id(statement))
            if isinstance(edit, TakeArm) and ast.dump(edit.node.test) not in kept:
                yield from self.taken(edit.node.body if edit.answer else edit.node.orelse, kept)
            elif isinstance(edit, TakeHandler):
                yield from self.taken(edit.node.handlers[0].body, kept)
            elif isinstance(edit, Unguard):
                frame = edit.node
                rest = [*frame.orelse, *frame.finalbody] if isinstance(frame, ast.Try) else []
                yield from self.taken([*frame.body, *rest], kept)
            else:
                yield statement

    def is_neutral(self, statement: ast.stmt) -> bool:
        return _is_neutral(statement) or id(statement) in self.flags

    def pair(self, old: ast.AST, new: ast.AST) -> None:
        edit = self.edits.get(id(old))
        if id(old) in self.within:
            self.framed(old, new)
        elif isinstance(edit, Unwrap) and isinstance(edit.node.func, ast.Attribute):
            self.pair(edit.node.func.value, new)
        elif isinstance(new, ast.expr) and (id(old) in self.sites or isinstance(edit, CallEdit | ReplaceExpression)):
            self.found.expressions[id(old)] = new
        elif isinstance(edit, Rename) and isinstance(new, ast.Attribute):
            self.found.expressions[id(old)] = new
            self.pair(edit.node.value, new.value)
        elif isinstance(edit, TakeBranch):
            self.pair(edit.node.body if edit.answer else edit.node.orelse, new)
        elif isinstance(edit, TakeElse) and isinstance(new, ast.If) and not new.orelse:
            self.block(edit.node.orelse, new.body)
        elif isinstance(old, _Definition):
            self.definition(old, new)
        else:
            self.plain(old, new)

    def framed(self, old: ast.AST, new: ast.AST) -> None:
        """Pair a statement with the only one of the `with` that it was put into."""
        head = ast.parse(f"{self.within[id(old)]}\n    pass").body[0]
        if not isinstance(head, ast.With) or not isinstance(new, ast.With) or len(new.body) != 1:
            raise _differs(old)
        if [ast.dump(item) for item in head.items] != [ast.dump(item) for item in new.items]:
            raise _differs(old)
        del self.within[id(old)]
        self.pair(old, new.body[0])

    def plain(self, old: ast.AST, new: ast.AST) -> None:
        """Pair two nodes without an edit of their own. The right side of a loose assignment may be any expression."""
        if not (isinstance(old, ast.Assign) and isinstance(new, ast.Assign)):
            self.fields(old, new)
            return
        self.found.values[id(old)] = new.value
        self.values(old.targets, new.targets, old)
        try:
            self.pair(old.value, new.value)
        except _Mismatch:
            if not self.loose(old) or any(id(part) in self.sites for part in ast.walk(old.value)):
                raise
            self.found.by_hand.append(old)

    def fields(self, old: ast.AST, new: ast.AST | None, skipped: Sequence[str] = ()) -> None:
        if type(old) is not type(new):
            raise _differs(old)
        for name in old._fields:
            if name not in _IGNORED and name not in skipped:
                self.values(getattr(old, name, None), getattr(new, name, None), old)

    def values(self, old: object, new: object, parent: ast.AST) -> None:
        if isinstance(old, list) and isinstance(new, list):
            if any(isinstance(item, ast.stmt) for item in (*old, *new)):
                self.block(old, new)
                return
            if len(old) != len(new):
                raise _differs(parent)
            for one, two in zip(old, new, strict=True):
                self.values(one, two, parent)
        elif isinstance(old, ast.AST) and isinstance(new, ast.AST):
            self.pair(old, new)
        elif type(old) is not type(new) or old != new:
            raise _differs(parent)


def _differs(node: ast.AST) -> _Mismatch:
    line = getattr(node, "lineno", None)
    place = f"line {line} of the old text" if line is not None else f"a part ({type(node).__name__})"
    return _Mismatch(f"{place} differs from the new text, and not by the rewrite")


def _is_neutral(statement: ast.stmt) -> bool:
    """Whether a statement may be added or removed: an import, a `pass` that fills a block, a check of the rewrite's."""
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass) or is_check(statement)


def _statements_in(text: str) -> int:
    return sum(not _is_neutral(statement) for statement in ast.parse(textwrap.dedent(text)).body)


def _without_definitions(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    return [statement for statement in body if not isinstance(statement, _Definition)]


def _numbered(body: Sequence[ast.stmt]) -> list[tuple[tuple[str, int], _Definition]]:
    """The definitions of a block by name and 0-based index among those of the same name (overloads)."""
    seen: dict[str, int] = {}
    found = []
    for statement in body:
        if isinstance(statement, _Definition):
            seen[statement.name] = seen.get(statement.name, -1) + 1
            found.append(((statement.name, seen[statement.name]), statement))
    return found
