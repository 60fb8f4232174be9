"""Scopes, and what each binds: the records that `names` fills."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Binding:
    """One place that binds a name in a scope.

    Exactly one of `dotted` (an import) and `value` (an assigned expression) may be set; neither for parameters,
    loop targets, definitions and the like.
    """

    node: ast.AST
    dotted: str | None = None
    value: ast.expr | None = None

    @property
    def is_fallback(self) -> bool:
        """Whether it is what guarded imports assign where the import failed: `xops = None`, `xops = False`."""
        return isinstance(self.value, ast.Constant) and self.value.value in (None, False)


@dataclass(eq=False)
class Scope:
    """A module, class, function, lambda or comprehension, and what is bound in it."""

    node: ast.AST
    parent: Scope | None
    qualname: str
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    elsewhere: dict[str, Scope] = field(default_factory=dict)
    """Names under `global` or `nonlocal`, and the scope they belong to."""
    stars: list[str] = field(default_factory=list)
    """Modules star-imported here."""

    def bind(self, name: str, binding: Binding) -> None:
        """Record one more binding of `name`, in the scope that owns it."""
        self.elsewhere.get(name, self).bindings.setdefault(name, []).append(binding)

    def owner(self, name: str) -> Scope | None:
        """The scope whose binding of `name` is visible here (functions do not see bindings of class bodies)."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.elsewhere:
                found = scope.elsewhere[name]
                return found if name in found.bindings else None  # `global x` of what a star import brings
            if name in scope.bindings and (scope is self or not isinstance(scope.node, ast.ClassDef)):
                return scope
            scope = scope.parent
        return None


def rebind_by_stars(
    module: Scope, imports: Iterable[ast.Import | ast.ImportFrom], starred: Mapping[str, Mapping[str, str]]
) -> None:
    """Bind once more what a module has bound above a star import that brings something else of that name.

    Args:
        module: the module's scope.
        imports: its import statements.
        starred: what is known of star imports, by the module as written: names and what they refer to.
    """
    for statement in imports:
        if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
            brought = starred.get("." * statement.level + (statement.module or ""), {})
            for name in brought.keys() & module.bindings.keys():
                above = [b for b in module.bindings[name] if getattr(b.node, "lineno", 0) < statement.lineno]
                if any((binding.dotted or "") != brought[name] or not brought[name] for binding in above):
                    module.bind(name, Binding(statement, dotted=brought[name] or None))
