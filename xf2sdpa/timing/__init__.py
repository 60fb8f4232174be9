"""Measures a call's device time, memory and kernels, and describes the machine: for verify and bench.

Each name is imported on first use, so that `timing.model`, plain data, can be imported without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xf2sdpa.timing.clock import first_calls, measure
    from xf2sdpa.timing.kernels import kernel_of
    from xf2sdpa.timing.machine import environment
    from xf2sdpa.timing.pinning import backends

__all__ = ["backends", "environment", "first_calls", "kernel_of", "measure"]

_WHERE = {
    "backends": "pinning",
    "environment": "machine",
    "kernel_of": "kernels",
    "first_calls": "clock",
    "measure": "clock",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
