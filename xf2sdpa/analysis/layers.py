"""What the layers of `torch.nn` do to rank and dtype, and what `self.name` of a class is.

Sources: the shape sections of torch.nn's own documentation, and autocast's op lists
(docs.pytorch.org/docs/stable/amp.html): linear and convolutions run in the lower precision,
layer and group norm in float32.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.values import Layer, Module, Value

LAYERS: dict[str, Layer] = {
    **dict.fromkeys(("Linear", "Conv1d", "Conv2d", "Conv3d", "LazyLinear"), Layer.PROJECTION),
    **dict.fromkeys(
        ("Identity", "Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "ReLU", "GELU", "SiLU", "Tanh",
         "Sigmoid", "LeakyReLU", "ELU", "Mish", "Hardswish", "ReLU6", "Softplus"),
        Layer.KEEP,
    ),
    **dict.fromkeys(
        ("LayerNorm", "RMSNorm", "GroupNorm", "BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d"),
        Layer.NORM,
    ),
}  # fmt: skip
_CONTAINERS = {"Sequential", "ModuleList"}


class ClassAttributes:
    """What `self.name` is in the classes of one module, from the assignments in their methods."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._found: dict[tuple[int, str], Module | None] = {}
        self._indexed: dict[int, dict[str, list[ast.expr]]] = {}

    def lookup(self, owner: ast.ClassDef, attribute: str) -> Module | None:
        """The module that `self.attribute` holds, if every assignment to it (bases in this file too) agrees."""
        key = (id(owner), attribute)
        if key not in self._found:
            self._found[key] = None  # a class that refers to itself is not known
            kinds = {self.of_expression(value) for value in self._assigned(owner, attribute)}
            merged = _merge(kinds)
            self._found[key] = merged
        return self._found[key]

    def method(self, owner: ast.ClassDef, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The method `name` of a class or of its bases in this file; not a property or a static method."""
        for klass in self.lineage(owner):
            for statement in klass.body:
                if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == name:
                    return None if statement.decorator_list else statement
        return None

    def lineage(self, owner: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """A class and its bases as far as this file shows them, nearest first."""
        seen: set[int] = set()
        waiting = [owner]
        while waiting:
            klass = waiting.pop(0)
            if id(klass) in seen:
                continue
            seen.add(id(klass))
            yield klass
            waiting.extend(filter(None, map(self.local_class, klass.bases)))

    def local_class(self, node: ast.expr) -> ast.ClassDef | None:
        """The class of this file that a name stands for, if it is defined once."""
        if not isinstance(node, ast.Name):
            return None
        bindings = self.names.module.bindings.get(node.id, [])
        only = bindings[0].node if len(bindings) == 1 else None
        return only if isinstance(only, ast.ClassDef) else None

    def _assigned(self, owner: ast.ClassDef, attribute: str) -> list[ast.expr]:
        """What is assigned to `self.attribute`, in the nearest class that does so."""
        for klass in self.lineage(owner):
            found = self._assignments(klass).get(attribute)
            if found:
                return found
        return []

    def _assignments(self, klass: ast.ClassDef) -> dict[str, list[ast.expr]]:
        """Every value assigned to an attribute of `self` in a class, by the attribute; gathered once."""
        if id(klass) not in self._indexed:
            table: dict[str, list[ast.expr]] = {}
            for node in ast.walk(klass):
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                        if is_self_attribute(target):
                            table.setdefault(target.attr, []).append(node.value)
            self._indexed[id(klass)] = table
        return self._indexed[id(klass)]

    def of_expression(self, node: ast.expr) -> Module | None:
        """The module that an expression makes: `nn.Linear(…)`, a class of this file, either arm of a condition."""
        if isinstance(node, ast.IfExp):
            return _merge({self.of_expression(node.body), self.of_expression(node.orelse)})
        if not isinstance(node, ast.Call):
            return None
        local = self.local_class(node.func)
        if local is not None:
            return Module(local=local)
        dotted = self.names.resolve(node.func) or ""
        if not dotted.startswith("torch.nn."):
            return None
        name = dotted.rpartition(".")[2]
        if name in _CONTAINERS:
            return self._container(node)
        return Module(LAYERS[name]) if name in LAYERS else None

    def _container(self, node: ast.Call) -> Module | None:
        listed = node.args[0].elts if node.args and isinstance(node.args[0], ast.List) else node.args
        parts: list[Value] = []
        for item in listed:
            part = self.of_expression(item)
            if part is None:
                return None
            parts.append(part)
        return Module(parts=tuple(parts))


def is_self_attribute(node: ast.AST) -> TypeGuard[ast.Attribute]:
    """Whether a node is `self.attribute`."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _merge(kinds: set[Module | None]) -> Module | None:
    """One module for several: layers that all keep the rank are as good as one."""
    if not kinds or None in kinds:
        return None
    if len(kinds) == 1:
        return next(iter(kinds))
    layers = {kind.layer for kind in kinds if kind is not None}
    if None in layers:
        return None
    return Module(Layer.NORM if Layer.NORM in layers else Layer.KEEP)
