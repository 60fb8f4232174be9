"""Tensors and lists that are changed where they are, or handed to what may change them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace

from xf2sdpa.analysis.expressions import Expressions
from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.others import ANY
from xf2sdpa.analysis.tensor_ops import OPERATIONS, Arguments
from xf2sdpa.analysis.values import Function, Items, Scalar, Unknown, Value, as_tensor, join

_HARMLESS = frozenset(
    {"len", "print", "list", "tuple", "zip", "enumerate", "reversed", "sorted", "sum", "min", "max", "any", "all",
     "isinstance", "iter", "next", "str", "repr", "range", "type", "id", "bool", "set"}
)  # fmt: skip
"""Functions of Python that change none of the lists that they are given."""
_TELLING = ("logging.", "warnings.", "math.", "numpy.")
"""Modules whose functions do not change what they are given either."""
_HOLDING = (ast.Dict, ast.Lambda, ast.IfExp, ast.BoolOp, ast.Set)
"""Expressions that may hand out what they are made of, and whose value does not show it."""


class Changes(Expressions):
    """Adds to the evaluation of expressions what becomes of lists and tensors that something changes.

    Attributes:
        followed: the calls whose functions have been walked, by `id`.
    """

    followed: set[int]

    def changed_in_place(self, old: Value, new: Value) -> None:
        """Give what an operation makes of a tensor to every variable that may hold it, in the calling functions too."""
        for env in (self.env, *self.callers):
            same = [name for name, other in env.variables.items() if self.settle(other) == old]
            env.variables.update(dict.fromkeys(same, new))

    # -- lists that are changed ---------------------------------------------------------------------

    def change_list(self, base: Items, target: ast.expr, new: Value) -> None:
        """Give a list other items: under the name that it is changed by, and nothing is known of it under others."""
        variables = self.env.variables
        name = target.id if isinstance(target, ast.Name) else None
        holders = [held for held, value in variables.items() if value is base]
        if holders != [name] or id(base) in self.frames[-1].handed:
            self.stale[id(base)] = base
        if name in holders:
            variables[name] = new

    def change_item(self, target: ast.Subscript, value: Value) -> None:
        """`x[0] = value` where x is a list."""
        base = self.evaluate(target.value)
        if not isinstance(base, Items):
            return self.forget_lists(value)
        token = self.token((id(target), "item"))
        index = None if isinstance(target.slice, ast.Slice) else self._literal(target.slice)
        new: Value = Unknown(token)
        if base.items is not None and index is not None:
            number = len(base.items)
            chosen = range(number) if index == "?" else [index % number if number else 0]
            joined = (join(item, value, token) if index == "?" else value for item in base.items)
            new = Items(tuple(j if i in chosen else o for i, (o, j) in enumerate(zip(base.items, joined, strict=True))))
            new = replace(new, is_size=base.is_size and all(isinstance(item, Scalar) for item in new.items or ()))
        return self.change_list(base, target.value, new)

    def change_attribute(self, target: ast.Attribute, value: Value) -> None:
        """`x.data = value` gives a tensor other dimensions; what `o.name = value` keeps, others may change."""
        if target.attr == "data" and isinstance(target.value, ast.Name):
            self.env.variables[target.value.id] = value
        self.forget_lists(value)

    # -- what is handed to others -------------------------------------------------------------------

    def hand_out(self, node: ast.Call, arguments: Arguments) -> None:
        """After a call of what is not seen, nothing is known any more of the lists that it was given.

        Nor of tensors, where it may be a function that changes ranks in place.
        """
        if id(node) in self.followed:
            return
        given = [*arguments.positional, *arguments.keywords.values()]
        expressions = [*node.args, *(keyword.value for keyword in node.keywords)]
        if self._changes_ranks(node, expressions):
            self._forget_ranks(node, given, expressions)
        if self._takes_lists(node.func):
            self.forget_lists(*given, *(v for e in expressions for v in self._held_in(e)))

    def _changes_ranks(self, node: ast.Call, expressions: Sequence[ast.expr]) -> bool:
        """Whether a called function may change ranks in place: by its name, or by what it is given to call."""
        names = self.attributes.elsewhere.of_ranks
        if not names:
            return False
        if called_name(node.func) in names or any(called_name(expression) in names for expression in expressions):
            return True
        of = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        scope = self.names.scope_at.get(id(of))
        owner = scope.owner(of.id) if scope is not None and isinstance(of, ast.Name) else None
        local = owner is not None and owner is not self.names.module  # a parameter, or a part of `self`
        tensor = isinstance(node.func, ast.Attribute) and node.func.attr in OPERATIONS
        return ANY in names and local and not tensor

    def _forget_ranks(self, node: ast.Call, given: Sequence[Value], expressions: Sequence[ast.expr]) -> None:
        named = (n.id for e in expressions for n in ast.walk(e) if isinstance(n, ast.Name))
        values = [*given, *(self.env.variables[name] for name in named if name in self.env.variables)]
        for part in {id(part): part for value in values for part in _parts(value)}.values():
            if as_tensor(part) is not None:
                self.changed_in_place(part, Unknown(self.token((id(node), part))))

    def forget_lists(self, *values: Value) -> None:
        """From here on, somebody else may change the lists among some values, or in them; a tuple stays what it is."""
        for value in values:
            for part in _parts(value):
                if isinstance(part, Items) and not part.is_fixed and not part.is_size:
                    self.stale[id(part)] = part

    def _takes_lists(self, function: ast.expr) -> bool:
        """Whether a called function, whose body is not seen, may change lists: most of Python's and torch's do not."""
        if (self.names.resolve(function) or "").startswith(_TELLING):
            return False
        if isinstance(function, ast.Attribute):
            of = self.env.variables.get(function.value.id) if isinstance(function.value, ast.Name) else None
            return function.attr not in OPERATIONS and not isinstance(of, Items)
        name = function.id if isinstance(function, ast.Name) else ""
        return name not in _HARMLESS or self.is_bound(name, function)

    def is_bound(self, name: str, node: ast.AST) -> bool:
        """Whether something here has a name that Python has a function of: a definition, an import, a star."""
        scope = self.names.scope_at.get(id(node))
        brought = any(name in names for names in self.names.starred.values())
        return brought or (scope is not None and scope.owner(name) is not None)

    def _held_in(self, node: ast.expr) -> Iterator[Value]:
        """The lists among the variables that an expression may hand out, and its value does not show."""
        if isinstance(node, _HOLDING):
            names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            yield from (self.env.variables[name] for name in sorted(names) if name in self.env.variables)


def _parts(value: Value) -> Iterator[Value]:
    """A value, and those in it: the items of a list, what a function has of the variables around it."""
    yield value
    held: tuple[Value, ...] = ()
    if isinstance(value, Items):
        held = value.items or ((value.each,) if value.each is not None else ())
    elif isinstance(value, Function):
        names = {part.id for part in ast.walk(value.node) if isinstance(part, ast.Name)}
        held = tuple(other for name, other in value.closure.items() if name in names and isinstance(other, Items))
    for part in held:
        yield from _parts(part)
