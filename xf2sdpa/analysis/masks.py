"""Recognises `attn_bias` arguments that are a causal mask or None, depending on a condition."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xf2sdpa.analysis.api import CAUSAL, api_name
from xf2sdpa.analysis.flow import binds, block_of, definition_before, end, reached_loads, start
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.spans import source_of


@dataclass(frozen=True)
class CausalChoice:
    """Causal if `test` is true (with `negated`, if it is false), else no mask.

    `statements` are those that only assign the mask; the condition is evaluated in the place of the last of them.
    """

    test: ast.expr
    negated: bool
    statements: tuple[ast.stmt, ...] = ()


def conditional_expression(node: ast.expr, names: Names) -> CausalChoice | None:
    """`LowerTriangularMask() if c else None`, or the other way round."""
    if not isinstance(node, ast.IfExp):
        return None
    if makes_causal(node.body, names) and _is_none(node.orelse):
        return choice(node.test, negated=False)
    if _is_none(node.body) and makes_causal(node.orelse, names):
        return choice(node.test, negated=True)
    return None


def choice(test: ast.expr, *, negated: bool, statements: tuple[ast.stmt, ...] = ()) -> CausalChoice:
    """A choice by a condition; a leading `not` goes into `negated`."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, negated = test.operand, not negated
    return CausalChoice(test, negated, statements)


def conditional_definition(node: ast.Name, names: Names) -> CausalChoice | None:
    """The same choice, assigned to a variable that only this call reads.

    `mask = LowerTriangularMask() if c else None`; an if/else that assigns both; `mask = None` and an `if` after it.
    """
    owner = names.scopes[id(names.function(node))].owner(node.id)
    definition = definition_before(names, node.id, node)
    if owner is None or any(not isinstance(b.node, ast.Assign) for b in owner.bindings[node.id]):
        return None
    if definition is None:
        definition = _default_before(names, node)
    if definition is None or reached_loads(names, node.id, definition) != [node]:
        return None
    if isinstance(definition, ast.Assign):
        found = conditional_expression(definition.value, names) if len(definition.targets) == 1 else None
        if found is not None:
            return replace(found, statements=(definition,))
        return _overwritten_default(definition, node, names)
    return _if_else(definition, node.id, names)


def _default_before(names: Names, node: ast.Name) -> ast.stmt | None:
    """The `mask = None` before an `if` that may overwrite it, in the call's block; both assignments reach the call."""
    statement = names.statement(node)
    block = block_of(names, statement)
    index = block.index(statement)
    for earlier in reversed(block[:index]):
        if binds(earlier, node.id):
            return earlier
    return None


def _if_else(statement: ast.stmt, name: str, names: Names) -> CausalChoice | None:
    if not (isinstance(statement, ast.If) and len(statement.body) == len(statement.orelse) == 1):
        return None
    first, second = (_assigned(block[0], name) for block in (statement.body, statement.orelse))
    if first is None or second is None:
        return None
    if makes_causal(first, names) and _is_none(second):
        return choice(statement.test, negated=False, statements=(statement,))
    if _is_none(first) and makes_causal(second, names):
        return choice(statement.test, negated=True, statements=(statement,))
    return None


def _overwritten_default(default: ast.Assign, node: ast.Name, names: Names) -> CausalChoice | None:
    """The choice of `mask = None` and, later in the same block, `if c: mask = LowerTriangularMask()`; or swapped."""
    block = block_of(names, default)
    later = [s for s in block[block.index(default) + 1 :] if isinstance(s, ast.If) and _mentions_target(s, node.id)]
    if len(default.targets) != 1 or len(later) != 1:
        return None
    statement = later[0]
    if statement.orelse or len(statement.body) != 1 or bindings_between(names, node, default) != 1:
        return None
    made = _assigned(statement.body[0], node.id)
    if made is None:
        return None
    if _is_none(default.value) and makes_causal(made, names):
        return choice(statement.test, negated=False, statements=(default, statement))
    if makes_causal(default.value, names) and _is_none(made):
        return choice(statement.test, negated=True, statements=(default, statement))
    return None


def bindings_between(names: Names, node: ast.Name, definition: ast.stmt) -> int:
    """How many other assignments to the variable stand between a definition of it and a read."""
    owner = names.scopes[id(names.function(node))].owner(node.id)
    places = [start(b.node) for b in owner.bindings[node.id] if isinstance(b.node, ast.stmt)] if owner else []
    return sum(end(definition) <= place < start(node) for place in places)


def _mentions_target(statement: ast.If, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for n in ast.walk(statement))


def _assigned(statement: ast.stmt, name: str) -> ast.expr | None:
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target = statement.targets[0]
    return statement.value if isinstance(target, ast.Name) and target.id == name else None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def makes_causal(node: ast.expr, names: Names) -> bool:
    """Whether an expression creates a causal mask, and does nothing besides."""
    return isinstance(node, ast.Call) and api_name(names.resolve(node.func)) == CAUSAL and is_idle(node, names)


def is_idle(node: ast.expr, names: Names) -> bool:
    """Whether a mask's expression has no side effect: it calls nothing but the causal mask's class and its `to`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "to":
        return all(is_idle(part, names) for part in (node.func.value, *node.args, *(k.value for k in node.keywords)))
    acting = (ast.Await, ast.NamedExpr, ast.Yield, ast.YieldFrom)
    parts = list(ast.walk(node))
    made = (api_name(names.resolve(part.func)) == CAUSAL for part in parts if isinstance(part, ast.Call))
    return all(made) and not any(isinstance(part, acting) for part in parts)


def is_boolean(node: ast.expr) -> bool:
    """Whether an expression is certainly a bool, not a tensor or another true or false value."""
    if isinstance(node, ast.Compare):
        return all(isinstance(op, ast.Is | ast.IsNot | ast.In | ast.NotIn) for op in node.ops) or _plain_comparison(
            node
        )
    if isinstance(node, ast.BoolOp):
        return all(map(is_boolean, node.values))
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in (
            "isinstance",
            "bool",
            "callable",
            "hasattr",
            "issubclass",
        )
    return (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)) or _is_bool_constant(node)


def _plain_comparison(node: ast.Compare) -> bool:
    """Whether a comparison involves a constant and no call: one with a call, `mask.sum() > 0`, may be a tensor."""
    sides = (node.left, *node.comparators)
    called = any(isinstance(part, ast.Call) for side in sides for part in ast.walk(side))
    return not called and any(isinstance(side, ast.Constant) for side in sides)


def _is_bool_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


_OPPOSITE = {
    ast.Is: "is not", ast.IsNot: "is", ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip


def negation(test: ast.expr, lines: Sequence[str]) -> str:
    """The text of `not test`, as a person would write it."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in _OPPOSITE:
        left, right = source_of(test.left, lines), source_of(test.comparators[0], lines)
        return f"{left} {_OPPOSITE[type(test.ops[0])]} {right}"
    text = source_of(test, lines)
    tight = isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
    return f"not {text}" if tight else f"not ({text})"
