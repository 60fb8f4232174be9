"""The arguments that the old side passes to its operator, as functions of the atoms, and a check of their values."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xf2sdpa.analysis.api import PARAMETERS
from xf2sdpa.verify.inputs.kinds import class_of, is_tensor
from xf2sdpa.verify.inputs.tensors import QKV, Build
from xf2sdpa.verify.planning.atoms import OPERATOR
from xf2sdpa.verify.planning.namespace import bind
from xf2sdpa.verify.planning.parts import Shadow


@dataclass(frozen=True)
class Argument:
    """One argument of the operator on the old side.

    Attributes:
        role: its parameter.
        atoms: indices of the atoms that it is computed from.
        function: computes it from these atoms.
    """

    role: str
    atoms: tuple[int, ...]
    function: Callable[..., Any]


def arguments_of(shadow: Shadow) -> list[Argument]:
    """The arguments of the old side's call, except those unpacked with `*` or `**`."""
    calls = (node for node in ast.walk(ast.parse(shadow.old, mode="eval")) if isinstance(node, ast.Call))
    call = next(node for node in calls if isinstance(node.func, ast.Name) and node.func.id == OPERATOR)
    positional = itertools.takewhile(lambda node: not isinstance(node, ast.Starred), call.args)
    given = [*zip(PARAMETERS, positional, strict=False), *((word.arg or "", word.value) for word in call.keywords)]
    return [_argument(role, node, shadow) for role, node in given if role]


def _argument(role: str, node: ast.expr, shadow: Shadow) -> Argument:
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    numbers = tuple(number for number in range(len(shadow.atoms)) if f"atom{number}" in names)
    parameters = ", ".join(f"atom{number}" for number in numbers)
    imports = {name: dotted for name, dotted in shadow.old_imports.items() if name in names}
    source = f"lambda {parameters}: {ast.unparse(node)}"
    return Argument(role, numbers, bind(source, imports, None, f"<argument {role} of {shadow.site}>"))


def fits(role: str, value: Any, build: Build) -> bool:
    """Whether an argument has the shape or class that the build's does; scalar arguments always fit."""
    if role not in QKV:
        if role != "attn_bias":
            return True
        if build.kind == "none":
            return value is None
        if not is_tensor(build.kind):
            return type(value).__name__ == class_of(build.kind)
    return isinstance(value, Tensor) and value.is_floating_point() and tuple(value.shape) == build.sizes(role)
