"""What is done with a call's result: it is reshaped, viewed, or passed on to code that cannot be followed.

Decides whether the result of SDPA may stay non-contiguous: xformers' is contiguous, and `.view` raises on strides that
it cannot express.
"""

from __future__ import annotations

import ast
import itertools
import re
from dataclasses import dataclass, field

from xf2sdpa.analysis import strides
from xf2sdpa.analysis.flow import in_two_arms, is_repeated, loads_of, reached_loads, reached_updates, start
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.scopes import Binding
from xf2sdpa.analysis.values import Layer, Module, Value

VIEWS = {"view": "reshape", "view_as": "reshape_as"}
_WEIGHTS = re.compile("scale|gamma|alpha|beta|bias|weight|coef|factor|strength|eps", re.IGNORECASE)
MAX_HOPS = 6


@dataclass
class ResultUse:
    """What is done with a result.

    Attributes:
        views: the `.view` and `.view_as` on it, which must become `.reshape` and `.reshape_as`.
        escapes: whether anything is done with it that may depend on its strides.
    """

    views: list[ast.Attribute] = field(default_factory=list)
    escapes: bool = False


def uses_of(names: Names, call: ast.expr, attributes: ClassAttributes, *, one_head: bool = False) -> ResultUse:
    """Follow the value of an expression through layout-keeping operations and plain assignments.

    With `one_head`, of a 3-D call, the value is laid out as xformers' unless query itself is not: there a variable that
    it is added to is taken for a tensor of the same size, which settles the layout of the sum.
    """
    use = ResultUse()
    _Follower(names, attributes, use, one_head=one_head).follow(call, 0)
    return use


