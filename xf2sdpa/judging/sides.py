"""Running one side of a comparison on leaves of its own: result, gradients, and nothing else that anybody feels."""

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
    """What one side gave.

    Attributes:
        outputs: the tensors of the result, detached, with their strides.
        gradients: one for each leaf; None where there is none.
        trains: for each output, whether it belongs to a graph.
        error: what was raised instead.
        watch: the attention and dropout calls of torch that were seen.
    """

    outputs: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor | None] = field(default_factory=list)
    trains: list[bool] = field(default_factory=list)
    error: Exception | None = None
    watch: Watch = field(default_factory=Watch)


@contextlib.contextmanager
def unfelt(devices: Sequence[torch.device]) -> Iterator[None]:
    """Nothing inside is felt outside: random numbers, inference mode, saved-tensor hooks and autocast's cache.

    Autocast itself stays as it is, for both sides.
    """
    indices = sorted({torch.cuda.current_device() if d.index is None else d.index for d in devices if d.type == "cuda"})
    before = torch.is_autocast_cache_enabled()
    with (
        torch.random.fork_rng(devices=indices),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(_same, _same),
    ):
        torch.set_autocast_cache_enabled(False)  # else the casts of our leaves stay in the program's cache
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
    """Call a side and differentiate it. `upstream`: gradients for its outputs, else random ones are drawn.

    `backend`: the SDPA backend that it is pinned to. Raises nothing but torch.cuda.OutOfMemoryError.
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
    except Exception as error:  # the program's own code, and kernels that refuse
        ran.error = error
    return ran


def seed_generators(seed: int, tensors: Sequence[Tensor]) -> None:
    """Seed the generators that `unfelt` puts back: not `torch.manual_seed`, which reaches every GPU there is."""
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
    """The gradient that reaches an output: normally distributed, the same for every side."""
    generator = torch.Generator(output.device).manual_seed(seed)
    drawn = torch.randn(output.shape, device=output.device, generator=generator)
    return drawn.to(output.dtype if is_floating(output) else drawn.dtype)
