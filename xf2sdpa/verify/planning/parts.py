"""A call site with two sides, as plain data: what planning finds out, and a process of the program needs to know."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from xf2sdpa.verify.planning.namespace import Helper, bind

SpanKey = tuple[str, int, int, int, int]
"""A node of a given text: its kind, and where it begins and ends as `ast` counts."""


def span_key(node: ast.AST) -> SpanKey:
    """What finds a node again in another parse of the same text."""
    at = [getattr(node, name) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")]
    return (type(node).__name__, *at)


@dataclass(frozen=True)
class Atom:
    """One value that the program hands to both sides.

    Attributes:
        source: the expression, as the old program evaluates it.
        role: the parameter it belongs to: `query`, `key`, `value`, `attn_bias`, `p`, `scale`, …; `*` and `**` for what
            was unpacked (a tuple, a dict); empty for anything else that the new side reads.
        whole: whether it is the whole argument.
        heads_first: whether it is `[B, H, M, K]`, and the old side's own transpose is part of the comparison.
        node: the expression in the old text, if it stands there; else `source` is put there, in a thunk, so that an
            error in it is the new side's and not the program's.
    """

    source: str
    role: str
    whole: bool = True
    heads_first: bool = False
    node: SpanKey | None = None


@dataclass(frozen=True)
class Beside:
    """A statement of the new text that is computed beside the old one that it replaced.

    Attributes:
        after: the old statement.
        name: what the instrumented program calls the value.
        source: the new statement's right side.
    """

    after: SpanKey
    name: str
    source: str


@dataclass(frozen=True)
class Capture:
    """An expression of the old text whose value is kept under a name: `q = (name := inner).transpose(1, 2)`."""

    node: SpanKey
    name: str


@dataclass(frozen=True)
class Shadow:
    """All that is needed to run both sides of a site; plain data, so that it can be handed to another process.

    Attributes:
        site: its id.
        node: the expression of the old text that the two sides stand for: the call, perhaps with a transpose around it.
        operator: the function that the call calls.
        old, new: expressions of `atom0`, …; `old` calls `operator`.
        imports: names in `new`, by the dotted path in the new file; `old_imports` likewise.
        helper: key of the helper module that `imports` may lead to; empty if there is none.
        strides_matter: see `Probe`.
    """

    site: str
    node: SpanKey
    operator: SpanKey
    atoms: tuple[Atom, ...]
    old: str
    new: str
    imports: dict[str, str]
    old_imports: dict[str, str]
    helper: str = ""
    strides_matter: bool = True
    besides: tuple[Beside, ...] = ()
    captures: tuple[Capture, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: dict[str, Any]) -> Shadow:
        """What `data` made plain."""
        lists = {
            "node": tuple(data["node"]),
            "operator": tuple(data["operator"]),
            "atoms": tuple(Atom(**atom | {"node": atom["node"] and tuple(atom["node"])}) for atom in data["atoms"]),
            "besides": tuple(Beside(**beside | {"after": tuple(beside["after"])}) for beside in data["besides"]),
            "captures": tuple(Capture(**capture | {"node": tuple(capture["node"])}) for capture in data["captures"]),
            "notes": tuple(data["notes"]),
        }
        return cls(**data | lists)

    def data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @property
    def roles(self) -> tuple[str, ...]:
        """The parameter that each atom belongs to."""
        return tuple(atom.role for atom in self.atoms)

    @property
    def parameters(self) -> str:
        """The atoms' names, as a lambda lists them."""
        return ", ".join(f"atom{index}" for index in range(len(self.atoms)))

    def old_lambda(self) -> str:
        """The old side as source: a function of the operator and the atoms."""
        return f"lambda {', '.join(filter(None, ['operator', self.parameters]))}: {self.old}"

    def new_lambda(self) -> str:
        """The new side as source: a function of the atoms."""
        return f"lambda {self.parameters}: {self.new}"

    def new_function(self, helper: Helper | None) -> Callable[..., Any]:
        """The new side, compiled; its names are looked up when it is first called."""
        return bind(self.new_lambda(), self.imports, helper, f"<new side of {self.site}>")
