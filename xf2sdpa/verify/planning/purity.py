"""Which expressions have no side effects, so that they may be evaluated twice or in another order."""

from __future__ import annotations

import ast

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.names import Names

_QUIET = (
    ast.Name, ast.Attribute, ast.Constant, ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.BinOp, ast.UnaryOp,
    ast.BoolOp, ast.Compare, ast.IfExp, ast.keyword, ast.Starred, ast.Dict, ast.expr_context, ast.operator,
    ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_METHODS = """
    abs add amax amin any all argmax bfloat16 bool broadcast_to byte chunk clamp clone contiguous cos cpu cuda cumsum
    detach diff dim div double eq exp expand expand_as flatten float ge gt half int is_contiguous is_floating_point
    isinf isnan item le log logical_and logical_not logical_or long lt masked_fill matmul max mean min moveaxis movedim
    mT mul ndimension ne neg norm numel permute pow prod ravel relu repeat repeat_interleave reshape reshape_as roll
    rsqrt sigmoid sin size softmax split sqrt squeeze stride sub sum swapaxes swapdims t tan tanh tile to tolist
    transpose tril triu type type_as unbind unflatten unsqueeze view view_as where
    materialize make_causal make_causal_from_bottomright make_local_attention make_local_attention_from_bottomright
    add_bias
"""
_TENSOR_METHODS = frozenset(_METHODS.split())
"""Methods of tensors, and of xformers' mask objects, without side effects."""
_BUILTINS = frozenset(
    {"abs", "bool", "dict", "float", "int", "isinstance", "len", "list", "max", "min", "round", "sum", "tuple"}
)
_PACKAGES = ("torch.nn.functional.", "einops.", "math.", "numpy.")
_FUNCTIONS = """
    arange bmm cat chunk clone concat einsum empty_like finfo flatten full full_like logical_and logical_not logical_or
    masked_fill matmul mul ones ones_like permute repeat_interleave reshape softmax split sqrt squeeze stack tensor
    transpose tril triu unbind unsqueeze where zeros zeros_like float16 bfloat16 float32 float64 bool
"""
_TORCH = frozenset(_FUNCTIONS.split())
_WITH_EFFECT = frozenset({"dropout", "alpha_dropout", "feature_alpha_dropout", "gumbel_softmax", "rrelu"})


def is_pure(node: ast.expr, names: Names, helpers: frozenset[str] = frozenset()) -> bool:
    """Whether evaluating an expression certainly has no side effects.

    Args:
        node: an expression of the tree that `names` describes.
        names: what the names in it refer to.
        helpers: dotted names of modules whose functions have no side effects (the helper module).
    """
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            if not is_quiet_call(part, names, helpers):
                return False
        elif not isinstance(part, _QUIET):
            return False
    return True


def is_quiet_call(call: ast.Call, names: Names, helpers: frozenset[str] = frozenset()) -> bool:
    """Whether a call has no side effects, apart from those of its arguments."""
    dotted = names.resolve(call.func, names.scope_at.get(id(call)))
    if dotted:
        return is_ours(dotted) or _is_quiet_function(dotted) or _is_below(dotted, helpers)
    if isinstance(call.func, ast.Name):
        scope = names.scope_at.get(id(call.func))
        return call.func.id in _BUILTINS and (scope is None or scope.owner(call.func.id) is None)
    return isinstance(call.func, ast.Attribute) and call.func.attr in _TENSOR_METHODS


def _is_quiet_function(dotted: str) -> bool:
    last = dotted.rpartition(".")[2]
    if dotted.startswith(_PACKAGES):
        return last not in _WITH_EFFECT and not last.endswith("_")
    return dotted.startswith("torch.") and last in _TORCH


def _is_below(dotted: str, helpers: frozenset[str]) -> bool:
    return any(dotted.startswith(f"{helper}.") for helper in helpers)
