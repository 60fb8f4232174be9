"""Which axis of a tensor is that of the heads, where the names of sizes show it: `view(b, n, h, d)`.

The axis is followed through what moves axes. This serves a note, nothing else: where it cannot be told, it is None, and
nothing is said.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from xf2sdpa.analysis.tensor_ops import Arguments
from xf2sdpa.analysis.values import NONE, Items, Scalar, Slice, Tensor, Unknown, Value, as_tensor

_SHORT = {"h": "w", "H": "W", "nh": "nw"}
"""Names that mean heads, unless the width is named beside them: then they mean height."""
_LONG = frozenset({"head", "heads", "nhead", "n_head", "num_head"})


@functools.cache
def _is_plain(name: str) -> bool:
    """Whether a name can only be that of a number of heads: `heads`, `num_heads`, `n_local_kv_heads`."""
    return name in _LONG or (name.endswith("_heads") and not name.startswith("dim")) or name == "nheads"


class _Step(NamedTuple):
    """An operation on the way: the tensor, what else is given, and the result so far."""

    x: Tensor
    arguments: Arguments
    result: Tensor


def named(value: Value, name: str) -> Value:
    """A size with the name under which it is read, if that name tells something."""
    if not isinstance(value, Scalar | Unknown) or _is_plain(value.name):
        return value
    tells = _is_plain(name) or name in _SHORT or name in _SHORT.values()
    return replace(value, name=name) if tells and value.name != name else value


def heads_among(names: Sequence[str]) -> int | None:
    """Which of the axes that are called so is that of the heads; None if that is not clear."""
    found = [index for index, name in enumerate(names) if _is_plain(name)]
    if not found:
        found = [index for index, name in enumerate(names) if name in _SHORT and _SHORT[name] not in names]
    return found[0] if len(found) == 1 else None


def asked_shape(node: ast.expr) -> str:
    """The variable whose shape an expression asks for: `q.shape`, `q.size()`; empty for anything else."""
    if isinstance(node, ast.Call) and not node.args and isinstance(node.func, ast.Attribute):
        node = node.func if node.func.attr == "size" else node
    if isinstance(node, ast.Attribute) and node.attr in ("shape", "size") and isinstance(node.value, ast.Name):
        return node.value.id
    return ""


def without_first(x: Tensor) -> Tensor:
    """What iterating over a tensor gives: one axis less."""
    return replace(x, rank=x.rank.plus(-1), heads=_removed(x.heads, 0))


def indexed(heads: int | None, indices: Sequence[object]) -> int | None:
    """Where the axis is after `x[0, :, None]`; None where it is not seen, or is indexed itself."""
    dots = [index for index, given in enumerate(indices) if isinstance(given, Scalar) and given.value is ...]
    if heads is None or dots not in ([], [len(indices) - 1]):
        return None
    axis = place = 0
    for index in indices[: len(indices) - len(dots)]:
        if axis > heads:
            break
        is_slice = isinstance(index, ast.Slice | Slice)
        if axis == heads and index != NONE and not is_slice:
            return None
        axis += index != NONE
        place += index == NONE or is_slice
    return place - 1 if axis > heads else place + heads - axis


def stacked(x: Tensor, arguments: Arguments, extra: int) -> int | None:
    """Where the axis is in tensors joined by `cat` (no axis more) or `stack` (one more)."""
    dim = 0 if arguments.get(1, "dim", "axis") is None else arguments.integer(1, "dim", "axis")
    if x.heads is None or not extra:
        return x.heads
    return x.heads + (dim <= x.heads) if dim is not None and dim >= 0 else None


def after(name: str, x: Tensor, arguments: Arguments, result: Value) -> Value:
    """The result of an operation, with its axis of heads: what keeps the rank leaves it in its place."""
    if isinstance(result, Items) and isinstance(result.each, Tensor):
        return replace(result, each=after(name, x, arguments, result.each))
    if not isinstance(result, Tensor):
        return result
    move = _MOVES.get(name, _kept)
    heads = move(_Step(x, arguments, result))
    return result if heads == result.heads else replace(result, heads=heads)


def _removed(heads: int | None, axis: int | None) -> int | None:
    """Where an axis is after another is taken away."""
    return None if heads is None or axis is None or axis == heads else heads - (axis < heads)


def _axis(x: Tensor, arguments: Arguments, index: int, *names: str) -> int | None:
    """An axis given as a number, counted from the front."""
    number = arguments.integer(index, *names)
    if number is None or number >= 0:
        return number
    return number + x.rank.known if x.rank.known is not None else None


def _listed(arguments: Arguments) -> Sequence[Value]:
    """Sizes or axes, given one by one or as a tuple."""
    keywords = (arguments.keywords[n] for n in ("shape", "size", "dims") if n in arguments.keywords)
    given = arguments.positional or tuple(keywords)
    only = given[0] if len(given) == 1 else None
    return () if arguments.unpacked else only.items or () if isinstance(only, Items) else given


def _named_among(sizes: Sequence[Value]) -> int | None:
    return heads_among([size.name if isinstance(size, Scalar | Unknown) else "" for size in sizes])


def _kept(step: _Step) -> int | None:
    """An operation that keeps the number of axes keeps their order."""
    return step.x.heads if step.x.rank == step.result.rank else None


def _turned(step: _Step) -> int | None:
    """`adjoint()`: the last two axes in each other's place."""
    heads, rank = step.x.heads, step.x.rank.known
    return {rank - 1: rank - 2, rank - 2: rank - 1}.get(heads, heads) if heads is not None and rank else None


