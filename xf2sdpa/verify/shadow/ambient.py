"""The state of torch around a call: whether a comparison can be made there, and how to restore the state later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_PLAIN = (Tensor, torch.nn.Parameter)


def unsuitable(tensors: Sequence[Tensor]) -> str:
    """Why a call with these tensors cannot be compared in the current state; empty if it can."""
    if torch._C._get_tracing_state() is not None:
        return "compiled: torch.jit is tracing"
    cuda: Any = torch.cuda
    if cuda.is_initialized() and cuda.is_current_stream_capturing():
        return "compiled: a CUDA graph is being captured"
    if _transforms():
        return "compiled: inside a transform of torch.func"
    for x in tensors:
        if type(x) not in _PLAIN:
            return f"a tensor is a {type(x).__qualname__}"
        if x.is_nested or x.is_meta or x.layout != torch.strided:
            return "a tensor is nested, sparse or without data"
    return ""


def _transforms() -> bool:
    peek = getattr(torch._C._functorch, "peek_interpreter_stack", None)
    return peek is not None and peek() is not None


def autocast_state() -> tuple[tuple[str, Any], ...]:
    """The kinds of device for which autocast is on, with its dtype."""
    from xf2sdpa.judging.watch import autocast_dtype  # noqa: PLC0415 - needed only if a site is reached

    kinds = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    found = ((kind, autocast_dtype(torch.device(kind))) for kind in kinds)
    return tuple((kind, dtype) for kind, dtype in found if dtype is not None)


@dataclass(frozen=True)
class State:
    """Modes of torch at a call, which may have changed when its gradient is computed."""

    autocast: tuple[tuple[str, Any], ...]
    default_dtype: torch.dtype
    backends: tuple[bool, ...]

    @classmethod
    def now(cls) -> State:
        """The modes in force."""
        return cls(autocast_state(), torch.get_default_dtype(), tuple(is_on() for is_on, _ in _BACKENDS))

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Within this context, these modes are in force again."""
        before = State.now()
        with contextlib.ExitStack() as stack:
            for kind in dict([*before.autocast, *self.autocast]):
                dtype = dict(self.autocast).get(kind)
                stack.enter_context(torch.autocast(kind, dtype=dtype, enabled=dtype is not None))
            try:
                self._set()
                yield
            finally:
                before._set()

    def _set(self) -> None:
        if torch.get_default_dtype() is not self.default_dtype:
            torch.set_default_dtype(self.default_dtype)
        for (is_on, switch), wanted in zip(_BACKENDS, self.backends, strict=True):
            if is_on() is not wanted:
                switch(wanted)


_CUDA: Any = torch.backends.cuda
_BACKENDS = tuple(
    (getattr(_CUDA, f"{name}_sdp_enabled"), getattr(_CUDA, f"enable_{name}_sdp"))
    for name in ("flash", "mem_efficient", "math", "cudnn")
    if hasattr(_CUDA, f"{name}_sdp_enabled")
)


def no_modes() -> contextlib.AbstractContextManager[None]:
    """A context that the program's dispatch modes do not see, such as FLOP counters and selective checkpointing."""
    from torch.utils import _python_dispatch  # noqa: PLC0415

    disable = getattr(_python_dispatch, "_disable_current_modes", None)
    return disable() if disable is not None else contextlib.nullcontext()


def free_memory(tensors: Sequence[Tensor]) -> int:
    """Free bytes on the tensors' device: of the GPU, including memory that torch has reserved, else of the machine."""
    device = next((x.device for x in tensors if x.is_cuda), None)
    if device is not None:
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    try:
        words = Path("/proc/meminfo").read_text("ascii").split()
        return int(words[words.index("MemAvailable:") + 1]) << 10
    except (ValueError, OSError):  # not Linux: unknown
        return 1 << 62
