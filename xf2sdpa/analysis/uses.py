"""What is done with a call's result: it is reshaped, viewed, or passed on to code that cannot be followed.

Decides whether the result of SDPA may stay non-contiguous: xformers' is contiguous, and `.view` raises on strides that
it cannot express.
"""

from __future__ import annotations

import ast
import itertools
from dataclasses import dataclass, field

from xf2sdpa.analysis.flow import in_two_arms, is_repeated, reached_loads, reached_updates
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.values import Layer

_RESHAPING = frozenset({"reshape", "flatten", "contiguous", "reshape_as", "tolist", "numpy", "item"})
_KEEPING = frozenset(
    {"to", "type_as", "float", "half", "bfloat16", "double", "cuda", "cpu", "detach", "transpose", "permute",
     "unsqueeze", "squeeze", "swapaxes", "swapdims", "movedim", "type"}
)  # fmt: skip
_READING = frozenset({"shape", "size", "dtype", "device", "ndim", "dim", "numel", "requires_grad", "is_cuda", "isnan"})
_VIEWS = {"view": "reshape", "view_as": "reshape_as"}
_RESHAPING_FUNCTIONS = frozenset(
    {"einops.rearrange", "einops.reduce", "einops.repeat", "torch.reshape", "torch.flatten", "torch.matmul",
     "torch.bmm", "torch.nn.functional.linear", "builtins.print"}
)  # fmt: skip
_KEEPING_FUNCTIONS = frozenset({"torch.nn.functional.dropout", "torch.dropout", "torch.transpose", "torch.permute"})
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


def uses_of(names: Names, call: ast.expr, attributes: ClassAttributes) -> ResultUse:
    """Follow the value of an expression through layout-keeping operations and plain assignments."""
    use = ResultUse()
    _Follower(names, attributes, use).follow(call, 0)
    return use


class _Follower:
    def __init__(self, names: Names, attributes: ClassAttributes, use: ResultUse) -> None:
        self.names = names
        self.attributes = attributes
        self.use = use
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
        elif isinstance(parent, ast.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name):
            self.variable(parent.targets[0].id, parent, hops)
        elif isinstance(parent, ast.Assign | ast.AnnAssign | ast.Return) or not isinstance(parent, ast.Expr):
            self.use.escapes |= not self._is_discarded(parent)

    @staticmethod
    def _is_discarded(parent: ast.AST) -> bool:
        return isinstance(parent, ast.Delete)

    def variable(self, name: str, definition: ast.stmt, hops: int) -> None:
        loads = reached_loads(self.names, name, definition)
        if loads is None:
            self.use.escapes = True
            return
        # `.view` shares memory, `.reshape` may copy: two uses in one execution could then miss each other's writes.
        touching = [load for load in loads if not self._is_described(load)]
        touching += reached_updates(self.names, name, definition)
        pairs = itertools.combinations(touching, 2)
        self.use.escapes |= any(not in_two_arms(self.names, one, other) for one, other in pairs)
        self.use.escapes |= any(is_repeated(self.names, definition, use) for use in touching)
        for load in loads:
            self.follow(load, hops + 1)

    def _is_described(self, load: ast.Name) -> bool:
        """Whether a read asks only for a tensor's metadata: `out.shape`."""
        parent = self.names.parents[id(load)]
        return isinstance(parent, ast.Attribute) and parent.attr in _READING - {"isnan"}

    def attribute(self, node: ast.Attribute, hops: int) -> None:
        call = self.names.parents[id(node)]
        called = isinstance(call, ast.Call) and call.func is node
        if node.attr in _READING or (called and node.attr in _RESHAPING):
            return
        if called and node.attr in _VIEWS and _views_sizes(call):  # type: ignore[arg-type]
            self.use.views.append(node)
        elif called and node.attr in _KEEPING:
            self.follow(call, hops)  # type: ignore[arg-type]
        else:
            self.use.escapes = True

    def argument(self, node: ast.expr, call: ast.Call, hops: int) -> None:
        dotted = self.names.resolve(call.func)
        first = bool(call.args) and call.args[0] is node
        if first and dotted in _RESHAPING_FUNCTIONS:
            return
        if first and (dotted in _KEEPING_FUNCTIONS or self._layer(call) is Layer.KEEP):
            self.follow(call, hops)
        elif not (first and self._layer(call) is Layer.PROJECTION):
            self.use.escapes = True

    def _layer(self, call: ast.Call) -> Layer | None:
        """What kind of layer `self.name(…)` calls, if the class shows it."""
        if not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)):
            return None
        owner = next((p for p in self.names.ancestors(call) if isinstance(p, ast.ClassDef)), None)
        if owner is None or call.func.value.id != "self":
            return None
        module = self.attributes.lookup(owner, call.func.attr)
        return module.layer if module is not None else None


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
