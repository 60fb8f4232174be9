"""Carries out edits on LibCST's tree: one parse, and only the statements that change are visited.

`ast` and LibCST see the same statements in the same order, so an `ast` statement leads to its LibCST twin without
positions; inside one statement, calls and attributes are paired by the order of their kind. A mismatch raises
`PairingError`, and the file stays as it was.
"""

from __future__ import annotations

import ast
import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import libcst as cst

from xf2sdpa.call_surgery import parsed, rebuild_call
from xf2sdpa.edits import (
    AddImport,
    CallEdit,
    Edit,
    ExpressionEdit,
    RemoveAliases,
    Rename,
    ReplaceExpression,
    ReplaceStatement,
    StatementEdit,
    TakeArm,
    Unwrap,
)
from xf2sdpa.layout import Layout

_Statement = cst.BaseStatement | cst.BaseSmallStatement
_PAIRED: tuple[type[ast.expr], ...] = (ast.Call, ast.Attribute, ast.Compare, ast.UnaryOp, ast.Name, ast.Constant)
"""Kinds of expressions that edits name, paired between the parsers by their order."""
_SELDOM = (ast.UnaryOp, ast.Name, ast.Constant)
"""Those of them that are paired only in a statement that has an edit of the kind."""
_COMPOUND_FIELDS = ("body", "orelse", "finalbody")


class PairingError(Exception):
    """The two parsers do not see the same program; nothing may be edited."""


@dataclass
class Transcript:
    """What the edits did: the new text of each edited call, by `id` of its `ast` node."""

    after: dict[int, str] = field(default_factory=dict)


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
        self.layout = layout
        self.transcript = Transcript()
        self.expressions = {id(e.node): e for e in edits if isinstance(e, ExpressionEdit)}
        self.made: set[int] = set()
        """Those of them that are carried out."""
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
        for edit in self.imports.get(id(None), ()):
            body.insert(
                _after_preamble(self.tree),
                cst.parse_statement(edit.text, config=self.module.config_for_parsing),
            )
        self.check_all_made()
        footer = [*spare, *self.module.footer]
        return self.module.with_changes(body=body, footer=footer), self.transcript

    def check_all_made(self) -> None:
        """Every expression that is to change has changed, or went with its statement.

        Raises:
            PairingError: one stands where no edit reaches, as inside an f-string.
        """
        gone = {id(node) for e in self.statements.values() for node in ast.walk(e.node)}
        for key, edit in self.expressions.items():
            if key not in self.made and key not in gone:
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
                orphans += _kept_comments(node)
                opened |= not result
                gap = gap or (_blank_lines(node) if result else [])
            elif opened and not orphans and not result and (body is not self.module.body or not self.module.header):
                kept[0] = kept[0].with_changes(leading_lines=_without_blank_start(kept[0].leading_lines))
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
                    result.append(added if kept else added.with_changes(leading_lines=_blank_lines(node)))
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
            return _without_aliases(node, edit)
        if isinstance(edit, ReplaceStatement):
            if not edit.text:
                return None
            parsed = cst.parse_statement(edit.text, config=self.module.config_for_parsing)
            return cast("cst.SimpleStatementLine", parsed).body[0].with_changes(semicolon=node.semicolon)
        return cast("cst.BaseSmallStatement", self.edit_expressions(node, twin))

    def compound(self, node: cst.BaseCompoundStatement, twin: ast.stmt) -> list[cst.BaseStatement]:
        edit = self.statements.get(id(twin))
        if isinstance(edit, ReplaceStatement):
            return self.parsed(edit.text, node) if edit.text else []
        if isinstance(edit, TakeArm):
            return self.arm(cast("cst.If", node), edit)
        edited = self.edit_expressions(node, twin)
        return [cast("cst.BaseStatement", self.bodies(edited, node, twin))]

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

    # -- expressions -----------------------------------------------------------------------------

    def edit_expressions(self, node: Any, twin: ast.stmt) -> Any:
        """The expressions that stand in a statement itself, not in its blocks."""
        mine = [n for n in _own_expressions(twin) if isinstance(n, _PAIRED) and not _is_no_string(n)]
        if not any(id(n) in self.expressions for n in mine):
            return node
        collector = _Collector()
        collector.gather(node)
        pairs: dict[cst.CSTNode, ExpressionEdit] = {}
        for kind in _PAIRED:
            ours, theirs = [n for n in mine if isinstance(n, kind)], collector.found[kind]
            if kind in _SELDOM and not any(id(n) in self.expressions for n in ours):
                continue
            if len(ours) != len(theirs):
                raise PairingError(f"line {twin.lineno}: the parsers disagree on the number of {kind.__name__} nodes")
            wanted = ((self.expressions.get(id(n)), c) for n, c in zip(ours, theirs, strict=True))
            pairs.update({c: edit for edit, c in wanted if edit is not None})
        self.made.update(id(edit.node) for edit in pairs.values())
        return node.visit(_Transformer(pairs, self))


