"""Copies a call's inputs with their memory layout, and lists the tensors of inputs and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


def copy_of(x: Tensor) -> Tensor:
    """A detached copy with `x`'s strides, gaps and expanded dimensions (stride 0) included."""
    x = x.detach()
    if type(x) is not Tensor or x.layout != torch.strided or not x.numel():
        return x.clone()
    extent = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return x.as_strided((extent,), (1,)).clone().as_strided(x.shape, x.stride())


def is_floating(x: Any) -> bool:
    """Whether `x` is a tensor that can have a gradient."""
    return isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())


class Leaves:
    """Atoms with every tensor in them (in lists, tuples and dicts too) copied to a leaf of autograd.

    Attributes:
        atoms: the copies, in the structure of the originals, to call a probe with.
        tensors: the floating-point leaves among them, in order.
    """

    def __init__(self, atoms: Sequence[Any], wants: Callable[[int, Tensor], bool]) -> None:
        """`wants(i, tensor)` says whether the i-th floating-point tensor requires a gradient."""
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
        """The same atoms with floating-point tensors in float64."""
        atoms = pytree.tree_map(lambda x: x.detach().double() if is_floating(x) else x, self.atoms)
        return Leaves(atoms, lambda i, _: self.tensors[i].requires_grad)

    def reached_from(self, x: Any) -> set[int]:
        """The indices of the leaves that a tensor, or the tensor in a mask object, was computed from."""
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
    return [x for x in pytree.tree_flatten(result)[0] if isinstance(x, Tensor)]


def floating_in(atoms: Any) -> list[Tensor]:
    """The floating-point tensors of the atoms, in the order of `Leaves.tensors`."""
    return [x for x in tensors_in(atoms) if is_floating(x)]
