"""What each name refers to at its place: imports, aliases, rebinding and shadowing, by Python's scope rules.

One walk over the tree gathers the bindings of every scope; names are resolved on demand.
A name refers to what an import binds only if nothing else binds it in the same scope; a fallback to a constant
(`xformers = None`), as guarded imports have it, does not count.
"""

from __future__ import annotations

import ast
import builtins
import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from xf2sdpa.analysis.api import api_name, is_ours
from xf2sdpa.analysis.availability import asks_for_package, depends_on_more
from xf2sdpa.analysis.parsed import CHILD_FIELDS, Parsed, parsed
from xf2sdpa.analysis.scopes import Binding, Scope, rebind_by_stars

MODULES = frozenset({"xformers.ops", "xformers.ops.fmha", "mslk.attention.fmha"})
"""Modules that hold the whole API."""
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_UNMISTAKABLE = frozenset({"xformers", "torch"})
"""Package names that code does not use for anything else."""
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Names:
    """The scopes of one module, and what names and dotted expressions in them refer to.

    Attributes:
        meanings: what names of other files refer to, by their path as written here: `.shared.xops` → `xformers.ops`.
        handed_on: names that other files of the project take from this one.
        starred: what star imports bring, by the module as written, where that is a file of the project.
        own_modules: modules of the project, by the absolute paths by which this file imports them.
        module: the module's own scope.
        scopes: scope of every node that opens one, by `id(node)`.
        scope_at: the scope in which each Name and Call node stands, by `id(node)`.
        loads: every reading of a name, by the name.
        deletions: every `del` of a name, by the name.
        calls, imports, strings: every call, import statement and string constant, in no promised order.
    """

    def __init__(
        self,
        tree: ast.Module,
        meanings: Mapping[str, str] | None = None,
        own_modules: Collection[str] = (),
        subclasses: Collection[str] = (),
        handed_on: Collection[str] = (),
        *,
        starred: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.tree = tree
        self.meanings = meanings or {}
        self.own_modules, self.subclasses, self.handed_on = own_modules, subclasses, handed_on
        self.starred = starred or {}
        self.module = Scope(tree, None, "")
        self.scopes: dict[int, Scope] = {id(tree): self.module}
        self.scope_at: dict[int, Scope] = {}
        self.loads: dict[str, list[ast.Name]] = {}
        self.deletions: dict[str, list[ast.Name]] = {}
        self.calls: list[ast.Call] = []
        self.imports: list[ast.Import | ast.ImportFrom] = []
        self.strings: list[ast.Constant] = []
        self.shared: set[tuple[int, str]] = set()
        """Variables, by `id(scope)` and name, that inner functions declare `global` or `nonlocal`."""
        _Builder(self).build(tree)
        rebind_by_stars(self.module, self.imports, self.starred)

    @functools.cached_property
    def parsed(self) -> Parsed:
        """The module's tree, with its nodes."""
        return parsed(self.tree)

    @property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the module, in the order of `ast.walk`."""
        return self.parsed.nodes

    @property
    def parents(self) -> dict[int, ast.AST]:
        """The parent of every node, by `id(node)`."""
        return self.parsed.parents

    @functools.cached_property
    def ours(self) -> frozenset[str]:
        """The names that an import of xformers binds in some scope."""
        bound = (item for scope in self.scopes.values() for item in scope.bindings.items())
        return frozenset(name for name, found in bound if any(is_ours(binding.dotted) for binding in found))

    @property
    def may_mean_ours(self) -> bool:
        """Whether anything in the file can refer to a part of xformers: what it imports, or other files hand on."""
        return bool(self.ours or self.module.stars or self.meanings)

    def resolve(self, node: ast.AST, scope: Scope | None = None) -> str | None:
        """The dotted path that an expression refers to, `torch.nn.functional.linear`, or None if not certain."""
        return self._resolve(node, scope or self.scope_at.get(id(node)), 0)

    def _resolve(self, node: ast.AST, scope: Scope | None, depth: int) -> str | None:
        if isinstance(node, ast.Attribute):
            base = self._resolve(node.value, scope, depth)
            return self.meanings.get(f"{base}.{node.attr}", f"{base}.{node.attr}") if base else None
        if isinstance(node, ast.Name) and depth < 4:
            return self._meaning(node.id, scope or self.scope_at.get(id(node)) or self.module, depth)
        return None

    def _meaning(self, name: str, scope: Scope, depth: int) -> str | None:
        owner = scope.owner(name)
        if owner is None:
            return self._from_star(name)
        meanings = set()
        for binding in owner.bindings.get(name, ()):
            if self._is_import_fallback(binding, owner, name):
                continue
            if binding.dotted is not None:
                meanings.add(binding.dotted)
            elif not binding.is_fallback or self._is_taken_away(binding, owner):
                aliased = self._resolve(binding.value, owner, depth + 1) if binding.value else None
                meanings.add(aliased or "")
        return meanings.pop() if len(meanings) == 1 else self._shared_api_path(meanings)

    def _is_taken_away(self, binding: Binding, owner: Scope) -> bool:
        """Whether a function sets a variable of the module to None, by `global`: whenever it is called."""
        return owner is self.module and not isinstance(self.function(binding.node), ast.Module)

    @staticmethod
    def _shared_api_path(meanings: set[str]) -> str | None:
        """One path for a name of the API that is imported from several packages; None if the meanings differ."""
        if meanings and meanings <= MODULES:
            return "xformers.ops"
        names = {api_name(meaning) for meaning in meanings}
        return f"xformers.ops.{names.pop()}" if len(names) == 1 and None not in names else None

    def asks_for_package(self, test: ast.expr) -> bool | None:
        """What a condition says where xformers is there, if it asks for nothing else; None if it may."""
        return asks_for_package(test, self._flags)

    @functools.cached_property
    def _flags(self) -> dict[str, list[ast.expr | None]]:
        """The values that each flag of the module is set to, where nothing but whether xformers is there decides it."""
        named = {name: found for name, found in self.module.bindings.items() if "xformers" in name.lower()}
        flags: dict[str, list[ast.expr | None]] = {n: [b.value for b in found] for n, found in named.items()}
        for asks in [functools.partial(asks_for_package, flags=flags)] * 2:  # a flag may hang on another one
            for name in [n for n in flags if any(depends_on_more(self.ancestors(b.node), asks) for b in named[n])]:
                del flags[name]
        return flags

    def _is_other_arm(self, binding: Binding, owner: Scope, name: str) -> bool:
        """Whether a binding stands in the arm without xformers of an `if` that imports the name in the other."""
        for choice in self.ancestors(binding.node):
            asked = self.asks_for_package(choice.test) if isinstance(choice, ast.If) else None
            if isinstance(choice, ast.If) and asked is not None:
                ours = {id(part) for s in (choice.body if asked else choice.orelse) for part in ast.walk(s)}
                imports = (b for b in owner.bindings[name] if is_ours(b.dotted) and id(b.node) in ours)
                return id(binding.node) not in ours and next(imports, None) is not None
        return False

    def _is_import_fallback(self, binding: Binding, owner: Scope, name: str) -> bool:
        """Whether a binding is what stands in for an import of xformers that failed, or was not tried."""
        if not any(is_ours(other.dotted) for other in owner.bindings[name]):
            return False
        if self._is_other_arm(binding, owner, name):
            return True
        handlers = [parent for parent in self.ancestors(binding.node) if isinstance(parent, ast.ExceptHandler)]
        guard = self.parents.get(id(handlers[0])) if handlers else None
        if not isinstance(guard, ast.Try) or any(isinstance(p, ast.Raise) for s in guard.body for p in ast.walk(s)):
            return False
        inside = {id(part) for statement in guard.body for part in ast.walk(statement)}
        return any(is_ours(b.dotted) and id(b.node) in inside for b in owner.bindings[name])

    def _from_star(self, name: str) -> str | None:
        """The dotted path of a name that nothing here binds, if one `from … import *` can have brought it."""
        stars = self.module.stars
        if stars and name in _UNMISTAKABLE:
            return name
        handed = {self.meanings.get(below(star, name)) for star in stars} - {None}
        if len(handed) == 1:
            return handed.pop()
        return below(stars[0], name) if len(stars) == 1 else None

    def from_stars(self) -> Iterator[tuple[ast.Name, str]]:
        """Every read of a name that only a star import can have bound, and the dotted path it refers to."""
        for name, loads in self.loads.items():
            if self.module.stars and not hasattr(builtins, name) and not name.startswith("__"):
                dotted = self._from_star(name)
                unbound = (load for load in loads if self.scope_at[id(load)].owner(name) is None)
                yield from ((load, dotted) for load in unbound if dotted is not None)

    def is_of_project(self, dotted: str) -> bool:
        """Whether a dotted path, as this file writes it, leads to a file of its project."""
        parts = dotted.split(".")
        return dotted.startswith(".") or any(".".join(parts[:n]) in self.own_modules for n in range(1, len(parts) + 1))

    def could_be(self, name: str, scope: Scope) -> set[str]:
        """Every dotted path that an import binds to `name`, for a name that `resolve` is not certain of."""
        owner = scope.owner(name)
        return {b.dotted for b in owner.bindings.get(name, ()) if b.dotted} if owner else set()

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The parents of a node, nearest first."""
        return self.parsed.around(node)

    def statement(self, node: ast.AST) -> ast.stmt:
        """The statement a node stands in (itself, if it is one)."""
        if isinstance(node, ast.stmt):
            return node
        return next(parent for parent in self.ancestors(node) if isinstance(parent, ast.stmt))

    def function(self, node: ast.AST) -> FunctionNode | ast.Module:
        """The innermost function, lambda or module around a node."""
        for parent in self.ancestors(node):
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module):
                return parent
        raise ValueError("a node outside every module")  # pragma: no cover - nobody has such a node


