"""Which readings of a variable a given assignment can reach: by blocks and positions, erring on the side of more."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from xf2sdpa.analysis.names import Names, Scope

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
Position = tuple[int, int]


def start(node: ast.stmt | ast.expr) -> Position:
    """Where a node begins."""
    return node.lineno, node.col_offset


def end(node: ast.stmt | ast.expr) -> Position:
    """Where a node ends."""
    return node.end_lineno or node.lineno, node.end_col_offset or node.col_offset


def block_of(names: Names, statement: ast.stmt) -> list[ast.stmt]:
    """The list of statements that a statement is one of."""
    parent = names.parents[id(statement)]
    for field in ("body", "orelse", "finalbody", "handlers"):
        block = getattr(parent, field, None)
        if isinstance(block, list) and statement in block:
            return block
    raise ValueError("a statement outside every block")


def enclosing(names: Names, statement: ast.stmt) -> Iterator[ast.stmt]:
    """A statement and the statements around it, up to the function."""
    current: ast.AST | None = statement
    while current is not None and not isinstance(current, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
        if isinstance(current, ast.stmt):
            yield current
        current = names.parents.get(id(current))


def binds(statement: ast.stmt, name: str) -> bool:
    """Whether a statement certainly gives a variable a new value, whatever happens in it."""
    if isinstance(statement, ast.Assign):
        return any(_in_target(target, name) for target in statement.targets)
    if isinstance(statement, ast.AnnAssign):
        return statement.value is not None and _in_target(statement.target, name)
    if isinstance(statement, ast.If):
        return bool(statement.orelse) and all(any(binds(s, name) for s in b) for b in (statement.body, statement.orelse))
    if isinstance(statement, ast.With):
        return any(binds(inner, name) for inner in statement.body)
    return False


def _in_target(target: ast.expr, name: str) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return any(_in_target(element, name) for element in target.elts)
    return isinstance(target, ast.Name) and target.id == name


def loads_of(names: Names, name: str, owner: Scope) -> list[ast.Name]:
    """Every reading of the variable `name` of a scope, inner functions included."""
    return [node for node in names.loads if node.id == name and names.scope_at[id(node)].owner(name) is owner]


def reached_loads(names: Names, name: str, definition: ast.stmt) -> list[ast.Name] | None:
    """The readings that an assignment can reach; None where the variable is shared with other functions."""
    owner = names.scopes[id(names.function(definition))].owner(name)
    if owner is None or not isinstance(owner.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
        return None
    loads = loads_of(names, name, owner)
    if any(names.function(load) is not owner.node for load in loads) or name in _shared(names, owner):
        return None
    cut = _next_binding(names, name, definition)
    loop = next((s for s in enclosing(names, definition) if isinstance(s, _LOOPS)), None)
    after = [load for load in loads if start(load) >= end(definition) and (cut is None or start(load) < cut)]
    if loop is not None and (cut is None or cut > end(loop)):
        after += [load for load in loads if start(loop) <= start(load) < start(definition)]
    return after


def _shared(names: Names, owner: Scope) -> set[str]:
    """Variables of a scope that other functions declare `global` or `nonlocal`."""
    return {n for scope in names.scopes.values() for n, target in scope.elsewhere.items() if target is owner}


def _next_binding(names: Names, name: str, definition: ast.stmt) -> Position | None:
    """The end of the next statement, in the same or an outer block, that certainly rebinds the variable."""
    for statement in enclosing(names, definition):
        block = block_of(names, statement) if not _is_handler_child(names, statement) else []
        for later in block[block.index(statement) + 1 :] if statement in block else []:
            if binds(later, name):
                return end(later)
    return None


def _is_handler_child(names: Names, statement: ast.stmt) -> bool:
    return isinstance(names.parents[id(statement)], ast.match_case)


def definition_before(names: Names, name: str, use: ast.AST) -> ast.stmt | None:
    """The one assignment that a reading sees, if it stands before it in the same or an outer block.

    None if another assignment could come in between, or there is no such statement.
    """
    statement = names.statement(use)
    owner = names.scopes[id(names.function(use))].owner(name)
    if owner is None:
        return None
    for current in enclosing(names, statement):
        block = block_of(names, current)
        for earlier in reversed(block[: block.index(current)]):
            if binds(earlier, name):
                return earlier if _only_between(owner, name, earlier, use) else None
    return None


def _only_between(owner: Scope, name: str, definition: ast.stmt, use: ast.AST) -> bool:
    nodes = [binding.node for binding in owner.bindings[name]]
    positions = [start(n) for n in nodes if isinstance(n, ast.stmt | ast.expr)]
    return not any(end(definition) <= p < start(use) for p in positions)  # type: ignore[arg-type]
