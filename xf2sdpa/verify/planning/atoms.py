"""Splits the two sides of a call site into shared atoms and two expressions of those atoms.

The program evaluates each atom once, in its place and order. The rest of either side has no side effects, so that the
comparison may run it any number of times. Atoms are whole arguments if both sides contain them, else the largest parts
that both contain.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from xf2sdpa.analysis.api import PARAMETERS, is_ours
from xf2sdpa.analysis.names import Names, first_name
from xf2sdpa.analysis.scopes import Scope
from xf2sdpa.analysis.sites import CallSite
from xf2sdpa.rulekit.spelling import SDPA, heads_swap
from xf2sdpa.verify.planning.parts import Atom, span_key
from xf2sdpa.verify.planning.purity import is_pure, is_quiet_call

OPERATOR = "operator"
"""The parameter of the old side for xformers' function."""
_SDPA_PARAMETERS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale")
_SAME_PARAMETER = {"attn_mask": "attn_bias", "dropout_p": "p"}
_LIBRARIES = frozenset({"torch", "einops", "math", "numpy", "xformers", "mslk"})
_BINDS = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class NotShared(Exception):
    """Old and new cannot be run side by side; the message says why."""


@dataclass(frozen=True)
class Cancelled:
    """A transpose before the call that the rewrite removed: `q = inner.transpose(1, 2)`.

    Attributes:
        value: the right side of the old assignment.
        inner: the tensor that it transposes.
        fresh: the name under which the instrumented program keeps `inner`.
        stands_as: the variable that the new call reads in its place.
    """

    value: ast.expr
    inner: ast.expr
    fresh: str
    stands_as: str


@dataclass(frozen=True)
class Sides:
    """Two expressions of the same atoms, which are named `atom0`, `atom1`, …

    Attributes:
        imports: imported names that the new side reads, and the dotted path of each in the new file.
        old_imports: the same for the old side, in the old file.
    """

    atoms: tuple[Atom, ...]
    old: ast.expr
    new: ast.expr
    imports: dict[str, str]
    old_imports: dict[str, str]


