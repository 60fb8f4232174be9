"""Evaluates expressions abstractly, from what is known of the variables in them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xf2sdpa.analysis import axes
from xf2sdpa.analysis.calls import BoundCall
from xf2sdpa.analysis.tensor_ops import (
    DTYPES,
    OPERATIONS,
    Arguments,
    number_of,
    shape_of,
)
from xf2sdpa.analysis.values import (
    NONE,
    NUMBER,
    DType,
    DTypeOf,
    Function,
    Items,
    Module,
    Rank,
    Scalar,
    ShapeOf,
    Slice,
    Tensor,
    Unknown,
    Value,
    as_tensor,
    join,
    promoted,
)

if TYPE_CHECKING:
    from xf2sdpa.analysis.environment import Environment, Frame
    from xf2sdpa.analysis.layers import ClassAttributes
    from xf2sdpa.analysis.names import FunctionNode, Names


class Expressions:
    """Evaluation of expressions; the walk over statements supplies the environment."""

    names: Names
    attributes: ClassAttributes
    sites: Mapping[int, BoundCall]
    through: FunctionNode | None
    env: Environment
    frames: list[Frame]
    stale: dict[int, Items]
    callers: list[Environment]

    if TYPE_CHECKING:

        def token(self, key: object) -> int: ...
        def note_rank(self, rank: Rank, number: int) -> None: ...
        def note_question(self, value: Value | None) -> None: ...
        def settle(self, value: Value) -> Value: ...
        def hedged(self, tensor: Tensor, node: ast.AST) -> Tensor: ...
        def perhaps(self, node: ast.AST, arm: int = 0) -> AbstractContextManager[None]: ...
        def own_dtype(self, owner: ast.ClassDef, attribute: str) -> DType: ...
        def record(self, bound: BoundCall, arguments: dict[str, Value]) -> Rank: ...
        def forget_lists(self, *values: Value) -> None: ...
        def assign(self, target: ast.expr, value: Value) -> None: ...
        def assume(self, test: ast.expr) -> None: ...
        def closure(self, node: FunctionNode, outer: Environment) -> dict[str, Value]: ...
        def holds_site(self, node: ast.AST) -> bool: ...
        def walk_definition(self, node: FunctionNode, owner: ast.ClassDef | None) -> None: ...
        def apply(
            self,
            function: Function,
            positional: Sequence[Value],
            keywords: Mapping[str, Value],
            call: ast.AST,
        ) -> Value: ...

    def evaluate(self, node: ast.expr) -> Value:
        """What is known of an expression's value, with the evidence so far taken into account."""
        method: Any = getattr(self, f"of_{type(node).__name__}", None)
        return self.settle(method(node) if method else self.of_other(node))

    def of_other(self, node: ast.expr) -> Value:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.evaluate(child)
        return Unknown(self.token(id(node)))

    def of_Constant(self, node: ast.Constant) -> Value:  # noqa: N802
        return NONE if node.value is None else Scalar(node.value, is_constant=True)

    def of_JoinedStr(self, node: ast.JoinedStr) -> Value:  # noqa: N802
        return NUMBER

    def of_Name(self, node: ast.Name) -> Value:  # noqa: N802
        scope = self.names.scope_at.get(id(node))
        owner = scope.owner(node.id) if scope else None
        if (id(owner), node.id) in self.names.shared:  # any call may have changed it since it was read last
            return axes.named(Unknown(self.token(id(node))), node.id)
        if node.id in self.env.variables:
            return axes.named(self.env.variables[node.id], node.id)
        if owner is self.names.module:
            bindings = owner.bindings[node.id]
            only = bindings[0].node if len(bindings) == 1 else None
            if (
                isinstance(only, ast.FunctionDef)
                and self._is_plain(only)
                and not self.attributes.replaced.definition(only)
            ):
                return Function(only)
        return axes.named(Unknown(self.token(("name", node.id))), node.id)

    def _is_plain(self, node: ast.FunctionDef) -> bool:
        """Whether all decorators of a function are torch's, which do not change what it returns."""
        return all((self.names.resolve(d) or "").startswith("torch.") for d in node.decorator_list)

    def of_Yield(self, node: ast.Yield | ast.YieldFrom) -> Value:  # noqa: N802
        """Who asks may ask no further: what follows proves nothing for calls before. A list may come back changed."""
        if node.value is not None:
            self.forget_lists(self.evaluate(node.value))
        self.env.done = frozenset()
        return Unknown(self.token(id(node)))

    of_YieldFrom = of_Yield  # noqa: N815

    def of_NamedExpr(self, node: ast.NamedExpr) -> Value:  # noqa: N802
        value = self.evaluate(node.value)
        self.assign(node.target, value)
        return value

    def of_Tuple(self, node: ast.Tuple | ast.List) -> Value:  # noqa: N802
        items: list[Value] = []
        for element in node.elts:
            if isinstance(element, ast.Starred):
                value = self.evaluate(element.value)
                if isinstance(value, Items) and value.items is not None:
                    items.extend(value.items)
                    continue
                if isinstance(value, ShapeOf):
                    # `(*x.shape[:-1], h, d)` where x's rank is unknown: a length relative to that rank
                    rest = self.of_Tuple(ast.Tuple(node.elts[node.elts.index(element) + 1 :], ast.Load()))
                    if isinstance(rest, Items) and rest.items is not None:
                        return ShapeOf(value.rank.plus(len(items) + len(rest.items)))
                return Unknown(self.token(id(node)))
            items.append(self.evaluate(element))
        is_size = all(isinstance(item, Scalar) for item in items)
        return Items(tuple(items), is_size=is_size, is_fixed=isinstance(node, ast.Tuple))

    of_List = of_Tuple  # noqa: N815

    def of_Lambda(self, node: ast.Lambda) -> Value:  # noqa: N802
        applied = isinstance(self.names.parents.get(id(node)), ast.Call) and self._argument_of_map(node)
        if self.frames[-1].primary and not applied and self.holds_site(node):
            with self.perhaps(node):
                self.walk_definition(node, None)
        at_once = isinstance(self.names.parents.get(id(node)), ast.Call)
        return Function(node, dict(self.env.variables) if at_once else self.closure(node, self.env))

    def _argument_of_map(self, node: ast.Lambda) -> bool:
        call = self.names.parents[id(node)]
        return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "map"

    def of_IfExp(self, node: ast.IfExp) -> Value:  # noqa: N802
        self.evaluate(node.test)
        with self.perhaps(node, 0):
            body = self.evaluate(node.body)
        with self.perhaps(node, 1):
            orelse = self.evaluate(node.orelse)
        return join(body, orelse, self.token(id(node)))

    def of_BoolOp(self, node: ast.BoolOp) -> Value:  # noqa: N802
        result = self.evaluate(node.values[0])
        for index, value in enumerate(node.values[1:], 1):
            with self.perhaps(node, index):
                result = join(result, self.evaluate(value), self.token(id(node)))
        return result

    def of_Compare(self, node: ast.Compare) -> Value:  # noqa: N802
        sides = [self.evaluate(side) for side in (node.left, *node.comparators)]
        tensors = [side for side in sides if isinstance(side, Tensor)]
        return replace(tensors[0], dtype=DType.UNKNOWN) if tensors else Unknown(self.token(id(node)))

    def of_UnaryOp(self, node: ast.UnaryOp) -> Value:  # noqa: N802
        value = self.evaluate(node.operand)
        if isinstance(value, Scalar) and isinstance(node.op, ast.USub) and isinstance(value.value, int):
            return Scalar(-value.value, is_constant=True)
        return NUMBER if isinstance(node.op, ast.Not) else value

    def of_BinOp(self, node: ast.BinOp) -> Value:  # noqa: N802
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        if isinstance(node.op, ast.MatMult):
            tensor = as_tensor(left) or Tensor(Rank(0, self.token(id(node))))
            return OPERATIONS["matmul"](tensor, Arguments((right,), {}, self.token(id(node))))
        result = self.combine(left, right, node)
        in_float32 = isinstance(node.op, ast.Pow) or (isinstance(node.op, ast.Div) and isinstance(left, Scalar))
        if in_float32 and isinstance(result, Tensor):  # on autocast's float32 list: pow, and a number over a tensor
            return replace(result, dtype=DType.FLOAT32)
        return result

    def combine(self, left: Value, right: Value, node: ast.AST) -> Value:
        """The result of arithmetic: a number leaves a tensor as it is, two tensors broadcast, tuples concatenate."""
        if isinstance(left, Scalar) and isinstance(right, Scalar):
            return NUMBER
        if _is_tensor(left) and isinstance(right, Scalar):
            return left
        if _is_tensor(right) and isinstance(left, Scalar):
            return right
        if isinstance(left, Items) and isinstance(right, Items) and left.items is not None and right.items is not None:
            return Items(left.items + right.items, is_size=left.is_size and right.is_size)
        if isinstance(left, ShapeOf) and isinstance(right, Items) and right.items is not None:
            return ShapeOf(left.rank.plus(len(right.items)))
        if isinstance(left, Tensor) and isinstance(right, Tensor):
            return self._broadcast(left, right, node)
        sides = [as_tensor(side) for side in (left, right)]
        large = all(side is not None and side.rank.known != 0 for side in sides)
        if large and any(side is not None and side.dtype is DType.FLOAT32 for side in sides):
            return Tensor(Rank(0, self.token(id(node))), DType.FLOAT32)
        return Unknown(self.token(id(node)))

    def _broadcast(self, left: Tensor, right: Tensor, node: ast.AST) -> Tensor:
        ranks = (left.rank.known, right.rank.known)
        known = [rank for rank in ranks if rank is not None]
        rank = Rank(max(known)) if len(known) == 2 else Rank(0, self.token(id(node)))
        like = [side.heads for side in (left, right) if side.rank == rank and side.heads is not None]
        return Tensor(rank, promoted(left, right), left.given | right.given, like[0] if like else None)

    # -- attributes and subscripts ---------------------------------------------------------------

    def of_Attribute(self, node: ast.Attribute) -> Value:  # noqa: N802
        dotted = self.names.resolve(node)
        if dotted is not None and dotted.startswith("torch."):
            name = dotted[len("torch.") :]
            return DTypeOf(DTYPES[name]) if name in DTYPES else Unknown(self.token(dotted))
        value = self.evaluate(node.value)
        tensor = as_tensor(value)
        if tensor is not None and node.attr in (
            "shape",
            "ndim",
            "dtype",
            "device",
            "T",
            "mT",
            "data",
            "is_cuda",
        ):
            return self._tensor_attribute(tensor, node)
        module = self._own_module(node)
        if module is not None:
            return module
        frame = self._self_frame(node.value)
        owner = frame.owner if frame is not None else None
        dtype = self.own_dtype(owner, node.attr) if owner is not None else None
        changes = self.attributes.replaced.attribute(node) if owner is None else self._changes(owner, node.attr)
        found = Unknown(self.token(("attribute", id(node) if changes else ast.dump(node))), dtype or DType.UNKNOWN)
        return axes.named(found, node.attr)

    def _changes(self, owner: ast.ClassDef, attribute: str) -> bool:
        """Whether a method sets `self.attribute`, so that any call may change it; to set it up is no change."""
        if self.attributes.is_set_by_others(owner, attribute):
            return True
        functions = (self.names.function(value) for value in self.attributes.assigned(owner, attribute))
        return any(getattr(function, "name", "") != "__init__" for function in functions)

    def _tensor_attribute(self, tensor: Tensor, node: ast.Attribute) -> Value:
        if node.attr == "shape":
            return shape_of(self.hedged(tensor, node))
        if node.attr == "ndim":
            self.note_question(tensor)
            return number_of(self.hedged(tensor, node).rank)
        if node.attr == "dtype":
            return DTypeOf(tensor.dtype)
        if node.attr in ("T", "mT"):
            return replace(tensor, heads=None)
        return tensor if node.attr == "data" else NUMBER

    def _self_frame(self, node: ast.expr) -> Frame | None:
        """The frame of the method whose `self` an expression is; None if it is not `self`."""
        if isinstance(node, ast.Name) and node.id == "self":
            return next((frame for frame in reversed(self.frames) if frame.owner is not None), None)
        return None

    def _own_module(self, node: ast.Attribute) -> Module | None:
        """The module that `self.name` holds in the method being walked, if the class shows it."""
        frame = self._self_frame(node.value)
        if frame is None or frame.owner is None:
            return None
        return self.attributes.lookup(frame.owner, node.attr, is_sealed=frame.is_sealed)

    def of_Subscript(self, node: ast.Subscript) -> Value:  # noqa: N802
        base = self.evaluate(node.value)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        indices = [part if isinstance(part, ast.Slice) else self.evaluate(part) for part in parts]
        if isinstance(base, Items | ShapeOf) and isinstance(indices[0], Slice):
            return Unknown(self.token(id(node)))
        if isinstance(base, Items):
            return self._item_at(base, node)
        if isinstance(base, ShapeOf):
            return self._shape_at(base, node)
        tensor = as_tensor(base)
        if tensor is None or isinstance(base, Unknown):
            if isinstance(base, Unknown) and len(parts) > 1:
                return self._indexed(Tensor(Rank(0, base.token), base.dtype), indices, node)
            dtype = base.dtype if isinstance(base, Unknown) else DType.UNKNOWN
            return Unknown(self.token(id(node)), dtype)
        return self._indexed(tensor, indices, node)

    def _indexed(self, tensor: Tensor, indices: Sequence[object], node: ast.AST) -> Value:
        """The result of indexing: an int removes a dimension, None adds one, a slice keeps it; else unknown."""
        change = 0
        for index in indices:
            if isinstance(index, ast.Slice | Slice) or (isinstance(index, Scalar) and index.value is ...):
                continue
            if index == NONE:
                change += 1
            elif isinstance(index, Scalar):
                change -= 1
            else:
                return replace(tensor, rank=Rank(0, self.token(id(node))), heads=None)
        return replace(tensor, rank=tensor.rank.plus(change), heads=axes.indexed(tensor.heads, indices))

    def _item_at(self, base: Items, node: ast.Subscript) -> Value:
        index: object
        if isinstance(node.slice, ast.Slice):
            bounds = [self._literal(part) for part in (node.slice.lower, node.slice.upper, node.slice.step)]
            if base.items is not None and "?" not in bounds:
                return Items(base.items[slice(*bounds)], is_size=base.is_size)
            return Items(None, each=base.each) if base.each else Unknown(self.token(id(node)))
        index = self._literal(node.slice)
        if isinstance(index, int) and base.items is not None and -len(base.items) <= index < len(base.items):
            return base.items[index]
        if base.is_size:
            return NUMBER
        return self.element(base, node)

    def _shape_at(self, base: ShapeOf, node: ast.Subscript) -> Value:
        if not isinstance(node.slice, ast.Slice):
            return NUMBER
        lower, upper, step = (self._literal(p) for p in (node.slice.lower, node.slice.upper, node.slice.step))
        if step is None and lower is None and isinstance(upper, int):
            return ShapeOf(base.rank.plus(upper)) if upper < 0 else Items((NUMBER,) * upper, is_size=True)
        if step is None and upper is None and isinstance(lower, int) and lower < 0:
            return Items((NUMBER,) * -lower, is_size=True)
        return Unknown(self.token(id(node)))

    def _literal(self, node: ast.expr | None) -> Any:
        """The value of a literal int or of a missing bound (None); "?" for anything else."""
        if node is None:
            return None
        value = self.evaluate(node)
        return value.value if isinstance(value, Scalar) and isinstance(value.value, int) else "?"

    def element(self, value: Value, node: ast.AST) -> Value:
        """One value that stands for every item that iterating over a value gives."""
        token = self.token(("element", id(node)))
        if isinstance(value, Items):
            if value.items:
                result = value.items[0]
                for item in value.items[1:]:
                    result = join(result, item, token)
                return result
            return value.each or Unknown(token)
        if isinstance(value, Tensor):
            return axes.without_first(value)
        return NUMBER if isinstance(value, Scalar) else Unknown(token)

    def of_ListComp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> Value:  # noqa: N802
        saved = dict(self.env.variables)
        own = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        try:
            return self._comprehension(node)
        finally:
            inside, self.env.variables = self.env.variables, saved
            for name in inside.keys() - own:  # by a walrus, or in place
                if inside[name] is not saved.get(name):
                    saved[name] = Unknown(self.token((id(node), name)))

    of_GeneratorExp = of_SetComp = of_ListComp  # noqa: N815

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> Value:
        first = node.generators[0]
        iterable = self.evaluate(first.iter)
        plain = len(node.generators) == 1 and not first.ifs
        if plain and isinstance(iterable, Items) and iterable.items is not None and len(iterable.items) <= 8:
            results = []
            for item in iterable.items:
                self.assign(first.target, item)
                results.append(self.evaluate(node.elt))
            return Items(tuple(results))
        with self.perhaps(node):
            self.assign(first.target, self.element(iterable, first))
            for generator in node.generators[1:]:
                self.assign(generator.target, self.element(self.evaluate(generator.iter), generator))
            return Items(None, each=self.evaluate(node.elt))

    def of_DictComp(self, node: ast.DictComp) -> Value:  # noqa: N802
        return Unknown(self.token(id(node)))


def _is_tensor(value: Value) -> bool:
    """Whether a value is a tensor for certain: a float32 parameter is, of whatever rank."""
    return isinstance(value, Tensor) or (isinstance(value, Unknown) and value.dtype is DType.FLOAT32)
