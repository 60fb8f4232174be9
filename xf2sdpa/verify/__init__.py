"""Runs the old and the new side of call sites and compares them.

`compare` is public. Names are imported on first use, and torch with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xf2sdpa.judging.compare import compare, compare_probe
    from xf2sdpa.judging.old_path import find_old_path

_HOMES = {"compare": "compare", "compare_probe": "compare", "find_old_path": "old_path"}

__all__ = ["compare", "compare_probe", "find_old_path"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - nothing is imported before it is needed

    return getattr(importlib.import_module(f"xf2sdpa.judging.{_HOMES[name]}"), name)
