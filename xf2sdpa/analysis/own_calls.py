"""What is passed for a parameter of a function that only its own file calls.

Only in programs: a module with a main guard is run, and hardly imported by somebody who calls its functions with other
things. A function is not followed if its name is used for anything but calls, or if another file of the project
imports it.
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.conditions import is_main_guard
from xf2sdpa.analysis.names import Names


def passed_by_own_calls(names: Names, parameter: ast.arg) -> list[ast.expr]:
    """What every call passes for a parameter of a function or of a class's `__init__`; none if that is not known."""
    arguments = names.parents[id(parameter)]
    function = names.parents[id(arguments)]
    if not isinstance(arguments, ast.arguments) or not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    owner = names.parents[id(function)]
    of_class = isinstance(owner, ast.ClassDef) and function.name == "__init__"
    default = _defaults(arguments).get(parameter.arg)
    listed = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][1 if of_class else 0 :]
    found = [_given(call, parameter.arg, listed, default) for call in _calls(names, owner if of_class else function)]
    if parameter in (arguments.vararg, arguments.kwarg):
        return []
    return [value for value in found if value is not None] if None not in found else []


def _calls(names: Names, made: ast.AST) -> list[ast.Call]:
    """Every call of a function or a class at the top of a program; none where it may be called otherwise."""
    tree = names.module.node
    if not (isinstance(tree, ast.Module) and made in tree.body and any(map(is_main_guard, tree.body))):
        return []
    if not isinstance(made, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or made.decorator_list:
        return []
    if made.name in names.handed_on or len(names.module.bindings[made.name]) > 1:
        return []
    loads = [
        load for load in names.loads.get(made.name, ()) if names.scope_at[id(load)].owner(made.name) is names.module
    ]
    calls = [
        parent for load in loads if isinstance(parent := names.parents[id(load)], ast.Call) and parent.func is load
    ]
    return calls if len(calls) == len(loads) else []


def _defaults(arguments: ast.arguments) -> dict[str, ast.expr]:
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = zip(reversed(positional), reversed(arguments.defaults), strict=False)
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {argument.arg: value for argument, value in (*pairs, *named) if value is not None}


def _given(call: ast.Call, name: str, listed: list[str], default: ast.expr | None) -> ast.expr | None:
    """What a call gives for a parameter; None if that cannot be read off it."""
    if any(isinstance(value, ast.Starred) for value in call.args) or any(k.arg is None for k in call.keywords):
        return None
    by_name = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    if by_name is not None or name not in listed or listed.index(name) >= len(call.args):
        return by_name or default
    return call.args[listed.index(name)]
