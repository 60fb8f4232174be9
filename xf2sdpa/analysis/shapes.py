"""A forward walk over one function that keeps, for each variable, what is known of its rank and dtype.

Statements are executed abstractly: both arms of a branch, a loop until nothing changes, functions and methods of
the same file by their bodies. At each call site the values of the arguments are recorded.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from xf2sdpa.analysis import axes
from xf2sdpa.analysis.conditions import stated_none, stated_rank, truth
from xf2sdpa.analysis.environment import Environment
from xf2sdpa.analysis.evidence import Path
from xf2sdpa.analysis.functions import Functions
from xf2sdpa.analysis.swallowing import swallows
from xf2sdpa.analysis.values import (
    NONE,
    DType,
    Function,
    Items,
    OneOf,
    Scalar,
    ShapeOf,
    Tensor,
    Unknown,
    Value,
    as_tensor,
    join,
)

MAX_LOOP_PASSES = 3
MAX_UNROLLED = 8
_AUTOCAST = {"torch.autocast": False, "torch.amp.autocast": False, "torch.cuda.amp.autocast": True}
"""Autocast's classes, and whether each is for CUDA only (else the first argument names the device)."""


class Walk(Functions):
    """The walk over the statements of those functions of one module that contain call sites."""

    # -- statements ------------------------------------------------------------------------------

    def block(self, statements: Sequence[ast.stmt]) -> tuple[bool, bool]:
        """Execute statements; return whether the end is reached, and whether a return or break may occur before it."""
        path, partial = self.path, False
        try:
            for statement in statements:
                falls, leaves = self.statement(statement)
                if not falls:
                    return False, partial or leaves
                if leaves:  # what follows is not executed in every case
                    partial = True
                    self.path = (*self.path, (id(statement), -1))
            return True, partial
        finally:
            self.path = path

    def statement(self, node: ast.stmt) -> tuple[bool, bool]:
        """Execute one statement by the method for its kind; the result is as for `block`."""
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
            self._name_axes(target, node.value)

    def _name_axes(self, target: ast.expr, value: ast.expr) -> None:
        """After `b, n, h, d = q.shape` it is known which axis of `q` is called what."""
        source = axes.asked_shape(value)
        if source in self.env.variables and isinstance(target, ast.Tuple | ast.List):
            names = [element.id if isinstance(element, ast.Name) else "" for element in target.elts]
            old = self.env.variables[source]
            if isinstance(old, Tensor | Unknown) and old.heads is None and len(names) == len(target.elts):
                self.env.variables[source] = replace(old, heads=axes.heads_among(names))

    def do_AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: N802
        if node.value is not None:
            self.assign(node.target, self.evaluate(node.value))

    def do_AugAssign(self, node: ast.AugAssign) -> None:  # noqa: N802
        value = self.evaluate(node.value)
        if not isinstance(node.target, ast.Name):
            return
        old = self.env.variables.get(node.target.id)
        if isinstance(old, Items):
            self.change_list(old, node.target, self.combine(old, value, node))
        elif isinstance(old, Scalar):  # a number: what is added may be a tensor
            self.env.variables[node.target.id] = self.combine(old, value, node)
        # an in-place operation on a tensor changes neither its rank nor its dtype

    def assign(self, target: ast.expr, value: Value) -> None:
        """Assign a value to a target, also by unpacking; to unpack a shape states the rank."""
        if isinstance(target, ast.Name):
            self.env.variables[target.id] = value
            for depth, kept in self.kept:
                if depth == len(self.frames):
                    kept.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Subscript):
            self.change_item(target, value)
        elif isinstance(target, ast.Attribute):
            self.change_attribute(target, value)
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
            return axes.without_first(value)
        return Unknown(self.token(id(element)))

    def do_Return(self, node: ast.Return) -> tuple[bool, bool]:  # noqa: N802
        self.frames[-1].returned.append(self.evaluate(node.value) if node.value else NONE)
        return False, True

    def do_Raise(self, node: ast.Raise) -> tuple[bool, bool]:  # noqa: N802
        if node.exc is not None:
            self.evaluate(node.exc)
        return False, False

    def do_Break(self, node: ast.Break) -> tuple[bool, bool]:  # noqa: N802
        self.frames[-1].broken_off.append(self.env.copy())
        return False, True

    def do_Continue(self, node: ast.Continue) -> tuple[bool, bool]:  # noqa: N802
        self.frames[-1].left_loop.append(self.env.copy())
        return False, True

    def do_Assert(self, node: ast.Assert) -> None:  # noqa: N802
        self.evaluate(node.test)
        self.assume(node.test)

    def assume(self, test: ast.expr, *, holds: bool = True) -> None:
        """Record the ranks that a condition states, if it is true (or, with `holds` false, if it is false)."""
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
        if certain is not None:
            return self.block(node.body if certain else node.orelse)
        arms = [(node.body, True), (node.orelse, False)]
        before = self.env
        ends: list[Environment] = []
        ways: list[Path] = []
        whole: list[tuple[Environment, Path]] = []
        leaves = going_on = False
        for arm, (body, holds) in enumerate(arms):
            self.env = before.copy()
            with self.perhaps(node, arm):
                self.assume(node.test, holds=holds)
                self._narrow(node.test, holds=holds)
                falls, left = self.block(body)
                way = self.path
            leaves |= left
            if falls:
                ends.append(self.env)
                ways.append(way)
                whole += [] if left else [(self.env, way)]
                going_on = holds
        self._link(node, whole)
        self.env = self._meet(ends, node) or before
        self.book.meet((*self.path, (id(node), -1)) if leaves else self.path, ways)
        if len(ends) == 1 and not leaves:  # the other arm raises
            self.assume(node.test, holds=going_on)
        return bool(ends), leaves

    def _narrow(self, test: ast.expr, *, holds: bool) -> None:
        """Where a condition says that a variable is None, or that it is not, its value is known to be so."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self._narrow(test.operand, holds=not holds)
        decisive = ast.And if holds else ast.Or
        parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, decisive) else [test]
        for part in parts:
            found = stated_none(part, holds)
            value = self.env.variables.get(found[0]) if found is not None else None
            if found is None or not isinstance(value, Unknown | OneOf):
                continue
            name, is_none = found
            if is_none:
                self.env.variables[name] = NONE
            elif isinstance(value, OneOf) and len(rest := value.options - {NONE}) == 1:
                self.env.variables[name] = next(iter(rest))
        return None

    def _meet(self, ends: Sequence[Environment], node: ast.AST) -> Environment | None:
        """The environment where several paths meet; None if there are none."""
        if not ends:
            return None
        merged = ends[0].copy()
        for other in ends[1:]:
            merged.done |= other.done
            for name in merged.variables.keys() | other.variables.keys():
                token = self.token((id(node), name))
                left, right = merged.variables.get(name), other.variables.get(name)
                merged.variables[name] = join(left, right, token) if left and right else Unknown(token)
        return merged

    def _link(self, node: ast.If, arms: Sequence[tuple[Environment, Path]]) -> None:
        """Where arms meet that go through to their ends, what is stated of a variable holds for its value on each."""
        for end, way in arms:
            for name, value in end.variables.items():
                tensor = as_tensor(value)
                if tensor is not None:
                    self.book.link(self.token((id(node), name)), tensor.rank, way)

    def do_For(self, node: ast.For | ast.AsyncFor) -> tuple[bool, bool]:  # noqa: N802
        iterable = self.evaluate(node.iter)
        if (
            isinstance(iterable, Items)
            and iterable.items is not None
            and 0 < len(iterable.items) <= MAX_UNROLLED
            and not _is_left_early(node)
        ):
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
        return True, self.block(node.orelse)[1] or leaves

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, prepare: object) -> tuple[bool, bool]:
        leaves = False
        for number in itertools.count(1):  # pragma: no branch - there is always a next number
            before = self.env.copy()
            frame = self.frames[-1]
            (outer_left, frame.left_loop), (outer_broken, frame.broken_off) = (
                (frame.left_loop, []),
                (frame.broken_off, []),
            )
            with self.perhaps(node):
                prepare()  # type: ignore[operator]
                falls, left = self.block(node.body)
            leaves |= left
            through, broken = [before, *([self.env] if falls else []), *frame.left_loop], frame.broken_off
            frame.left_loop, frame.broken_off = outer_left, outer_broken
            self.env = self._meet([*through, *broken], node) or before
            changed = [name for name, v in self.env.variables.items() if before.variables.get(name) != v]
            if not changed:
                break
            if number >= MAX_LOOP_PASSES:  # a value that goes round through many variables: none of these is known
                self.env.variables.update({name: Unknown(self.token((id(node), name))) for name in changed})
        if node.orelse:  # a `break` passes it over
            forgotten = {name: value for name, value in self.env.variables.items() if name in changed}
            self.env = self._meet(through, node) or self.env
            self.env.variables.update(forgotten)
            with self.perhaps(node, 1):
                falls, _ = self.block(node.orelse)
            self.env = self._meet([*([self.env] if falls else []), *broken], node) or self.env
            self.env.variables.update({n: v for n, v in forgotten.items() if broken})
        return True, leaves

    def do_With(self, node: ast.With | ast.AsyncWith) -> tuple[bool, bool]:  # noqa: N802
        if not any(swallows(self.names, item.context_expr) for item in node.items):
            return self._with(node)
        before = self.env.copy()
        with self.perhaps(node), self.swallowing(), self._keeping() as kept:  # as much of it as runs before an error
            _, leaves = self._with(node)
        self.env = self._on_the_way(self._meet([before, self.env], node) or before, kept, node)
        return True, leaves

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[dict[str, list[Value]]]:
        """Within this context, all values are kept that variables are given."""
        kept: dict[str, list[Value]] = {}
        self.kept.append((len(self.frames), kept))
        try:
            yield kept
        finally:
            self.kept.pop()

    def _on_the_way(self, env: Environment, kept: dict[str, list[Value]], node: ast.AST) -> Environment:
        """The environment where a block may have been left after any of its statements."""
        for name, values in kept.items():
            for value in values:
                now, token = env.variables.get(name), self.token((id(node), name))
                env.variables[name] = join(now, value, token) if now is not None else Unknown(token)
        return env

    def _with(self, node: ast.With | ast.AsyncWith) -> tuple[bool, bool]:
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
        """Whether an expression is `torch.autocast("cuda", enabled=False)`, under any of its names."""
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
        """Forget dtypes that autocast decided: on the other side of a switch they may differ."""
        self.env.variables = {name: _without_autocast(value) for name, value in self.env.variables.items()}

    def do_Try(self, node: ast.Try) -> tuple[bool, bool]:  # noqa: N802
        before = self.env.copy()
        caught = bool(node.handlers) and not all(map(_raises, node.handlers))
        guarded = self.swallowing() if caught else contextlib.nullcontext()
        with self.perhaps(node), guarded, self._keeping() as kept:
            falls, leaves = self.block([*node.body, *node.orelse])
        ends = [self.env] if falls else []
        broken = self._on_the_way(self._meet([before, self.env], node) or before, kept, node)
        for arm, handler in enumerate(node.handlers):
            self.env = broken.copy()
            with self.perhaps(node, arm + 1):
                handled, left = self.block(handler.body)
            leaves |= left
            if handled:
                ends.append(self.env)
        if node.finalbody:  # it runs after an error, too
            self.env = broken.copy()
            with self.perhaps(node, -2):
                self.block(node.finalbody)
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
        closure = dict(self.closure(node, self.env))
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
            base = self.evaluate(target.value) if isinstance(target, ast.Subscript) else NONE
            if isinstance(target, ast.Subscript) and isinstance(base, Items):
                self.change_list(base, target.value, Unknown(self.token(id(target))))


def _without_autocast(value: Value) -> Value:
    """The value with every dtype that autocast decided made unknown."""
    if isinstance(value, Tensor) and value.dtype is DType.AUTOCAST:
        return replace(value, dtype=DType.UNKNOWN)
    if isinstance(value, Items):
        items = tuple(map(_without_autocast, value.items)) if value.items is not None else None
        return replace(value, items=items, each=_without_autocast(value.each) if value.each else None)
    if isinstance(value, OneOf):
        return replace(value, options=frozenset(map(_without_autocast, value.options)))
    return value


def _is_left_early(node: ast.For | ast.AsyncFor) -> bool:
    """Whether a loop has a `break` or `continue`."""
    return any(isinstance(part, ast.Break | ast.Continue) for statement in node.body for part in ast.walk(statement))


def _raises(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise)
