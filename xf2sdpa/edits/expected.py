"""The program that the edits ask for, made on the syntax tree alone: what the self-check holds the new text against.

It knows nothing of LibCST, of lines or of spelling, so a fault in how edits are carried out cannot hide in it.
"""

from __future__ import annotations

import ast
import copy
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from xf2sdpa.edits.kinds import (
    AddImport,
    ArgumentEdit,
    CallEdit,
    CstPath,
    DropOperands,
    Edit,
    ExpressionEdit,
    InsertBefore,
    RemoveAliases,
    Rename,
    ReplaceExpression,
    ReplaceStatement,
    StatementEdit,
    TakeArm,
    TakeBranch,
    TakeElse,
    TakeHandler,
    Unguard,
    Unwrap,
    Within,
)

_BLOCKS = ("body", "orelse", "finalbody")
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_Node = TypeVar("_Node", bound=ast.AST)


def expected(tree: ast.Module, edits: Sequence[Edit]) -> ast.Module:
    """The syntax tree of the new text; `tree` stays as it is."""
    return _Program(edits).module(tree)


class _Program:
    def __init__(self, edits: Sequence[Edit]) -> None:
        self.expressions = {id(e.node): e for e in edits if isinstance(e, ExpressionEdit)}
        self.statements = {id(e.node): e for e in edits if isinstance(e, StatementEdit)}
        self.imports: dict[int, list[ast.stmt]] = {}
        self.before: dict[int, list[ast.stmt]] = {}
        places = [edit.after if isinstance(edit, AddImport) else edit.node for edit in edits]
        self.lines = sorted(place.lineno for place in places if place is not None)
        self.within = {id(edit.node): edit.head for edit in edits if isinstance(edit, Within)}
        for edit in edits:
            if isinstance(edit, AddImport):
                self.imports.setdefault(id(edit.after), []).extend(ast.parse(edit.text).body)
            elif isinstance(edit, InsertBefore):
                self.before.setdefault(id(edit.node), []).extend(ast.parse(edit.text).body)

    def module(self, tree: ast.Module) -> ast.Module:
        body = self.block(tree.body)
        first = self.imports.get(id(None), [])
        place = _after_preamble(tree)
        return ast.Module([*body[:place], *reversed(first), *body[place:]], [])

    def block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        return [new for statement in statements for new in self.statement(statement)]

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        """What a statement becomes, and the imports that come in behind it."""
        edit = self.statements.get(id(node))
        if isinstance(edit, ReplaceStatement):
            new = ast.parse(edit.text).body
        elif isinstance(edit, RemoveAliases):
            left = [alias for alias in edit.node.names if (alias.asname or alias.name) not in edit.bound]
            new = [_changed(edit.node, names=left)] if left else []
        elif isinstance(edit, TakeArm):
            new = self.block(edit.node.body if edit.answer else edit.node.orelse)
        elif isinstance(edit, TakeHandler):
            new = self.block(edit.node.handlers[0].body)
        elif isinstance(edit, TakeElse):
            new = [_changed(edit.node, test=_expression(edit.condition), body=self.block(edit.node.orelse), orelse=[])]
        elif isinstance(edit, Unguard):
            frame = edit.node
            rest = [*frame.orelse, *frame.finalbody] if isinstance(frame, ast.Try) else []
            new = self.block([*frame.body, *rest])
        else:
            new = [self.copied(node) if self.is_touched(node) else node]
        if id(node) in self.within:
            around = ast.parse(f"{self.within[id(node)]}\n    pass").body[0]
            new = [_changed(around, body=new)]
        return [*self.before.get(id(node), ()), *new, *self.imports.get(id(node), ())]

    def is_touched(self, node: ast.stmt) -> bool:
        """Whether an edit is about something on the lines of a statement."""
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
        place = bisect_left(self.lines, first)
        return place < len(self.lines) and self.lines[place] <= (node.end_lineno or first)

    def copied(self, node: _Node) -> _Node:
        """A node with its parts edited; itself, if nothing in it is."""
        changes: dict[str, Any] = {}
        for name in node._fields:
            value = getattr(node, name, None)
            new = self.field(node, name, value)
            if new is not value:
                changes[name] = new
        return _changed(node, **changes) if changes else node

    def field(self, node: ast.AST, name: str, value: Any) -> Any:
        if name in _BLOCKS and isinstance(value, list) and not isinstance(node, ast.expr):
            new = self.block(value)
            if not new and value and (name == "body" and not isinstance(node, ast.Module)):
                new = [ast.Pass()]
            return value if all(map(_is, new, value)) and len(new) == len(value) else new
        if isinstance(value, list):
            items = [self.part(item) if isinstance(item, ast.AST) else item for item in value]
            return value if all(map(_is, items, value)) else items
        return self.part(value) if isinstance(value, ast.AST) else value

    def part(self, node: ast.AST) -> ast.AST:
        """An expression, a handler, a case, an argument …, edited."""
        edit = self.expressions.get(id(node))
        if edit is None:
            return self.copied(node)
        if isinstance(edit, ReplaceExpression):
            return _expression(edit.text)
        if isinstance(edit, TakeBranch):
            return self.part(edit.node.body if edit.answer else edit.node.orelse)
        if isinstance(edit, DropOperands):
            left = [self.part(value) for i, value in enumerate(edit.node.values) if i not in edit.dropped]
            return left[0] if len(left) == 1 else ast.BoolOp(edit.node.op, cast("list[ast.expr]", left))
        if isinstance(edit, Unwrap):
            return self.part(cast("ast.Attribute", edit.node.func).value)
        if isinstance(edit, Rename):
            return _changed(self.copied(edit.node), attr=edit.name)
        return self.call(edit)

    def call(self, edit: CallEdit) -> ast.expr:
        positional: list[ast.expr] = []
        keywords: list[ast.keyword] = []
        for value in (*edit.node.args, *(keyword.value for keyword in edit.node.keywords)):
            change = edit.arguments.get(id(value))
            if change is None:
                continue
            new = self.argument(value, change)
            if change.keyword is None and value in edit.node.args:
                positional.append(new)
            else:
                keywords.append(ast.keyword(change.keyword or _keyword_of(edit.node, value), new))
        call = ast.Call(_expression(edit.function), positional, keywords)
        return _with_suffix(call, edit.suffix)

    def argument(self, value: ast.expr, change: ArgumentEdit) -> ast.expr:
        if change.text:
            return _expression(change.text)
        part = cast("ast.expr", self.part(_at(value, change.take)))
        return _with_suffix(_wrapped(part, change.wrap), change.suffix)