@dataclass
class Splitter:
    """Splits one site.

    Attributes:
        site: the old call.
        names, new_names: what names refer to in the old and in the new text.
        target: the new side's expression.
        helpers: dotted names of the helper module in the new file.
        cancelled: the removed transposes, by parameter.
        fresh: variables that new statements assign, and the name of each in the instrumented program.
    """

    site: CallSite
    names: Names
    new_names: Names
    target: ast.expr
    helpers: frozenset[str] = frozenset()
    cancelled: Mapping[str, Cancelled] = field(default_factory=dict)
    fresh: Mapping[str, str] = field(default_factory=dict)
    atoms: list[Atom] = field(default_factory=list)
    old_parts: dict[int, ast.expr] = field(default_factory=dict)
    new_parts: dict[int, ast.expr] = field(default_factory=dict)
    covered: set[int] = field(default_factory=set)
    """Nodes of the new side that belong to an atom, by `id`."""

    def split(self) -> Sides:
        """Split the site.

        Raises:
            NotShared: a side effect would happen twice, or the new side reads something that the old program lacks.
        """
        call = self.site.node
        self.roles = self._roles()
        self.dumps = {ast.dump(node) for node in ast.walk(self.target) if isinstance(node, ast.expr)}
        given = [(self._role_of(index), argument) for index, argument in enumerate(call.args)]
        given += [(keyword.arg or "**", keyword.value) for keyword in call.keywords]
        given.sort(key=lambda pair: (pair[1].lineno, pair[1].col_offset))
        for role, argument in given:
            self._argument(role, argument)
        self.old_parts[id(call.func)] = ast.Name(OPERATOR, ast.Load())
        new = self._new_side()
        old = substituted(call, self.old_parts)
        return Sides(tuple(self.atoms), old, new, *self._imports())

    # -- the old side ----------------------------------------------------------------------------

    def _role_of(self, index: int) -> str:
        starred = any(isinstance(argument, ast.Starred) for argument in self.site.node.args[: index + 1])
        return "*" if starred else PARAMETERS[index]

    def _argument(self, role: str, node: ast.expr) -> None:
        cancelled = self.cancelled.get(role)
        if cancelled is not None:
            name = self._add(Atom(cancelled.fresh, role, whole=False, heads_first=True))
            self.old_parts[id(node)] = substituted(cancelled.value, {id(cancelled.inner): name})
            self._claim(ast.dump(ast.Name(cancelled.stands_as, ast.Load())), role, name)
        elif isinstance(node, ast.Starred):
            self._unpacked(node.value, "*")
        elif role == "**":
            self._unpacked(node, "**")
        else:
            self._take(node, role, whole=True)

    def _unpacked(self, value: ast.expr, role: str) -> None:
        """Make `*values` or `**values` an atom, which the program unpacks once into a tuple or dict."""
        name = self._add(Atom(ast.unparse(value), role, node=span_key(value)))
        self.old_parts[id(value)] = name
        if not self._claim(ast.dump(value), role, name):
            raise NotShared(f"{role}{ast.unparse(value)} does not occur in the new call")

    def _take(self, node: ast.expr, role: str, *, whole: bool = False) -> None:
        """Make atoms of an expression, or of the parts of it that both sides share."""
        if _is_constant(node) and role != "p":
            return
        if _is_library(self.names.resolve(node, self._scope(node))):
            return
        ours = any(is_ours(self.names.resolve(part)) for part in ast.walk(node) if isinstance(part, ast.Name))
        if not ours and self._shared_whole(node, role, whole=whole):
            return
        if (ours or self._shares(node)) and (children := self._children(node)) is not None:
            for child in children:
                self._take(child, role)
        elif not self._shared_whole(node, role, whole=whole):
            self.old_parts[id(node)] = self._add(self._atom(node, role, whole=whole))

    def _shared_whole(self, node: ast.expr, role: str, *, whole: bool) -> bool:
        dump = ast.dump(node)
        if dump not in self.dumps or not any(True for _ in self._occurrences(dump)):
            return False
        name = ast.Name(f"atom{len(self.atoms)}", ast.Load())
        if not self._claim(dump, role, name):
            return False
        self.old_parts[id(node)] = self._add(self._atom(node, role, whole=whole))
        return True

    def _atom(self, node: ast.expr, role: str, *, whole: bool) -> Atom:
        argument = self.site.bound.arguments.get(role)
        swap = heads_swap(argument, self.names) if argument is not None and not whole else None
        return Atom(ast.unparse(node), role, whole, swap is not None and swap[0] is node, span_key(node))

    def _add(self, atom: Atom) -> ast.Name:
        self.atoms.append(atom)
        return ast.Name(f"atom{len(self.atoms) - 1}", ast.Load())

    def _shares(self, node: ast.expr) -> bool:
        parts = (part for part in ast.walk(node) if part is not node and isinstance(part, ast.Name | ast.Attribute))
        return any(ast.dump(part) in self.dumps and not _is_library(self.names.resolve(part)) for part in parts)

    def _children(self, node: ast.expr) -> list[ast.expr] | None:
        """The parts of an expression that it always evaluates, in order; None if it must not be split."""
        if isinstance(node, ast.Call):
            if not is_quiet_call(node, self.names) or any(isinstance(a, ast.Starred) for a in node.args):
                return None
            method = isinstance(node.func, ast.Attribute) and not self.names.resolve(node.func)
            receiver = [node.func.value] if method and isinstance(node.func, ast.Attribute) else []
            return [*receiver, *node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node, ast.Subscript):
            return [node.value, *_indices(node.slice)]
        if isinstance(node, ast.IfExp | ast.BoolOp | ast.Compare):
            if not is_pure(node, self.names):
                return None
        elif not isinstance(node, ast.BinOp | ast.UnaryOp | ast.Tuple | ast.List | ast.Attribute):
            return None
        return [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]

    # -- the new side ----------------------------------------------------------------------------

    def _roles(self) -> dict[int, str]:
        """The parameter that each node of the new side belongs to, by `id` of the node."""
        call = self._attention()
        if call is None:
            raise NotShared("no call of scaled_dot_product_attention or of the helper stands in its place")
        dotted = self.new_names.resolve(call.func) or ""
        parameters = _SDPA_PARAMETERS if dotted.endswith(f".{SDPA}") else PARAMETERS
        found: dict[int, str] = {}
        given = [(name, node) for name, node in zip(parameters, call.args, strict=False)]
        given += [(keyword.arg or "**", keyword.value) for keyword in call.keywords]
        for name, argument in given:
            role = "*" if isinstance(argument, ast.Starred) else _SAME_PARAMETER.get(name, name)
            found.update((id(part), role) for part in _expressions(argument))
        return found

    def _attention(self) -> ast.Call | None:
        for node in ast.walk(self.target):
            if isinstance(node, ast.Call):
                dotted = self.new_names.resolve(node.func) or ""
                if dotted == f"torch.nn.functional.{SDPA}" or _is_below(dotted, self.helpers):
                    return node
        return None

    def _occurrences(self, dump: str) -> Iterator[ast.expr]:
        """The occurrences of an expression in the new side that are not in an atom already."""
        for node in ast.walk(self.target):
            same = isinstance(node, ast.expr) and id(node) not in self.covered and ast.dump(node) == dump
            if same and not any(id(part) in self.covered for part in _expressions(node)):
                yield node  # type: ignore[misc]

    def _claim(self, dump: str, role: str, name: ast.Name) -> bool:
        """Replace one occurrence in the new side by an atom, preferring one in the same parameter; return success."""
        places = list(self._occurrences(dump))
        if role == "p":
            places = [place for place in places if self.roles.get(id(place)) == role]
        places.sort(key=lambda place: self.roles.get(id(place)) != role)
        if places:
            self._cover(places[0], name)
        return bool(places)

    def _cover(self, node: ast.expr, name: ast.Name) -> None:
        self.new_parts[id(node)] = name
        self.covered.update(id(part) for part in _expressions(node))

    def _new_side(self) -> ast.expr:
        for index, atom in enumerate(self.atoms):
            self._repeated(index, atom)
        for chain in list(chains(self.target, self.new_names, self.helpers, self.covered, self.fresh)):
            self._extra(chain)
        self._check_pure(self.target)
        return substituted(self.target, self.new_parts)

    def _repeated(self, index: int, atom: Atom) -> None:
        """Replace further occurrences of an atom as well, if its expression has no side effects."""
        expression = ast.parse(atom.source, mode="eval").body
        if _is_constant(expression):
            return
        for place in list(self._occurrences(ast.dump(expression))):
            if is_pure(place, self.new_names, self.helpers):
                self._cover(place, ast.Name(f"atom{index}", ast.Load()))

    def _extra(self, chain: ast.expr) -> None:
        """Add an atom for a variable or attribute that only the new side reads."""
        root = first_name(chain)
        assert isinstance(root, ast.Name)
        scope = self._scope(self.site.node)
        if root.id in self.fresh:
            if root is not chain:
                raise NotShared(f"the new side reads {ast.unparse(chain)}")
            source = self.fresh[root.id]
        elif scope is not None and (owner := scope.owner(root.id)) is not None:
            if isinstance(owner.node, ast.ClassDef):
                raise NotShared(f"{root.id} belongs to a class body")
            source = ast.unparse(chain)
        else:
            raise NotShared(f"the new side reads {ast.unparse(chain)}, which the old program does not have")
        self._cover(chain, self._add(Atom(source, self.roles.get(id(chain), ""), whole=False)))

    def _check_pure(self, node: ast.AST) -> None:
        if id(node) in self.covered:
            return
        if isinstance(node, ast.Call):
            if not is_quiet_call(node, self.new_names, self.helpers):
                raise NotShared(f"{_short(node)} in the new side may have an effect, and cannot run twice")
        elif isinstance(node, (*_BINDS, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.JoinedStr)):
            raise NotShared(f"{_short(node)} in the new side cannot be run beside the old one")
        for child in ast.iter_child_nodes(node):
            self._check_pure(child)

    # -- names -----------------------------------------------------------------------------------

    def _imports(self) -> tuple[dict[str, str], dict[str, str]]:
        """The names that each side takes from libraries."""
        new = dict(_roots(self.target, self.covered, self.new_names))
        atoms = [part for part in _expressions(self.site.node) if id(part) in self.old_parts]
        taken = {id(part) for atom in atoms for part in _expressions(atom)}
        old = dict(_roots(self.site.node, taken, self.names))
        for cancelled in self.cancelled.values():
            inside = {id(part) for part in _expressions(cancelled.inner)}
            old.update(_roots(cancelled.value, inside, self.names))
        return new, old

    def _scope(self, node: ast.expr) -> Scope | None:
        return self.names.scope_at.get(id(node)) or self.names.scope_at.get(id(first_name(node)))


