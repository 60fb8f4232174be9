"""The edits that rules ask for, as plain data on `ast` nodes; the other modules apply them to LibCST's tree."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

CstPath = tuple[str | int, ...]
"""Attributes and indices that lead from a LibCST node to one inside it, such as `("func", "value")`."""


@dataclass(frozen=True)
class ArgumentEdit:
    """What one argument of a call becomes.

    Attributes:
        take: path to the part of the old expression that stays (all of it, if empty).
        wrap: `bool` or `not` around that part, or empty.
        suffix: a method call appended to it, such as `.transpose(1, 2)`.
        text: a new expression in its place; `take`, `wrap` and `suffix` are then empty.
        keyword: the new keyword, or None for a positional argument.
    """

    keyword: str | None
    take: CstPath = ()
    wrap: str = ""
    suffix: str = ""
    text: str = ""


@dataclass(frozen=True)
class CallEdit:
    """A call becomes a call of `function`, with its arguments edited in place and `suffix` appended.

    `arguments` holds an edit by `id` of each old argument's value; an argument that is not in it is dropped.
    """

    node: ast.Call
    function: str
    arguments: dict[int, ArgumentEdit] = field(hash=False)
    suffix: str = ""


@dataclass(frozen=True)
class Unwrap:
    """`x.transpose(1, 2)` becomes `x`."""

    node: ast.Call


@dataclass(frozen=True)
class Rename:
    """`x.view` becomes `x.reshape`."""

    node: ast.Attribute
    name: str


Replaceable = ast.Attribute | ast.Call | ast.Compare | ast.Name | ast.UnaryOp | ast.Constant | ast.BoolOp | ast.IfExp
"""The expressions that other text can be put in the place of."""


@dataclass(frozen=True)
class ReplaceExpression:
    """An expression becomes other text: `xops.LowerTriangularMask` → `LowerTriangularMask`."""

    node: Replaceable
    text: str


@dataclass(frozen=True)
class ReplaceStatement:
    """A statement becomes other statements, or is removed (`text` empty)."""

    node: ast.stmt
    text: str = ""


@dataclass(frozen=True)
class TakeBranch:
    """`a if test else b` becomes the branch that a known answer takes."""

    node: ast.IfExp
    answer: bool


@dataclass(frozen=True)
class DropOperands:
    """`a and b and c` becomes the operands that stay; at least one does."""

    node: ast.BoolOp
    dropped: frozenset[int]


@dataclass(frozen=True)
class Unguard:
    """A `try` or `with` in which nothing can fail becomes what it does: its body, its `else`, its `finally`."""

    node: ast.Try | ast.With


@dataclass(frozen=True)
class TakeHandler:
    """A `try` that fails at its first statement, always, becomes what its one handler does."""

    node: ast.Try


@dataclass(frozen=True)
class TakeArm:
    """An `if` whose condition has a known value (`answer`) becomes the arm that it takes."""

    node: ast.If
    answer: bool


@dataclass(frozen=True)
class TakeElse:
    """An `if` of whose body nothing is left becomes its `else`, under the negated condition."""

    node: ast.If
    condition: str


@dataclass(frozen=True)
class RemoveAliases:
    """An import statement loses names; `bound` are the variables that it no longer binds."""

    node: ast.Import | ast.ImportFrom
    bound: frozenset[str]


@dataclass(frozen=True)
class AddImport:
    """A new import at the top of the file, after the statement `after` (None: before all others)."""

    text: str
    after: ast.stmt | None


@dataclass(frozen=True)
class InsertBefore:
    """A new statement stands before another one, in its block; comments above that one stay with it.

    The other one is simple and alone on its lines.
    """

    node: ast.stmt
    text: str


@dataclass(frozen=True)
class Within:
    """A statement stands in a `with` of its own, whose first line is `head`; it is simple and alone on its lines."""

    node: ast.stmt
    head: str


ExpressionEdit = CallEdit | Unwrap | Rename | ReplaceExpression | TakeBranch | DropOperands
StatementEdit = ReplaceStatement | TakeArm | TakeElse | TakeHandler | Unguard | RemoveAliases
NodeEdit = ExpressionEdit | StatementEdit | InsertBefore | Within
"""An edit of something that stands in the file."""
Edit = NodeEdit | AddImport
