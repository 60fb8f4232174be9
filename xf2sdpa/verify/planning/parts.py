"""A call site with two sides as plain data, made by the planning and sent to the program's processes."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from xf2sdpa.verify.planning.namespace import Helper, bind, checked, without_autocast

SpanKey = tuple[str, int, int, int, int]
"""Identifies a node of a given text: its kind, and its first and last line and column as `ast` counts them."""


def span_key(node: ast.AST) -> SpanKey:
    """The key by which a node can be found again in another parse of the same text."""
    at = [getattr(node, name) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")]
    return (type(node).__name__, *at)


@dataclass(frozen=True)
class Atom:
    """One value that the program passes to both sides.

    Attributes:
        source: the expression, as the old program evaluates it.
        role: the parameter it belongs to: `query`, `key`, `value`, `attn_bias`, `p`, `scale`, …; `*` or `**` for an
            unpacked tuple or dict; empty for anything else that the new side reads.
        whole: whether it is the whole argument.
        heads_first: whether it is `[B, H, M, K]`, and the old side contains the transpose to `[B, M, H, K]`.
        node: the expression in the old text, if it is there; else `source` is inserted as a lambda, so that an error
            in it fails the new side and not the program.
    """

    source: str
    role: str
    whole: bool = True
    heads_first: bool = False
    node: SpanKey | None = None


@dataclass(frozen=True)
class Beside:
    """An assignment of the new text that the program executes after the old statement that it replaced.

    Attributes:
        after: the old statement.
        name: the name of the value in the instrumented program.
        source: the new assignment's right side.
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
    """Everything needed to run both sides of a site; plain data, so that it can be sent to another process.

    Attributes:
        site: the id of the site.
        node: the expression of the old text that both sides compute: the call, perhaps with a transpose around it.
        operator: the called function in the old text.
        old, new: expressions of `atom0`, …; `old` calls `operator`.
        imports: imported names in `new`, and the dotted path of each in the new file; `old_imports` likewise.
        helper: key of the helper module that `imports` refer to; empty if they do not.
        strides_matter: see `Probe`.
        besides, captures: values that the instrumented program must keep for the atoms.
        notes: remarks for the report.
        autocast_off: whether the new text switches autocast off around the new side.
        checks: the new text's checks before the call, statements of the atoms.
        assumed: conditions of the atoms under which they refuse what the rewrite assumed not to come.
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
    autocast_off: bool = False
    checks: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: dict[str, Any]) -> Shadow:
        """A shadow from what `data` returned."""
        lists = {
            "node": tuple(data["node"]),
            "operator": tuple(data["operator"]),
            "atoms": tuple(Atom(**atom | {"node": atom["node"] and tuple(atom["node"])}) for atom in data["atoms"]),
            "besides": tuple(Beside(**beside | {"after": tuple(beside["after"])}) for beside in data["besides"]),
            "captures": tuple(Capture(**capture | {"node": tuple(capture["node"])}) for capture in data["captures"]),
            **{name: tuple(data[name]) for name in ("notes", "checks", "assumed")},
        }
        return cls(**data | lists)

    def data(self) -> dict[str, Any]:
        """The shadow as data that JSON can represent."""
        return asdict(self)

    @property
    def roles(self) -> tuple[str, ...]:
        """The parameter that each atom belongs to."""
        return tuple(atom.role for atom in self.atoms)

    @property
    def parameters(self) -> str:
        """The atoms' names as the parameters of a lambda."""
        return ", ".join(f"atom{index}" for index in range(len(self.atoms)))

    def old_lambda(self) -> str:
        """The old side as source: a function of the operator and the atoms."""
        return f"lambda {', '.join(filter(None, ['operator', self.parameters]))}: {self.old}"

    def new_lambda(self) -> str:
        """The new side as source: a function of the atoms."""
        return f"lambda {self.parameters}: {self.new}"

    def new_function(self, helper: Helper | None) -> Callable[..., Any]:
        """The new side, compiled; its names are looked up when it is first called."""
        function = bind(self.new_lambda(), self.imports, helper, f"<new side of {self.site}>")
        function = without_autocast(function) if self.autocast_off else function
        return checked(function, self.parameters, self.checks) if self.checks else function

    def is_refused(self, *atoms: Any) -> bool:
        """Whether the new text refuses these atoms, as the rewrite assumed that they never come."""
        conditions = (bind(f"lambda {self.parameters}: {condition}", {}, None, "<check>") for condition in self.assumed)
        return any(condition(*atoms) for condition in conditions)
