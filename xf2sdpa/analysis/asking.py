"""Functions that are given the name of a package and say whether it can be imported, and do nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping

from xf2sdpa.analysis.names import called_name

QUESTION = re.compile(r"is_xformers\w*|has_xformers|xformers_available")
"""Functions that ask whether xformers is there (XF403)."""

FINDING = frozenset({"find_spec", "find_loader"})
"""What gives None for a package that is not there."""
LOADING = frozenset({"import_module", "__import__", "version", "distribution", "get_distribution"})
"""What raises for one."""


def functions_of(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions that a module defines at its top level; none of a name that is defined twice."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(node)
    return {name: nodes[0] for name, nodes in found.items() if len(nodes) == 1}


def asks_for_argument(function: ast.FunctionDef, others: Mapping[str, ast.FunctionDef], depth: int = 0) -> bool:
    """Whether a function returns True for a package that is there and False for one that is not.

    Args:
        function: the function.
        others: the functions that it may call, by name.
        depth: how many functions have been followed already.
    """
    arguments = [*function.args.posonlyargs, *function.args.args]
    if len(arguments) != 1 or function.args.kwonlyargs or function.args.vararg or function.args.kwarg or depth > 2:
        return False
    package = arguments[0].arg
    body = [s for s in function.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    body = [s for s in body if not isinstance(s, ast.Import | ast.ImportFrom)]
    if len(body) == 2 and isinstance(body[0], ast.Assign) and isinstance(body[1], ast.Return):
        target = getattr(body[0].targets[0], "id", "")
        return _calls(body[0].value, package, FINDING) and _is_there(body[1].value, lambda x: _is_name(x, target))
    if len(body) == 1 and isinstance(body[0], ast.Return):
        value = body[0].value
        if _is_there(value, lambda node: _calls(node, package, FINDING)):
            return True
        other = others.get(called_name(value.func)) if isinstance(value, ast.Call) else None
        handed = other is not None and _calls(value, package, frozenset({other.name}))
        return handed and other is not None and asks_for_argument(other, others, depth + 1)
    return bool(body) and isinstance(body[0], ast.Try) and _tries(body[0], body[1:], package)


def looks_up_its_argument(function: ast.AST) -> bool:
    """Whether something asks, in whatever way, for a package whose name it does not write out."""
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call) and node.args)
    return any(
        called_name(call.func) in FINDING | LOADING and not isinstance(call.args[0], ast.Constant) for call in calls
    )


def _tries(guard: ast.Try, after: list[ast.stmt], package: str) -> bool:
    """`try: import_module(name) … except …: return False`, with True wherever nothing fails."""
    first, *rest = guard.body
    value = first.value if isinstance(first, ast.Expr | ast.Assign) else None
    if not _calls(value, package, FINDING | LOADING) or _calls(value, package, FINDING) or guard.finalbody:
        return False
    refused = all(len(h.body) == 1 and _returns(h.body[0], False) for h in guard.handlers)
    works = [*rest, *guard.orelse, *after]
    return bool(guard.handlers) and refused and len(works) == 1 and _returns(works[0], True)


def _returns(statement: ast.stmt, value: bool) -> bool:
    returned = statement.value if isinstance(statement, ast.Return) else None
    return isinstance(returned, ast.Constant) and returned.value is value


def _is_there(node: ast.expr | None, is_it: Callable[[ast.AST], bool]) -> bool:
    """`x is not None`, `bool(x)`, where `is_it` knows x."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.IsNot):
        other = node.comparators[0]
        return isinstance(other, ast.Constant) and other.value is None and is_it(node.left)
    if isinstance(node, ast.Call) and called_name(node.func) == "bool" and len(node.args) == 1:
        return is_it(node.args[0])
    return False


def _calls(node: ast.AST | None, package: str, functions: frozenset[str]) -> bool:
    if not isinstance(node, ast.Call) or node.keywords or len(node.args) != 1:
        return False
    return called_name(node.func) in functions and _is_name(node.args[0], package)


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
