"""Where a class or a function of a project gets to, and every call of it that the project shows.

A name is followed by the places that hold what it stands for: variables by their scope, attributes and parameters by
their name, whatever object they belong to. So too many places count, never too few; and what gets to a place that is
not followed makes the answer unknown. A thing's level says how many calls lead to the one that is asked for: 1 for a
function, a method or an object of a class; 2 for a class, a `partial` of it, or what returns its objects.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from xf2sdpa.analysis.imports import scope_of
from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.scopes import Scope
from xf2sdpa.project.arguments import Call
from xf2sdpa.project.contexts import GIVEN_SELF, PARTS, Contexts, check_decorators, is_parameter
from xf2sdpa.project.index import FunctionNode, Index, Parsed, Unknowable
from xf2sdpa.project.lineage import lineage
from xf2sdpa.project.modules import handed_on_at


@dataclass(frozen=True)
class _Holder:
    """A place that holds what is followed: a variable, with its scope, or an attribute."""

    kind: str
    name: str
    level: int
    path: str = ""
    scope: int = 0


_NO_FRIENDS_OF_MODULES = frozenset({"torch", "numpy", "pandas", *sys.stdlib_module_names})
"""Libraries whose functions, given to `apply`, change no module of ours: a frame has an `apply` too."""


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
    in_sequence: bool = False
    """Whether it is put into a container that may call it with what another part returns."""
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
        for path in project.holding(*PARTS, "apply", "_modules"):
            text = project.text(path)
            if not any(f".{name}" in text for name in (*PARTS, "apply")) and "_modules" not in text:
                continue
            file = self.index.file(path)
            if file is None:
                raise Unknowable(f"{path} does not parse, and goes through the parts of modules")
            if place := next((s.lineno for s in file.names.strings if s.value == "_modules"), 0):
                raise Unknowable(f"{path}:{place} takes parts of modules out of their tables")
            for node in file.attributes.get("_modules", ()):
                self._use(file, node, 1)
            for name in (*PARTS, "apply"):
                for node in file.attributes.get(name, ()):
                    call = file.names.parents[id(node)]
                    if isinstance(call, ast.Call) and call.func is node:
                        self._through_parts(file, call, name)

    def _through_parts(self, file: Parsed, call: ast.Call, name: str) -> None:
        if name != "apply":
            self._use(file, call, 1)
        elif isinstance(call.func, ast.Attribute) and len(call.args) + len(call.keywords) == 1:
            self._applied(file, call.func.value, [*call.args, *(keyword.value for keyword in call.keywords)][0])

    def _applied(self, file: Parsed, of: ast.expr, function: ast.expr) -> None:
        """Follow the parts of a module into the function that `module.apply(function)` calls with each.

        Raises:
            Unknowable: it is a function that is not seen.
        """
        before = 0
        while isinstance(function, ast.Call) and file.names.resolve(function.func) == "functools.partial":
            if not function.args:
                return  # which Python refuses
            before, function = before + len(function.args) - 1, function.args[0]
        for home, found in self._taking_parts(file, of, function):
            listed = [*found.args.posonlyargs, *found.args.args]
            left = listed[int(bool(listed) and listed[0].arg in ("self", "cls")) + before :]
            if not left and found.args.vararg:
                raise Unknowable(
                    f"{file.path}:{function.lineno} lets *{found.args.vararg.arg} have all parts of a module"
                )
            for argument in left[:1]:
                self._hold(home, argument.arg, home.names.scopes[id(found)], 1)

    def _taking_parts(
        self, file: Parsed, of: ast.expr, function: ast.expr
    ) -> list[tuple[Parsed, FunctionNode | ast.Lambda]]:
        """The functions that an expression given to `apply` may stand for; none where it is a harmless library's."""
        if isinstance(function, ast.Lambda):
            return [(file, function)]
        if isinstance(function, ast.IfExp):
            return [f for arm in (function.body, function.orelse) for f in self._taking_parts(file, of, arm)]
        name, dotted = called_name(function), file.names.resolve(function) or ""
        unseen = Unknowable(f"{file.path}:{function.lineno} lets {ast.unparse(function)} have all parts of a module")
        if is_parameter(file, function) and not _is_class(of):
            raise unseen
        if self._is_foreign(file, dotted):
            if dotted and dotted.partition(".")[0] not in _NO_FRIENDS_OF_MODULES:
                raise unseen
            return []
        found: list[tuple[Parsed, FunctionNode | ast.Lambda]] = []
        if isinstance(function, ast.Name | ast.Attribute):
            found = [(home, f) for home in self.index.holding(name) for f in home.functions.get(name, ())]
        if not found and not _is_class(of) and not self._is_of_a_library(file, function):
            raise unseen
        return found

    def _is_of_a_library(self, file: Parsed, function: ast.expr) -> bool:
        """Whether nothing in the project makes or holds what an expression stands for: it is inherited, or Python's."""
        if isinstance(function, ast.Call):
            name = called_name(function.func)
            return bool(name) and not any(
                h.functions.get(name) or h.classes.get(name) for h in self.index.holding(name)
            )
        if isinstance(function, ast.Name):
            return file.names.scope_at[id(function)].owner(function.id) is None
        if not isinstance(function, ast.Attribute):
            return False
        stored = (n for home in self.index.holding(function.attr) for n in home.attributes.get(function.attr, ()))
        return not any(isinstance(node.ctx, ast.Store) for node in stored)

    def of_function(self, file: Parsed, node: FunctionNode) -> Uses:
        """Follow a function, or a method by its name, whatever object has it.

        Raises:
            Unknowable: it gets where it cannot be followed.
        """
        check_decorators(file, node)
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
        for home, klass in lineage(self.index, file, node):
            self._look_inside(home, klass)

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
                for pattern in file.names.parsed.of(ast.MatchClass):
                    if holder.name in pattern.kwd_attrs:
                        raise Unknowable(f"{file.path}:{pattern.lineno} takes {holder.name} out of an object")
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
                self._check_module_stays(holder.path)
            yield from self._elsewhere(holder)

    def _check_module_stays(self, path: str) -> None:
        if path not in self.index.handed_on:
            self.index.handed_on[path] = handed_on_at(self.index, path)
        if place := self.index.handed_on[path]:
            raise Unknowable(f"{place} hands on all that {path} binds")

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


def _is_class(node: ast.expr) -> bool:
    """Whether an expression is named as a class is: `Function.apply(x)` is autograd's."""
    return called_name(node).lstrip("_")[:1].isupper()
