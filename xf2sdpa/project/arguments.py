"""What a call passes for a parameter of a function, and what the function has for one that is left out."""

from __future__ import annotations

import ast
from typing import NamedTuple

from xf2sdpa.analysis.names import called_name
from xf2sdpa.project.index import FunctionNode, Parsed, Unknowable


class Call(NamedTuple):
    """A call, and the file that it stands in."""

    file: Parsed
    node: ast.Call


def default_of(function: FunctionNode, parameter: str) -> ast.expr | None:
    """The default of a parameter; None if it has none."""
    arguments = function.args
    listed = [*arguments.posonlyargs, *arguments.args]
    pairs = [*zip(reversed(listed), reversed(arguments.defaults), strict=False)]
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
    return next((default for argument, default in pairs if argument.arg == parameter), None)


def parameters_of(function: FunctionNode) -> list[str]:
    """The names of a function's parameters, without `*args` and `**kwargs`."""
    arguments = function.args
    return [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def argument_of(call: Call, function: FunctionNode, parameter: str) -> ast.expr | None:
    """What a call passes for a parameter; None if nothing.

    Raises:
        Unknowable: arguments are unpacked.
    """
    node = call.node
    if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
        raise Unknowable(f"{call.file.path}:{node.lineno} unpacks its arguments")
    for keyword in node.keywords:
        if keyword.arg == parameter:
            return keyword.value
    listed = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    decorators = {called_name(d) for d in function.decorator_list}
    if listed[:1] == ["self"] and "staticmethod" not in decorators:
        listed = listed[1:]
    if parameter not in listed or listed.index(parameter) >= len(node.args):
        return None
    return node.args[listed.index(parameter)]


def is_none(node: ast.expr | None) -> bool:
    """Whether an expression is None, written out."""
    return isinstance(node, ast.Constant) and node.value is None


def taken_out_of_keywords(file: Parsed, name: str) -> int:
    """The line where a function reads a keyword argument out of its `**kwargs` by its name; 0 if none does."""
    for constant in file.names.strings:
        if constant.value != name:
            continue
        parent = file.names.parents[id(constant)]
        base: ast.AST | None = parent.value if isinstance(parent, ast.Subscript) else None
        if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute):
            base = parent.func.value
        function = file.names.function(constant)
        taken = function.args.kwarg if isinstance(function, FunctionNode) else None
        if taken is not None and isinstance(base, ast.Name) and base.id == taken.arg:
            return constant.lineno
    return 0
