"""What a file plainly shows to be learned: parameters, layers with weights, what asks for a gradient."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

from xf2sdpa.analysis.names import Names, called_name

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_WITH_WEIGHTS = ("Parameter", "Embedding", "Linear", "Conv", "Bilinear", "LayerNorm")
"""How the classes of `torch.nn` begin whose objects hold what is learned."""
_NO_VALUES = frozenset({"shape", "dtype", "device", "size", "ndim"})
"""Attributes of a tensor that tell nothing of its values."""


class Learned:
    """What one file shows to be learned."""

    def __init__(self, names: Names) -> None:
        self.names = names

    @functools.cached_property
    def attributes(self) -> frozenset[str]:
        """Attributes, of whatever object, that are set to a parameter or a layer with weights."""
        found: set[object] = set()
        for node in self.names.nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and self._is_made(node.value):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(target.attr for target in targets if isinstance(target, ast.Attribute))
            elif isinstance(node, ast.Call) and called_name(node.func) == "register_parameter" and node.args:
                found.update(part.value for part in node.args[:1] if isinstance(part, ast.Constant))
        return frozenset(name for name in found if isinstance(name, str))

    def holds(self, node: ast.AST) -> bool:
        """Whether an expression, or the body of a function, takes the values of something learned."""
        return any(self._is_made(part) or self._is_kept(part) for part in _with_values(node))

    def made_by(self, name: str) -> bool:
        """Whether a function or method of this file, of that name, does."""
        functions = (n for n in self.names.nodes if isinstance(n, _FUNCTION) and n.name == name)
        return any(self.holds(part) for function in functions for part in function.body)

    def passed_to(self, function: ast.AST, parameter: str) -> bool:
        """Whether a call in this file passes something learned for a parameter of one of its functions."""
        if not isinstance(function, _FUNCTION):
            return False
        listed = [a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg not in ("self", "cls")]
        place = listed.index(parameter) if parameter in listed else len(listed)
        for call in self.names.calls:
            given = [keyword.value for keyword in call.keywords if keyword.arg == parameter]
            if called_name(call.func) == function.name and not any(isinstance(a, ast.Starred) for a in call.args):
                given += call.args[place : place + 1]
            if any(self.holds(value) for value in given):
                return True
        return False

    def _is_made(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        if any(k.arg == "requires_grad" and not _is_false(k.value) for k in node.keywords):
            return True
        dotted = self.names.resolve(node.func) or ""
        return dotted.startswith("torch.nn.") and dotted.rpartition(".")[2].startswith(_WITH_WEIGHTS)

    def _is_kept(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in self.attributes


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _with_values(node: ast.AST) -> Iterator[ast.AST]:
    """An expression and its parts, without those of which only shape, dtype or device count."""
    if isinstance(node, ast.Attribute) and (node.attr in _NO_VALUES or node.attr.startswith("new_")):
        return
    yield node
    for part in ast.iter_child_nodes(node):
        yield from _with_values(part)
