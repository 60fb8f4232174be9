"""Edits carried out on small programs, by the editor alone: no rule, no self-check."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import libcst as cst

from xf2sdpa.edits.kinds import ArgumentEdit, CallEdit, Edit
from xf2sdpa.edits.layout import Layout
from xf2sdpa.edits.statements import apply_edits

Node = TypeVar("Node", bound=ast.AST)


def carried_out(text: str, edits: Callable[[ast.Module], Sequence[Edit]], width: int | None = None) -> str:
    """A text with the edits made that are chosen from its tree."""
    tree = ast.parse(text)
    module, _ = apply_edits(cst.parse_module(text), tree, edits(tree), Layout.of(text, width))
    assert ast.dump(ast.parse(module.code)), "what the editor writes must parse"
    return module.code


def every(kind: type[Node], tree: ast.AST) -> Iterator[Node]:
    """The nodes of a kind, in the order of the source."""
    found = [node for node in ast.walk(tree) if isinstance(node, kind)]
    return iter(sorted(found, key=lambda node: (node.lineno, node.col_offset)))  # type: ignore[attr-defined]


def called(name: str, tree: ast.AST) -> ast.Call:
    """The first call of a function or method of that name."""
    calls = (node for node in every(ast.Call, tree))
    return next(call for call in calls if getattr(call.func, "id", getattr(call.func, "attr", "")) == name)


def statement(start: str, tree: ast.AST) -> ast.stmt:
    """The first statement that, written plainly, begins so."""
    return next(node for node in every(ast.stmt, tree) if ast.unparse(node).startswith(start))


def as_it_is(call: ast.Call) -> dict[int, ArgumentEdit]:
    """The arguments of a call, none of them changed."""
    given = {id(value): ArgumentEdit(None) for value in call.args}
    return given | {id(keyword.value): ArgumentEdit(keyword.arg) for keyword in call.keywords}


def renamed(call: ast.Call, function: str, suffix: str = "", **changes: ArgumentEdit) -> CallEdit:
    """A call of another function; arguments change by what they are written like."""
    given = as_it_is(call)
    for value in (*call.args, *(keyword.value for keyword in call.keywords)):
        if ast.unparse(value) in changes:
            given[id(value)] = changes[ast.unparse(value)]
    return CallEdit(call, function, given, suffix)
