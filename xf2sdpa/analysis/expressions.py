"""What an expression is worth, given what is known of the variables in it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xf2sdpa.analysis import einops_patterns
from xf2sdpa.analysis.api import CAUSAL, api_name
from xf2sdpa.analysis.calls import BoundCall
from xf2sdpa.analysis.tensor_ops import (
    DTYPES,
    OPERATIONS,
    RANK_STATING,
    Arguments,
    number_of,
    shape_of,
    sizes_rank,
)
from xf2sdpa.analysis.values import (
    NONE,
    NUMBER,
    DType,
    DTypeOf,
    Function,
    Items,
    Layer,
    Mask,
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

if TYPE_CHECKING:
    from xf2sdpa.analysis.layers import ClassAttributes
    from xf2sdpa.analysis.names import FunctionNode, Names
    from xf2sdpa.analysis.shapes import Environment, Frame

MASK_MAKERS = frozenset(
    {"from_seqlens", "from_seqlens_local", "make_causal", "make_causal_from_bottomright", "make_local_attention",
     "make_local_attention_from_bottomright", "add_bias", "to"}
)  # fmt: skip
CONVENTIONS = {"head_to_batch_dim": 3, "reshape_heads_to_batch_dim": 3}
"""Methods of diffusers' Attention that are called on objects whose class is not in sight, and the rank they give."""
_NEW_TENSORS = frozenset({"zeros", "ones", "empty", "full", "rand", "randn", "randint"})
_EINOPS = frozenset({"rearrange", "repeat", "reduce"})
_NUMERIC_BUILTINS = frozenset({"len", "int", "float", "bool", "str", "min", "max", "abs", "round", "isinstance"})