def _is(one: object, other: object) -> bool:
    return one is other


def _changed(node: _Node, **changes: Any) -> _Node:
    new = copy.copy(node)
    for name, value in changes.items():
        setattr(new, name, value)
    return new


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _keyword_of(call: ast.Call, value: ast.expr) -> str | None:
    return next((keyword.arg for keyword in call.keywords if keyword.value is value), None)


def _at(node: Any, path: CstPath) -> ast.AST:
    """The node that a path on LibCST's tree leads to, on this one."""
    for step in path:
        if isinstance(step, int):
            node = node[step]
        elif isinstance(node, ast.UnaryOp):
            node = node.operand
        elif step != "value" or isinstance(node, ast.Attribute):  # an argument is its value here
            node = getattr(node, step)
    return cast("ast.AST", node)


def _wrapped(value: ast.expr, wrap: str) -> ast.expr:
    if wrap == "bool":
        return ast.Call(ast.Name("bool", ast.Load()), [value], [])
    if wrap != "not":
        return value
    if isinstance(value, ast.Compare) and len(value.ops) == 1 and type(value.ops[0]) in _OPPOSITE:
        return ast.Compare(value.left, [_OPPOSITE[type(value.ops[0])]()], value.comparators)
    return ast.UnaryOp(ast.Not(), value)


def _with_suffix(value: ast.expr, suffix: str) -> ast.expr:
    """`value.transpose(1, 2)` for the suffix `.transpose(1, 2)`."""
    if not suffix:
        return value
    chain = _expression(f"_{suffix}")
    inner: Any = chain
    while not isinstance(getattr(inner, "value", None), ast.Name):
        inner = inner.func if isinstance(inner, ast.Call) else inner.value
    inner.value = value
    return chain


def top_line(tree: ast.Module) -> int:
    """The line of the first statement behind the docstring and `from __future__` imports; 1 if there is none."""
    behind = tree.body[_after_preamble(tree) :]
    return min([behind[0].lineno, *(d.lineno for d in getattr(behind[0], "decorator_list", ()))]) if behind else 1


def _after_preamble(tree: ast.Module) -> int:
    """How many statements must stay first: the docstring and `from __future__` imports.

    Counted here once more, since a check that asks the editor's own function would share its mistakes.
    """
    count = 0
    for statement in tree.body:
        is_doc = count == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_doc and not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            break
        count += 1
    return count
