"""Runs one side of a comparison on copies of the inputs: result and gradients, without side effects."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.judging.leaves import Leaves, is_floating, tensors_in
from xf2sdpa.judging.watch import Watch


@dataclass
class Ran:
    """The results of one side.

    Attributes:
        outputs: the tensors of the result, detached, with their strides.
        gradients: one for each leaf; None where it has none.
        trains: for each output, whether it belongs to an autograd graph.
        error: the exception, if the side raised one.
        watch: the calls of torch's attention and dropout that it made.
    """

    outputs: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor | None] = field(default_factory=list)
    trains: list[bool] = field(default_factory=list)
    error: Exception | None = None
    watch: Watch = field(default_factory=Watch)


@contextlib.contextmanager
def isolated(devices: Sequence[torch.device]) -> Iterator[None]:
    """Isolate the program from code inside: random generators, inference mode, saved-tensor hooks, autocast's cache.

    Whether autocast is on, and its dtype, stay as they are.
    """
    indices = sorted({torch.cuda.current_device() if d.index is None else d.index for d in devices if d.type == "cuda"})
    before = torch.is_autocast_cache_enabled()
    with (
        torch.random.fork_rng(devices=indices),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(_same, _same),
    ):
        torch.set_autocast_cache_enabled(False)  # else casts of the comparison's leaves stay in the program's cache
        try:
            yield
        finally:
            torch.set_autocast_cache_enabled(before)


def _same(x: Tensor) -> Tensor:
    return x


def run(
    side: Callable[..., Any],
    leaves: Leaves,
    seed: int,
    *,
    gradients: bool,
    upstream: Sequence[Tensor] = (),
    backend: Any = None,
) -> Ran:
    """Call a side and differentiate it.

    `upstream`: the gradients of its first outputs; for the others they are drawn. `backend`: the SDPA backend that it
    is pinned to. Of what the side raises, only torch.cuda.OutOfMemoryError is raised here; the rest is in `error`.
    """
    ran = Ran(watch=Watch(backend))
    seed_generators(seed, leaves.tensors)
    try:
        with torch.set_grad_enabled(gradients), ran.watch:
            outputs = tensors_in(side(*leaves.atoms))
        ran.trains = [x.requires_grad for x in outputs]
        ran.gradients = differentiate(outputs, leaves, seed, upstream) if gradients else [None] * len(leaves.tensors)
        ran.outputs = [x.detach() for x in outputs]
    except torch.cuda.OutOfMemoryError:  # says nothing about either side
        raise
    except Exception as error:  # from the program's own code, or a kernel that refuses
        ran.error = error
    return ran


def seed_generators(seed: int, tensors: Sequence[Tensor]) -> None:
    """Seed only the generators that `isolated` restores; `torch.manual_seed` would seed those of every GPU."""
    torch.default_generator.manual_seed(seed)
    for device in {x.device for x in tensors if x.is_cuda}:
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def differentiate(
    outputs: Sequence[Tensor], leaves: Leaves, seed: int, upstream: Sequence[Tensor] = ()
) -> list[Tensor | None]:
    """The gradient of each leaf, None where it has none."""
    wanted = [x for x in leaves.tensors if x.requires_grad]
    given = [
        (x, upstream[i].to(x.dtype) if i < len(upstream) else upstream_of(x, seed + i))
        for i, x in enumerate(outputs)
        if x.requires_grad and is_floating(x)
    ]
    if not given or not wanted or any(x.shape != y.shape for x, y in given):
        return [None] * len(leaves.tensors)
    found = iter(torch.autograd.grad([x for x, _ in given], wanted, [y for _, y in given], allow_unused=True))
    return [next(found) if x.requires_grad else None for x in leaves.tensors]


def upstream_of(output: Tensor, seed: int) -> Tensor:
    """An upstream gradient for an output: normally distributed, and the same for every side with this seed."""
    generator = torch.Generator(output.device).manual_seed(seed)
    drawn = torch.randn(output.shape, device=output.device, generator=generator)
    return drawn.to(output.dtype if is_floating(output) else drawn.dtype)
