"""The checks before a call in the new text, of what the rewrite assumed: a mask is None, or a tensor of some rank.

They belong to the new side: what they refuse, the new text does not compute. Where a program would not come by, inputs
that they refuse are made up all the same, and it is no difference that they are refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xf2sdpa.analysis.checks import is_check
from xf2sdpa.analysis.names import Names
from xf2sdpa.verify.planning.atoms import substituted
from xf2sdpa.verify.planning.parts import Atom

_QKV = ("query", "key", "value")


@dataclass(frozen=True)
class Checked:
    """The checks before a call, as source in which atoms stand for variables.

    Attributes:
        statements: each check.
        assumed: the condition of each that has the form that a rewrite writes, and is about the argument it is about.
    """

    statements: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def checks_before(twin: ast.expr, names: Names, atoms: Sequence[Atom], stands_as: Mapping[str, str]) -> Checked:
    """The checks that stand before a call.

    Args:
        twin: the new call.
        names: what names refer to in the new text.
        atoms: what both sides are computed from; a check of anything else is left out.
        stands_as: the variables of the new text by which it calls atoms that have no name in the old one.
    """
    known = {stands_as.get(atom.source, atom.source): index for index, atom in enumerate(atoms)}
    statements, assumed = [], []
    for check in _before(names.statement(twin), names):
        variables = [n for n in ast.walk(check.test) if isinstance(n, ast.Name)]
        if not all(variable.id in known for variable in variables):
            continue
        parts = {id(n): ast.Name(f"atom{known[n.id]}", ast.Load()) for n in variables}
        whole = ast.If(substituted(check.test, parts), check.body, [])
        statements.append(ast.unparse(whole))
        if _is_assumption(check.test, [atoms[known[variable.id]].role for variable in variables]):
            assumed.append(ast.unparse(whole.test))
    return Checked(tuple(statements), tuple(assumed))


def _before(statement: ast.stmt, names: Names) -> Iterator[ast.If]:
    """The checks directly before a statement, or before a `with` that it is the first in; in order."""
    parent = names.parents[id(statement)]
    block: list[ast.stmt] = next(
        found for name in ("body", "orelse", "finalbody") if statement in (found := getattr(parent, name, []))
    )
    index = block.index(statement)
    first = index
    while first and is_check(block[first - 1]):
        first -= 1
    if not first and isinstance(parent, ast.With):
        yield from _before(parent, names)
    yield from (check for check in block[first:index] if isinstance(check, ast.If))


def _is_assumption(test: ast.expr, roles: Sequence[str]) -> bool:
    """Whether a condition is one that a rewrite writes: `mask is not None`, `query.ndim != 4`."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or len(roles) != 1:
        return False
    if isinstance(test.left, ast.Name):
        none = isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value is None
        return roles[0] == "attn_bias" and isinstance(test.ops[0], ast.IsNot) and none
    of_rank = isinstance(test.left, ast.Attribute) and test.left.attr == "ndim"
    return roles[0] in _QKV and of_rank and isinstance(test.ops[0], ast.NotEq)
