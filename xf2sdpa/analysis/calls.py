"""Binds the arguments of a call of `memory_efficient_attention` to its parameters."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from xf2sdpa.analysis.api import KEYWORDS, PARAMETERS


@dataclass(frozen=True)
class BoundCall:
    """A call site and its arguments by parameter name; `problem` says why they cannot be bound, empty if they can.

    `fails` is True where Python could not bind them either: the call raises a TypeError.
    """

    node: ast.Call
    api: str
    arguments: dict[str, ast.expr] = field(default_factory=dict)
    problem: str = ""
    fails: bool = False


def bind(node: ast.Call, api: str) -> BoundCall:
    """Bind the arguments of a call to parameters, as Python would."""
    if any(isinstance(argument, ast.Starred) for argument in node.args) or any(k.arg is None for k in node.keywords):
        return BoundCall(node, api, _explicit(node), "the arguments are unpacked with * or **")
    if len(node.args) > len(PARAMETERS):
        return BoundCall(node, api, _explicit(node), f"{len(node.args)} positional arguments", fails=True)
    arguments = _explicit(node)
    given = [*PARAMETERS[: len(node.args)], *(k.arg for k in node.keywords)]
    twice = [name for name in given if given.count(name) > 1]
    if twice:
        return BoundCall(node, api, arguments, f"the argument {twice[0]!r} is given twice", fails=True)
    unknown = [k.arg for k in node.keywords if k.arg not in KEYWORDS]
    if unknown:
        return BoundCall(node, api, arguments, f"no parameter is called {unknown[0]!r}", fails=True)
    missing = [name for name in PARAMETERS[:3] if name not in arguments]
    if missing:
        return BoundCall(node, api, arguments, f"the argument {missing[0]!r} is missing", fails=True)
    return BoundCall(node, api, arguments)


def _explicit(node: ast.Call) -> dict[str, ast.expr]:
    arguments: dict[str, ast.expr] = {}
    for name, argument in zip(PARAMETERS, node.args, strict=False):
        if isinstance(argument, ast.Starred):
            break
        arguments[name] = argument
    arguments.update({k.arg: k.value for k in node.keywords if k.arg is not None})
    return arguments
