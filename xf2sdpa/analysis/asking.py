"""Functions that are given the name of a package and say whether it can be imported, and do nothing else.

Such a function is run here, statement by statement, once as if the package were there and once as if it were missing.
Only what such functions are made of is known; anything else in one makes the answer unknown.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.imports import only_says
from xf2sdpa.analysis.names import called_name

_QUESTION = re.compile(r"is_xformers\w*|has_xformers|xformers_available")

FINDING = frozenset({"find_spec", "find_loader"})
"""What gives None for a package that is not there."""
LOADING = frozenset({"import_module", "__import__", "version", "distribution", "get_distribution"})
"""What raises for one."""


def is_question(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether something calls a function that asks, by its name, whether xformers is there (XF403)."""
    return isinstance(node, ast.Call) and is_named_as_question(called_name(node.func))


def is_named_as_question(name: str) -> bool:
    """Whether a function of this name asks whether xformers is there."""
    return _QUESTION.fullmatch(name) is not None


def functions_of(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions that a module defines at its top level; none of a name that is defined twice."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(node)
    return {name: nodes[0] for name, nodes in found.items() if len(nodes) == 1}


def asks_for_argument(function: ast.FunctionDef, others: Mapping[str, ast.FunctionDef]) -> bool:
    """Whether a function returns True for a package that is there and False for one that is not.

    Args:
        function: the function, called with the package's name alone.
        others: the functions that it may call, by name.
    """
    try:
        found = _World(others, there=True).called(function, [_PACKAGE])
        missed = _World(others, there=False).called(function, [_PACKAGE])
    except (_Unknown, _Missing):
        return False
    return found is True and (missed is False or missed is None)


def gives_something(function: ast.FunctionDef, others: Mapping[str, ast.FunctionDef]) -> bool:
    """Whether a function gives something where xformers is there (a module, its release, True) and None without it."""
    try:
        found = _World(others, there=True).called(function, [])
        missed = _World(others, there=False).called(function, [])
    except (_Unknown, _Missing):
        return False
    return (found is True or found is _THERE) and missed is None


def asks_alone(function: ast.FunctionDef, others: Mapping[str, ast.FunctionDef]) -> bool:
    """Whether a function says yes where xformers is there and no where it is not, whatever else there is."""
    try:
        found = _World(others, there=True).called(function, [])
        missed = _World(others, there=False).called(function, [])
    except (_Unknown, _Missing):
        return False
    plain = all(called_name(getattr(d, "func", d)) in ("cache", "lru_cache") for d in function.decorator_list)
    return plain and bool(found) and not missed


def looks_up_its_argument(function: ast.AST) -> bool:
    """Whether something asks, in whatever way, for a package whose name it does not write out."""
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call) and node.args)
    return any(
        called_name(call.func) in FINDING | LOADING and not isinstance(call.args[0], ast.Constant) for call in calls
    )


_PACKAGE = "xformers"
_THERE = object()
"""A module, its spec or its release: something, and not None."""
_CAUGHT = frozenset(
    {
        "",
        "ImportError",
        "ModuleNotFoundError",
        "PackageNotFoundError",
        "DistributionNotFound",
        "Exception",
        "BaseException",
    }
)
"""Handlers that a missing package leads to, whichever look-up it is."""
_PRESENT = sys.stdlib_module_names | {"torch", "packaging", "importlib_metadata", "pkg_resources"}
"""Packages that are there in any case."""
_DEEPEST = 3


class _Unknown(Exception):
    """What the function does depends on something else as well."""


class _Missing(Exception):
    """What a look-up raises where the package is missing."""


class _Returned(Exception):
    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


