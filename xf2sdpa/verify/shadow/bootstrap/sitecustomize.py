"""Run at the start of every Python process of a shadowed program, by `PYTHONPATH`; starts the hook."""

# ruff: noqa: PLC0415, PTH120

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import pathlib
import sys


def _step_aside(folder: str) -> None:
    """Remove this folder from the path, and run the `sitecustomize` that it hid."""
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != folder]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _start(folder: str) -> None:
    """Install the hook; if that fails, the process runs without it."""
    try:
        try:
            from xf2sdpa.verify.shadow import hook
        except ImportError:  # another environment than verify's: append, so that its own packages come first
            sys.path.append(str(pathlib.Path(folder).parents[3]))
            from xf2sdpa.verify.shadow import hook
        hook.start(os.environ["XF2SDPA_SHADOW"])
    except Exception as error:
        sys.stderr.write(f"xf2sdpa verify: this process is not shadowed: {type(error).__name__}: {error}\n")


_here = os.path.dirname(os.path.realpath(__file__))
if "XF2SDPA_SHADOW" in os.environ:
    _start(_here)
_step_aside(_here)
