"""Run a program's `run` before and after its migration, and say in which way the two differ.

A program is a text that defines `run`. It is called with tensors (by shape, see `Given`) under several
`Condition`s: a dtype, an order of storage (same logical shape, other strides), with or without autocast.
The old text runs on the oracle; an error there means that the program itself is no valid example.
"""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch

from tests import oracle

torch.set_num_threads(1)

Shape = tuple[int, ...]
Namespace = dict[str, Any]
Surroundings = Callable[[], AbstractContextManager[Any]]

STORAGES: dict[int, tuple[Shape, ...]] = {
    3: ((0, 1, 2), (1, 0, 2)),
    4: ((0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 2, 3)),
    5: ((0, 1, 2, 3, 4), (0, 2, 3, 1, 4), (1, 0, 2, 3, 4)),
}
"""By rank, the orders in which the dimensions lie in memory: as written, heads first, sequence first."""

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 3e-2}
"""What may differ, by the coarsest dtype in which attention was computed."""


class InvalidExampleError(Exception):
    """The program does not run on the oracle, or does not call xformers there."""


@dataclass(frozen=True)
class Given:
    """What `run` is called with: tensors by shape, everything else as it is."""

    shapes: dict[str, Shape]
    others: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """One way to call `run`."""

    dtype: torch.dtype = torch.float64
    storage: int = 0
    autocast: bool = False

    def __str__(self) -> str:
        cast = " under autocast" if self.autocast else ""
        return f"{str(self.dtype).removeprefix('torch.')}{cast}, storage {self.storage}"

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Autocast switched on where the condition says so."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            yield


IN_FLOAT64 = tuple(Condition(storage=storage) for storage in range(3))
UNDER_AUTOCAST = tuple(Condition(torch.float32, storage, autocast=True) for storage in range(3))


@dataclass
class Observed:
    """What one call of `run` gave."""

    outputs: list[Any]
    gradients: list[torch.Tensor | None]


def differences(
    old: str,
    new: str,
    given: Given,
    conditions: Iterable[Condition],
    surroundings: Surroundings,
    *,
    layout: bool = True,
) -> list[str]:
    """How `new`, in its surroundings, differs from `old` on the oracle; empty if they agree.

    With `layout`, a result that was contiguous must be so still: whoever gets it may `.view` it.
    """
    conditions = tuple(conditions)
    with oracle.installed() as calls:
        expected = list(_observe_old(old, given, conditions))
    if not calls.count:
        raise InvalidExampleError("the program never calls xformers\n" + old)
    coarsest = max((TOLERANCE[dtype] for dtype in calls.dtypes), default=0.0)
    try:
        with surroundings():
            found = list(_observe(new, given, conditions))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return [f"the new program raises {type(error).__name__}: {error} (in {place.name})"]
    return [
        f"{condition}: {difference}"
        for condition, one, two in zip(conditions, expected, found, strict=True)
        for difference in _compare(one, two, max(coarsest, _half(condition)), layout)
    ]


def _half(condition: Condition) -> float:
    return TOLERANCE[torch.bfloat16] if condition.autocast else 0.0


def _observe_old(text: str, given: Given, conditions: tuple[Condition, ...]) -> Iterator[Observed]:
    try:
        yield from _observe(text, given, conditions)
    except Exception as error:
        raise InvalidExampleError(f"{type(error).__name__}: {error}\n{text}") from error


def load(text: str) -> Namespace:
    """Execute a program in a fresh namespace."""
    torch.manual_seed(0)
    namespace: Namespace = {"__name__": "program"}
    exec(compile(text, "<program>", "exec"), namespace)
    return namespace


def _observe(text: str, given: Given, conditions: tuple[Condition, ...]) -> Iterator[Observed]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        namespace = load(text)
        for condition in conditions:
            yield _call(namespace["run"], given, condition)


def _call(run: Callable[..., Any], given: Given, condition: Condition) -> Observed:
    leaves, views = _tensors(given, condition)
    torch.manual_seed(1)
    with condition.active():
        outputs = list(_flatten(run(**views, **given.others)))
    return Observed(outputs, [] if condition.autocast else _gradients(outputs, leaves))


def _tensors(given: Given, condition: Condition) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Leaves in their order of storage, and what `run` sees of them: the logical shape."""
    generator = torch.Generator().manual_seed(2)
    leaves, views = [], {}
    for name, shape in given.shapes.items():
        order = _storage(len(shape), condition.storage)
        values = torch.randn(shape, generator=generator, dtype=torch.float64).to(condition.dtype)
        leaf = values.permute(order).contiguous().requires_grad_()
        leaves.append(leaf)
        views[name] = leaf.permute(tuple(order.index(i) for i in range(len(shape))))
    return leaves, views


def _storage(rank: int, index: int) -> Shape:
    orders = STORAGES.get(rank, (tuple(range(rank)),))
    return orders[min(index, len(orders) - 1)]


def _flatten(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _flatten(item)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from _flatten(value[key])
    else:
        yield value


def _gradients(outputs: list[Any], leaves: list[torch.Tensor]) -> list[torch.Tensor | None]:
    """Gradients of a fixed weighted sum of all outputs."""
    generator = torch.Generator().manual_seed(3)
    total = torch.zeros((), dtype=torch.float64)
    for output in outputs:
        if isinstance(output, torch.Tensor) and output.requires_grad:
            weights = torch.randn(output.shape, generator=generator, dtype=torch.float64)
            total = total + (output.double() * weights).sum()
    if not total.requires_grad:
        return [None] * len(leaves)
    return list(torch.autograd.grad(total, leaves, allow_unused=True))


def _compare(one: Observed, two: Observed, tolerance: float, layout: bool) -> Iterator[str]:
    if len(one.outputs) != len(two.outputs):
        yield f"{len(one.outputs)} results became {len(two.outputs)}"
        return
    for index, (old, new) in enumerate(zip(one.outputs, two.outputs, strict=True)):
        yield from _compare_values(f"result {index}", old, new, tolerance, layout)
    for index, (old, new) in enumerate(zip(one.gradients, two.gradients, strict=True)):
        yield from _compare_values(f"gradient of input {index}", old, new, 4 * tolerance, False)


def _compare_values(name: str, old: Any, new: Any, tolerance: float, layout: bool) -> Iterator[str]:
    if not isinstance(old, torch.Tensor) or not isinstance(new, torch.Tensor):
        if type(old) is not type(new) or not (isinstance(old, torch.Tensor) or old == new):
            yield f"{name}: {old!r:.60} became {new!r:.60}"
        return
    if old.shape != new.shape or old.dtype != new.dtype:
        yield f"{name}: {old.dtype} {tuple(old.shape)} became {new.dtype} {tuple(new.shape)}"
        return
    if layout and old.is_contiguous() and not new.is_contiguous():
        yield f"{name}: was contiguous, now has strides {new.stride()} for {tuple(new.shape)}"
    if not torch.allclose(old.double(), new.double(), atol=tolerance, rtol=tolerance, equal_nan=True):
        worst = (old.double() - new.double()).abs().max().item()
        yield f"{name}: differs by up to {worst:.3g} (tolerance {tolerance:.1g})"