def chains(
    node: ast.AST,
    names: Names,
    helpers: Collection[str] = (),
    covered: Collection[int] = (),
    fresh: Collection[str] = (),
) -> Iterator[ast.expr]:
    """The variables and attributes of the program that an expression reads: `self.causal`, but no methods of tensors.

    Args:
        node: the expression.
        names: what its names refer to.
        helpers: dotted names of helper modules, which are not part of the program.
        covered: nodes to skip, by `id`.
        fresh: names that the instrumented program will have.
    """
    if id(node) in covered:
        return
    if isinstance(node, ast.Name | ast.Attribute) and isinstance(first_name(node), ast.Name):
        known = isinstance(node, ast.Name) and node.id in fresh
        dotted = None if known else names.resolve(node)
        if known or not (_is_library(dotted) or _is_below(dotted, helpers) or _is_builtin(node, names)):
            yield node
        return
    parts: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        receiver = [] if names.resolve(node.func) else [node.func.value]
        parts = [*receiver, *node.args, *node.keywords]
    for part in parts:
        yield from chains(part, names, helpers, covered, fresh)


def _is_library(dotted: str | None) -> bool:
    return dotted is not None and dotted.partition(".")[0] in _LIBRARIES


def _is_below(dotted: str | None, helpers: Collection[str]) -> bool:
    return dotted is not None and any(dotted.startswith(f"{helper}.") for helper in helpers)