def _is_no_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str | bytes)


class _Collector(cst.CSTVisitor):
    """Calls, attributes, names … of one statement, in the order of the source, outermost first."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[type[ast.expr], list[cst.CSTNode]] = {kind: [] for kind in _PAIRED}
        self.labels: set[cst.CSTNode] = set()  # names that are part of something else: attributes, keywords

    def gather(self, node: cst.CSTNode) -> None:
        node.visit(self)

    def visit_Call(self, node: cst.Call) -> None:  # noqa: N802
        self.found[ast.Call].append(node)

    def visit_Attribute(self, node: cst.Attribute) -> None:  # noqa: N802
        self.found[ast.Attribute].append(node)
        self.labels.add(node.attr)

    def visit_Arg(self, node: cst.Arg) -> None:  # noqa: N802
        if node.keyword is not None:
            self.labels.add(node.keyword)

    def visit_Param(self, node: cst.Param) -> None:  # noqa: N802
        self.labels.add(node.name)

    def visit_Name(self, node: cst.Name) -> None:  # noqa: N802
        if node not in self.labels:
            self.found[ast.Name].append(node)

    def visit_SimpleString(self, node: cst.SimpleString) -> None:  # noqa: N802
        self.found[ast.Constant].append(node)

    def visit_ConcatenatedString(self, node: cst.ConcatenatedString) -> bool:  # noqa: N802
        self.found[ast.Constant].append(node)
        return False

    def visit_UnaryOperation(self, node: cst.UnaryOperation) -> None:  # noqa: N802
        self.found[ast.UnaryOp].append(node)

    def visit_Comparison(self, node: cst.Comparison) -> None:  # noqa: N802
        self.found[ast.Compare].append(node)

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> bool:  # noqa: N802
        return False

    def visit_SimpleStatementSuite(self, node: cst.SimpleStatementSuite) -> bool:  # noqa: N802
        return False

    def visit_FormattedString(self, node: cst.FormattedString) -> bool:  # noqa: N802
        return False

    def visit_If_orelse(self, node: cst.If) -> None:  # noqa: N802
        """An `elif` is a statement of its own."""

    def visit_If(self, node: cst.If) -> bool:  # noqa: N802
        node.test.visit(self)
        return False


class _Transformer(cst.CSTTransformer):
    """Makes the expression edits of one statement, innermost first."""

    def __init__(self, edits: dict[cst.CSTNode, ExpressionEdit], editor: _Editor) -> None:
        super().__init__()
        self.edits = edits
        self.editor = editor

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> bool:  # noqa: N802
        return False

    def visit_SimpleStatementSuite(self, node: cst.SimpleStatementSuite) -> bool:  # noqa: N802
        return False

    def on_leave(self, original_node: cst.CSTNode, updated_node: Any) -> Any:
        """Other text in the place of an expression of any kind; the rest by kind."""
        edit = self.edits.get(original_node)
        if isinstance(edit, ReplaceExpression):
            return _in_parentheses_of(updated_node, edit.text)
        return super().on_leave(original_node, updated_node)

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:  # noqa: N802
        edit = self.edits.get(original_node)
        if isinstance(edit, Unwrap):
            inner = cast("cst.Attribute", updated_node.func).value
            return inner.with_changes(lpar=[*updated_node.lpar, *inner.lpar], rpar=[*inner.rpar, *updated_node.rpar])
        if not isinstance(edit, CallEdit):
            return updated_node
        module, transcript = self.editor.module, self.editor.transcript
        rebuilt = rebuild_call(updated_node, edit, self.editor.layout, module)
        transcript.after[id(edit.node)] = module.code_for_node(rebuilt)
        return rebuilt

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.Attribute:  # noqa: N802
        edit = self.edits.get(original_node)
        return updated_node.with_changes(attr=cst.Name(edit.name)) if isinstance(edit, Rename) else updated_node


def _in_parentheses_of(old: Any, text: str) -> cst.BaseExpression:
    return parsed(text).with_changes(lpar=old.lpar, rpar=old.rpar)


def _own_expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expression nodes of a statement in the order of the source, outermost first; not those of its blocks."""
    found: list[ast.expr] = []
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.JoinedStr):
            continue
        if isinstance(node, ast.expr):
            found.append(node)
        for name in node._fields:
            if node is statement and name in (*_COMPOUND_FIELDS, "handlers") and not isinstance(statement, ast.expr):
                continue
            value = getattr(node, name, None)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.match_case):
                    waiting += [part for part in (child.pattern, child.guard) if part is not None]
                elif isinstance(child, ast.AST) and not isinstance(child, ast.stmt):
                    waiting.append(child)
    found.sort(key=lambda n: (n.lineno, n.col_offset, -(n.end_lineno or 0), -(n.end_col_offset or 0)))
    return iter(found)


