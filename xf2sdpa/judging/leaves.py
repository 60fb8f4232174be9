"""Copies of what a call was handed, laid out in memory as it was, and what came out, as flat lists of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


def copy_of(x: Tensor) -> Tensor:
    """A detached copy with `x`'s own strides: gaps stay gaps, an expanded dimension stays expanded (stride 0)."""
    x = x.detach()
    if type(x) is not Tensor or x.layout != torch.strided or not x.numel():
        return x.clone()
    extent = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return x.as_strided((extent,), (1,)).clone().as_strided(x.shape, x.stride())


def is_floating(x: Any) -> bool:
    """Whether `x` is a tensor that can have a gradient."""
    return isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())


class Leaves:
    """Atoms with every tensor in them (in lists, tuples and dicts too) copied to a leaf.

    Attributes:
        atoms: what to call a probe with.
        tensors: the leaves among them that are floating point, in order.
    """

    def __init__(self, atoms: Sequence[Any], wants: Callable[[int, Tensor], bool]) -> None:
        """`wants(i, tensor)` says whether the i-th floating point tensor gets a gradient."""
        self.tensors: list[Tensor] = []

        def leaf(x: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            copy = copy_of(x)
            if is_floating(x):
                copy.requires_grad_(wants(len(self.tensors), x))
                self.tensors.append(copy)
            return copy

        self.atoms: list[Any] = list(pytree.tree_map(leaf, list(atoms)))

    def in_double(self) -> Leaves:
        """The same in float64."""
        atoms = pytree.tree_map(lambda x: x.detach().double() if is_floating(x) else x, self.atoms)
        return Leaves(atoms, lambda i, _: self.tensors[i].requires_grad)

    def reached_from(self, x: Any) -> set[int]:
        """Which of the leaves a tensor was computed from."""
        if not isinstance(x, Tensor):
            x = getattr(x, "_bias", None)
        numbers = {id(tensor): i for i, tensor in enumerate(self.tensors)}
        if not isinstance(x, Tensor):
            return set()
        if id(x) in numbers:
            return {numbers[id(x)]}
        return {numbers[id(leaf)] for leaf in _variables(x.grad_fn) if id(leaf) in numbers}


def _variables(start: Any) -> Iterator[Tensor]:
    """The leaves of an autograd graph."""
    seen, waiting = set(), [start]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting.extend(following for following, _ in node.next_functions)


def tensors_in(result: Any) -> list[Tensor]:
    """The tensors of a result, in order."""
    return [x for x in pytree.tree_leaves(result) if isinstance(x, Tensor)]


def floating_in(atoms: Any) -> list[Tensor]:
    """The tensors of the atoms that can have a gradient, in the order of `Leaves.tensors`."""
    return [x for x in tensors_in(atoms) if is_floating(x)]