def _is_builtin(node: ast.expr, names: Names) -> bool:
    if not isinstance(node, ast.Name) or not hasattr(builtins, node.id):
        return False
    scope = names.scope_at.get(id(node))
    return scope is None or scope.owner(node.id) is None


def _roots(node: ast.AST, taken: set[int], names: Names) -> Iterator[tuple[str, str]]:
    """The imported names outside of the atoms, with their dotted paths."""
    if id(node) in taken:
        return
    if isinstance(node, ast.Name):
        dotted = names.resolve(node)
        if dotted:
            yield node.id, dotted
    for child in ast.iter_child_nodes(node):
        yield from _roots(child, taken, names)


def _expressions(node: ast.AST) -> Iterator[ast.expr]:
    """All expressions in a node; not contexts and operators, for which the parser shares one object per kind."""
    return (part for part in ast.walk(node) if isinstance(part, ast.expr))


def _indices(node: ast.expr) -> Iterator[ast.expr]:
    """The expressions in `x[…]`, those of slices one by one."""
    if isinstance(node, ast.Slice):
        yield from (part for part in (node.lower, node.upper, node.step) if part is not None)
    elif isinstance(node, ast.Tuple):
        for item in node.elts:
            yield from _indices(item)
    else:
        yield node


def _is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and _is_constant(node.operand))


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:57]}…"


def substituted(node: ast.expr, parts: Mapping[int, ast.expr]) -> ast.expr:
    """A copy of an expression with some of its nodes replaced, given by `id`."""
    if id(node) in parts:
        return parts[id(node)]
    result = copy.copy(node)
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            setattr(result, name, [_copied(item, parts) for item in value])
        else:
            setattr(result, name, _copied(value, parts))
    return result


def _copied(value: object, parts: Mapping[int, ast.expr]) -> object:
    return substituted(value, parts) if isinstance(value, ast.AST) else value  # type: ignore[arg-type]
