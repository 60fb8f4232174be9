"""Finds the SDPA backends that accept a call, and runs the call with one of them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

BACKENDS = {
    "cudnn": "CUDNN_ATTENTION",
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "math": "MATH",
}
"""This project's names of the backends, and those in `torch.nn.attention.SDPBackend`."""


def backends(
    call: Callable[..., Any], leaves: Sequence[Tensor] = (), *, backward: bool = False
) -> dict[str, Callable[..., Any]]:
    """The same callable pinned to each SDPA backend that accepts it: `cudnn`, `flash`, `efficient`, `math`.

    Each backend is tried once with `call(*leaves)`; if `backward`, with the gradients of the leaves that require one,
    or of all floating-point leaves if none does. It counts only if SDPA was called and each of its calls had this
    backend and no other enabled. So the result is empty for a call that chooses backends itself (the helper's guard
    against cuDNN's NaN gradient) or does not use SDPA (packed sequences).

    Returns:
        Callables by backend, with the arguments of `call`. Empty with torch before 2.3, which lacks
        `torch.nn.attention`.
    """
    if importlib.util.find_spec("torch.nn.attention") is None:
        return {}
    return {
        name: functools.partial(pinned, name, call) for name in BACKENDS if takes(name, call, leaves, backward=backward)
    }


def pinned(name: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """`call(*arguments)` with only the named SDPA backend enabled.

    Raises:
        RuntimeError: the backend refuses the call, or this torch does not have it.
    """
    attention = importlib.import_module("torch.nn.attention")
    backend = getattr(attention.SDPBackend, BACKENDS[name], None)
    if backend is None:
        raise RuntimeError(f"torch {torch.__version__} has no {BACKENDS[name]}")
    with attention.sdpa_kernel(backend):
        return call(*arguments)


def takes(name: str, call: Callable[..., Any], leaves: Sequence[Tensor], *, backward: bool) -> bool:
    """Whether a backend accepts `call(*leaves)`, tried once as `backends` says."""
    wanted = [leaf.requires_grad for leaf in leaves]
    if not any(wanted):
        wanted = [leaf.is_floating_point() for leaf in leaves]
    inputs = [leaf.detach().requires_grad_(backward and want) for leaf, want in zip(leaves, wanted, strict=True)]
    watch = _Watch(name)
    try:
        with _rng_kept(leaves), warnings.catch_warnings(), torch.set_grad_enabled(backward):
            warnings.simplefilter("ignore")  # torch warns why a backend refuses a call
            with watch:
                result = pinned(name, call, *inputs)
            if backward:
                out = result if isinstance(result, Tensor) else result[0]
                needed = [leaf for leaf in inputs if leaf.requires_grad]
                torch.autograd.grad(out, needed, torch.ones_like(out), allow_unused=True)
    except RuntimeError:  # refused, not supported, or out of memory
        return False
    return watch.seen > 0 and watch.only_named


@contextlib.contextmanager
def _rng_kept(leaves: Sequence[Tensor]) -> Iterator[None]:
    devices = {leaf.device.index or 0 for leaf in leaves if leaf.is_cuda}
    with torch.random.fork_rng(sorted(devices)):
        yield


class _Watch(TorchFunctionMode):
    """Counts SDPA calls (`seen`), and records whether each had only the named backend enabled (`only_named`)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.seen = 0
        self.only_named = True

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            self.seen += 1
            self.only_named &= _switched_on() == {self.name}
            mask = args[3] if len(args) > 3 else (kwargs or {}).get("attn_mask")
            if self.name == "efficient" and isinstance(mask, Tensor) and mask.shape[-1:] == (1,):
                # torch 2.11 reads out of bounds (H200: "misaligned address"); the process cannot use the GPU any more.
                raise RuntimeError("EFFICIENT is not tried with a mask that is broadcast along the keys")
        return func(*args, **(kwargs or {}))


def _switched_on() -> set[str]:
    switches: Any = torch.backends.cuda  # not annotated
    state = {
        "flash": switches.flash_sdp_enabled(),
        "efficient": switches.mem_efficient_sdp_enabled(),
        "math": switches.math_sdp_enabled(),
        "cudnn": getattr(switches, "cudnn_sdp_enabled", bool)(),
    }
    return {name for name, is_on in state.items() if is_on}
