"""What a tensor mask is made of: may it be learned, and may it close whole rows.

All assignments of a variable in the code around a call count, whatever their order. A mask that is not plainly made of
constants, comparisons and sizes may be learned, and may close rows. What is called a mask or padding is not learned,
unless the file shows that it is.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from xf2sdpa.analysis.learned import Learned
from xf2sdpa.analysis.names import Names

_MADE = frozenset({"zeros", "ones", "full", "eye", "rand", "randn", "arange", "linspace", "tensor", "zeros_like"})
_MADE_FROM = frozenset(
    {*_MADE, *(f"new_{name}" for name in _MADE), "ones_like", "full_like", "rand_like", "randn_like"}
)
_OF_A_MASK = re.compile(r"mask|pad", re.IGNORECASE)
_KEEPS = frozenset(
    {"view", "reshape", "expand", "expand_as", "repeat", "unsqueeze", "squeeze", "transpose", "permute", "to", "type",
     "type_as", "flatten", "unflatten", "contiguous", "repeat_interleave", "float", "half", "bfloat16", "bool", "int",
     "long", "cuda", "cpu", "clone", "chunk", "unbind", "split", "narrow", "select", "t"}
)  # fmt: skip
"""Methods whose result has only values of their receiver."""
_OF_NUMBERS = ("torch.", "math.", "numpy.")
"""Modules whose attributes, where they are no functions, are numbers: `torch.inf`; so are those of `torch.finfo(…)`."""
_OF_CONDITIONS = frozenset(
    {"tril", "triu", "logical_not", "logical_and", "logical_or", "eq", "ne", "lt", "gt", "le", "ge"}
)


@dataclass(frozen=True)
class Origin:
    """What may be true of a mask.

    Attributes:
        learned: it may take a gradient of its own.
        closes: it may hide all keys of a query, by -inf or by what becomes that in half precision.
    """

    learned: bool = False
    closes: bool = False

    def __or__(self, other: Origin) -> Origin:
        """What may be true of what is made of both."""
        return Origin(self.learned or other.learned, self.closes or other.closes)


_ANYTHING = Origin(learned=True, closes=True)
_LARGEST = 65504.0
"""The largest float16; what is beyond becomes infinite there."""


def origin(node: ast.expr, names: Names) -> Origin:
    """What may be true of the value of an expression."""
    return _Search(names).of(node)


class _Search:
    """One look through the expressions that a mask is made of; each variable is looked at once."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.seen: set[tuple[int, str]] = set()
        self.learned = Learned(names)

    def of(self, node: ast.expr) -> Origin:
        """What may be true of a value; of a kind of expression that is not known, anything."""
        if isinstance(node, ast.Constant | ast.UnaryOp):
            return _of_number(node) if _number(node) is not None or isinstance(node, ast.Constant) else self._any(node)
        if isinstance(node, ast.Compare):
            return Origin(closes=True)  # a condition: as a bool mask it may hide everything
        if isinstance(node, ast.Name):
            return self._variable(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Attribute):
            number = isinstance(node.value, ast.Call) or (self.names.resolve(node) or "").startswith(_OF_NUMBERS)
            known = number or node.attr in ("shape", "dtype", "device") or _OF_A_MASK.search(node.attr)
            return Origin(learned=not known or node.attr in self.learned.attributes, closes=True)
        if isinstance(node, ast.Subscript | ast.Starred | ast.NamedExpr):
            return self.of(node.value)
        if isinstance(node, ast.IfExp):
            return self.of(node.body) | self.of(node.orelse)
        if isinstance(node, ast.BinOp | ast.BoolOp | ast.Tuple | ast.List):
            return self._any(node)
        return _ANYTHING

    def _any(self, node: ast.AST) -> Origin:
        """What may be true of what is computed from all parts of an expression."""
        found = Origin()
        for part in ast.iter_child_nodes(node):
            found |= self.of(part) if isinstance(part, ast.expr) else Origin()
        return found

    def _variable(self, node: ast.Name) -> Origin:
        scope = self.names.scope_at.get(id(node), self.names.module)
        owner = scope.owner(node.id)
        if owner is None:
            return _ANYTHING
        if (id(owner), node.id) in self.seen:
            return Origin()
        self.seen.add((id(owner), node.id))
        found = Origin()
        values = list(_assigned(owner.node, node.id))
        for value in values:
            found |= _ANYTHING if value is None else self.of(value)
        if not values or _is_parameter(owner.node, node.id):
            learned = not _OF_A_MASK.search(node.id) or self.learned.passed_to(owner.node, node.id)
            found |= Origin(learned=learned, closes=True)
        return found

    def _call(self, node: ast.Call) -> Origin:
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if any(keyword.arg == "requires_grad" for keyword in node.keywords):
            return _ANYTHING
        if name in _MADE_FROM:
            filled = [*node.args[1:], *(k.value for k in node.keywords if k.arg == "fill_value")]
            return self._filled(filled) if name.endswith(("full", "full_like")) else Origin()
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        dotted = self.names.resolve(function) or ""
        if dotted.startswith("torch.nn.") and not dotted.startswith("torch.nn.functional."):
            return _ANYTHING  # a parameter, or what a layer makes
        if isinstance(function, ast.Attribute) and not dotted.startswith(("torch", "einops")):
            return self._method(function, given)
        if dotted.startswith(("torch.", "einops.")):
            tensors = given[:1] if name in _KEEPS | {"rearrange", "repeat"} else given
            return self._filled(tensors) | Origin(closes=name in _OF_CONDITIONS)
        known = name in ("float", "int", "min", "max", "len") or self._makes_a_mask(name)
        return Origin(learned=not known, closes=True)

    def _method(self, function: ast.Attribute, given: list[ast.expr]) -> Origin:
        """What may be true of the result of `x.method(…)`, of a tensor or of any other object."""
        name = function.attr
        if isinstance(function.value, ast.Name) and function.value.id == "self":
            return Origin(learned=not self._makes_a_mask(name), closes=True)
        if name == "requires_grad_":
            return _ANYTHING
        if name == "detach":
            return Origin(closes=self.of(function.value).closes)
        if name in _KEEPS:
            return self.of(function.value)
        if name.rstrip("_") == "masked_fill":
            return self.of(function.value) | self._filled(given[1:])
        if _OF_A_MASK.search(name):  # `attn.prepare_attention_mask(…)`
            return Origin(learned=not self._makes_a_mask(name), closes=True)
        return self.of(function.value) | self._filled(given) | Origin(closes=name in _OF_CONDITIONS)

    def _makes_a_mask(self, name: str) -> bool:
        """Whether a function is called after masks, and this file does not show that it makes of what is learned."""
        return _OF_A_MASK.search(name) is not None and not self.learned.made_by(name)

    def _filled(self, values: list[ast.expr]) -> Origin:
        found = Origin()
        for value in values:
            found |= self.of(value)
        return found


