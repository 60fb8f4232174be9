"""Evaluates calls: torch and einops by tables, functions and modules of this file by walking their bodies."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from xf2sdpa.analysis import axes, einops_patterns, library_calls
from xf2sdpa.analysis.api import CAUSAL, api_name
from xf2sdpa.analysis.calls import BoundCall
from xf2sdpa.analysis.changes import Changes
from xf2sdpa.analysis.tensor_ops import (
    ASKING,
    OPERATIONS,
    RANK_STATING,
    Arguments,
    literal,
    made,
    number_of,
    sizes_rank,
)
from xf2sdpa.analysis.values import (
    NONE,
    NUMBER,
    DType,
    Function,
    Items,
    Layer,
    Mask,
    Module,
    OneOf,
    Rank,
    Scalar,
    ShapeOf,
    Slice,
    Tensor,
    Unknown,
    Value,
    as_tensor,
    join,
)
from xf2sdpa.model import Assumption, Way

MASK_MAKERS = frozenset(
    {"from_seqlens", "from_seqlens_local", "make_causal", "make_causal_from_bottomright", "make_local_attention",
     "make_local_attention_from_bottomright", "add_bias", "to"}
)  # fmt: skip
_NEW_TENSORS = frozenset({"zeros", "ones", "empty", "full", "rand", "randn", "arange", "linspace", "eye"})
_RESHAPING = frozenset({"resize", "resize_as", "set"})
"""Operations that in place give a tensor any shape."""
_CHANGING_LISTS = frozenset({"append", "insert", "extend", "pop", "remove", "clear", "reverse", "sort", "__setitem__"})
_PARAMETERS = frozenset({"Parameter", "Buffer"})
_EINOPS = frozenset({"rearrange", "repeat", "reduce"})
_NUMERIC_BUILTINS = frozenset({"len", "int", "float", "bool", "str", "min", "max", "abs", "round", "isinstance"})


class CallValues(Changes):
    """Adds the evaluation of calls to that of other expressions."""

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
        self.followed.discard(id(node))
        value = self._other_call(node, arguments)
        self.hand_out(node, arguments)
        return value

    def _other_call(self, node: ast.Call, arguments: Arguments) -> Value:
        """The result of a call of anything but a library's function."""
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
        tensors = (as_tensor(arguments.get(name, NONE)) for name in ("query", "key", "value"))
        known = (tensor.given for tensor in tensors if tensor is not None and tensor.rank.known is not None)
        return Tensor(rank, value.dtype if value else DType.UNKNOWN, min(known, key=len, default=frozenset()))

    def _library_call(self, dotted: str, arguments: Arguments, node: ast.Call) -> Value | None:
        root, _, rest = dotted.partition(".")
        name = dotted.rpartition(".")[2]
        api = api_name(dotted)
        if api is not None:
            return self._xformers_call(api, arguments, node)
        if root == "einops" and name in _EINOPS:
            return self._einops(arguments)
        if root != "torch":
            return library_calls.function(dotted, arguments)
        if name == "checkpoint" and "utils.checkpoint" in rest and arguments.positional:
            inner = replace(arguments, positional=arguments.positional[1:], keywords={})
            self.followed.discard(id(node))
            result = self._call_value(arguments.positional[0], inner, node)
            self.hand_out(node, arguments)
            return result
        if name in _NEW_TENSORS:
            return made(name, arguments)
        if name in ("tensor", "as_tensor"):
            return literal(arguments.get(0, "data"), arguments)
        if name in _PARAMETERS:
            return arguments.get(0, "data") or Unknown(arguments.token)
        if name in ("cat", "concat", "concatenate", "stack"):
            return self._stacked(arguments, node, extra=1 if name == "stack" else 0)
        if name == "einsum":
            return self._einsum(arguments)
        if name in OPERATIONS:
            return self._operation(name, arguments.get(0, "input", "self"), arguments, node, 1)
        return Unknown(arguments.token)

    def _xformers_call(self, api: str, arguments: Arguments, node: ast.Call) -> Value:
        if api == "unbind":
            return self._operation("unbind", arguments.get(0), arguments, node, 1)
        head, _, method = api.partition(".")
        if head.endswith("Mask") or head == CAUSAL:
            if method.startswith("from_tensor_list"):
                return Items(None, each=None)
            return Mask(_made(head, method))
        return Unknown(arguments.token)

    def _operation(
        self, name: str, receiver: Value | None, arguments: Arguments, node: ast.AST, skip: int = 0
    ) -> Value:
        tensor = as_tensor(receiver) if receiver is not None else None
        if tensor is None:
            tensor = Tensor(Rank(0, arguments.token))
        rest = replace(arguments, positional=arguments.positional[skip:])
        if name in RANK_STATING and (stated := sizes_rank(rest)) and stated.known is not None:
            self.note_rank(tensor.rank, stated.known)
        if name in ("dim", "ndimension"):
            self.note_question(tensor)
        settled = self.settle(tensor)
        tensor = settled if isinstance(settled, Tensor) else tensor
        result = OPERATIONS[name](self.hedged(tensor, node) if name in ASKING else tensor, rest)
        return axes.after(name, tensor, rest, result)

    def _einops(self, arguments: Arguments) -> Value:
        receiver, pattern = arguments.get(0, "tensor"), arguments.get(1, "pattern")
        tensor = as_tensor(receiver) if receiver is not None else None
        dtype = tensor.dtype if tensor else DType.UNKNOWN
        ranks, heads = None, None
        if isinstance(pattern, Scalar) and isinstance(pattern.value, str):
            ranks = einops_patterns.side_ranks(pattern.value)
            heads = axes.heads_among(einops_patterns.right_axes(pattern.value))
            change = einops_patterns.ellipsis_change(pattern.value)
            if tensor is not None and change is not None:
                return replace(tensor, rank=tensor.rank.plus(change), heads=None)
        if ranks is None:
            return Tensor(Rank(0, arguments.token), dtype)
        if tensor is not None and ranks[0] is not None:
            self.note_rank(tensor.rank, ranks[0])
        if ranks[1] is None:
            return Tensor(Rank(0, arguments.token), dtype)
        return Tensor(Rank(ranks[1]), dtype, heads=heads)

    def _stacked(self, arguments: Arguments, node: ast.Call, extra: int) -> Value:
        listed = arguments.get(0, "tensors")
        tensor = as_tensor(self.element(listed, node)) if listed is not None else None
        if isinstance(listed, Items) and listed.items and (tensor is None or tensor.rank.known is None):
            tensor = _like_any(listed.items, Tensor(Rank(0, arguments.token)))
        if tensor is None:
            return Tensor(Rank(0, arguments.token))
        return replace(tensor, rank=tensor.rank.plus(extra), heads=axes.stacked(tensor, arguments, extra))

    def _einsum(self, arguments: Arguments) -> Value:
        pattern = arguments.get(0)
        right = ""
        if isinstance(pattern, Scalar) and isinstance(pattern.value, str):
            right = pattern.value.partition("->")[2].replace(" ", "")
        if right and "." not in right:
            return Tensor(Rank(len(right)), DType.AUTOCAST, heads=axes.heads_among(list(right)))
        return Tensor(Rank(0, arguments.token), DType.AUTOCAST)

    def _method_call(self, node: ast.Call, func: ast.Attribute, arguments: Arguments) -> Value:
        frame = self._self_frame(func.value)
        if frame is not None and frame.owner is not None:
            method = self.attributes.method(frame.owner, func.attr)
            if method is not None:
                return self._own_method(Function(method, {}, frame.owner, frame.is_sealed), arguments, node)
            module = self._own_module(func)
            if module is not None:
                return self._call_value(module, arguments, node)
        base = self.evaluate(func.value)
        if isinstance(base, Module) and base.local is not None:
            method = self.attributes.method(base.local, func.attr)
            if method is not None:
                found = self._own_method(Function(method, {}, base.local, not base.given, base.given), arguments, node)
                return self._or_as_in_its_library(found, base, func.attr, arguments)
        if isinstance(base, Mask) or (isinstance(base, OneOf) and any(isinstance(o, Mask) for o in base.options)):
            return self._mask_method(base, func.attr, arguments)
        if isinstance(base, Items) and func.attr in _CHANGING_LISTS:
            appends = func.attr == "append" and base.items is not None and len(arguments.positional) == 1
            longer = Items((*(base.items or ()), *arguments.positional)) if appends else Unknown(arguments.token)
            self.change_list(base, func.value, longer)
            return Unknown(arguments.token) if func.attr == "pop" else NONE
        return self._tensor_method(base, func, arguments)

    def _or_as_in_its_library(self, found: Value, base: Module, name: str, arguments: Arguments) -> Value:
        """What a method returns; where its body does not show it, and it is a fork's, what the library documents."""
        if not isinstance(found, Unknown) or base.local is None or base.local.name not in library_calls.CLASSES:
            return found
        known = library_calls.method(name, arguments)
        return found if known is None else _also_given(known, base.given)

    def _own_method(self, method: Function, arguments: Arguments, node: ast.AST) -> Value:
        """The result of a method of this file, joined with those of its overrides here; assumes there are no others."""
        if arguments.unpacked:
            return Unknown(arguments.token)
        name, owner = getattr(method.node, "name", ""), method.owner
        if method.is_sealed or owner is None or method.node is self.through or _is_mangled(name):
            return self.apply(method, arguments.positional, arguments.keywords, node)
        overriding = self.attributes.overriding(owner, name)
        if overriding is None:
            return Unknown(arguments.token)
        given = method.given | {Assumption(f"no subclass overrides `{name}`", Way.CLASSES)}
        methods = [replace(one, given=given) for one in (method, *overriding)]
        if len(methods) == 1:
            return self._inherited(self.apply(methods[0], arguments.positional, arguments.keywords, node), given, node)
        results = []
        for arm, one in enumerate(methods):
            with self.perhaps(node, arm):
                results.append(self.apply(one, arguments.positional, arguments.keywords, node))
        result = results[0]
        for other in results[1:]:
            result = join(result, other, arguments.token)
        return self._inherited(result, given, node)

    def _inherited(self, value: Value, given: frozenset[str], node: ast.AST, *place: int) -> Value:
        """What the result of an overridable method proves: ranks under an assumption, but neither constants nor masks.

        A base class's method that returns None may exist only for subclasses to return something else.
        """
        token = self.token(("inherited", id(node), place))
        if isinstance(value, Tensor):
            rank = value.rank if value.rank.known is not None else Rank(0, token)
            return replace(value, rank=rank, given=value.given | given)
        if isinstance(value, Scalar):
            return NUMBER
        if isinstance(value, Items):
            return self._inherited_items(value, given, node, *place)
        if isinstance(value, OneOf) and not any(isinstance(option, Mask) for option in value.options):
            return OneOf(
                frozenset(replace(o, given=o.given | given) if isinstance(o, Tensor) else o for o in value.options)
            )
        return Unknown(token)

    def _inherited_items(self, value: Items, given: frozenset[str], node: ast.AST, *place: int) -> Value:
        """A tuple of tensors keeps its items; a tuple of sizes loses its length, which `view` would take for a rank."""
        unknown = Unknown(self.token(("inherited", id(node), place)))
        if value.items is None:
            return Items(None, each=self._inherited(value.each or unknown, given, node, *place, 0))
        if all(isinstance(item, Scalar) for item in value.items):
            return Items(None, each=NUMBER)
        items = tuple(self._inherited(item, given, node, *place, index) for index, item in enumerate(value.items))
        return Items(items) if any(isinstance(item, Tensor | Items | OneOf) for item in items) else unknown

    def _tensor_method(self, base: Value, func: ast.Attribute, arguments: Arguments) -> Value:
        name = func.attr
        in_place = name.endswith("_") and not name.startswith("_") and name not in OPERATIONS
        if in_place:
            name = name[:-1]
        known = library_calls.method(name, arguments) if isinstance(base, Unknown) else None
        if known is not None and not self._has_own(name, known, arguments, func):
            return known
        if in_place and name in _RESHAPING and isinstance(func.value, ast.Name):
            self.changed_in_place(base, Unknown(arguments.token))
        own = name in self.attributes.elsewhere.operations and getattr(base, "is_supposed", isinstance(base, Unknown))
        if own or name not in OPERATIONS or as_tensor(base) is None:
            return Unknown(arguments.token)
        value = self._operation(name, base, arguments, func)
        if in_place and isinstance(func.value, ast.Name):
            self.env.variables[func.value.id] = value
            self.changed_in_place(base, value)
        return value

    def _has_own(self, name: str, known: Value, arguments: Arguments, node: ast.AST) -> bool:
        """Whether a class of the file has a method of a library's name: of a fork's, one of another rank."""
        for scope in self.names.scopes.values():
            if not isinstance(scope.node, ast.ClassDef) or name not in scope.bindings:
                continue
            method = self.attributes.method(scope.node, name)
            if scope.node.name not in library_calls.CLASSES or method is None:
                return True
            with self.perhaps(node):
                found = self.settle(self._own_method(Function(method, {}, scope.node), arguments, node))
            ranks = {tensor.rank.known for tensor in (as_tensor(found), as_tensor(known)) if tensor is not None}
            if len(ranks - {None}) > 1:
                return True
        return False

    def _mask_method(self, base: Value, name: str, arguments: Arguments) -> Value:
        mask = base if isinstance(base, Mask) else None
        if mask is not None and name in MASK_MAKERS:
            return Mask(_made(mask.name, name))
        if name == "materialize":
            return Tensor(sizes_rank(arguments) or Rank(0, arguments.token))
        return Unknown(arguments.token)

    def _builtin(self, name: str, arguments: Arguments, node: ast.Call) -> Value | None:
        if self.is_bound(name, node):
            return None
        positional = arguments.positional
        if name == "map" and len(positional) == 2:
            return self._map(positional[0], positional[1], arguments, node)
        if name in ("list", "tuple", "reversed", "iter") and len(positional) == 1:
            value = positional[0]
            if isinstance(value, Items):
                turned = name == "reversed" and value.items is not None
                items = value.items[::-1] if turned and value.items is not None else value.items
                return replace(value, items=items, is_fixed=name == "tuple")
            return value if isinstance(value, ShapeOf) else Unknown(arguments.token)
        if name == "range":
            return Items(None, each=NUMBER)
        if name == "zip":
            return self._zip(positional)
        if name == "enumerate" and positional:
            return Items(None, each=Items((NUMBER, self.element(positional[0], node))))
        if name == "len" and len(positional) == 1:
            shape = positional[0]
            if isinstance(shape, ShapeOf):
                self.note_question(Tensor(shape.rank))
            if isinstance(shape, Items) and shape.items is not None:
                return Scalar(len(shape.items), is_constant=True)
            return number_of(shape.rank) if isinstance(shape, ShapeOf) else NUMBER
        return Slice() if name == "slice" else NUMBER if name in _NUMERIC_BUILTINS else None

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
        """The result of calling a function or a module object."""
        if isinstance(value, Function):
            if not arguments.unpacked:
                return self.apply(value, arguments.positional, arguments.keywords, node)
            return Unknown(arguments.token)
        if not isinstance(value, Module):
            return Unknown(arguments.token)
        if value.local is not None:
            forward = self.attributes.method(value.local, "forward")
            if forward is None or self.attributes.has_call(value.local):
                return Unknown(arguments.token)
            return self._own_method(Function(forward, {}, value.local, not value.given, value.given), arguments, node)
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


