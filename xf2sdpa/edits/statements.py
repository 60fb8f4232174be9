"""Applies edits to LibCST's tree; only the statements that change are visited.

`ast` and LibCST list the same statements in the same order, so each `ast` statement has its LibCST twin at the same
place of the same block; inside one statement, calls and attributes are paired by the order of their kind. A mismatch
raises `PairingError`, and the file stays as it was.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, cast

import libcst as cst

from xf2sdpa.edits.comments import (
    BlankLines,
    apart_from_import,
    blank_end,
    blank_lines,
    kept_comments,
    without_blank_start,
)
from xf2sdpa.edits.errors import PairingError, Transcript
from xf2sdpa.edits.expressions import ExpressionEditor
from xf2sdpa.edits.frames import deeper
from xf2sdpa.edits.hidden import Touched
from xf2sdpa.edits.import_lines import after_preamble, without_aliases
from xf2sdpa.edits.kinds import (
    AddImport,
    Edit,
    ExpressionEdit,
    InsertBefore,
    RemoveAliases,
    ReplaceStatement,
    StatementEdit,
    TakeArm,
    TakeElse,
    TakeHandler,
    Unguard,
    Within,
)
from xf2sdpa.edits.layout import Layout


def apply_edits(
    module: cst.Module, tree: ast.Module, edits: Sequence[Edit], layout: Layout
) -> tuple[cst.Module, Transcript]:
    """The module with all edits made.

    Raises:
        PairingError: LibCST's tree does not have the shape of the `ast`.
    """
    return _Editor(module, tree, edits, layout).run()


class _Editor:
    def __init__(self, module: cst.Module, tree: ast.Module, edits: Sequence[Edit], layout: Layout) -> None:
        self.module = module
        self.tree = tree
        self.expressions = ExpressionEditor([e for e in edits if isinstance(e, ExpressionEdit)], module, layout)
        self.statements = {id(e.node): e for e in edits if isinstance(e, StatementEdit)}
        self.imports: dict[int, list[AddImport]] = {}
        for edit in edits:
            if isinstance(edit, AddImport):
                self.imports.setdefault(id(edit.after), []).append(edit)
        self.before: dict[int, list[InsertBefore]] = {}
        for edit in edits:
            if isinstance(edit, InsertBefore):
                self.before.setdefault(id(edit.node), []).append(edit)
        self.within = {id(edit.node): edit for edit in edits if isinstance(edit, Within)}
        self.touches = Touched(edits)
        self.below: list[cst.EmptyLine] = []  # comments from the end of a block that took its frame's place

    def run(self) -> tuple[cst.Module, Transcript]:
        body, spare = self.block(self.module.body, self.tree.body)
        for edit in self.imports.get(id(None), ()):
            place = after_preamble(self.tree)
            body[place:] = [self.import_of(edit), *apart_from_import(body[place:])]
        self.check_all_made()
        footer = [*spare, *self.module.footer]
        return self.module.with_changes(body=body, footer=footer), self.expressions.transcript

    def import_of(self, edit: AddImport) -> Any:
        """The statement of an import that is added."""
        return cst.parse_statement(edit.text, config=self.module.config_for_parsing)

    def check_all_made(self) -> None:
        """Check that every expression edit was applied, or its statement was replaced or removed.

        Raises:
            PairingError: an expression stands where it cannot be edited, as inside an f-string.
        """
        gone = {id(node) for e in self.statements.values() for node in ast.walk(e.node)}
        for edit in self.expressions.waiting():
            if id(edit.node) not in gone:
                raise PairingError(
                    f"line {edit.node.lineno}: {ast.unparse(edit.node)} cannot be edited where it stands"
                )

    # -- statements ------------------------------------------------------------------------------

    def block(self, body: Sequence[Any], statements: Sequence[ast.stmt]) -> tuple[list[Any], list[cst.EmptyLine]]:
        """The statements of a block after the edits, and comment lines above removed statements at its end."""
        of_module = body is self.module.body
        made = _Block(of_module=of_module, is_headed=of_module and bool(self.module.header))
        for node, twins in paired(body, statements):
            kept = self.framed(self.line(node, twins), twins[0]) if any(map(self.touches, twins)) else [node]
            lost = id(twins[0]) in self.statements and not (kept and blank_end(kept[-1]))
            made.add(kept, node, twins, blank_end(node) if lost else [])
            made.orphans += self.below
            self.below = []
            for twin in twins:
                for edit in self.imports.get(id(twin), ()):
                    added = self.import_of(edit)
                    made.append(added if kept else added.with_changes(leading_lines=blank_lines(node)))
        return made.statements, made.end()

    def framed(self, kept: list[Any], twin: ast.stmt) -> list[Any]:
        """A statement in the `with` that it gets, if any, and with what the edits put before it."""
        edit = self.within.get(id(twin))
        return self.with_checks([deeper(kept[0], edit.head, self.module)] if edit is not None else kept, twin)

    def with_checks(self, kept: list[Any], twin: ast.stmt) -> list[Any]:
        """A statement with what the edits put before it; the blank lines above it stand above all that."""
        before = self.before.get(id(twin), ())
        if not before:
            return kept
        config = self.module.config_for_parsing
        first, *more = (cst.parse_statement(edit.text, config=config) for edit in before)
        comments = without_blank_start(kept[0].leading_lines)
        blank = list(kept[0].leading_lines)[: len(kept[0].leading_lines) - len(comments)]
        kept[0] = kept[0].with_changes(leading_lines=comments)
        return [cast("Any", first).with_changes(leading_lines=blank), *more, *kept]

    def line(self, node: cst.BaseStatement, twins: Sequence[ast.stmt]) -> list[cst.BaseStatement]:
        """A line of simple statements, or one compound statement, edited; the result may be empty or several."""
        if not isinstance(node, cst.SimpleStatementLine):
            return self.compound(cast("cst.BaseCompoundStatement", node), twins[0])
        edit = self.statements.get(id(twins[0])) if len(twins) == 1 else None
        if isinstance(edit, ReplaceStatement) and edit.text:
            return self.parsed(edit.text, node)
        small = [
            edited
            for part, twin in zip(node.body, twins, strict=True)
            if (edited := self.small(part, twin)) is not None
        ]
        if not small:
            return []
        if len(small) == len(node.body):
            return [node.with_changes(body=small)]
        small[-1] = small[-1].with_changes(semicolon=cst.MaybeSentinel.DEFAULT)
        return [node.with_changes(body=small)]

    def small(self, node: cst.BaseSmallStatement, twin: ast.stmt) -> cst.BaseSmallStatement | None:
        edit = self.statements.get(id(twin))
        if isinstance(edit, RemoveAliases):
            return without_aliases(node, edit)
        if isinstance(edit, ReplaceStatement):
            if not edit.text:
                return None
            parsed = cst.parse_statement(edit.text, config=self.module.config_for_parsing)
            return cast("cst.SimpleStatementLine", parsed).body[0].with_changes(semicolon=node.semicolon)
        return cast("cst.BaseSmallStatement", self.expressions.edit(node, twin))

    def compound(self, node: cst.BaseCompoundStatement, twin: ast.stmt) -> list[cst.BaseStatement]:
        edit = self.statements.get(id(twin))
        if isinstance(edit, ReplaceStatement):
            return self.parsed(edit.text, node) if edit.text else []
        if isinstance(edit, TakeArm):
            return self.arm(cast("cst.If", node), edit)
        if isinstance(edit, Unguard):
            return self.unguarded(node, edit.node)
        if isinstance(edit, TakeHandler):
            handler = cast("cst.Try", node).handlers[0]
            above = [*node.leading_lines, *without_blank_start(handler.leading_lines)]
            return self.unpacked([(handler.body, edit.node.handlers[0].body)], above)
        if isinstance(edit, TakeElse):
            return [self.negated(cast("cst.If", node), edit)]
        edited = self.expressions.edit(node, twin)
        return [cast("cst.BaseStatement", self.bodies(edited, node, twin))]

    def unguarded(self, node: Any, twin: ast.Try | ast.With) -> list[cst.BaseStatement]:
        """What a `try` or `with` does, without its frame: the statements of its body, its `else`, its `finally`."""
        blocks = [(node.body, twin.body)]
        if isinstance(twin, ast.Try):
            blocks += [(node.orelse.body, twin.orelse)] if node.orelse is not None else []
            blocks += [(node.finalbody.body, twin.finalbody)] if node.finalbody is not None else []
        return self.unpacked(blocks, node.leading_lines)

    def unpacked(
        self, blocks: Sequence[tuple[Any, Sequence[ast.stmt]]], above: Sequence[cst.EmptyLine]
    ) -> list[cst.BaseStatement]:
        """The edited statements of blocks that take the place of their frame; comments at their end stay below them.

        Args:
            blocks: each with its statements.
            above: the lines that stand above the first statement, whichever that is.
        """
        found: list[Any] = []
        waiting = list(above)
        for body, statements in blocks:
            if isinstance(body, cst.SimpleStatementSuite):
                small = [
                    e for part, s in zip(body.body, statements, strict=True) if (e := self.small(part, s)) is not None
                ]
                end = body.trailing_whitespace
                inner: list[Any] = [cst.SimpleStatementLine(small, trailing_whitespace=end)] if small else []
                comments: list[cst.EmptyLine] = []
            else:
                inner, orphans = self.block(body.body, statements)
                comments = [*orphans, *body.footer]
            if inner:
                inner[0] = inner[0].with_changes(leading_lines=[*waiting, *without_blank_start(inner[0].leading_lines)])
                waiting = []
            found += inner
            waiting += [line for line in comments if line.comment is not None]
        self.below = waiting if found else []
        return found

    def parsed(self, text: str, old: Any) -> list[cst.BaseStatement]:
        """The statements of a text, with the leading lines and the trailing comment of the one they replace."""
        new = cst.parse_module(text, config=self.module.config_for_parsing).visit(BlankLines())
        first, *rest = new.body
        first = first.with_changes(leading_lines=[*old.leading_lines, *new.header])
        if not rest and isinstance(first, cst.SimpleStatementLine) and isinstance(old, cst.SimpleStatementLine):
            first = first.with_changes(trailing_whitespace=old.trailing_whitespace)
        return [first, *rest]

    def bodies(self, edited: Any, node: Any, twin: ast.stmt) -> Any:
        """A compound statement whose expressions are `edited`, with its blocks edited too."""
        changes: dict[str, Any] = {}
        if isinstance(node, cst.Match) and isinstance(twin, ast.Match):
            cases = zip(edited.cases, node.cases, twin.cases, strict=True)
            changes["cases"] = [new.with_changes(body=self.suite(old.body, arm.body)) for new, old, arm in cases]
            return edited.with_changes(**changes)
        changes["body"] = self.suite(node.body, twin.body)  # type: ignore[attr-defined]
        if isinstance(node, cst.Try | cst.TryStar):
            handlers = zip(edited.handlers, node.handlers, cast("ast.Try", twin).handlers, strict=True)
            changes["handlers"] = [
                new.with_changes(body=self.suite(cast("Any", old).body, arm.body)) for new, old, arm in handlers
            ]
            if node.finalbody is not None:
                changes["finalbody"] = self.branch(node.finalbody, twin.finalbody)  # type: ignore[attr-defined]
        if getattr(node, "orelse", None) is not None:
            changes["orelse"] = self.orelse(node.orelse, twin.orelse)  # type: ignore[attr-defined]
        return edited.with_changes(**changes)

    def orelse(self, node: Any, statements: Sequence[ast.stmt]) -> Any:
        """An `else`, or an `elif`, which `ast` holds as an `if` of its own."""
        if not isinstance(node, cst.If):
            return self.branch(node, statements)
        (twin,) = statements
        edit = self.statements.get(id(twin))
        if isinstance(edit, TakeArm):
            return self.rest(node, edit)
        return self.compound(node, twin)[0] if self.touches(twin) else node

    def negated(self, node: cst.If, edit: TakeElse) -> cst.If:
        """The `else` of an `if` as an `if` of its own; comments above it stay above its first statement."""
        orelse = cast("cst.Else", node.orelse)
        test = cst.parse_expression(edit.condition, config=self.module.config_for_parsing)
        return node.with_changes(test=test, body=self.suite(orelse.body, edit.node.orelse), orelse=None)

    def rest(self, node: cst.If, edit: TakeArm) -> Any:
        """What replaces an `elif` whose condition has a known value: an `else`, the next `elif` or nothing."""
        if edit.answer:
            return cst.Else(self.suite(node.body, edit.node.body), leading_lines=node.leading_lines)
        return self.orelse(node.orelse, edit.node.orelse) if node.orelse is not None else None

    def arm(self, node: cst.If, edit: TakeArm) -> list[cst.BaseStatement]:
        """The statements that replace an `if` whose condition has a known value; comments above the `if` stay."""
        above = list(node.leading_lines)
        arm: Any = node
        while not edit.answer:
            arm = arm.orelse
            if arm is None:
                return []
            above += [line for line in arm.leading_lines if line.comment is not None]
            if isinstance(arm, cst.Else):
                break
            (twin,) = edit.node.orelse
            known = self.statements.get(id(twin))
            if not isinstance(known, TakeArm):
                rest = self.compound(arm, twin)[0] if self.touches(twin) else arm
                return [rest.with_changes(leading_lines=above)]
            edit = known
        statements = edit.node.body if edit.answer else edit.node.orelse
        return self.unpacked([(arm.body, statements)], above)

    def branch(self, node: Any, statements: Sequence[ast.stmt]) -> Any:
        """An `else` or `finally`, edited; None if nothing is left in it."""
        body = self.suite(node.body, statements, keep=False)
        return None if body is None else node.with_changes(body=body)

    def suite(self, node: Any, statements: Sequence[ast.stmt], *, keep: bool = True) -> Any:
        """A block, edited; if it would be empty, one with a `pass` (or, without `keep`, None)."""
        if not any(map(self.touches, statements)):
            return node
        if isinstance(node, cst.SimpleStatementSuite):
            small = [
                edited
                for part, twin in zip(node.body, statements, strict=True)
                if (edited := self.small(part, twin)) is not None
            ]
            if not small and not keep:
                return None
            return node.with_changes(body=small or [cst.Pass()])
        body, orphans = self.block(node.body, statements)
        if not body:
            if not keep:
                return None
            body = [cst.SimpleStatementLine([cst.Pass()], leading_lines=orphans)]
            orphans = []
        return node.with_changes(body=body, footer=[*orphans, *node.footer])


def paired(body: Sequence[Any], statements: Sequence[ast.stmt]) -> Iterator[tuple[Any, Sequence[ast.stmt]]]:
    """Each line of a block on LibCST's tree with the statements that `ast` has for it: several between semicolons.

    Raises:
        PairingError: the two trees hold different numbers of statements.
    """
    waiting = list(statements)
    for node in body:
        count = len(node.body) if isinstance(node, cst.SimpleStatementLine) else 1
        twins, waiting = waiting[:count], waiting[count:]
        if len(twins) != count:
            raise PairingError("a block holds more statements than the syntax tree")
        yield node, twins
    if waiting:
        raise PairingError("a block holds fewer statements than the syntax tree")


class _Block:
    """A block on its way: its statements so far, and the comments and blank lines above statements that went.

    Attributes:
        statements: what stands in the block.
        orphans: comment lines that lost the statement below them; the next statement takes them.
    """

    def __init__(self, *, of_module: bool, is_headed: bool) -> None:
        self.statements: list[Any] = []
        self.orphans: list[cst.EmptyLine] = []
        self._first_went = False
        self._gap: list[cst.EmptyLine] = []
        self._below: list[cst.EmptyLine] = []
        """Blank lines that the last statement ended with, before it became another."""
        self._of_module = of_module
        self._last_is_import = self._import_went = False
        """`_import_went`: an import in a function went, so that a blank line behind it parts nothing any more."""
        self._is_headed = is_headed
        """Whether comments at the top of the file stand above the block, so that it may begin with a blank line."""

    def add(self, kept: list[Any], old: Any, twins: Sequence[ast.stmt], below: list[cst.EmptyLine]) -> None:
        """Take what became of one old statement: nothing, one or several; and the blank lines that it ended with."""
        is_import = all(isinstance(twin, ast.Import | ast.ImportFrom) for twin in twins)
        if not kept:
            apart = self._last_is_import or self._of_module or not self.statements or blank_lines(old)
            self._import_went |= is_import and not apart
            self.orphans += kept_comments(old)
            self._first_went |= not self.statements
            self._gap = self._gap or ([*self._below, *blank_lines(old)] or below if self.statements else [])
            self._below = []
            return
        first = kept[0]
        if self._below:
            first = first.with_changes(leading_lines=[*self._below, *first.leading_lines])
        self._below = below
        if self.orphans:
            first = first.with_changes(leading_lines=[*self.orphans, *first.leading_lines])
            self.orphans = []
        elif self._import_went or (self._first_went and not self.statements and not self._is_headed):
            first = first.with_changes(leading_lines=without_blank_start(first.leading_lines))
        self._last_is_import, self._import_went = is_import, False
        if self._gap and not first.leading_lines:
            first = first.with_changes(leading_lines=self._gap)
        self._gap = []
        self.statements += [first, *kept[1:]]

    def end(self) -> list[cst.EmptyLine]:
        """What stands below the last statement."""
        return self.orphans if self._of_module else [*self.orphans, *self._below]

    def append(self, added: Any) -> None:
        """Take a statement that is new."""
        self.statements.append(added)
        self._gap = []