def _number(node: ast.expr) -> float | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _of_number(node: ast.expr) -> Origin:
    value = _number(node)
    return Origin(closes=value is not None and value < -_LARGEST)


def _is_parameter(scope: ast.AST, name: str) -> bool:
    if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return False
    return any(isinstance(part, ast.arg) and part.arg == name for part in ast.walk(scope.args))


def _assigned(scope: ast.AST, name: str) -> list[ast.expr | None]:
    """What a variable of a scope is set to, or set to in part; None for what does not say."""
    found: list[ast.expr | None] = []
    for part in ast.walk(scope):
        if isinstance(part, ast.Assign):
            found += [part.value for target in part.targets if _base(target) == name]
            found += [None for target in part.targets if isinstance(target, ast.Tuple) and _holds(target, name)]
            found += [None for target in part.targets if _asks_for_gradient(target, name)]
        elif isinstance(part, ast.AugAssign | ast.AnnAssign | ast.NamedExpr) and _base(part.target) == name:
            found += [part.value] if part.value is not None else []
        elif isinstance(part, ast.For) and _holds(part.target, name):
            found.append(None)
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr.endswith("_"):
            found += [None] if _asks_for_gradient(part.func, name) else []
            found += [value for value in part.args[-1:] if _base(part.func.value) == name]  # bias.masked_fill_(m, -1e9)
    return found


def _asks_for_gradient(target: ast.expr, name: str) -> bool:
    """`bias.requires_grad = True`, `bias.requires_grad_()`."""
    if not isinstance(target, ast.Attribute):
        return False
    return target.attr in ("requires_grad", "requires_grad_") and _base(target.value) == name


def _base(target: ast.expr) -> str | None:
    """The variable that an assignment changes: itself, or what one of its items is in."""
    while isinstance(target, ast.Subscript):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _holds(target: ast.expr, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(target))