class Expressions:
    """Evaluation of expressions; the walk over statements supplies the environment."""

    names: Names
    attributes: ClassAttributes
    sites: Mapping[int, BoundCall]
    env: Environment
    frames: list[Frame]

    if TYPE_CHECKING:

        def token(self, key: object) -> int: ...
        def note_rank(self, rank: Rank, number: int) -> None: ...
        def settle(self, value: Value) -> Value: ...
        def perhaps(self, node: ast.AST, arm: int = 0) -> AbstractContextManager[None]: ...
        def record(self, bound: BoundCall, arguments: dict[str, Value]) -> Rank: ...
        def assign(self, target: ast.expr, value: Value) -> None: ...
        def assume(self, test: ast.expr) -> None: ...
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
        """The value of an expression, with the evidence so far taken into account."""
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
        if node.id in self.env.variables:
            return self.env.variables[node.id]
        scope = self.names.scope_at.get(id(node))
        owner = scope.owner(node.id) if scope else None
        if owner is self.names.module:
            bindings = owner.bindings[node.id]
            only = bindings[0].node if len(bindings) == 1 else None
            if isinstance(only, ast.FunctionDef) and self._is_plain(only):
                return Function(only)
        return Unknown(self.token(("name", node.id)))

    def _is_plain(self, node: ast.FunctionDef) -> bool:
        """Not changed by a decorator that could be anything."""
        return all((self.names.resolve(d) or "").startswith("torch.") for d in node.decorator_list)

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
                    # `(*x.shape[:-1], h, d)` of an unknown rank: as long as x has dimensions, and some more
                    rest = self.of_Tuple(ast.Tuple(node.elts[node.elts.index(element) + 1 :], ast.Load()))
                    if isinstance(rest, Items) and rest.items is not None:
                        return ShapeOf(value.rank.plus(len(items) + len(rest.items)))
                return Unknown(self.token(id(node)))
            items.append(self.evaluate(element))
        return Items(tuple(items), is_size=all(isinstance(item, Scalar) for item in items))

    of_List = of_Tuple  # noqa: N815

    def of_Lambda(self, node: ast.Lambda) -> Value:  # noqa: N802
        applied = isinstance(self.names.parents.get(id(node)), ast.Call) and self._argument_of_map(node)
        if self.frames[-1].primary and not applied and self.holds_site(node):
            with self.perhaps(node):
                self.walk_definition(node, None)
        return Function(node, dict(self.env.variables))

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
        """Arithmetic: numbers keep a tensor as it is, two tensors broadcast, tuples are joined end to end."""
        if isinstance(left, Scalar) and isinstance(right, Scalar):
            return NUMBER
        if isinstance(left, Tensor) and isinstance(right, Scalar):
            return left
        if isinstance(right, Tensor) and isinstance(left, Scalar):
            return right
        if isinstance(left, Items) and isinstance(right, Items) and left.items is not None and right.items is not None:
            return Items(left.items + right.items, is_size=left.is_size and right.is_size)
        if isinstance(left, ShapeOf) and isinstance(right, Items) and right.items is not None:
            return ShapeOf(left.rank.plus(len(right.items)))
        if isinstance(left, Tensor) and isinstance(right, Tensor):
            ranks = (left.rank.known, right.rank.known)
            known = [rank for rank in ranks if rank is not None]
            rank = Rank(max(known)) if len(known) == 2 else Rank(0, self.token(id(node)))
            dtype = left.dtype if left.dtype is right.dtype else DType.UNKNOWN
            if DType.FLOAT32 in (left.dtype, right.dtype):
                dtype = DType.FLOAT32
            return Tensor(rank, dtype)
        return Unknown(self.token(id(node)))

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
            return self._tensor_attribute(tensor, node.attr)
        owner = self._self_class(node.value)
        module = self.attributes.lookup(owner, node.attr) if owner else None
        if module is not None:
            return module
        return Unknown(self.token(("attribute", ast.dump(node))))

    def _tensor_attribute(self, tensor: Tensor, name: str) -> Value:
        if name == "shape":
            return shape_of(tensor)
        if name == "ndim":
            return number_of(tensor.rank)
        if name == "dtype":
            return DTypeOf(tensor.dtype)
        return tensor if name in ("T", "mT", "data") else NUMBER

    def _self_class(self, node: ast.expr) -> ast.ClassDef | None:
        """The class that `self` is an instance of, here."""
        if isinstance(node, ast.Name) and node.id == "self" and self.frames:
            return next((frame.owner for frame in reversed(self.frames) if frame.owner is not None), None)
        return None

    def of_Subscript(self, node: ast.Subscript) -> Value:  # noqa: N802
        base = self.evaluate(node.value)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        indices = [part if isinstance(part, ast.Slice) else self.evaluate(part) for part in parts]
        if isinstance(base, Items):
            return self._item_at(base, node)
        if isinstance(base, ShapeOf):
            return self._shape_at(base, node)
        tensor = as_tensor(base)
        if tensor is None or isinstance(base, Unknown):
            if isinstance(base, Unknown) and len(parts) > 1:
                return self._indexed(Tensor(Rank(0, base.token)), indices, node)
            return Unknown(self.token(id(node)))
        return self._indexed(tensor, indices, node)

    def _indexed(self, tensor: Tensor, indices: Sequence[object], node: ast.AST) -> Value:
        """An int takes a dimension away, None adds one, a slice keeps it; anything else is not known."""
        change = 0
        for index in indices:
            if isinstance(index, ast.Slice) or (isinstance(index, Scalar) and index.value is ...):
                continue
            if index == NONE:
                change += 1
            elif isinstance(index, Scalar):
                change -= 1
            else:
                return replace(tensor, rank=Rank(0, self.token(id(node))))
        return replace(tensor, rank=tensor.rank.plus(change))

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
        """A literal int or None; "?" for anything else."""
        if node is None:
            return None
        value = self.evaluate(node)
        return value.value if isinstance(value, Scalar) and isinstance(value.value, int) else "?"

    def element(self, value: Value, node: ast.AST) -> Value:
        """What iterating over a value gives, where each item is alike."""
        token = self.token(("element", id(node)))
        if isinstance(value, Items):
            if value.items:
                result = value.items[0]
                for item in value.items[1:]:
                    result = join(result, item, token)
                return result
            return value.each or Unknown(token)
        if isinstance(value, Tensor):
            return replace(value, rank=value.rank.plus(-1))
        return NUMBER if isinstance(value, Scalar) else Unknown(token)

    def of_ListComp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> Value:  # noqa: N802
        saved = dict(self.env.variables)
        try:
            return self._comprehension(node)
        finally:
            self.env.variables = saved

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

    # -- calls -----------------------------------------------------------------------------------

    def of_Call(self, node: ast.Call) -> Value:  # noqa: N802
        site = self.sites.get(id(node))
        if site is not None:
            return self._site(site)
        dotted = self.names.resolve(node.func)
        arguments = self._arguments(node)
        if dotted is not None:
            known = self._library_call(dotted, arguments, node)
            if known is not None:
                return known
        if isinstance(node.func, ast.Attribute):
            return self._method_call(node, node.func, arguments)
        if isinstance(node.func, ast.Name) and node.func.id not in self.env.variables:
            known = self._builtin(node.func.id, arguments, node)
            if known is not None:
                return known
        return self._call_value(self.evaluate(node.func), arguments, node)

    def _arguments(self, node: ast.Call) -> Arguments:
        positional: list[Value] = []
        hidden: Value | None = None
        for argument in node.args:
            if not isinstance(argument, ast.Starred):
                positional.append(self.evaluate(argument))
                continue
            value = self.evaluate(argument.value)
            if isinstance(value, Items) and value.items is not None:
                positional.extend(value.items)
            else:
                hidden = value if hidden is None else Unknown(self.token(id(node)))
        keywords = {}
        for keyword in node.keywords:
            value = self.evaluate(keyword.value)
            if keyword.arg is not None:
                keywords[keyword.arg] = value
        sizes = hidden.rank.plus(len(positional)) if isinstance(hidden, ShapeOf) else None
        return Arguments(tuple(positional), keywords, self.token(id(node)), hidden is not None, sizes)

    def _site(self, site: BoundCall) -> Value:
        arguments = {name: self.evaluate(argument) for name, argument in site.arguments.items()}
        rank = self.record(site, arguments)
        value = as_tensor(arguments.get("value", NONE))
        return Tensor(rank, value.dtype if value else DType.UNKNOWN)

    def _library_call(self, dotted: str, arguments: Arguments, node: ast.Call) -> Value | None:
        root, _, rest = dotted.partition(".")
        name = dotted.rpartition(".")[2]
        api = api_name(dotted)
        if api is not None:
            return self._xformers_call(api, arguments)
        if root == "einops" and name in _EINOPS:
            return self._einops(arguments)
        if root != "torch":
            return None
        if name == "checkpoint" and "utils.checkpoint" in rest and arguments.positional:
            inner = replace(arguments, positional=arguments.positional[1:], keywords={})
            return self._call_value(arguments.positional[0], inner, node)
        if name in _NEW_TENSORS:
            sizes = replace(arguments, positional=arguments.positional[:1]) if name == "full" else arguments
            return Tensor(sizes_rank(sizes) or Rank(0, arguments.token))
        if name in ("cat", "concat", "concatenate", "stack"):
            return self._stacked(arguments, node, extra=1 if name == "stack" else 0)
        if name == "einsum":
            return self._einsum(arguments)
        if name == "arange":
            return Tensor(Rank(1))
        if name in OPERATIONS:
            return self._operation(name, arguments.get(0, "input", "self"), arguments, 1)
        return Unknown(arguments.token)

    def _xformers_call(self, api: str, arguments: Arguments) -> Value:
        if api == "unbind":
            return self._operation("unbind", arguments.get(0), arguments, 1)
        head, _, method = api.partition(".")
        if head.endswith("Mask") or head == CAUSAL:
            if method.startswith("from_tensor_list"):
                return Items(None, each=None)
            return Mask(_made(head, method))
        return Unknown(arguments.token)

    def _operation(self, name: str, receiver: Value | None, arguments: Arguments, skip: int = 0) -> Value:
        tensor = as_tensor(receiver) if receiver is not None else None
        if tensor is None:
            tensor = Tensor(Rank(0, arguments.token))
        rest = replace(arguments, positional=arguments.positional[skip:])
        if name in RANK_STATING and (stated := sizes_rank(rest)) and stated.known is not None:
            self.note_rank(tensor.rank, stated.known)
        settled = self.settle(tensor)
        return OPERATIONS[name](settled if isinstance(settled, Tensor) else tensor, rest)

    def _einops(self, arguments: Arguments) -> Value:
        receiver, pattern = arguments.get(0, "tensor"), arguments.get(1, "pattern")
        tensor = as_tensor(receiver) if receiver is not None else None
        dtype = tensor.dtype if tensor else DType.UNKNOWN
        ranks = None
        if isinstance(pattern, Scalar) and isinstance(pattern.value, str):
            ranks = einops_patterns.side_ranks(pattern.value)
            change = einops_patterns.ellipsis_change(pattern.value)
            if tensor is not None and change is not None:
                return replace(tensor, rank=tensor.rank.plus(change))
        if ranks is None:
            return Tensor(Rank(0, arguments.token), dtype)
        if tensor is not None and ranks[0] is not None:
            self.note_rank(tensor.rank, ranks[0])
        return Tensor(Rank(ranks[1]) if ranks[1] is not None else Rank(0, arguments.token), dtype)

    def _stacked(self, arguments: Arguments, node: ast.Call, extra: int) -> Value:
        listed = arguments.get(0, "tensors")
        tensor = as_tensor(self.element(listed, node)) if listed is not None else None
        if tensor is None:
            return Tensor(Rank(0, arguments.token))
        return replace(tensor, rank=tensor.rank.plus(extra))

    def _einsum(self, arguments: Arguments) -> Value:
        pattern = arguments.get(0)
        right = ""
        if isinstance(pattern, Scalar) and isinstance(pattern.value, str):
            right = pattern.value.partition("->")[2].replace(" ", "")
        if right and "." not in right:
            return Tensor(Rank(len(right)), DType.AUTOCAST)
        return Tensor(Rank(0, arguments.token), DType.AUTOCAST)

    def _method_call(self, node: ast.Call, func: ast.Attribute, arguments: Arguments) -> Value:
        owner = self._self_class(func.value)
        if owner is not None:
            method = self.attributes.method(owner, func.attr)
            if method is not None:
                bound = Function(method, owner=owner)
                return self.apply(bound, arguments.positional, arguments.keywords, node)
            module = self.attributes.lookup(owner, func.attr)
            if module is not None:
                return self._call_value(module, arguments, node)
        base = self.evaluate(func.value)
        if isinstance(base, Module) and base.local is not None:
            method = self.attributes.method(base.local, func.attr)
            if method is not None:
                result = self.apply(Function(method, owner=base.local), arguments.positional, arguments.keywords, node)
                return replace(result, given=result.given | base.given) if isinstance(result, Tensor) else result
        if isinstance(base, Mask) or (isinstance(base, OneOf) and any(isinstance(o, Mask) for o in base.options)):
            return self._mask_method(base, func.attr, arguments)
        if isinstance(base, Items) and func.attr in ("append", "insert") and isinstance(func.value, ast.Name):
            if func.attr == "append" and base.items is not None and arguments.positional:
                self.env.variables[func.value.id] = Items((*base.items, arguments.positional[0]))
            else:
                self.env.variables[func.value.id] = Unknown(arguments.token)
            return NONE
        return self._tensor_method(base, func, arguments)

    def _tensor_method(self, base: Value, func: ast.Attribute, arguments: Arguments) -> Value:
        name = func.attr
        in_place = name.endswith("_") and not name.startswith("_") and name not in OPERATIONS
        if in_place:
            name = name[:-1]
        if isinstance(base, Unknown) and name in CONVENTIONS:
            return self._by_convention(name, arguments)
        if name not in OPERATIONS or as_tensor(base) is None:
            return Unknown(arguments.token)
        if isinstance(base, Unknown) and name in ("to", "type", "float", "half", "cuda", "cpu", "float32"):
            value: Value = self._operation(name, base, arguments)  # a module or a mask has these as well
        else:
            value = self._operation(name, base, arguments)
        if in_place and isinstance(func.value, ast.Name):
            self.env.variables[func.value.id] = value
        return value

    def _by_convention(self, name: str, arguments: Arguments) -> Value:
        tensor = as_tensor(arguments.get(0, "tensor") or NONE)
        given = frozenset({f"{name} is the method of diffusers' Attention"})
        return Tensor(Rank(CONVENTIONS[name]), tensor.dtype if tensor else DType.UNKNOWN, given)

    def _mask_method(self, base: Value, name: str, arguments: Arguments) -> Value:
        mask = base if isinstance(base, Mask) else None
        if mask is not None and name in MASK_MAKERS:
            return Mask(_made(mask.name, name))
        if name == "materialize":
            return Tensor(sizes_rank(arguments) or Rank(0, arguments.token))
        return Unknown(arguments.token)

    def _builtin(self, name: str, arguments: Arguments, node: ast.Call) -> Value | None:
        positional = arguments.positional
        if name == "map" and len(positional) == 2:
            return self._map(positional[0], positional[1], arguments, node)
        if name in ("list", "tuple", "reversed", "iter") and len(positional) == 1:
            value = positional[0]
            if isinstance(value, Items) and value.items is not None and name == "reversed":
                return Items(value.items[::-1])
            return value if isinstance(value, Items | ShapeOf) else Unknown(arguments.token)
        if name == "range":
            return Items(None, each=NUMBER)
        if name == "zip":
            return self._zip(positional)
        if name == "enumerate" and positional:
            return Items(None, each=Items((NUMBER, self.element(positional[0], node))))
        if name == "len" and len(positional) == 1:
            shape = positional[0]
            if isinstance(shape, Items) and shape.items is not None:
                return Scalar(len(shape.items), is_constant=True)
            return number_of(shape.rank) if isinstance(shape, ShapeOf) else NUMBER
        scope = self.names.scope_at.get(id(node))
        shadowed = scope.owner(name) if scope else None
        return NUMBER if name in _NUMERIC_BUILTINS and shadowed is None else None

    def _zip(self, listed: Sequence[Value]) -> Value:
        columns = [value.items for value in listed if isinstance(value, Items) and value.items is not None]
        if listed and len(columns) == len(listed):
            return Items(tuple(Items(row) for row in zip(*columns, strict=False)))
        return Items(None, each=Items(tuple(self.element(v, ast.Pass()) for v in listed)))

    def _map(self, function: Value, iterable: Value, arguments: Arguments, node: ast.Call) -> Value:
        inner = replace(arguments, positional=(), keywords={})
        if isinstance(iterable, Items) and iterable.items is not None:
            called = [self._call_value(function, replace(inner, positional=(item,)), node) for item in iterable.items]
            return Items(tuple(called))
        with self.perhaps(node):
            each = self._call_value(function, replace(inner, positional=(self.element(iterable, node),)), node)
        return Items(None, each=each)

    def _call_value(self, value: Value, arguments: Arguments, node: ast.AST) -> Value:
        """Call a function or a module object."""
        if isinstance(value, Function):
            if not arguments.unpacked:
                return self.apply(value, arguments.positional, arguments.keywords, node)
            return Unknown(arguments.token)
        if not isinstance(value, Module):
            return Unknown(arguments.token)
        if value.local is not None:
            forward = self.attributes.method(value.local, "forward")
            if forward is None or arguments.unpacked:
                return Unknown(arguments.token)
            bound = Function(forward, owner=value.local)
            return self.apply(bound, arguments.positional, arguments.keywords, node)
        if value.parts is not None:
            result = arguments.positional[0] if arguments.positional else Unknown(arguments.token)
            for part in value.parts:
                result = self._call_value(part, replace(arguments, positional=(result,)), node)
            return result
        return self._layer(value.layer, arguments)

    def _layer(self, layer: Layer | None, arguments: Arguments) -> Value:
        tensor = as_tensor(arguments.get(0, "input") or Unknown(arguments.token))
        if tensor is None or layer is None:
            return Unknown(arguments.token)
        dtypes = {Layer.PROJECTION: DType.AUTOCAST, Layer.NORM: DType.FLOAT32, Layer.KEEP: tensor.dtype}
        return replace(tensor, dtype=dtypes[layer])


def _made(name: str, method: str) -> str:
    """The class that a mask's factory gives, as far as call sites must tell them apart."""
    makers = {
        "make_causal": "BlockDiagonalCausalMask",
        "make_causal_from_bottomright": "BlockDiagonalCausalFromBottomRightMask",
        "make_local_attention": f"{name}.local",
        "make_local_attention_from_bottomright": f"{name}.local",
        "add_bias": "LowerTriangularMaskWithTensorBias",
    }
    return makers.get(method, name)