class _Follower:
    def __init__(self, names: Names, attributes: ClassAttributes, use: ResultUse, *, one_head: bool) -> None:
        self.names = names
        self.attributes = attributes
        self.use = use
        self.one_head = one_head
        self.seen: set[int] = set()

    def follow(self, node: ast.expr, hops: int) -> None:
        if id(node) in self.seen:
            return
        self.seen.add(id(node))
        parent = self.names.parents[id(node)]
        if hops > MAX_HOPS:
            self.use.escapes = True
        elif isinstance(parent, ast.Attribute):
            self.attribute(parent, hops)
        elif isinstance(parent, ast.Call):
            self.argument(node, parent, hops)
        elif isinstance(parent, ast.expr):
            self.expression(node, parent, hops)
        else:
            self.statement(node, parent, hops)

    def statement(self, node: ast.expr, parent: ast.AST, hops: int) -> None:
        """An assignment, a return, an expression that nobody reads."""
        targets = parent.targets if isinstance(parent, ast.Assign) else [getattr(parent, "target", None)]
        target = targets[0] if len(targets) == 1 else None
        if isinstance(parent, ast.AugAssign):  # `x += node` writes into x, unless x is a number
            self.use.escapes |= not (node is parent.value and self._is_tensor_of_its_own(parent.target))
        elif isinstance(parent, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name):
            self.variable(target.id, parent, hops)
        elif isinstance(parent, ast.Assign) and target is not None and _is_part_of_tensor(target):
            return
        elif not isinstance(parent, ast.Expr | ast.Delete):
            self.use.escapes = True

    def variable(self, name: str, definition: ast.stmt, hops: int) -> None:
        loads = reached_loads(self.names, name, definition)
        if loads is None:
            self.use.escapes = True
            return
        # A reshape that copies is no alias any more: what is written through one use must be seen through the other.
        aliases = [load for load in loads if not self._makes_no_alias(load)]
        others = [load for load in loads if load not in aliases and not self._is_described(load)]
        others += reached_updates(self.names, name, definition)
        later = [(one, other) for one in aliases for other in others if start(one) < start(other)]
        pairs = [*itertools.combinations(aliases, 2), *later]
        self.use.escapes |= any(not in_two_arms(self.names, *pair) for pair in pairs)
        self.use.escapes |= any(is_repeated(self.names, definition, use) for use in aliases)
        for load in loads:
            self.follow(load, hops + 1)

    def _is_described(self, load: ast.Name) -> bool:
        """Whether a read asks only for a tensor's metadata: `out.shape`."""
        parent = self.names.parents[id(load)]
        return isinstance(parent, ast.Attribute) and parent.attr in strides.READING - {"isnan"}

    def _makes_no_alias(self, node: ast.expr) -> bool:
        """Whether a use gives nothing that shares memory with the tensor: its form, a sum, a part that is written."""
        parent = self.names.parents[id(node)]
        if isinstance(parent, ast.Attribute):
            call = self.names.parents[id(parent)]
            if isinstance(call, ast.Call) and call.func is parent and parent.attr in strides.KEEPING:
                return self._makes_no_alias(call)
            return parent.attr in strides.READING | strides.MAKING | strides.SETTLING
        if isinstance(parent, ast.Call):
            dotted = self.names.resolve(parent.func)
            made = dotted in strides.MAKING_FUNCTIONS | strides.SETTLING_FUNCTIONS
            return made or (node in parent.args[:1] and self._layer(parent) is Layer.PROJECTION)
        if isinstance(parent, ast.List | ast.Tuple):
            return self._is_joined(parent)
        if isinstance(parent, ast.Subscript) and node is parent.value:
            return isinstance(parent.ctx, ast.Store) or self._makes_no_alias(parent)
        return isinstance(parent, ast.BinOp | ast.Compare | ast.UnaryOp | ast.AugAssign | ast.FormattedValue)

    def attribute(self, node: ast.Attribute, hops: int) -> None:
        call = self.names.parents[id(node)]
        if not isinstance(call, ast.Call) or call.func is not node:
            self.use.escapes |= node.attr not in strides.READING
        elif node.attr in strides.READING | strides.RESHAPING or (node.attr in strides.SETTLING and not _has_out(call)):
            return
        elif node.attr in VIEWS and _views_sizes(call):
            self.use.views.append(node)
        elif node.attr in strides.KEEPING or (node.attr in strides.MAKING and not _has_out(call)):
            self.follow(call, hops)
        else:
            self.use.escapes = True

    def argument(self, node: ast.expr, call: ast.Call, hops: int) -> None:
        dotted = self.names.resolve(call.func)
        first = bool(call.args) and call.args[0] is node
        layer = self._layer(call) if first else None
        settles = dotted in strides.SETTLING_FUNCTIONS and not _has_out(call)
        makes = dotted in strides.MAKING_FUNCTIONS and not _has_out(call)
        if settles or layer is Layer.PROJECTION or (first and dotted in strides.RESHAPING_FUNCTIONS):
            return
        if self._is_gathered(call):
            return
        if makes or layer in (Layer.KEEP, Layer.NORM) or (first and dotted in strides.KEEPING_FUNCTIONS):
            self.follow(call, hops)
        else:
            self.use.escapes = True

    def expression(self, node: ast.expr, parent: ast.expr, hops: int) -> None:
        """Arithmetic and what else makes an expression of several."""
        if isinstance(parent, ast.BinOp):
            if isinstance(parent.op, ast.MatMult):
                self.use.escapes |= node is not parent.left
            elif not (self.one_head and node is parent.right and self._is_tensor_of_its_own(parent.left)):
                self.follow(parent, hops)  # the strides of a sum are those of its first operand
        elif isinstance(parent, ast.Compare | ast.UnaryOp):
            if not (isinstance(parent, ast.Compare) and isinstance(parent.ops[0], ast.Is | ast.IsNot)):
                self.follow(parent, hops)
        elif isinstance(parent, ast.IfExp):
            if node is not parent.test:
                self.follow(parent, hops)
        elif isinstance(parent, ast.Subscript) and node is parent.value:
            if isinstance(parent.ctx, ast.Load):
                self.follow(parent, hops)
        elif not isinstance(parent, ast.FormattedValue):
            self.use.escapes |= not self._is_joined(parent)

    def _is_joined(self, listed: ast.expr) -> bool:
        """Whether a list is what `torch.cat` and its like copy together."""
        call = self.names.parents[id(listed)]
        if not isinstance(listed, ast.List | ast.Tuple) or not isinstance(call, ast.Call) or _has_out(call):
            return False
        return listed in call.args[:1] and self.names.resolve(call.func) in strides.JOINING_FUNCTIONS

    def _is_gathered(self, call: ast.Call) -> bool:
        """Whether this is `pieces.append(…)`, and nothing is done with the list but `torch.cat(pieces)`."""
        listed = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr == "append" else None
        if not isinstance(listed, ast.Name):
            return False
        owner = self.names.scope_at[id(listed)].owner(listed.id)
        if owner is None or not isinstance(owner.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        made = all(isinstance(binding.value, ast.List) for binding in owner.bindings[listed.id])
        return made and all(map(self._gathers, loads_of(self.names, listed.id, owner)))

    def _gathers(self, load: ast.Name) -> bool:
        """Whether a list is only added to, or joined, where it is read."""
        parent = self.names.parents[id(load)]
        if isinstance(parent, ast.Attribute):
            return parent.attr == "append"
        if not isinstance(parent, ast.Call) or load not in parent.args[:1] or _has_out(parent):
            return False
        return self.names.resolve(parent.func) in strides.JOINING_FUNCTIONS | {"builtins.len"}

    def _is_tensor_of_its_own(self, node: ast.expr) -> bool:
        """Whether a variable is a tensor like the result, as far as the file shows, and neither number nor weight."""
        if not isinstance(node, ast.Name) or _WEIGHTS.search(node.id):
            return False
        scope = self.names.scope_at.get(id(node), self.names.module)
        owner = scope.owner(node.id)
        if owner is None or not isinstance(owner.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        bindings = owner.bindings[node.id]
        own = [b for b in bindings if not isinstance(self.names.parents.get(id(b.node)), ast.AugAssign)]
        return bool(own) and all(_may_be_full(binding, owner.node) for binding in own)

    def _layer(self, call: ast.Call) -> Layer | None:
        """The layer that `self.name(…)` or `self.name[0](…)` calls, where the class shows it."""
        function, index = call.func, None
        if isinstance(function, ast.Subscript) and isinstance(function.slice, ast.Constant):
            index = function.slice.value
            function = function.value
        if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
            return None
        owner = next((p for p in self.names.ancestors(call) if isinstance(p, ast.ClassDef)), None)
        if owner is None or function.value.id != "self":
            return None
        module = self.attributes.lookup(owner, function.attr)
        if index is None:
            return _layer_of(module)
        parts = module.parts if module is not None else None
        inside = isinstance(index, int) and parts is not None and 0 <= index < len(parts)
        return _layer_of(parts[index]) if inside and parts is not None and isinstance(index, int) else None


def _layer_of(module: Value | None) -> Layer | None:
    """The layer that a module is to its input: of several in a row, the first that does more than keep it."""
    if not isinstance(module, Module):
        return None
    if module.parts is None:
        return module.layer
    layers = [_layer_of(part) for part in module.parts]
    return next((layer for layer in layers if layer is not Layer.KEEP), Layer.KEEP)


def _may_be_full(binding: Binding, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether one binding of a variable may be that of a tensor of the result's size."""
    if not isinstance(binding.node, ast.arg):
        return isinstance(binding.value, ast.Name | ast.Call | ast.BinOp)
    listed = function.args
    positional = zip(reversed([*listed.posonlyargs, *listed.args]), reversed(listed.defaults), strict=False)
    defaults = [
        default
        for arg, default in (*positional, *zip(listed.kwonlyargs, listed.kw_defaults, strict=True))
        if arg is binding.node and default is not None
    ]
    annotation = binding.node.annotation
    is_number = isinstance(annotation, ast.Name) and annotation.id in ("int", "float")
    return not is_number and all(isinstance(default, ast.Constant) and default.value is None for default in defaults)


def _is_part_of_tensor(target: ast.expr) -> bool:
    """`out[:, a:b]`: what is assigned is copied into a tensor."""
    if not isinstance(target, ast.Subscript) or not isinstance(target.slice, ast.Tuple):
        return False
    return any(isinstance(index, ast.Slice) for index in target.slice.elts)


def _has_out(call: ast.Call) -> bool:
    """Whether a call writes into a tensor that it is given."""
    return any(keyword.arg in (None, "out", "inplace") for keyword in call.keywords)


def _views_sizes(call: ast.Call) -> bool:
    """Whether `.view(…)` is given sizes: `.view(dtype)` reinterprets bytes, which `.reshape` cannot do."""
    if call.keywords:
        return False
    if len(call.args) > 1:
        return True
    only = call.args[0] if call.args else None
    if isinstance(only, ast.Attribute):
        return only.attr == "shape"
    if isinstance(only, ast.Call):
        return isinstance(only.func, ast.Attribute) and only.func.attr == "size"
    return isinstance(only, ast.Tuple | ast.List | ast.UnaryOp | ast.Starred | ast.BinOp) or (
        isinstance(call.func, ast.Attribute) and call.func.attr == "view_as"
    )