def _by_sizes(step: _Step) -> int | None:
    """`view(b, n, h, d)`: the size that is called heads."""
    return _named_among(_listed(step.arguments))


def _by_sizes_or_kept(step: _Step) -> int | None:
    """`expand(-1, -1, h, -1)`, `repeat(1, 1, 2, 1)`: the axes of the tensor, where there are no more."""
    kept = _kept(step)
    return _by_sizes(step) if kept is None else kept


def _of_other(step: _Step) -> int | None:
    """`view_as(y)`: the axes of y."""
    other = as_tensor(step.arguments.get(0, "other") or NONE)
    return other.heads if other is not None else None


def _permuted(step: _Step) -> int | None:
    """`permute(2, 0, 3, 1, 4)`."""
    numbers = [dim.value if isinstance(dim, Scalar) else None for dim in _listed(step.arguments)]
    axes = [number % len(numbers) for number in numbers if isinstance(number, int)]
    if step.x.heads not in axes or sorted(axes) != [*range(len(numbers))]:
        return None
    return axes.index(step.x.heads)


def _swapped(step: _Step) -> int | None:
    """`transpose(1, 2)`."""
    one, two = (_axis(step.x, step.arguments, i, f"dim{i}", f"axis{i}") for i in (0, 1))
    if one is None or two is None or step.x.heads is None:
        return None
    return {one: two, two: one}.get(step.x.heads, step.x.heads)


def _moved(step: _Step) -> int | None:
    """`movedim(2, 1)`."""
    heads = step.x.heads
    source, target = (_axis(step.x, step.arguments, i, name) for i, name in enumerate(("source", "destination")))
    if source is None or target is None or heads is None:
        return None
    rest = heads - (source < heads)
    return target if source == heads else rest + (target <= rest)


def _unbound(step: _Step) -> int | None:
    """`unbind(0)`."""
    return _removed(step.x.heads, _axis(step.x, step.arguments, 0, "dim") if step.arguments.get(0, "dim") else 0)


def _unsqueezed(step: _Step) -> int | None:
    """`unsqueeze(1)`."""
    heads, axis = step.x.heads, _axis(step.result, step.arguments, 0, "dim")
    return heads + (axis <= heads) if heads is not None and axis is not None else None


def _unflattened(step: _Step) -> int | None:
    """`unflatten(-1, (h, d))`."""
    axis, sizes = _axis(step.x, step.arguments, 0, "dim"), step.arguments.get(1, "sizes", "unflattened_size")
    if axis is None or not isinstance(sizes, Items) or sizes.items is None:
        return None
    place, heads = _named_among(sizes.items), step.x.heads
    if place is not None:
        return axis + place
    return heads if heads is None or heads < axis else heads + len(sizes.items) - 1


def _flattened(step: _Step) -> int | None:
    """`flatten(0, 1)`: an axis before or behind those that are merged."""
    heads, arguments = step.x.heads, step.arguments
    first = _axis(step.x, arguments, 0, "start_dim") if arguments.get(0, "start_dim") else 0
    last = _axis(step.x, arguments, 1, "end_dim") if arguments.get(1, "end_dim") else None
    if heads is None or first is None or heads < first:
        return heads if first is not None else None
    return heads - (last - first) if last is not None and heads > last else None


_MOVES: dict[str, Callable[[_Step], int | None]] = {
    **dict.fromkeys(("view", "reshape"), _by_sizes),
    **dict.fromkeys(("expand", "repeat", "broadcast_to"), _by_sizes_or_kept),
    **dict.fromkeys(("view_as", "reshape_as"), _of_other),
    **dict.fromkeys(("permute", "permute_"), _permuted),
    **dict.fromkeys(("transpose", "transpose_", "swapaxes", "swapdims"), _swapped),
    **dict.fromkeys(("movedim", "moveaxis"), _moved),
    "adjoint": _turned,
    "unbind": _unbound,
    "unsqueeze": _unsqueezed,
    "unflatten": _unflattened,
    "flatten": _flattened,
}
