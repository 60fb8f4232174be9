"""Times a call with FlashAttention-4 (the package `flash-attn-4`) in the place of SDPA's FLASH backend.

torch activates it for the whole process: so it is timed alone, after all else, and put away again. The flag `fa4` does
the same for a program.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.timing.clock import measure
from xf2sdpa.timing.kernels import kernel_of
from xf2sdpa.timing.model import FLASH4, Timing
from xf2sdpa.timing.pinning import pinned, takes

SINCE = (2, 15)
"""The first torch that takes what flash-attn-4 returns; earlier ones take two results where there are five."""


def is_installed() -> bool:
    """Whether flash-attn-4 is installed; who has not installed it is told nothing about it."""
    try:
        importlib.metadata.version("flash-attn-4")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def timed(call: Callable[..., Any], leaves: Sequence[Tensor], *, backward: bool, budget: float) -> Timing | str:
    """The time of `call(*leaves)` by FlashAttention-4, or why there is none.

    Args:
        call: reaches SDPA, and does not pin a backend itself.
        leaves: its arguments, on one device.
        backward: whether to time forward and backward as well.
        budget: seconds; compiling, some seconds for each kind of shape, is counted in.
    """
    if why_not := _refused(leaves):
        return why_not
    try:
        with _activated():
            if not takes("flash", call, leaves, backward=backward):
                return "FlashAttention-4 does not take this call"
            by_flash = functools.partial(pinned, "flash", call)
            seen = measure({FLASH4: by_flash}, leaves, backward=backward, budget=budget).get(FLASH4)
            if seen is None:
                return "no time was left for FlashAttention-4"
            kernel = kernel_of(functools.partial(by_flash, *(x.detach() for x in leaves)))
            return dataclasses.replace(seen, kernel=kernel)
    except Exception as error:  # a beta: whatever it says is why there is no time
        told = str(error).splitlines() or [""]
        return f"FlashAttention-4 fails: {type(error).__name__}: {told[0][:160]}"


def _refused(leaves: Sequence[Tensor]) -> str:
    if not is_installed():
        return "flash-attn-4 is not installed"
    if tuple(map(int, torch.__version__.split(".")[:2])) < SINCE:
        return f"torch {torch.__version__} does not take what flash-attn-4 returns: 2.15 does"
    if not leaves or not leaves[0].is_cuda:
        return "FlashAttention-4 runs on a GPU"
    return ""


@contextlib.contextmanager
def _activated() -> Iterator[None]:
    """FlashAttention-4 as torch's FLASH; the program's own choice is put back."""
    attention: Any = importlib.import_module("torch.nn.attention")
    before = attention.current_flash_attention_impl()
    attention.activate_flash_attention_impl("FA4")
    try:
        yield
    finally:
        attention.restore_flash_attention_impl(_raise_warn=False)
        if before:
            attention.activate_flash_attention_impl(before)