class _World:
    """One in which the package is there, or is not."""

    def __init__(self, others: Mapping[str, ast.FunctionDef], *, there: bool) -> None:
        self._others = others
        self._there = there
        self._depth = 0

    def called(self, function: ast.FunctionDef, given: Sequence[object]) -> object:
        """What a function returns.

        Raises:
            _Unknown: that depends on more than the package.
            _Missing: it raises, as the package is missing.
        """
        arguments, defaults = function.args, function.args.defaults
        listed = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        if arguments.vararg or arguments.kwarg or len(given) > len(listed) or self._depth > _DEEPEST:
            raise _Unknown
        variables = dict(zip(listed[len(listed) - len(defaults) :], map(_constant, defaults), strict=True))
        by_name = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        variables |= {argument.arg: _constant(default) for argument, default in by_name}
        variables |= dict(zip(listed, given, strict=False))
        if len(variables) < len(listed):
            raise _Unknown
        self._depth += 1
        try:
            self._run(function.body, variables)
        except _Returned as returned:
            return returned.value
        finally:
            self._depth -= 1
        return None

    def _run(self, body: Sequence[ast.stmt], variables: dict[str, object]) -> None:
        for statement in body:
            if isinstance(statement, ast.Return):
                raise _Returned(self._value(statement.value, variables) if statement.value else None)
            if isinstance(statement, ast.If):
                self._run(statement.body if self._truth(statement.test, variables) else statement.orelse, variables)
            elif isinstance(statement, ast.Try):
                self._try(statement, variables)
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                self._assign(statement, variables)
            elif isinstance(statement, ast.Expr):
                if not (isinstance(statement.value, ast.Constant) or only_says(statement)):
                    self._value(statement.value, variables)
            elif isinstance(statement, ast.Import | ast.ImportFrom):
                self._import(statement)
            elif not isinstance(statement, ast.Pass):
                raise _Unknown

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        named = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else [a.name for a in statement.names]
        if any(is_ours(name) for name in named) and not self._there:
            raise _Missing
        if not {name.partition(".")[0] for name in named if not is_ours(name)} <= _PRESENT:
            raise _Unknown

    def _try(self, guard: ast.Try, variables: dict[str, object]) -> None:
        if guard.finalbody:
            raise _Unknown
        try:
            self._run(guard.body, variables)
        except _Missing:
            if not guard.handlers or not _catches(guard.handlers[0]):
                raise _Unknown from None
            self._run(guard.handlers[0].body, variables)
        else:
            self._run(guard.orelse, variables)

    def _assign(self, statement: ast.Assign | ast.AnnAssign, variables: dict[str, object]) -> None:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if statement.value is None or not all(isinstance(target, ast.Name) for target in targets):
            raise _Unknown
        value = self._value(statement.value, variables)
        variables.update({target.id: value for target in targets if isinstance(target, ast.Name)})

    def _truth(self, node: ast.expr, variables: Mapping[str, object]) -> bool:
        return bool(self._value(node, variables))

    def _value(self, node: ast.expr, variables: Mapping[str, object]) -> object:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name) and node.id in variables:
            return variables[node.id]
        if isinstance(node, ast.Tuple):
            return tuple(self._value(element, variables) for element in node.elts)
        if isinstance(node, ast.IfExp):
            return self._value(node.body if self._truth(node.test, variables) else node.orelse, variables)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return not self._truth(node.operand, variables)
        if isinstance(node, ast.BoolOp):
            value: object = None
            for part in node.values:
                value = self._value(part, variables)
                if bool(value) is isinstance(node.op, ast.Or):
                    break
            return value
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return _compared(
                self._value(node.left, variables), node.ops[0], self._value(node.comparators[0], variables)
            )
        if isinstance(node, ast.Call) and not node.keywords:
            return self._call(node, [self._value(argument, variables) for argument in node.args])
        raise _Unknown

    def _call(self, call: ast.Call, given: list[object]) -> object:
        name = called_name(call.func)
        if name in FINDING | LOADING and given == [_PACKAGE]:
            if not self._there and name in LOADING:
                raise _Missing
            return _THERE if self._there else None
        if name == "bool" and len(given) == 1:
            return bool(given[0])
        if isinstance(call.func, ast.Name) and name in self._others:
            return self.called(self._others[name], given)
        raise _Unknown


def _constant(node: ast.expr | None) -> object:
    if not isinstance(node, ast.Constant):
        raise _Unknown
    return node.value


def _catches(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or called_name(kind) in _CAUGHT for kind in kinds)


def _compared(left: object, operation: ast.cmpop, right: object) -> bool:
    if isinstance(operation, ast.Is | ast.IsNot) and None in (left, right):
        return (left is right) is isinstance(operation, ast.Is)
    plain = isinstance(left, str) and isinstance(right, str)
    if isinstance(operation, ast.Eq | ast.NotEq) and (plain or None in (left, right)):
        return (left == right) is isinstance(operation, ast.Eq)
    raise _Unknown