def _without_aliases(node: cst.BaseSmallStatement, edit: RemoveAliases) -> cst.BaseSmallStatement | None:
    """An import statement without some of its names; None if none is left."""
    names = cast("Sequence[cst.ImportAlias]", cast("cst.Import | cst.ImportFrom", node).names)
    kept = [alias for alias in names if not _is_bound(alias, edit)]
    if not kept:
        return None
    if kept[-1] is not names[-1]:
        last = names[-1].comma
        if isinstance(last, cst.Comma):  # a trailing comma: its white space closes the parenthesis
            kept[-1] = kept[-1].with_changes(comma=last)
        else:
            kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return node.with_changes(names=kept)


def _is_bound(alias: cst.ImportAlias, edit: RemoveAliases) -> bool:
    whole = alias.evaluated_alias or alias.evaluated_name
    return whole in edit.bound


def _without_blank_start(lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    """Leading lines of a statement that now opens its block."""
    return list(itertools.dropwhile(lambda line: line.comment is None, lines))


_ABOUT = ("xformers", "memory_efficient", "memory efficient", "memory-efficient")


def _kept_comments(node: Any) -> list[cst.EmptyLine]:
    """Comments above a removed statement that speak of something else; blank lines go with it."""
    lines: Sequence[cst.EmptyLine] = getattr(node, "leading_lines", ())
    kept = [line for line in lines if line.comment and not any(w in line.comment.value.lower() for w in _ABOUT)]
    if len(kept) < len([line for line in lines if line.comment]):
        return []
    return list(lines) if kept else []


def _blank_lines(node: Any) -> list[cst.EmptyLine]:
    return [line for line in node.leading_lines if line.comment is None]


def _after_preamble(tree: ast.Module) -> int:
    """How many statements must stay first: the docstring and `from __future__` imports."""
    count = 0
    for statement in tree.body:
        is_doc = count == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_doc and not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            break
        count += 1
    return count
