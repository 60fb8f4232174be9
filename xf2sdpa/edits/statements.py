"""Carries out edits on LibCST's tree: one parse, and only the statements that change are visited.

`ast` and LibCST see the same statements in the same order, so an `ast` statement leads to its LibCST twin without
positions; inside one statement, calls and attributes are paired by the order of their kind. A mismatch raises
`PairingError`, and the file stays as it was.
"""

from __future__ import annotations

import ast
import bisect
from collections.abc import Sequence
from typing import Any, cast

import libcst as cst

from xf2sdpa.edits.comments import blank_lines, kept_comments, without_blank_start
from xf2sdpa.edits.errors import PairingError, Transcript
from xf2sdpa.edits.expressions import ExpressionEditor
from xf2sdpa.edits.import_lines import after_preamble, without_aliases
from xf2sdpa.edits.kinds import (
    AddImport,
    Edit,
    ExpressionEdit,
    RemoveAliases,
    ReplaceStatement,
    StatementEdit,
    TakeArm,
    Unguard,
)
from xf2sdpa.edits.layout import Layout

_Statement = cst.BaseStatement | cst.BaseSmallStatement


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
        lines = [e.node.lineno for e in edits if not isinstance(e, AddImport)]
        lines += [e.after.lineno for e in edits if isinstance(e, AddImport) and e.after is not None]
        self.lines = sorted(lines)

    def run(self) -> tuple[cst.Module, Transcript]:
        body, spare = self.block(self.module.body, self.tree.body)
        place = after_preamble(self.tree)
        first = body[place] if place < len(body) and id(None) in self.imports else None
        if isinstance(first, cst.FunctionDef | cst.ClassDef) and not blank_lines(first):
            two = [cst.EmptyLine(indent=False), cst.EmptyLine(indent=False)]
            body[place] = first.with_changes(leading_lines=[*two, *first.leading_lines])
        for edit in self.imports.get(id(None), ()):
            body.insert(place, cst.parse_statement(edit.text, config=self.module.config_for_parsing))
        self.check_all_made()
        footer = [*spare, *self.module.footer]
        return self.module.with_changes(body=body, footer=footer), self.expressions.transcript

    def check_all_made(self) -> None:
        """Every expression that is to change has changed, or went with its statement.

        Raises:
            PairingError: one stands where no edit reaches, as inside an f-string.
        """
        gone = {id(node) for e in self.statements.values() for node in ast.walk(e.node)}
        for edit in self.expressions.waiting():
            if id(edit.node) not in gone:
                raise PairingError(
                    f"line {edit.node.lineno}: {ast.unparse(edit.node)} cannot be edited where it stands"
                )

    def touches(self, node: ast.stmt) -> bool:
        """Whether some edit lies in a statement (by lines: quick, and never too few)."""
        end = node.end_lineno or node.lineno
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        nearest = bisect.bisect_left(self.lines, first)
        return nearest < len(self.lines) and self.lines[nearest] <= end

    # -- statements ------------------------------------------------------------------------------

    def block(self, body: Sequence[Any], statements: Sequence[ast.stmt]) -> tuple[list[Any], list[cst.EmptyLine]]:
        """The statements of a block; and comment lines that lost the statement they stood before."""
        result: list[Any] = []
        orphans: list[cst.EmptyLine] = []
        waiting = list(statements)
        opened = False  # whether the block's first statement went
        gap: list[cst.EmptyLine] = []  # blank lines before statements that went
        for node in body:
            count = len(node.body) if isinstance(node, cst.SimpleStatementLine) else 1
            twins, waiting = waiting[:count], waiting[count:]
            if len(twins) != count:
                raise PairingError("a block holds more statements than the syntax tree")
            kept: list[Any] = self.line(node, twins) if any(map(self.touches, twins)) else [node]
            if not kept:
                orphans += kept_comments(node)
                opened |= not result
                gap = gap or (blank_lines(node) if result else [])
            elif opened and not orphans and not result and (body is not self.module.body or not self.module.header):
                kept[0] = kept[0].with_changes(leading_lines=without_blank_start(kept[0].leading_lines))
            elif orphans:
                kept[0] = kept[0].with_changes(leading_lines=[*orphans, *kept[0].leading_lines])
                orphans = []
            if kept and gap:
                if not kept[0].leading_lines:
                    kept[0] = kept[0].with_changes(leading_lines=gap)
                gap = []
            result += kept
            for twin in twins:
                for edit in self.imports.get(id(twin), ()):
                    added = cst.parse_statement(edit.text, config=self.module.config_for_parsing)
                    result.append(added if kept else added.with_changes(leading_lines=blank_lines(node)))
                    gap = []
        if waiting:
            raise PairingError("a block holds fewer statements than the syntax tree")
        return result, orphans

    def line(self, node: cst.BaseStatement, twins: Sequence[ast.stmt]) -> list[cst.BaseStatement]:
        """A line of simple statements, or one compound statement, edited: none, one or several."""
        if not isinstance(node, cst.SimpleStatementLine):
            return self.compound(cast("cst.BaseCompoundStatement", node), twins[0])
        alone = self.statements.get(id(twins[0])) if len(twins) == 1 else None
        if isinstance(alone, ReplaceStatement) and alone.text:
            return self.parsed(alone.text, node)
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
        edited = self.expressions.edit(node, twin)
        return [cast("cst.BaseStatement", self.bodies(edited, node, twin))]

    def unguarded(self, node: Any, twin: ast.Try | ast.With) -> list[cst.BaseStatement]:
        """What a `try` or `with` does, without its frame: the statements of its body, its `else`, its `finally`."""
        blocks = [(node.body, twin.body)]
        if isinstance(twin, ast.Try):
            blocks += [(node.orelse.body, twin.orelse)] if node.orelse is not None else []
            blocks += [(node.finalbody.body, twin.finalbody)] if node.finalbody is not None else []
        found: list[Any] = []
        waiting: list[cst.EmptyLine] = list(node.leading_lines)
        for body, statements in blocks:
            if isinstance(body, cst.SimpleStatementSuite):
                small = [
                    e for part, s in zip(body.body, statements, strict=True) if (e := self.small(part, s)) is not None
                ]
                inner: list[Any] = [cst.SimpleStatementLine(small)] if small else []
                comments: list[cst.EmptyLine] = []
            else:
                inner, orphans = self.block(body.body, statements)
                comments = [*orphans, *body.footer]
            if inner:
                inner[0] = inner[0].with_changes(leading_lines=[*waiting, *without_blank_start(inner[0].leading_lines)])
                waiting = []
            found += inner
            waiting += [line for line in comments if line.comment is not None]
        return found

    def parsed(self, text: str, old: Any) -> list[cst.BaseStatement]:
        """The statements that a text holds, in the place of an old one, whose trailing comment they keep."""
        new = cst.parse_module(text, config=self.module.config_for_parsing)
        first, *rest = new.body
        first = first.with_changes(leading_lines=[*old.leading_lines, *new.header])
        if not rest and isinstance(first, cst.SimpleStatementLine) and isinstance(old, cst.SimpleStatementLine):
            first = first.with_changes(trailing_whitespace=old.trailing_whitespace)
        return [first, *rest]

    def bodies(self, edited: Any, node: Any, twin: ast.stmt) -> Any:
        """The blocks of a compound statement."""
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

    def rest(self, node: cst.If, edit: TakeArm) -> Any:
        """What an `elif` whose answer is known leaves of the chain: an `else`, an `elif` or nothing."""
        if edit.answer:
            return cst.Else(self.suite(node.body, edit.node.body), leading_lines=node.leading_lines)
        return self.orelse(node.orelse, edit.node.orelse) if node.orelse is not None else None

    def arm(self, node: cst.If, edit: TakeArm) -> list[cst.BaseStatement]:
        """The statements that an `if` whose answer is known leaves in its place; its comments go before them."""
        rest = self.rest(node, edit)
        if rest is None:
            return []
        if isinstance(rest, cst.If):
            return [rest.with_changes(leading_lines=[*node.leading_lines, *rest.leading_lines])]
        if isinstance(rest.body, cst.SimpleStatementSuite):
            return [cst.SimpleStatementLine(rest.body.body, leading_lines=node.leading_lines)]
        first, *others = rest.body.body
        return [first.with_changes(leading_lines=[*node.leading_lines, *first.leading_lines]), *others]

    def branch(self, node: Any, statements: Sequence[ast.stmt]) -> Any:
        """An `else` or `finally`; gone if nothing is left in it."""
        body = self.suite(node.body, statements, keep=False)
        return None if body is None else node.with_changes(body=body)

    def suite(self, node: Any, statements: Sequence[ast.stmt], *, keep: bool = True) -> Any:
        """A block; one that would be empty gets a `pass` (or, without `keep`, is None)."""
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
