"""Times one call: old, new, and new under each SDPA backend that accepts it, FlashAttention-4 last where installed.

This module must not import the planning. A shadow run imports it while the program's interpreter shuts down, when
modules that register an exit handler, such as `concurrent.futures.process`, can no longer be imported.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from xf2sdpa import timing
from xf2sdpa.judging.probe import Probe
from xf2sdpa.timing import flash4
from xf2sdpa.timing.model import Timing

Paths = dict[str, Callable[..., Any]]


def as_paths(probe: Probe, atoms: Sequence[Any], *, with_old: bool = True) -> tuple[list[Tensor], Paths]:
    """The two sides as functions of the floating-point tensors in the atoms, for `timing.measure`.

    Dropout is 0 in both. Without `with_old`, only `new` is returned: the reference's time says nothing about xformers.
    """
    values = [0.0 if role == "p" else value for role, value in zip(probe.roles, atoms, strict=True)]
    flat, tree = pytree.tree_flatten(values)
    places = [index for index, x in enumerate(flat) if isinstance(x, Tensor) and x.is_floating_point()]

    def over(side: Callable[..., Any]) -> Callable[..., Any]:
        def path(*leaves: Tensor) -> Any:
            filled = list(flat)
            for place, leaf in zip(places, leaves, strict=True):
                filled[place] = leaf
            return side(*pytree.tree_unflatten(filled, tree))

        return path

    paths = {"new": over(probe.new)}
    if with_old:
        paths = {"old": over(functools.partial(probe.old, probe.operator)), **paths}
    return [flat[place] for place in places], paths


def timings(paths: Paths, leaves: Sequence[Tensor], *, backward: bool, budget: float) -> tuple[Timing, ...]:
    """The time of each path, and of `new` under each backend that accepts it, with the kernel that ran.

    Args:
        paths: the functions that `as_paths` returns.
        leaves: their arguments.
        backward: whether to time forward and backward as well.
        budget: seconds for everything.

    Raises:
        Exception: whatever a path raises.
    """
    everything = paths | timing.backends(paths["new"], leaves, backward=backward)
    measured = timing.measure(everything, leaves, backward=backward, budget=budget)
    plain = [x.detach() for x in leaves]
    seen = [
        dataclasses.replace(one, kernel=timing.kernel_of(functools.partial(everything[name], *plain)))
        for name, one in measured.items()
    ]
    by_flash4 = flash4.timed(paths["new"], leaves, backward=backward, budget=budget)
    return (*seen, by_flash4) if isinstance(by_flash4, Timing) else tuple(seen)