def _like_any(items: Sequence[Value], unknown: Tensor) -> Tensor:
    """What is joined has one rank: that of any part of it with two dimensions or more, if it is known of one.

    `cat` lets an empty tensor with one dimension pass among others.
    """
    tensors = [tensor for item in items if (tensor := as_tensor(item)) is not None]
    known = [tensor for tensor in tensors if (tensor.rank.known or 0) >= 2]
    dtype = tensors[0].dtype if tensors else DType.UNKNOWN
    for tensor in tensors[1:]:
        dtype = dtype.join(tensor.dtype)
    if len(tensors) < len(items) and dtype is not DType.FLOAT32:
        dtype = DType.UNKNOWN
    if len({tensor.rank for tensor in known}) != 1:
        return replace(unknown, dtype=dtype)
    surest = min(known, key=lambda tensor: (len(tensor.given), sorted(tensor.given)))
    return replace(surest, dtype=dtype)


def _also_given(value: Value, given: frozenset[str]) -> Value:
    """A value that rests on further assumptions."""
    if isinstance(value, Tensor):
        return replace(value, given=value.given | given)
    return OneOf(frozenset(_also_given(o, given) for o in value.options)) if isinstance(value, OneOf) else value


def _is_mangled(name: str) -> bool:
    """Whether Python mangles a method's name, so that no subclass can override it: `__name`."""
    return name.startswith("__") and not name.endswith("__")


def _made(name: str, method: str) -> str:
    """The class of mask that a factory method returns, as far as call sites must distinguish them."""
    makers = {
        "make_causal": "BlockDiagonalCausalMask",
        "make_causal_from_bottomright": "BlockDiagonalCausalFromBottomRightMask",
        "make_local_attention": f"{name}.local",
        "make_local_attention_from_bottomright": f"{name}.local",
        "add_bias": "LowerTriangularMaskWithTensorBias",
    }
    return makers.get(method, name)
