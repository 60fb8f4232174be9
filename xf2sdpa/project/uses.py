"""Where a class or a function of a project gets to, and every call of it that the project shows.

A name is followed by the places that hold what it stands for: variables by their scope, attributes and parameters by
their name, whatever object they belong to. So too many places count, never too few; and what gets to a place that is
not followed makes the answer unknown. How often a thing must be called is its level: 1 for a function, a method or an
object of a class, whose call is one that is asked for; 2 for a class, a `partial` of it, or what returns its objects.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from xf2sdpa.analysis.imports import scope_of
from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.scopes import Scope
from xf2sdpa.project.contexts import GIVEN_SELF, PARTS, Contexts
from xf2sdpa.project.index import FunctionNode, Index, Parsed, Unknowable


class Call(NamedTuple):
    """A call, and the file that it stands in."""

    file: Parsed
    node: ast.Call


@dataclass(frozen=True)
class _Holder:
    """A place that holds what is followed: a variable, with its scope, or an attribute."""

    kind: str
    name: str
    level: int
    path: str = ""
    scope: int = 0


@dataclass
class Uses(Contexts):
    """The uses of one thing.

    Attributes:
        calls: the calls of the function, the method, or the objects of the class.
        derived: the classes that derive from it, and itself, with their files.
    """

    index: Index
    calls: list[Call] = field(default_factory=list)
    derived: list[tuple[Parsed, ast.ClassDef]] = field(default_factory=list)
    _seen: set[_Holder] = field(default_factory=set)
    _waiting: list[_Holder] = field(default_factory=list)
    _counted: set[int] = field(default_factory=set)
    _returning: set[str] = field(default_factory=set)
    """Functions that return what they are given."""
    _given: list[tuple[Parsed, ast.Call, int]] = field(default_factory=list)
    """Calls that are given it."""

    # -- entry -----------------------------------------------------------------------------------

    def of_class(self, file: Parsed, node: ast.ClassDef) -> Uses:
        """Follow a class; `calls` are those of its objects.

        Raises:
            Unknowable: it gets where it cannot be followed.
        """
        self._derive(file, node)
        self._follow_parts()
        return self._follow()

    def _follow_parts(self) -> None:
        """Follow what goes through the parts of any module: an object of the class may be one of them."""
        project = self.index.project
        for path in project.holding(*PARTS):
            if not any(f".{name}(" in project.text(path) for name in PARTS):
                continue
            file = self.index.file(path)
            for name in PARTS:
                for node in file.attributes.get(name, ()) if file is not None else ():
                    call = file.names.parents[id(node)] if file is not None else node
                    if file is not None and isinstance(call, ast.Call) and call.func is node:
                        self._use(file, call, 1)

    def of_function(self, file: Parsed, node: FunctionNode) -> Uses:
        """Follow a function, or a method by its name, whatever object has it.

        Raises:
            Unknowable: it gets where it cannot be followed.
        """
        self._check_decorators(file, node)
        self._define(file, node, 1)
        return self._follow()

    def _follow(self) -> Uses:
        while self._waiting:
            holder = self._waiting.pop()
            for file, node in self._occurrences(holder):
                self._use(file, node, holder.level)
        return self

    def _add(self, holder: _Holder) -> None:
        if holder not in self._seen:
            self._seen.add(holder)
            self._waiting.append(holder)

    def _define(self, file: Parsed, node: FunctionNode | ast.ClassDef, level: int) -> None:
        """Count the name of a definition as a holder: as an attribute where it stands in a class."""
        if file.owner(node) is not None:
            self._add(_Holder("attribute", node.name, level))
        else:
            self._hold(file, node.name, scope_of(file.names, node), level)

    def _derive(self, file: Parsed, node: ast.ClassDef) -> None:
        if any(known is node for _, known in self.derived):
            return
        if node.decorator_list or node.keywords:
            raise Unknowable(f"{node.name} is registered or made by something else, line {node.lineno}")
        self.derived.append((file, node))
        self._define(file, node, 2)
        for klass in file.class_attributes.lineage(node):
            self._look_inside(file, klass)

    def _look_inside(self, file: Parsed, klass: ast.ClassDef) -> None:
        """Follow `self` in the methods of a class, as far as it is not only a way to its attributes."""
        for node in ast.walk(klass):
            if isinstance(node, ast.Name) and node.id == "cls" and isinstance(file.names.parents[id(node)], ast.Call):
                raise Unknowable(f"{file.path}:{node.lineno} makes objects of its own class")
            if isinstance(node, ast.Name) and node.id == "self" and isinstance(node.ctx, ast.Load):
                parent = file.names.parents[id(node)]
                if not (isinstance(parent, ast.Call) and called_name(parent.func) in GIVEN_SELF):
                    self._use(file, node, 1)

    def _hold(self, file: Parsed, name: str, scope: Scope, level: int) -> None:
        owner = scope.elsewhere.get(name, scope)
        if isinstance(owner.node, ast.ClassDef):
            self._add(_Holder("attribute", name, level))
        self._add(_Holder("variable", name, level, file.path, id(owner)))

    # -- where a holder is read --------------------------------------------------------------------

    def _occurrences(self, holder: _Holder) -> Iterator[tuple[Parsed, ast.expr]]:
        if holder.kind == "attribute":
            self.index.check_not_looked_up(holder.name, "", as_attribute=True)
            for file in self.index.holding(holder.name):
                found = file.attributes.get(holder.name, ())
                yield from ((file, node) for node in found if isinstance(node.ctx, ast.Load))
        else:
            yield from self._variable(holder)

    def _variable(self, holder: _Holder) -> Iterator[tuple[Parsed, ast.expr]]:
        file = self.index.file(holder.path)
        assert file is not None, "a holder is found in a file that parses"
        for load in file.names.loads.get(holder.name, ()):
            owner = file.names.scope_at[id(load)].owner(holder.name)
            if owner is not None and id(owner) == holder.scope:
                yield file, load
        if id(file.names.module) == holder.scope:
            if holder.level > 1 or holder.name in file.functions:
                self.index.check_not_looked_up(holder.name, holder.path)
            yield from self._elsewhere(holder)

    def _elsewhere(self, holder: _Holder) -> Iterator[tuple[Parsed, ast.expr]]:
        """Where other files read what a module binds: by imports of the name, by stars, as attributes of a module."""
        for file in self.index.holding(holder.name):
            names = file.names
            for statement in names.imports:
                if isinstance(statement, ast.ImportFrom):
                    self._imported(holder, file, statement)
            if file.path != holder.path and names.module.stars:
                loads = names.loads.get(holder.name, ())
                yield from ((file, load) for load in loads if names.scope_at[id(load)].owner(holder.name) is None)
                if loads or "__init__" in file.path:
                    self._hold(file, holder.name, names.module, holder.level)
            yield from ((file, node) for node in file.attributes.get(holder.name, ()) if isinstance(node.ctx, ast.Load))

    def _imported(self, holder: _Holder, file: Parsed, statement: ast.ImportFrom) -> None:
        for alias in statement.names:
            if alias.name != holder.name:
                continue
            source = self.index.project.graph.module(file.path, statement.level, statement.module or "")
            if source is None or source == holder.path:
                self._hold(file, alias.asname or alias.name, scope_of(file.names, statement), holder.level)

    def _count(self, file: Parsed, call: ast.Call) -> None:
        if id(call) not in self._counted:
            self._counted.add(id(call))
            self.calls.append(Call(file, call))

    def _hold_attribute(self, name: str, level: int) -> None:
        self._add(_Holder("attribute", name, level))