def below(module: str, name: str) -> str:
    """The dotted path of a name in a module; the module may consist of dots only, as in `from . import x`."""
    return f"{module}{'' if module.endswith('.') else '.'}{name}"


class _Builder:
    """The walk that fills a `Names`. `global` counts only for bindings after it, which is the order Python requires."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def build(self, tree: ast.Module) -> None:
        for child in tree.body:
            self.visit(child, self.names.module)

    def visit(self, node: ast.AST, scope: Scope) -> None:
        _METHODS[node.__class__](self, node, scope)

    def descend(self, node: ast.AST, scope: Scope) -> None:
        for name in CHILD_FIELDS[node.__class__]:
            value = getattr(node, name, None)
            if value.__class__ is list:
                for item in filter(None, value):
                    _METHODS[item.__class__](self, item, scope)
            elif isinstance(value, ast.AST):
                _METHODS[value.__class__](self, value, scope)

    def open(self, node: ast.AST, scope: Scope, name: str) -> Scope:
        inner = Scope(node, scope, f"{scope.qualname}.{name}" if scope.qualname else name)
        self.names.scopes[id(node)] = inner
        return inner

    def visit_Name(self, node: ast.Name, scope: Scope) -> None:  # noqa: N802
        self.names.scope_at[id(node)] = scope
        if isinstance(node.ctx, ast.Load):
            self.names.loads.setdefault(node.id, []).append(node)
        else:
            scope.bind(node.id, Binding(node))
        if isinstance(node.ctx, ast.Del):
            self.names.deletions.setdefault(node.id, []).append(node)

    def visit_Call(self, node: ast.Call, scope: Scope) -> None:  # noqa: N802
        self.names.scope_at[id(node)] = scope
        self.names.calls.append(node)
        self.descend(node, scope)

    def visit_Constant(self, node: ast.Constant, scope: Scope) -> None:  # noqa: N802
        if isinstance(node.value, str):
            self.names.strings.append(node)

    def visit_Import(self, node: ast.Import, scope: Scope) -> None:  # noqa: N802
        self.names.imports.append(node)
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            scope.bind(bound, Binding(node, dotted=alias.name if alias.asname else bound))

    def visit_ImportFrom(self, node: ast.ImportFrom, scope: Scope) -> None:  # noqa: N802
        self.names.imports.append(node)
        base = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                scope.stars.append(base)
            else:
                dotted = below(base, alias.name)
                dotted = self.names.meanings.get(dotted, dotted)
                scope.bind(alias.asname or alias.name, Binding(node, dotted=dotted))

    def visit_Assign(self, node: ast.Assign, scope: Scope) -> None:  # noqa: N802
        self.visit(node.value, scope)
        skipping = imported_or_skipped(node.value)
        for target in node.targets:
            if skipping is not None and isinstance(target, ast.Name):
                self.names.scope_at[id(target)] = scope
                scope.bind(target.id, Binding(node, dotted=skipping))
            else:
                self.bind_target(target, node, node.value, scope)

    def visit_AnnAssign(self, node: ast.AnnAssign, scope: Scope) -> None:  # noqa: N802
        self.visit(node.annotation, scope)
        if node.value is not None:
            self.visit(node.value, scope)
            self.bind_target(node.target, node, node.value, scope)

    def visit_NamedExpr(self, node: ast.NamedExpr, scope: Scope) -> None:  # noqa: N802
        self.visit(node.value, scope)
        owner = scope
        while isinstance(owner.node, _COMPREHENSIONS) and owner.parent is not None:
            owner = owner.parent
        self.bind_target(node.target, node, node.value, owner)

    def bind_target(self, target: ast.expr, parent: ast.AST, value: ast.expr, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            self.names.scope_at[id(target)] = scope
            scope.bind(target.id, Binding(parent, value=value))
        else:
            self.visit(target, scope)

    def visit_Global(self, node: ast.Global, scope: Scope) -> None:  # noqa: N802
        for name in node.names:
            scope.elsewhere[name] = self.names.module
            self.names.shared.add((id(self.names.module), name))

    def visit_Nonlocal(self, node: ast.Nonlocal, scope: Scope) -> None:  # noqa: N802
        for name in node.names:
            owner = scope.parent.owner(name) if scope.parent else None
            if owner is not None:
                scope.elsewhere[name] = owner
                self.names.shared.add((id(owner), name))

    def visit_ExceptHandler(self, node: ast.ExceptHandler, scope: Scope) -> None:  # noqa: N802
        if node.name:
            scope.bind(node.name, Binding(node))
        self.descend(node, scope)

    def visit_MatchAs(self, node: ast.MatchAs, scope: Scope) -> None:  # noqa: N802
        if node.name:
            scope.bind(node.name, Binding(node))
        self.descend(node, scope)

    def visit_MatchStar(self, node: ast.MatchStar, scope: Scope) -> None:  # noqa: N802
        if node.name:
            scope.bind(node.name, Binding(node))

    def visit_MatchMapping(self, node: ast.MatchMapping, scope: Scope) -> None:  # noqa: N802
        if node.rest:
            scope.bind(node.rest, Binding(node))
        self.descend(node, scope)

    def visit_ClassDef(self, node: ast.ClassDef, scope: Scope) -> None:  # noqa: N802
        scope.bind(node.name, Binding(node))
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part, scope)
        inner = self.open(node, scope, node.name)
        for child in node.body:
            self.visit(child, inner)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:  # noqa: N802
        scope.bind(node.name, Binding(node))
        for decorator in node.decorator_list:
            self.visit(decorator, scope)
        self.visit_function(node, scope, node.name)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda, scope: Scope) -> None:  # noqa: N802
        self.visit_function(node, scope, "<lambda>")

    def visit_function(self, node: FunctionNode, scope: Scope, name: str) -> None:
        arguments = node.args
        inner = self.open(node, scope, name)
        for default in (*arguments.defaults, *filter(None, arguments.kw_defaults)):
            self.visit(default, scope)
        for arg in parameters(arguments):
            inner.bind(arg.arg, Binding(arg))
            if arg.annotation is not None:
                self.visit(arg.annotation, scope)
        if not isinstance(node, ast.Lambda):
            if node.returns is not None:
                self.visit(node.returns, scope)
            for child in node.body:
                self.visit(child, inner)
        else:
            self.visit(node.body, inner)

    def visit_comprehension(self, node: ast.AST, scope: Scope) -> None:
        # Python 3 gives a comprehension its own scope, except for its first iterable.
        inner = self.open(node, scope, "<comprehension>")
        for index, generator in enumerate(node.generators):  # type: ignore[attr-defined]
            self.visit(generator.iter, scope if index == 0 else inner)
            self.visit(generator.target, inner)
            for condition in generator.ifs:
                self.visit(condition, inner)
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                self.visit(getattr(node, part), inner)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_comprehension  # noqa: N815


class _Methods(dict[type[ast.AST], Callable[[_Builder, Any, Scope], None]]):
    """By the kind of a node, the method that visits it."""

    def __missing__(self, kind: type[ast.AST]) -> Callable[[_Builder, Any, Scope], None]:
        self[kind] = getattr(_Builder, f"visit_{kind.__name__}", _Builder.descend)
        return self[kind]


_METHODS = _Methods()


def first_name(node: ast.expr) -> ast.expr:
    """The `a` of `a.b.c`; the node itself if it is not a dotted expression."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def dotted_name(node: ast.AST) -> str:
    """The text of a name or a dotted name; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def called_name(function: ast.expr) -> str:
    """The last part of a called function's name: `version` for `importlib.metadata.version`; empty if it has none."""
    return str(getattr(function, "attr", None) or getattr(function, "id", ""))


def imported_or_skipped(node: ast.expr) -> str | None:
    """The module that `pytest.importorskip("xformers.ops")` imports and returns, if it is of xformers; else None."""
    if not isinstance(node, ast.Call) or called_name(node.func) != "importorskip" or not node.args:
        return None
    module = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
    return module if isinstance(module, str) and is_ours(module) else None


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """All parameters of a function, in the order in which they are written."""
    listed = [*arguments.posonlyargs, *arguments.args]
    if arguments.vararg:
        listed.append(arguments.vararg)
    listed.extend(arguments.kwonlyargs)
    if arguments.kwarg:
        listed.append(arguments.kwarg)
    return listed
