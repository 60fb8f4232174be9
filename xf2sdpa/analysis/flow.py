"""Which reads of a variable an assignment can reach, from blocks and positions; in doubt, a read counts as reached."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.scopes import Scope

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
Position = tuple[int, int]


def start(node: ast.stmt | ast.expr | ast.arg) -> Position:
    """The line and column where a node begins."""
    return node.lineno, node.col_offset


def end(node: ast.stmt | ast.expr) -> Position:
    """The line and column where a node ends."""
    return node.end_lineno or node.lineno, node.end_col_offset or node.col_offset


def block_of(names: Names, statement: ast.stmt) -> list[ast.stmt]:
    """The list of statements that contains a statement."""
    parent = names.parents[id(statement)]
    blocks = [getattr(parent, field, None) for field in ("body", "orelse", "finalbody")]
    return next(block for block in blocks if isinstance(block, list) and statement in block)


def enclosing(names: Names, statement: ast.stmt) -> Iterator[ast.stmt]:
    """A statement and the statements around it, innermost first, up to the function."""
    current: ast.AST | None = statement
    while current is not None and not isinstance(current, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
        if isinstance(current, ast.stmt):
            yield current
        current = names.parents.get(id(current))


def binds(statement: ast.stmt, name: str) -> bool:
    """Whether a statement certainly assigns a variable, whichever branch it takes."""
    if isinstance(statement, ast.Assign):
        return any(_in_target(target, name) for target in statement.targets)
    if isinstance(statement, ast.AnnAssign):
        return statement.value is not None and _in_target(statement.target, name)
    if isinstance(statement, ast.If):
        return bool(statement.orelse) and all(
            any(binds(s, name) for s in b) for b in (statement.body, statement.orelse)
        )
    if isinstance(statement, ast.With):
        return any(binds(inner, name) for inner in statement.body)
    return False


def _in_target(target: ast.expr, name: str) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return any(_in_target(element, name) for element in target.elts)
    return isinstance(target, ast.Name) and target.id == name


def loads_of(names: Names, name: str, owner: Scope) -> list[ast.Name]:
    """Every read of the variable `name` of a scope, also in inner functions."""
    return [node for node in names.loads.get(name, ()) if owner in _owners(names.scope_at[id(node)], name)]


def _owners(scope: Scope, name: str) -> list[Scope | None]:
    """Whose variable a read may mean: in the body of a class, `name = name` reads the one outside."""
    inner = scope.owner(name)
    outer = scope.parent.owner(name) if isinstance(scope.node, ast.ClassDef) and scope.parent is not None else inner
    return [inner, outer]


def reached_loads(names: Names, name: str, definition: ast.stmt) -> list[ast.Name] | None:
    """The reads that an assignment can reach; None where the variable is shared with other functions."""
    owner = names.scopes[id(names.function(definition))].owner(name)
    if owner is None or not isinstance(owner.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
        return None
    loads = loads_of(names, name, owner)
    if any(names.function(load) is not owner.node for load in loads) or (id(owner), name) in names.shared:
        return None
    return _reached(names, name, definition, loads)


def reached_updates(names: Names, name: str, definition: ast.stmt) -> list[ast.Name]:
    """The targets of the `name += …` that an assignment can reach: these change a tensor in place."""
    function = names.function(definition)
    targets = (node.target for node in ast.walk(function) if isinstance(node, ast.AugAssign))
    same = [target for target in targets if isinstance(target, ast.Name) and target.id == name]
    return _reached(names, name, definition, [target for target in same if names.function(target) is function])


def _reached(names: Names, name: str, definition: ast.stmt, uses: Sequence[ast.Name]) -> list[ast.Name]:
    """Those uses of a variable that may see the value of an assignment."""
    loop = next((s for s in enclosing(names, definition) if isinstance(s, _LOOPS)), None)
    first = start(loop) if loop is not None else end(definition)
    return [
        use
        for use in uses
        if start(use) >= first and not (start(definition) <= start(use) < end(definition) and loop is None)
        if not _is_rebound_before(names, name, definition, use) and not _in_other_arm(names, definition, use, loop)
    ]


def is_repeated(names: Names, definition: ast.stmt, use: ast.expr) -> bool:
    """Whether one assigned value is used in several iterations: a loop encloses the use but not the assignment."""
    around = list(enclosing(names, definition))
    return any(isinstance(s, _LOOPS) and s not in around for s in enclosing(names, names.statement(use)))


def in_two_arms(names: Names, one: ast.expr | ast.stmt, other: ast.expr) -> bool:
    """Whether one pass reaches only one of two uses: they are in two arms of an `if`, or the first's block returns."""
    lasts = (block_of(names, statement)[-1] for statement in enclosing(names, names.statement(one)))
    if any(isinstance(last, ast.Return) and end(last) <= start(other) for last in lasts):
        return True
    return _in_other_arm(names, names.statement(one), other, None)


def _in_other_arm(names: Names, definition: ast.stmt, load: ast.expr, loop: ast.stmt | None) -> bool:
    """Whether a definition and a read stand in the two arms of one `if` inside `loop`, the definition's own loop."""
    around = {id(statement) for statement in enclosing(names, names.statement(load))}
    inner: ast.stmt = definition
    for statement in enclosing(names, definition):
        if statement is loop:
            return False
        if isinstance(statement, ast.If) and id(statement) in around and statement is not inner:
            other = statement.orelse if inner in statement.body else statement.body
            if any(id(arm) in around for arm in other):
                return True
        inner = statement
    return False


def _is_rebound_before(names: Names, name: str, definition: ast.stmt, load: ast.Name) -> bool:
    """Whether the variable is certainly assigned again between the definition and the read."""
    wrapped = start(load) < end(definition)
    if not wrapped and any(end(later) <= start(load) for later in _rebindings_after(names, name, definition)):
        return True
    for statement in enclosing(names, names.statement(load)):
        block = block_of(names, statement)
        for earlier in block[: block.index(statement)]:
            if earlier is not definition and (wrapped or start(earlier) >= end(definition)) and binds(earlier, name):
                return True
    return False


def _rebindings_after(names: Names, name: str, definition: ast.stmt) -> Iterator[ast.stmt]:
    """Later statements of the definition's block, and of the blocks around it, that certainly assign the variable."""
    for statement in enclosing(names, definition):
        block = block_of(names, statement)
        yield from (later for later in block[block.index(statement) + 1 :] if binds(later, name))


def definition_before(names: Names, name: str, use: ast.AST) -> ast.stmt | None:
    """The one assignment whose value a read sees, if it stands before the read in the same or an outer block.

    None if there is none, or another assignment stands between the two.
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
