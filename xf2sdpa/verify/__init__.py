"""Run old and new side by side and compare: the room that may import torch.

`compare` is for everybody; torch is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xf2sdpa.judging.compare import compare, compare_probe
    from xf2sdpa.judging.old_path import find_old_path

_HOMES = {"compare": "compare", "compare_probe": "compare", "find_old_path": "old_path"}

__all__ = ["compare", "compare_probe", "find_old_path"]


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - nothing is imported before it is needed

    return getattr(importlib.import_module(f"xf2sdpa.judging.{_HOMES[name]}"), name)
