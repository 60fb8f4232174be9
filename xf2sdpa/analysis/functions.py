"""How the walk enters functions of the file: their parameters, their results, and what was seen at each call site.

Each unknown value has a token, one per place and chain of calls; evidence about it is recorded in the evidence book.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from xf2sdpa.analysis import axes as axes_of
from xf2sdpa.analysis.call_values import CallValues
from xf2sdpa.analysis.calls import BoundCall
from xf2sdpa.analysis.environment import Environment, Frame, SiteFacts
from xf2sdpa.analysis.evidence import EvidenceBook, Path
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import FunctionNode
from xf2sdpa.analysis.values import (
    NONE,
    DType,
    Function,
    Items,
    Module,
    OneOf,
    Rank,
    Tensor,
    Unknown,
    Value,
    as_tensor,
    join,
)

MAX_DEPTH = 4
Told = Mapping[tuple[str, str], Value]
"""What is known of parameters from elsewhere, by the function's qualified name and the parameter."""


class Functions(CallValues):
    """Adds entering functions to the evaluation of calls; the walk over statements executes their bodies.

    Attributes:
        facts: what was seen at each call site, by `id(call)`.
        book: the evidence gathered so far.
        through: a function whose call sites are recorded with the arguments of its callers.
        told: what is known of parameters from elsewhere; it counts as evidence that needs assumptions.
    """

    def __init__(
        self,
        attributes: ClassAttributes,
        sites: Mapping[int, BoundCall],
        through: FunctionNode | None = None,
        told: Told | None = None,
    ) -> None:
        self.names = attributes.names
        self.attributes = attributes
        self.sites = sites
        self.through = through
        self.told = told or {}
        self.facts: dict[int, SiteFacts] = {}
        self.book = EvidenceBook()
        self.env = Environment()
        self.path: Path = ()
        self.frames: list[Frame] = []
        self.swallowed: list[set[int]] = []
        """The call sites seen in each block around here whose errors are caught."""
        self.kept: list[tuple[int, dict[str, list[Value]]]] = []
        """What variables are given on the way through blocks around here; each with the number of functions then."""
        self.callers: list[Environment] = []
        """The variables of the functions whose calls are being followed."""
        self.stale: dict[int, Items] = {}
        """Lists that have been changed since they were known, by `id`."""
        self.followed: set[int] = set()
        self._tokens: dict[object, int] = {}
        self._made: dict[tuple[int, str], DType] = {}
        self._lazy: dict[int, bool] = {}

    if TYPE_CHECKING:

        def block(self, statements: Sequence[ast.stmt]) -> tuple[bool, bool]: ...

    # -- entry -----------------------------------------------------------------------------------

    def walk_unit(self, unit: FunctionNode | ast.Module | ast.ClassDef) -> None:
        """Walk a whole function (or a module's or class's body), knowing only the annotations of its parameters."""
        self.env, self.path, self.frames = Environment(), (), []
        if isinstance(unit, ast.Module | ast.ClassDef):
            with self._frame(Frame(unit, None, primary=True)):
                self.block(unit.body)
        else:
            self.walk_definition(unit, self._owner(unit))

    def walk_definition(self, node: FunctionNode, owner: ast.ClassDef | None) -> None:
        """Walk a function by itself, not for a call: of its parameters only the annotations are known."""
        outer = self.env
        self.env = Environment(self.closure(node, outer), frozenset())
        for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            token = self.token((id(node), arg.arg))
            known = self.told.get((self.names.scopes[id(node)].qualname, arg.arg)) if self.told else None
            value = self._annotated(token, arg.annotation) if known is None else self._told(token, known)
            self.env.variables[arg.arg] = value
        if node.args.vararg:
            self.env.variables[node.args.vararg.arg] = Unknown(self.token((id(node), "*")))
        with self._frame(Frame(node, owner, primary=True)):
            if isinstance(node, ast.Lambda):
                self.evaluate(node.body)
            else:
                self.block(node.body)
        self.env = outer

    def closure(self, node: FunctionNode, outer: Environment) -> dict[str, Value]:
        """The variables of the enclosing function that are bound only once."""
        scope = self.names.scopes[id(node)].parent
        if scope is None or not outer.variables:
            return {}
        single = {name for name, bindings in scope.bindings.items() if len(bindings) == 1}
        return {name: value for name, value in outer.variables.items() if name in single}

    def _annotated(self, token: int, annotation: ast.expr | None) -> Value:
        """A parameter's value by its annotation, under the assumption that callers respect it.

        `Float[Tensor, "b n h d"]` gives a rank, `attn: Attention` a class of this file.
        """
        if annotation is None:
            return Unknown(token)
        local = self.attributes.local_class(annotation)
        if local is not None:
            return Module(local=local, given=frozenset({f"the parameter is a {local.name}, as annotated"}))
        if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple):
            axes = annotation.slice.elts[-1]
            if isinstance(axes, ast.Constant) and isinstance(axes.value, str) and len(annotation.slice.elts) == 2:
                listed = axes.value.split()
                if listed and not any(axis.startswith(("*", "...")) for axis in listed):
                    return Tensor(
                        Rank(len(listed)),
                        given=frozenset({f"the annotation {ast.unparse(annotation)} holds"}),
                        heads=axes_of.heads_among(listed),
                    )
        return Unknown(token)

    def _told(self, token: int, known: Value) -> Value:
        """A parameter's value by what callers pass, a tensor or None: unknown, with evidence that needs assumptions."""
        options = known.options if isinstance(known, OneOf) else frozenset({known})
        tensor = next(option for option in options if isinstance(option, Tensor))
        assert tensor.rank.known is not None, "a rank is what callers are asked for"
        self.book.add(Rank(0, token), tensor.rank.known, (), frozenset(), tensor.given)
        value = Tensor(Rank(0, token), tensor.dtype)
        return OneOf(frozenset({NONE, value})) if NONE in options else value

    def _owner(self, node: ast.AST) -> ast.ClassDef | None:
        parent = self.names.parents.get(id(node))
        return parent if isinstance(parent, ast.ClassDef) else None

    @contextmanager
    def _frame(self, frame: Frame) -> Iterator[Frame]:
        self.frames.append(frame)
        path = self.path
        try:
            yield frame
        finally:
            self.path = path
            self.frames.pop()

    # -- called by the evaluation of expressions ---------------------------------------------------

    def token(self, key: object) -> int:
        """A stable number for an unknown, one per place and chain of calls."""
        full = (tuple(id(frame.node) for frame in self.frames), key)
        return self._tokens.setdefault(full, len(self._tokens) + 1)

    def note_rank(self, rank: Rank, number: int) -> None:
        """Record that the code at this point states that a value has `number` dimensions."""
        given = frozenset().union(*(frame.given for frame in self.frames))
        self.book.add(rank, number, self.path, self.env.done, given)

    def note_question(self, value: Value | None) -> None:
        """Record that the code asks how many dimensions a value has, or which shape."""
        tensor = as_tensor(value) if value is not None else None
        if tensor is not None and tensor.rank.token is not None:
            self.book.asked.add(tensor.rank.token)

    def settle(self, value: Value) -> Value:
        """The value with its rank as a number, if the evidence so far gives one."""
        if isinstance(value, Tensor) and value.rank.token is not None:
            rank, given = self.book.here(value.rank, self.path)
            return replace(value, rank=rank, given=value.given | given)
        if isinstance(value, Items) and id(value) in self.stale:
            return Unknown(self.token(("changed", id(value))))
        if isinstance(value, Unknown):  # a value with evidence for its rank is a tensor
            rank, given = self.book.here(Rank(0, value.token), self.path)
            return Tensor(rank, value.dtype, given, value.heads, is_supposed=True) if rank.known is not None else value
        return value

    def hedged(self, tensor: Tensor, node: ast.AST) -> Tensor:
        """The tensor for a look at its shape; an assumed rank becomes a token, so that results carry the assumption."""
        if not tensor.given or tensor.rank.known is None:
            return tensor
        rank = Rank(0, self.token(("shape", id(node))))
        self.book.add(rank, tensor.rank.known, (), frozenset(), tensor.given)
        return replace(tensor, rank=rank)

    @contextmanager
    def swallowing(self) -> Iterator[None]:
        """Within this context, errors are caught: what code states after a call site proves nothing for it."""
        self.swallowed.append(set())
        try:
            yield
        finally:
            seen = self.swallowed.pop()
            if self.swallowed:
                self.swallowed[-1] |= seen
            else:
                self.env.done |= seen

    def is_lazy(self, node: ast.AST) -> bool:
        """Whether a call of a function does not run it: of a generator, or of a coroutine."""
        if id(node) not in self._lazy:
            yields = (ast.Yield, ast.YieldFrom)
            own = (part for part in ast.walk(node) if isinstance(part, yields) and self.names.function(part) is node)
            self._lazy[id(node)] = isinstance(node, ast.AsyncFunctionDef) or any(own)
        return self._lazy[id(node)]

    @contextmanager
    def perhaps(self, node: ast.AST, arm: int = 0) -> Iterator[None]:
        """Within this context, code is evaluated that runs on some executions only: arm `arm` of `node`."""
        path, self.path = self.path, (*self.path, (id(node), arm))
        try:
            yield
        finally:
            self.path = path

    def record(self, bound: BoundCall, arguments: dict[str, Value]) -> Rank:
        """Record the arguments of a call site; return the rank of its result."""
        given = {n: t for n in ("query", "key", "value") if (t := as_tensor(arguments.get(n, NONE)))}
        known = [t.rank for t in given.values() if self.book.here(t.rank, self.path)[0].known is not None]
        result = known[0] if known else Rank(0, self.token(id(bound.node)))
        if not self.frames[-1].primary:
            return result
        if self.env.autocast_is_off:  # autocast changes no dtype here, as with dtypes that it has lowered already
            arguments = {**arguments, **{name: replace(tensor, dtype=DType.AUTOCAST) for name, tensor in given.items()}}
        self.book.clock += 1
        site = id(bound.node)
        facts = self.facts.get(site)
        if facts is None:
            self.facts[site] = SiteFacts(self.path, self.book.clock, arguments, result)
        else:
            token = self.token(("joined", site))
            facts.arguments = {n: join(v, arguments.get(n, NONE), token) for n, v in facts.arguments.items()}
            facts.order = self.book.clock
        if self.swallowed:  # what follows in the same block may fail, and the result be used all the same
            self.swallowed[-1].add(site)
        else:
            self.env.done |= {site}
        return result

    def own_dtype(self, owner: ast.ClassDef, attribute: str) -> DType:
        """Whether `self.attribute` is a float32 tensor, a parameter or a buffer, by the expressions that make it."""
        key = (id(owner), attribute)
        if key not in self._made:
            self._made[key] = DType.UNKNOWN  # what refers to itself is not known
            made = [self._made_by(expression) for expression in self.attributes.assigned(owner, attribute)]
            if any(tensor is not None and tensor.dtype is DType.FLOAT32 and tensor.rank.known != 0 for tensor in made):
                self._made[key] = DType.FLOAT32
        return self._made[key]

    def _made_by(self, node: ast.expr) -> Tensor | None:
        """The tensor that an expression of another function makes, nothing being known of the variables in it."""
        outer, path = self.env, self.path
        self.env, self.path = Environment(), ()
        with self._frame(Frame(node, None, primary=False)):
            value = self.evaluate(node)
        self.env, self.path = outer, path
        return as_tensor(value)

    def apply(
        self, function: Function, positional: Sequence[Value], keywords: Mapping[str, Value], call: ast.AST
    ) -> Value:
        """The value that a function of this file returns for these arguments, found by walking its body."""
        token = self.token(id(call))
        nested = [frame.node for frame in self.frames]
        if len(self.frames) > MAX_DEPTH or function.node in nested or self.is_lazy(function.node):
            return Unknown(token)
        variables = self._bind(function, positional, keywords)
        if variables is None:
            return Unknown(token)
        outer = self.env
        self.env = Environment(variables, outer.done)
        primary = (isinstance(function.node, ast.Lambda) or function.node is self.through) and self.frames[-1].primary
        made = Frame(function.node, function.owner, primary, function.is_sealed, function.given)
        made.handed = frozenset(id(value) for value in variables.values() if isinstance(value, Items))
        self.callers.append(outer)
        self.followed.add(id(call))
        with self._frame(made) as frame:
            if isinstance(function.node, ast.Lambda):
                frame.returned.append(self.evaluate(function.node.body))
            elif self.block(function.node.body)[0]:
                frame.returned.append(NONE)
        outer.done |= self.env.done
        self.env = self.callers.pop()
        return self._joined(frame.returned, token)

    def _bind(
        self, function: Function, positional: Sequence[Value], keywords: Mapping[str, Value]
    ) -> dict[str, Value] | None:
        arguments = function.node.args
        names = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)]
        variables = dict(function.closure)
        values = list(positional)
        if function.owner is not None:
            values.insert(0, Unknown(self.token(("self", id(function.owner)))))
        if len(values) > len(names) and arguments.vararg is None:
            return None
        for name in (*names, *(arg.arg for arg in arguments.kwonlyargs)):
            variables[name] = Unknown(self.token((id(function.node), name)))
        defaults = [*zip(reversed(names), reversed(arguments.defaults), strict=False)]
        defaults += [(a.arg, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d]
        for name, default in defaults:
            if isinstance(default, ast.Constant):
                variables[name] = self.evaluate(default)
        variables.update(zip(names, values, strict=False))
        if arguments.vararg is not None:
            variables[arguments.vararg.arg] = Items(tuple(values[len(names) :]), is_fixed=True)
        variables.update({name: value for name, value in keywords.items() if name in variables})
        return variables

    def _joined(self, values: Sequence[Value], token: int) -> Value:
        if not values:
            return Unknown(token)
        result = values[0]
        for value in values[1:]:
            result = join(result, value, token)
        return result

    def holds_site(self, node: ast.AST) -> bool:
        """Whether a node contains a call site."""
        return any(id(child) in self.sites for child in ast.walk(node))
