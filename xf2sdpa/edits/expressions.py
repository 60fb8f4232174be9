"""Applies the edits of expressions within one statement to LibCST's tree.

The two parsers list calls, attributes, comparisons, names and strings of a statement in the same order, so the n-th
of a kind in `ast` is the n-th in LibCST. A different count raises `PairingError`, and the file stays as it was.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

import libcst as cst

from xf2sdpa.edits.calls import parsed, rebuild_call
from xf2sdpa.edits.errors import PairingError, Transcript
from xf2sdpa.edits.kinds import (
    DropOperands,
    ExpressionEdit,
    Rename,
    ReplaceExpression,
    TakeBranch,
    Unwrap,
)
from xf2sdpa.edits.layout import Layout

_PAIRED: tuple[type[ast.expr], ...] = (
    ast.Call,
    ast.Attribute,
    ast.Compare,
    ast.UnaryOp,
    ast.Name,
    ast.Constant,
    ast.BoolOp,
    ast.IfExp,
)
"""Kinds of expressions that edits name, paired between the parsers by their order."""
_SELDOM = (ast.UnaryOp, ast.Name, ast.Constant, ast.BoolOp, ast.IfExp)
"""Those of them that are paired only in a statement that has an edit of the kind."""
_LAYOUT = frozenset(
    {"__slots__", "lpar", "rpar", "comma", "equal", "semicolon", "colon", "dot", "operator", "leading_lines",
     "lines_after_decorators"}
)  # fmt: skip
"""Fields in which no expression stands."""
_COMPOUND_FIELDS = ("body", "orelse", "finalbody")
_CONSTANTS = frozenset({"None", "True", "False"})
"""What LibCST has as names and `ast` as constants."""


def _is_no_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str | bytes)


class ExpressionEditor:
    """Edits expressions, one statement at a time.

    Attributes:
        transcript: the new text of each call edited so far.
    """

    def __init__(self, edits: Sequence[ExpressionEdit], module: cst.Module, layout: Layout) -> None:
        self.transcript = Transcript()
        self._edits = {id(edit.node): edit for edit in edits}
        self._made: set[int] = set()
        self._module = module
        self._layout = layout

    def waiting(self) -> list[ExpressionEdit]:
        """The edits not applied so far."""
        return [edit for key, edit in self._edits.items() if key not in self._made]

    def edit(self, node: Any, twin: ast.stmt) -> Any:
        """A statement with its own expressions edited, without those in its blocks.

        Raises:
            PairingError: the parsers disagree on the number of expressions.
        """
        mine = [n for n in _own_expressions(twin) if isinstance(n, _PAIRED) and not _is_no_string(n)]
        if not any(id(n) in self._edits for n in mine):
            return node
        collector = _Collector()
        collector.gather(node)
        pairs: dict[cst.CSTNode, ExpressionEdit] = {}
        for kind in _PAIRED:
            ours, theirs = [n for n in mine if isinstance(n, kind)], collector.found[kind]
            if kind in _SELDOM and not any(id(n) in self._edits for n in ours):
                continue
            if len(ours) != len(theirs):
                raise PairingError(f"line {twin.lineno}: the parsers disagree on the number of {kind.__name__} nodes")
            wanted = ((self._edits.get(id(n)), c) for n, c in zip(ours, theirs, strict=True))
            pairs.update({c: edit for edit, c in wanted if edit is not None})
        self._made.update(id(edit.node) for edit in pairs.values())
        return _Transformer(pairs, self._module, self._layout, self.transcript).transformed(node)


class _Collector(cst.CSTVisitor):
    """Collects calls, attributes, names … of one statement, in the order of the source, outermost first."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[type[ast.expr], list[cst.CSTNode]] = {kind: [] for kind in _PAIRED}
        self.labels: set[cst.CSTNode] = (
            set()
        )  # names that `ast` has as mere text: attributes, keywords, what is defined
        self.links: set[cst.CSTNode] = set()  # `a and b` in `a and b and c`, which is one operation for `ast`

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
        if node not in self.labels and node.value not in _CONSTANTS:
            self.found[ast.Name].append(node)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:  # noqa: N802
        self.labels.add(node.name)

    def visit_ClassDef(self, node: cst.ClassDef) -> None:  # noqa: N802
        self.labels.add(node.name)

    def visit_TypeVar(self, node: cst.TypeVar) -> None:  # noqa: N802  # pragma: no cover - syntax of Python 3.12
        self.labels.add(node.name)

    def visit_TypeVarTuple(self, node: cst.TypeVarTuple) -> None:  # noqa: N802  # pragma: no cover - syntax of Python 3.12
        self.labels.add(node.name)

    def visit_ParamSpec(self, node: cst.ParamSpec) -> None:  # noqa: N802  # pragma: no cover - syntax of Python 3.12
        self.labels.add(node.name)

    def visit_ExceptHandler(self, node: cst.ExceptHandler) -> None:  # noqa: N802
        self._label(node.name and node.name.name)

    def visit_ExceptStarHandler(self, node: cst.ExceptStarHandler) -> None:  # noqa: N802
        self._label(node.name and node.name.name)

    def visit_MatchAs(self, node: cst.MatchAs) -> None:  # noqa: N802
        self._label(node.name)

    def visit_MatchStar(self, node: cst.MatchStar) -> None:  # noqa: N802
        self._label(node.name)

    def visit_MatchMapping(self, node: cst.MatchMapping) -> None:  # noqa: N802
        self._label(node.rest)

    def visit_MatchKeywordElement(self, node: cst.MatchKeywordElement) -> None:  # noqa: N802
        self.labels.add(node.key)

    def _label(self, name: cst.CSTNode | None) -> None:
        if name is not None:
            self.labels.add(name)

    def visit_SimpleString(self, node: cst.SimpleString) -> None:  # noqa: N802
        self.found[ast.Constant].append(node)

    def visit_ConcatenatedString(self, node: cst.ConcatenatedString) -> bool:  # noqa: N802
        if not _is_formatted(node):
            self.found[ast.Constant].append(node)
        return False

    def visit_BooleanOperation(self, node: cst.BooleanOperation) -> None:  # noqa: N802
        if node not in self.links:
            self.found[ast.BoolOp].append(node)
        if _continues(node.left, node):
            self.links.add(node.left)

    def visit_IfExp(self, node: cst.IfExp) -> None:  # noqa: N802
        self.found[ast.IfExp].append(node)

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


