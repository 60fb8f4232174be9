"""What the layers of `torch.nn` do to rank and dtype, and which module `self.name` of a class holds.

Sources: the shape sections of torch.nn's own documentation, and autocast's op lists
(docs.pytorch.org/docs/stable/amp.html): linear and convolutions run in the lower precision,
layer and group norm in float32.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from typing import TypeGuard

from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.others import Others
from xf2sdpa.analysis.replaced_parts import ReplacedParts
from xf2sdpa.analysis.values import Function, Layer, Module, Value

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
    """What `self.name` holds in the classes of one file, from the assignments in their methods.

    Args:
        names: the names of the file.
        others: what other files change of this one.
    """

    def __init__(self, names: Names, others: Others | None = None) -> None:
        self.names = names
        self.elsewhere = others or Others()
        self._found: dict[tuple[int, str, bool], Module | None] = {}
        self._indexed: dict[int, dict[str, list[ast.expr]]] = {}
        self._others: dict[int, list[ast.ClassDef]] = {}

    @cached_property
    def replaced(self) -> ReplacedParts:
        """What the file puts in the place of its own things."""
        return ReplacedParts(self.names, self.elsewhere.parts, self.elsewhere.attributes)

    def lookup(self, owner: ast.ClassDef, attribute: str, *, is_sealed: bool = False) -> Module | None:
        """The module that `self.attribute` holds, if all assignments to it agree; else None.

        The nearest of the class and its bases that assigns it counts, and so do classes of this file that derive from
        the class, unless the object is of exactly this class (`is_sealed`).
        """
        key = (id(owner), attribute, is_sealed)
        if key not in self._found:
            self._found[key] = None  # a class that refers to itself is not known
            anew = not is_sealed and self.elsewhere.has_anew(owner.name, attribute)
            related = [*self.lineage(owner), *(() if is_sealed else self.others(owner))]
            if anew or self.replaced.layer(attribute) or any(self._is_set_apart(k, attribute) for k in related):
                return None
            assigned = list(self.assigned(owner, attribute))
            for klass in () if is_sealed else self.others(owner):
                assigned += self._assignments(klass).get(attribute, ())
            kinds = {self.of_expression(value) for value in assigned}
            merged = _merge(kinds)
            if merged is not None and merged.parts is not None and self.replaced.filled(attribute):
                merged = None
            self._found[key] = merged
        return self._found[key]

    def _is_set_apart(self, klass: ast.ClassDef, attribute: str) -> bool:
        """Whether a class has an attribute by other means than its methods: its body, a base elsewhere."""
        return attribute in self.names.scopes[id(klass)].bindings or self.elsewhere.sets_above(klass.name, attribute)

    def is_set_by_others(self, owner: ast.ClassDef, attribute: str) -> bool:
        """Whether other files may set an attribute of an object of a class."""
        others = self.elsewhere
        above = any(others.sets_above(klass.name, attribute) for klass in self.lineage(owner))
        return above or attribute in others.parts or others.has_anew(owner.name, attribute)

    def method(self, owner: ast.ClassDef, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The method `name` of a class or of its bases in this file.

        None if there is none, if it has decorators, or if a base in another file may have another one.
        """
        for klass in self.lineage(owner):
            if self.elsewhere.sets_above(klass.name, name):
                return None
            for statement in klass.body:
                if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == name:
                    other = self.replaced.method(self.names.scopes[id(klass)], name)
                    return None if statement.decorator_list or other else statement
            if (klass.name, name) in self.elsewhere.inherited:  # it may stand before those that follow here
                return None
        return None

    def has_call(self, owner: ast.ClassDef) -> bool:
        """Whether a class, or a base of it, has a `__call__` of its own, which may do more than to call `forward`."""
        name = "__call__"
        own = (name in self.names.scopes[id(klass)].bindings for klass in self.lineage(owner))
        return any(own) or any((klass.name, name) in self.elsewhere.inherited for klass in self.lineage(owner))

    def overriding(self, owner: ast.ClassDef, name: str) -> list[Function] | None:
        """The methods that override a method in classes of this file that derive from its class.

        None if one of these classes, or the class itself, assigns something other than a plain method to the name, or
        if a class of another file is known to have it anew.
        """
        others = self.others(owner)
        beside = any((klass.name, name) in self.elsewhere.inherited for klass in others)
        if beside or self.elsewhere.has_anew(owner.name, name):
            return None
        if any(name in self._assignments(klass) for klass in (*self.lineage(owner), *others)):
            return None
        found = []
        for klass in others:
            for statement in klass.body:
                if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == name:
                    if statement.decorator_list:
                        return None
                    found.append(Function(statement, owner=klass))
                elif isinstance(statement, ast.Assign | ast.AnnAssign) and name in _targets(statement):
                    return None
        return found

    def others(self, owner: ast.ClassDef) -> list[ast.ClassDef]:
        """The classes of this file that derive from a class, judged by names, with their other bases."""
        if id(owner) not in self._others:
            classes = [s.node for s in self.names.scopes.values() if isinstance(s.node, ast.ClassDef)]
            derived: list[ast.ClassDef] = []
            names = {owner.name}
            while more := [k for k in classes if k not in derived and names.intersection(map(_base_name, k.bases))]:
                derived += more
                names.update(klass.name for klass in more)
            own = {id(klass) for klass in self.lineage(owner)}
            found = {id(part): part for klass in derived for part in self.lineage(klass)}
            self._others[id(owner)] = [klass for key, klass in found.items() if key not in own]
        return self._others[id(owner)]

    def lineage(self, owner: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """A class and those of its bases that this file defines, nearest first."""
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
        """The class of this file that a name stands for, if it is defined once and nothing takes its place."""
        if not isinstance(node, ast.Name):
            return None
        bindings = self.names.module.bindings.get(node.id, [])
        only = bindings[0].node if len(bindings) == 1 else None
        return only if isinstance(only, ast.ClassDef) and not self.replaced.definition(only) else None

    def assigned(self, owner: ast.ClassDef, attribute: str) -> list[ast.expr]:
        """What is assigned to `self.attribute`, or registered under that name, in the nearest class that does so."""
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
                        for attribute, value in _pairs(target, node.value):
                            table.setdefault(attribute, []).append(value)
                elif isinstance(node, ast.Call) and (registered := _registered(node)) is not None:
                    table.setdefault(registered[0], []).append(registered[1])
            self._indexed[id(klass)] = table
        return self._indexed[id(klass)]

    def of_expression(self, node: ast.expr) -> Module | None:
        """The module that an expression creates: `nn.Linear(…)`, a class of this file, `A() if c else B()`."""
        if isinstance(node, ast.IfExp):
            return _merge({self.of_expression(node.body), self.of_expression(node.orelse)})
        if not isinstance(node, ast.Call):
            return None
        local = self.local_class(node.func)
        if local is not None:
            return Module(local=local) if self._is_itself(local) else None
        dotted = self.names.resolve(node.func) or ""
        if not dotted.startswith("torch.nn."):
            return None
        name = dotted.rpartition(".")[2]
        if name in _CONTAINERS:
            return self._container(node)
        return Module(LAYERS[name]) if name in LAYERS else None

    def _is_itself(self, klass: ast.ClassDef) -> bool:
        """Whether the name of a class stands for it: what decorates it may have made another one."""
        decorators = (d.func if isinstance(d, ast.Call) else d for d in klass.decorator_list)
        return all((self.names.resolve(d) or "").startswith(("torch.", "dataclasses.")) for d in decorators)

    def _container(self, node: ast.Call) -> Module | None:
        listed = node.args[0].elts if node.args and isinstance(node.args[0], ast.List) else node.args
        parts: list[Value] = []
        for item in listed:
            part = self.of_expression(item)
            if part is None:
                return None
            parts.append(part)
        return Module(parts=tuple(parts))


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """The attributes of `self` in a target, each with its assigned value: the whole one where it cannot be split."""
    if is_self_attribute(target):
        yield target.attr, value
    elif isinstance(target, ast.Tuple | ast.List):
        listed = value.elts if isinstance(value, ast.Tuple | ast.List) else []
        apart = len(listed) == len(target.elts) and not any(isinstance(e, ast.Starred) for e in (*listed, *target.elts))
        for element, given in zip(target.elts, listed if apart else [value] * len(target.elts), strict=True):
            yield from _pairs(element, given)
    elif isinstance(target, ast.Starred):  # `self.first, *self.rest = layers`
        yield from _pairs(target.value, value)


def _registered(node: ast.Call) -> tuple[str, ast.expr] | None:
    """The name and the tensor of `self.register_buffer("name", tensor)`."""
    if not is_self_attribute(node.func) or node.func.attr not in ("register_buffer", "register_parameter"):
        return None
    given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg in ("tensor", "param"))]
    name = given[0] if len(given) > 1 else None
    return (name.value, given[1]) if isinstance(name, ast.Constant) and isinstance(name.value, str) else None


def _base_name(node: ast.expr) -> str:
    """The last component of a base class's name: `Base`, `module.Base`, `Base[T]`."""
    if isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _targets(statement: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def is_self_attribute(node: ast.AST) -> TypeGuard[ast.Attribute]:
    """Whether a node is `self.attribute`."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _merge(kinds: set[Module | None]) -> Module | None:
    """One module that stands for all of these; layers of different kinds merge, as all keep the rank."""
    if not kinds or None in kinds:
        return None
    if len(kinds) == 1:
        return next(iter(kinds))
    layers = {kind.layer for kind in kinds if kind is not None}
    if None in layers:
        return None
    return Module(Layer.NORM if Layer.NORM in layers else Layer.KEEP)
