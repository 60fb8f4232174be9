"""A forward walk over one function that keeps, for each variable, what is known of its rank and dtype.

Statements are executed abstractly: both arms of a branch, a loop until nothing changes, functions and methods of
the same file by their bodies. At each call site the values of the arguments are noted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from xf2sdpa.analysis.call_values import CallValues
from xf2sdpa.analysis.calls import BoundCall
from xf2sdpa.analysis.conditions import stated_rank, truth
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
    Scalar,
    ShapeOf,
    Tensor,
    Unknown,
    Value,
    as_tensor,
    join,
)

MAX_DEPTH = 4
MAX_LOOP_PASSES = 3
MAX_UNROLLED = 8
_AUTOCAST = {"torch.autocast": False, "torch.amp.autocast": False, "torch.cuda.amp.autocast": True}
"""Whether each is for CUDA only, where xformers' operator runs."""


class Walk(CallValues):
    """The walk over the functions of one module that hold call sites.

    Attributes:
        facts: what was seen at each site, by `id(call)`.
        book: the evidence gathered on the way.
        through: a function whose sites are looked at where it is called.
    """

    def __init__(
        self, attributes: ClassAttributes, sites: Mapping[int, BoundCall], through: FunctionNode | None = None
    ) -> None:
        self.names = attributes.names
        self.attributes = attributes
        self.sites = sites
        self.through = through
        self.facts: dict[int, SiteFacts] = {}
        self.book = EvidenceBook()
        self.env = Environment()
        self.path: Path = ()
        self.frames: list[Frame] = []
        self._tokens: dict[object, int] = {}

    # -- entry -----------------------------------------------------------------------------------

    def walk_unit(self, unit: FunctionNode | ast.Module | ast.ClassDef) -> None:
        """Walk a whole function (or a module's top level), knowing nothing of its parameters."""
        self.env, self.path, self.frames = Environment(), (), []
        if isinstance(unit, ast.Module | ast.ClassDef):
            with self._frame(Frame(unit, None, primary=True)):
                self.block(unit.body)
        else:
            self.walk_definition(unit, self._owner(unit))

    def walk_definition(self, node: FunctionNode, owner: ast.ClassDef | None) -> None:
        """Walk a function for its own sake, with parameters of which only annotations are known."""
        outer = self.env
        self.env = Environment(self._closure(node, outer), frozenset())
        for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            token = self.token((id(node), arg.arg))
            self.env.variables[arg.arg] = self._annotated(token, arg.annotation)
        if node.args.vararg:
            self.env.variables[node.args.vararg.arg] = Unknown(self.token((id(node), "*")))
        with self._frame(Frame(node, owner, primary=True)):
            if isinstance(node, ast.Lambda):
                self.evaluate(node.body)
            else:
                self.block(node.body)
        self.env = outer

    def _closure(self, node: FunctionNode, outer: Environment) -> dict[str, Value]:
        """Variables of the function around, as far as they have one value only."""
        scope = self.names.scopes[id(node)].parent
        if scope is None or not outer.variables:
            return {}
        single = {name for name, bindings in scope.bindings.items() if len(bindings) == 1}
        return {name: value for name, value in outer.variables.items() if name in single}

    def _annotated(self, token: int, annotation: ast.expr | None) -> Value:
        """What an annotation claims and nothing enforces: `Float[Tensor, "b n h d"]`, `attn: Attention`."""
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
                    )
        return Unknown(token)

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

    # -- what expressions ask for ----------------------------------------------------------------

    def token(self, key: object) -> int:
        """A stable number for an unknown, one per place and chain of calls."""
        full = (tuple(id(frame.node) for frame in self.frames), key)
        return self._tokens.setdefault(full, len(self._tokens) + 1)

    def note_rank(self, rank: Rank, number: int) -> None:
        """The code just stated that a value has `number` dimensions."""
        given = frozenset().union(*(frame.given for frame in self.frames))
        self.book.add(rank, number, self.path, self.env.done, given)

    def settle(self, value: Value) -> Value:
        """A value with its rank as a number, where evidence up to here gives one."""
        if isinstance(value, Tensor) and value.rank.token is not None:
            rank, given = self.book.here(value.rank, self.path)
            return replace(value, rank=rank, given=value.given | given)
        if isinstance(value, Unknown):  # what has a rank is a tensor
            rank, given = self.book.here(Rank(0, value.token), self.path)
            return Tensor(rank, given=given) if rank.known is not None else value
        return value

    def hedged(self, tensor: Tensor, node: ast.AST) -> Tensor:
        """A tensor whose shape is asked for; what rests on an assumed rank is to rest on the assumption too."""
        if not tensor.given or tensor.rank.known is None:
            return tensor
        rank = Rank(0, self.token(("shape", id(node))))
        self.book.add(rank, tensor.rank.known, (), frozenset(), tensor.given)
        return replace(tensor, rank=rank)

    @contextmanager
    def perhaps(self, node: ast.AST, arm: int = 0) -> Iterator[None]:
        """A part of an expression or a block that may not be executed."""
        path, self.path = self.path, (*self.path, (id(node), arm))
        try:
            yield
        finally:
            self.path = path

    def record(self, bound: BoundCall, arguments: dict[str, Value]) -> Rank:
        """Note the arguments of a call site; the rank of its result."""
        given = {n: t for n in ("query", "key", "value") if (t := as_tensor(arguments.get(n, NONE)))}
        known = [t.rank for t in given.values() if self.book.here(t.rank, self.path)[0].known is not None]
        result = known[0] if known else Rank(0, self.token(id(bound.node)))
        if not self.frames[-1].primary:
            return result
        if self.env.autocast_is_off:  # as good as what autocast lowered: it changes no dtype here
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
        self.env.done |= {site}
        return result

    def apply(
        self, function: Function, positional: Sequence[Value], keywords: Mapping[str, Value], call: ast.AST
    ) -> Value:
        """What a function of this file returns for these arguments, by walking its body."""
        token = self.token(id(call))
        nested = [frame.node for frame in self.frames]
        if len(self.frames) > MAX_DEPTH or function.node in nested:
            return Unknown(token)
        variables = self._bind(function, positional, keywords)
        if variables is None:
            return Unknown(token)
        outer = self.env
        self.env = Environment(variables, outer.done)
        primary = (isinstance(function.node, ast.Lambda) or function.node is self.through) and self.frames[-1].primary
        made = Frame(function.node, function.owner, primary, function.is_sealed, function.given)
        with self._frame(made) as frame:
            if isinstance(function.node, ast.Lambda):
                frame.returned.append(self.evaluate(function.node.body))
            elif self.block(function.node.body)[0]:
                frame.returned.append(NONE)
        outer.done |= self.env.done
        self.env = outer
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
            variables[arguments.vararg.arg] = Items(tuple(values[len(names) :]))
        variables.update({name: value for name, value in keywords.items() if name in variables})
        return variables

    def _joined(self, values: Sequence[Value], token: int) -> Value:
        if not values:
            return Unknown(token)
        result = values[0]
        for value in values[1:]:
            result = join(result, value, token)
        return result

    # -- statements ------------------------------------------------------------------------------

    def block(self, statements: Sequence[ast.stmt]) -> tuple[bool, bool]:
        """Execute statements; whether the end is reached, and whether some way out left before it."""
        path, partial = self.path, False
        try:
            for statement in statements:
                falls, leaves = self.statement(statement)
                if not falls:
                    return False, partial or leaves
                if leaves:  # what follows is executed on some ways only
                    partial = True
                    self.path = (*self.path, (id(statement), -1))
            return True, partial
        finally:
            self.path = path

    def statement(self, node: ast.stmt) -> tuple[bool, bool]:
        """Execute one statement, by its kind."""
        method = getattr(self, f"do_{type(node).__name__}", None)
        if method is not None:
            outcome = method(node)
            return outcome if outcome is not None else (True, False)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.evaluate(child)
        return True, False

    def do_Assign(self, node: ast.Assign) -> None:  # noqa: N802
        value = self.evaluate(node.value)
        for target in node.targets:
            self.assign(target, value)

    def do_AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: N802
        if node.value is not None:
            self.assign(node.target, self.evaluate(node.value))

    def do_AugAssign(self, node: ast.AugAssign) -> None:  # noqa: N802
        value = self.evaluate(node.value)
        if not isinstance(node.target, ast.Name):
            return
        old = self.env.variables.get(node.target.id)
        if isinstance(old, Items):
            self.env.variables[node.target.id] = self.combine(old, value, node)
        # an in-place operation on a tensor changes neither its rank nor its dtype

    def assign(self, target: ast.expr, value: Value) -> None:
        """Bind a target, taking a tuple apart; unpacking a shape states the rank."""
        if isinstance(target, ast.Name):
            self.env.variables[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, value)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, Unknown(self.token(id(target))))

    def _unpack(self, target: ast.Tuple | ast.List, value: Value) -> None:
        starred = any(isinstance(element, ast.Starred) for element in target.elts)
        if isinstance(value, ShapeOf) and not starred:
            self.note_rank(value.rank, len(target.elts))
        for index, element in enumerate(target.elts):
            self.assign(element, self._item(value, index, element, starred=starred))

    def _item(self, value: Value, index: int, element: ast.expr, *, starred: bool) -> Value:
        if isinstance(value, Items) and not starred:
            if value.items is None:
                return value.each or Unknown(self.token(id(element)))
            if index < len(value.items):
                return value.items[index]
        if isinstance(value, ShapeOf) and not isinstance(element, ast.Starred):
            return Scalar()
        if isinstance(value, Tensor):
            return replace(value, rank=value.rank.plus(-1))
        return Unknown(self.token(id(element)))

    def do_Return(self, node: ast.Return) -> tuple[bool, bool]:  # noqa: N802
        self.frames[-1].returned.append(self.evaluate(node.value) if node.value else NONE)
        return False, True

    def do_Raise(self, node: ast.Raise) -> tuple[bool, bool]:  # noqa: N802
        if node.exc is not None:
            self.evaluate(node.exc)
        return False, False

    def do_Break(self, node: ast.stmt) -> tuple[bool, bool]:  # noqa: N802
        self.frames[-1].left_loop.append(self.env.copy())
        return False, True

    do_Continue = do_Break  # noqa: N815

    def do_Assert(self, node: ast.Assert) -> None:  # noqa: N802
        self.evaluate(node.test)
        self.assume(node.test)

    def assume(self, test: ast.expr, *, holds: bool = True) -> None:
        """Take a condition for true (or false) from here on."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self.assume(test.operand, holds=not holds)
        decisive = ast.And if holds else ast.Or
        parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, decisive) else [test]
        for part in parts:
            stated = stated_rank(part, holds)
            tensor = as_tensor(self.env.variables.get(stated[0], NONE)) if stated else None
            if stated and tensor:
                self.note_rank(tensor.rank, stated[1])
        return None

    def do_If(self, node: ast.If) -> tuple[bool, bool]:  # noqa: N802
        self.evaluate(node.test)
        certain = truth(node.test, self.evaluate)
        arms = [(node.body, True), (node.orelse, False)]
        if certain is not None:
            for body, holds in arms:
                if holds is certain:
                    return self.block(body)
        before = self.env
        ends: list[Environment] = []
        leaves = going_on = False
        for arm, (body, holds) in enumerate(arms):
            self.env = before.copy()
            with self.perhaps(node, arm):
                self.assume(node.test, holds=holds)
                falls, left = self.block(body)
            leaves |= left
            if falls:
                ends.append(self.env)
                going_on = holds
        self.env = self._meet(ends, node) or before
        if len(ends) == 1 and not leaves:  # the other arm raises
            self.assume(node.test, holds=going_on)
        return bool(ends), leaves

    def _meet(self, ends: Sequence[Environment], node: ast.AST) -> Environment | None:
        """One environment where several ways meet."""
        if not ends:
            return None
        merged = ends[0].copy()
        for other in ends[1:]:
            merged.done |= other.done
            for name in merged.variables.keys() | other.variables.keys():
                token = self.token((id(node), name))
                left, right = merged.variables.get(name), other.variables.get(name)
                merged.variables[name] = join(left, right, token) if left and right else Unknown(token)
                if not isinstance(node, ast.For | ast.AsyncFor | ast.While):
                    sides = [as_tensor(side) for side in (left, right) if side is not None]
                    self.book.link(token, {side.rank for side in sides if side is not None})
        return merged

    def do_For(self, node: ast.For | ast.AsyncFor) -> tuple[bool, bool]:  # noqa: N802
        iterable = self.evaluate(node.iter)
        if isinstance(iterable, Items) and iterable.items is not None and 0 < len(iterable.items) <= MAX_UNROLLED:
            return self._unrolled(node, iterable.items)
        each = self.element(iterable, node)
        return self._loop(node, lambda: self.assign(node.target, each))

    do_AsyncFor = do_For  # noqa: N815

    def do_While(self, node: ast.While) -> tuple[bool, bool]:  # noqa: N802
        self.evaluate(node.test)
        return self._loop(node, lambda: None)

    def _unrolled(self, node: ast.For | ast.AsyncFor, items: Sequence[Value]) -> tuple[bool, bool]:
        leaves = False
        for item in items:
            self.assign(node.target, item)
            falls, left = self.block(node.body)
            leaves |= left
            if not falls:
                break
        return True, leaves

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, prepare: object) -> tuple[bool, bool]:
        leaves = False
        for _ in range(MAX_LOOP_PASSES):
            before = self.env.copy()
            mark = len(self.frames[-1].left_loop)
            with self.perhaps(node):
                prepare()  # type: ignore[operator]
                falls, left = self.block(node.body)
            leaves |= left
            ends = [before, *([self.env] if falls else []), *self.frames[-1].left_loop[mark:]]
            del self.frames[-1].left_loop[mark:]
            self.env = self._meet(ends, node) or before
            if self.env.variables == before.variables:
                break
        with self.perhaps(node, 1):
            self.block(node.orelse)
        return True, leaves

    def do_With(self, node: ast.With | ast.AsyncWith) -> tuple[bool, bool]:  # noqa: N802
        before = self.env.autocast_is_off
        switches = any("autocast" in ast.dump(item.context_expr) for item in node.items)
        for item in node.items:
            self.evaluate(item.context_expr)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, Unknown(self.token(id(item))))
        if switches:
            self._forget_autocast()
            self.env.autocast_is_off = len(node.items) == 1 and self._turns_autocast_off(node.items[0].context_expr)
        returned = self.frames[-1].returned
        mark = len(returned)
        outcome = self.block(node.body)
        if switches:
            self._forget_autocast()
            returned[mark:] = map(_without_autocast, returned[mark:])
        self.env.autocast_is_off = before
        return outcome

    do_AsyncWith = do_With  # noqa: N815

    def _turns_autocast_off(self, node: ast.expr) -> bool:
        """Whether this is `torch.autocast("cuda", enabled=False)`, or what it was called before."""
        dotted = self.names.resolve(node.func) if isinstance(node, ast.Call) else None
        if not isinstance(node, ast.Call) or dotted not in _AUTOCAST:
            return False
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        device = given.get("device_type", node.args[0] if node.args else None)
        cuda_only = _AUTOCAST[dotted]
        enabled = given.get("enabled", node.args[0] if cuda_only and node.args else None)
        here = cuda_only or (isinstance(device, ast.Constant) and device.value == "cuda")
        return here and isinstance(enabled, ast.Constant) and enabled.value is False

    def _forget_autocast(self) -> None:
        """Across an autocast switch, a projection's result may have the other dtype."""
        self.env.variables = {name: _without_autocast(value) for name, value in self.env.variables.items()}

    def do_Try(self, node: ast.Try) -> tuple[bool, bool]:  # noqa: N802
        before = self.env.copy()
        with self.perhaps(node):
            falls, leaves = self.block([*node.body, *node.orelse])
        ends = [self.env] if falls else []
        broken = self._meet([before, self.env], node) or before
        for arm, handler in enumerate(node.handlers):
            self.env = broken.copy()
            with self.perhaps(node, arm + 1):
                handled, left = self.block(handler.body)
            leaves |= left
            if handled:
                ends.append(self.env)
        self.env = self._meet(ends, node) or broken
        finishes, left = self.block(node.finalbody)
        return bool(ends) and finishes, leaves or left

    do_TryStar = do_Try  # noqa: N815

    def do_Match(self, node: ast.Match) -> tuple[bool, bool]:  # noqa: N802
        self.evaluate(node.subject)
        before, ends, leaves = self.env, [self.env.copy()], False
        for arm, case in enumerate(node.cases):
            self.env = before.copy()
            for part in ast.walk(case.pattern):
                name = getattr(part, "name", None) or getattr(part, "rest", None)
                if isinstance(name, str):
                    self.env.variables[name] = Unknown(self.token((id(part), name)))
            with self.perhaps(node, arm):
                falls, left = self.block(case.body)
            leaves |= left
            if falls:
                ends.append(self.env)
        self.env = self._meet(ends, node) or before
        return True, leaves

    def do_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:  # noqa: N802
        closure = dict(self._closure(node, self.env))
        trusted = all((self.names.resolve(d) or "").startswith("torch.") for d in node.decorator_list)
        self.env.variables[node.name] = (
            Function(node, closure) if trusted else Unknown(self.token((id(node), "decorated")))
        )
        if self.frames[-1].primary and self.holds_site(node):
            with self.perhaps(node):
                self.walk_definition(node, None)

    do_AsyncFunctionDef = do_FunctionDef  # noqa: N815

    def do_ClassDef(self, node: ast.ClassDef) -> None:  # noqa: N802
        self.env.variables[node.name] = Unknown(self.token((id(node), "class")))

    def do_Delete(self, node: ast.Delete) -> None:  # noqa: N802
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.env.variables.pop(target.id, None)

    def holds_site(self, node: ast.AST) -> bool:
        """Whether a call site stands somewhere below a node."""
        return any(id(child) in self.sites for child in ast.walk(node))


def _without_autocast(value: Value) -> Value:
    """A value whose dtype autocast may have decided otherwise than it would here."""
    if isinstance(value, Tensor) and value.dtype is DType.AUTOCAST:
        return replace(value, dtype=DType.UNKNOWN)
    if isinstance(value, Items):
        items = tuple(map(_without_autocast, value.items)) if value.items is not None else None
        return replace(value, items=items, each=_without_autocast(value.each) if value.each else None)
    if isinstance(value, OneOf):
        return replace(value, options=frozenset(map(_without_autocast, value.options)))
    return value