def _is_formatted(node: cst.BaseExpression) -> bool:
    """Whether an f-string is among adjacent strings, which makes them one for `ast`."""
    if isinstance(node, cst.ConcatenatedString):
        return _is_formatted(node.left) or _is_formatted(node.right)
    return not isinstance(node, cst.SimpleString)


def _continues(left: cst.BaseExpression, operation: cst.BooleanOperation) -> bool:
    """Whether the left side is the same chain of `and`, or of `or`."""
    same = isinstance(left, cst.BooleanOperation) and type(left.operator) is type(operation.operator)
    return same and not left.lpar


class _Transformer:
    """Applies the expression edits of one statement, innermost first; only what an edit lies in is made anew."""

    def __init__(
        self, edits: dict[cst.CSTNode, ExpressionEdit], module: cst.Module, layout: Layout, transcript: Transcript
    ) -> None:
        self.edits = edits
        self.module = module
        self.layout = layout
        self.transcript = transcript

    def transformed(self, node: Any) -> Any:
        """A node with the edits in it made, without those in its blocks; itself, if there are none."""
        if isinstance(node, cst.IndentedBlock | cst.SimpleStatementSuite):
            return node
        changes = {}
        for name in _parts_of(node.__class__):
            value = getattr(node, name, None)
            new = self.field(value)
            if new is not value:
                changes[name] = new
        updated = node.with_changes(**changes) if changes else node
        return self.edited(node, updated) if node in self.edits else updated

    def field(self, value: Any) -> Any:
        if _is_node(value.__class__):
            return self.transformed(value)
        if not isinstance(value, list | tuple):
            return value
        items = [self.field(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value

    def edited(self, original: Any, updated: Any) -> Any:
        """What an expression becomes that has an edit of its own."""
        edit = self.edits[original]
        if isinstance(edit, ReplaceExpression):
            return _in_parentheses_of(updated, edit.text)
        if isinstance(edit, TakeBranch):
            return _within(updated, updated.body if edit.answer else updated.orelse)
        if isinstance(edit, DropOperands):
            return _within(updated, _without_operands(original, updated, edit.dropped))
        if isinstance(edit, Rename):
            return updated.with_changes(attr=cst.Name(edit.name))
        if isinstance(edit, Unwrap):
            inner = updated.func.value
            return inner.with_changes(lpar=[*updated.lpar, *inner.lpar], rpar=[*inner.rpar, *updated.rpar])
        rebuilt = rebuild_call(updated, edit, self.layout, self.module)
        self.transcript.after[id(edit.node)] = self.module.code_for_node(rebuilt)
        return rebuilt


@functools.cache
def _is_node(kind: type[Any]) -> bool:
    """Whether a kind of object is a node; asked of the object itself, it costs ten times as much."""
    return issubclass(kind, cst.CSTNode)


@functools.cache
def _parts_of(kind: type[Any]) -> tuple[str, ...]:
    """The fields of a kind of node in which expressions may stand."""
    return tuple(name for name in kind.__dataclass_fields__ if name not in _LAYOUT and "whitespace" not in name)


def _within(outer: Any, part: Any) -> Any:
    """A part of an expression in the place of the whole, in the parentheses of both."""
    return part.with_changes(lpar=[*outer.lpar, *part.lpar], rpar=[*part.rpar, *outer.rpar])


def _without_operands(original: Any, updated: Any, dropped: Collection[int]) -> cst.BaseExpression:
    """A chain of `and` or `or` without some of its operands, counted from the left."""
    operands, operator = [updated.right], updated.operator
    while _continues(original.left, original):
        original, updated = original.left, updated.left
        operands.insert(0, updated.right)
    operands.insert(0, updated.left)
    first, *others = (operand for index, operand in enumerate(operands) if index not in dropped)
    for operand in others:
        first = cst.BooleanOperation(first, operator, operand)
    return cast("cst.BaseExpression", first)


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
            if node is statement and name in _COMPOUND_FIELDS and not isinstance(statement, ast.expr):
                continue
            value = getattr(node, name, None)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.match_case):
                    waiting += [part for part in (child.pattern, child.guard) if part is not None]
                elif isinstance(child, ast.ExceptHandler):
                    waiting += [child.type] if child.type is not None else []
                elif isinstance(child, ast.AST) and not isinstance(child, ast.stmt):
                    waiting.append(child)
    found.sort(key=lambda n: (n.lineno, n.col_offset, -(n.end_lineno or 0), -(n.end_col_offset or 0)))
    return iter(found)
