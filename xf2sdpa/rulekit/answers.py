"""A question whose answer is known is settled where it is asked, with all that the answer makes idle.

`if QUESTION: a else: b` becomes `a`, `x and QUESTION` becomes `x`, `a if QUESTION else b` becomes `a`: what a careful
person would write, not `if True:`.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from xf2sdpa.analysis.effects import is_idle
from xf2sdpa.analysis.flow import block_of
from xf2sdpa.analysis.foreign import LEAVING
from xf2sdpa.analysis.imports import bound_name
from xf2sdpa.analysis.masks import is_boolean
from xf2sdpa.edits.kinds import DropOperands, Replaceable, TakeArm, TakeBranch
from xf2sdpa.rulekit.draft import FileDraft, Request


def answer(file: FileDraft, question: ast.expr, value: bool, code: str) -> bool:
    """Write the answer to a question in its place; whether it will stand there.

    Args:
        file: the file.
        question: an expression that asks nothing but what is answered.
        value: the answer.
        code: what the edit is reported under.
    """
    parent = file.names.parents[id(question)]
    if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
        return answer(file, parent, not value, code)
    if isinstance(parent, ast.BoolOp):
        return _among_others(file, parent, question, value, code)
    if isinstance(parent, ast.IfExp) and parent.test is question:
        if not can_go(file, [parent.orelse if value else parent.body]):
            return _constant(file, question, value, code)
        return _take(file, TakeBranch(parent, value), [question, parent.orelse if value else parent.body], code)
    if isinstance(parent, ast.If) and parent.test is question:
        lost = [question, *(parent.orelse if value else parent.body)]
        if not can_go(file, lost):
            return _constant(file, question, value, code)
        taken = _take(file, TakeArm(parent, value), lost, code)
        if taken:
            _drop_unreached(file, parent, parent.body if value else parent.orelse, code)
        return taken
    if isinstance(parent, ast.Assert) and parent.test is question and value and can_go(file, [parent]):
        return file.drop(parent, code)
    return _constant(file, question, value, code)


def can_go(file: FileDraft, lost: Sequence[ast.AST]) -> bool:
    """Whether code that never runs can be removed and its function still means the same.

    A `yield` makes it a generator, even one that is never reached; `global` says whose a variable is, and a place that
    binds a variable makes it the function's own.
    """
    parts = [part for node in lost for part in ast.walk(node) if isinstance(part, ast.expr | ast.stmt)]
    inside = set(map(id, parts))
    for part in parts:
        scope = file.names.scopes[id(file.names.function(part))]
        if id(scope.node) in inside or scope is file.names.module:
            continue
        if isinstance(part, ast.Yield | ast.YieldFrom | ast.Global | ast.Nonlocal):
            return False
        for name in _bound(part):
            elsewhere = any(id(binding.node) not in inside for binding in scope.bindings.get(name, ()))
            if not elsewhere and any(id(load) not in inside for load in file.readers(name, scope)):
                return False
    return True


def _bound(node: ast.AST) -> list[str]:
    """The variables that a node binds by itself."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [bound_name(node, alias) for alias in node.names]
    return [node.name] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else []


def is_condition(file: FileDraft, node: ast.expr) -> bool:
    """Whether only the truth of an expression matters where it stands."""
    parent = file.names.parents[id(node)]
    if isinstance(parent, ast.UnaryOp):
        return isinstance(parent.op, ast.Not)
    if isinstance(parent, ast.BoolOp):
        return is_condition(file, parent)
    return isinstance(parent, ast.If | ast.IfExp | ast.While | ast.Assert) and parent.test is node


def _among_others(file: FileDraft, operation: ast.BoolOp, question: ast.expr, value: bool, code: str) -> bool:
    """A question among the operands of `and` or `or`: it decides all, or nothing."""
    index = operation.values.index(question)
    before = operation.values[:index]
    if isinstance(operation.op, ast.And) is not value:  # `x and False`, `x or True`
        if not before or (is_condition(file, operation) and all(is_idle(x) for x in before)):
            return answer(file, operation, value, code)
        return _constant(file, question, value, code)
    told = next((e for e in file.edits if isinstance(e, DropOperands) and e.node is operation), None)
    dropped = frozenset({index}) | (told.dropped if told is not None else frozenset())
    if len(dropped) == len(operation.values):
        return answer(file, operation, value, code)
    left = [x for i, x in enumerate(operation.values) if i not in dropped]
    ends_in_it = index > max(operation.values.index(x) for x in left)
    if ends_in_it and not (is_condition(file, operation) or all(map(is_boolean, left))):
        return _constant(file, question, value, code)  # `x and True` is True where x is true, whatever x is
    if told is not None:
        file.requests.remove(Request(told, code))
    return _take(file, DropOperands(operation, dropped), [question], code)


def _take(file: FileDraft, edit: TakeBranch | TakeArm | DropOperands, lost: list[ast.AST], code: str) -> bool:
    if not file.ask(edit, code):
        return False
    for node in lost:
        file.take_away(node)
    return True


def _drop_unreached(file: FileDraft, choice: ast.If, arm: list[ast.stmt], code: str) -> None:
    """Drop what stands behind an arm that is always taken and that leaves the block."""
    if not (arm and isinstance(arm[-1], LEAVING)) or file.names.function(choice) is file.tree:
        return
    block = block_of(file.names, choice)
    behind = block[block.index(choice) + 1 :]
    if can_go(file, behind):
        for statement in behind:
            file.drop(statement, code)


def can_be_written(file: FileDraft, question: ast.expr, value: bool) -> bool:
    """Whether an answer can stand in the place of a question: where no arm is taken, not of every expression."""
    parent = file.names.parents[id(question)]
    if isinstance(question, Replaceable) or isinstance(parent, ast.If | ast.IfExp | ast.UnaryOp):
        return True
    return isinstance(parent, ast.Assert) and value


def _constant(file: FileDraft, question: ast.expr, value: bool, code: str) -> bool:
    """The answer as a constant, where nothing shorter can be said."""
    return isinstance(question, Replaceable) and file.replace(question, str(value), code)
