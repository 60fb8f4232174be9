"""Finds the old path: the real xformers if it works here, else the plain reference and the reason."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.util
import logging
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xf2sdpa.judging import calls
from xf2sdpa.judging.calls import PLAIN, Call
from xf2sdpa.judging.probe import Operator
from xf2sdpa.judging.reference import OPERATORS, attend
from xf2sdpa.timing import flash4

KERNELS = {"fa3": "FlashAttention-3", "fa2": "FlashAttention-2", "cutlass": "CUTLASS", "triton": "Triton"}
"""Prefixes of the names of xformers' operators, and the kernels' common names."""

RUNTIME = "libcudart.so.12"
"""The library that xformers' wheels 0.0.33 to 0.0.35 on PyPI link against; torch 2.11 and later bring CUDA 13's."""


@dataclass(frozen=True)
class OldPath:
    """What computes the old side in this process.

    Attributes:
        operator: `memory_efficient_attention`: xformers' own, or the reference.
        version: xformers' version if `operator` is its own, else None.
        description: `xformers 0.0.34 (FlashAttention-3)`, or `reference: ` and why xformers cannot be used.
        module: `xformers.ops.fmha` if `operator` is xformers' own, for pinning its kernels.
    """

    operator: Operator
    version: str | None
    description: str
    module: types.ModuleType | None = None

    def variant(self, name: str) -> Operator:
        """The operator of a variant (one of `calls.VARIANTS`), of xformers or the reference as `operator` is."""
        found: Operator = OPERATORS[name] if self.module is None else getattr(self.module, name)
        return found

    def install(self) -> AbstractContextManager[None]:
        """A context in which `xformers.ops` can be imported and called, by the reference if xformers does not work."""
        if self.version is not None:
            return contextlib.nullcontext()
        return _answered_by_reference() if _importable() else _standin_installed()


def find_old_path() -> OldPath:
    """The old path, found once per process: imports and calls xformers if it is installed and there is a GPU."""
    return _found()


@functools.cache
def _found() -> OldPath:
    if importlib.util.find_spec("xformers") is None:
        return reference("xformers is not installed")
    if not torch.cuda.is_available():
        return reference("xformers has no CPU kernels, and there is no CUDA device")
    told = preload_runtime()
    try:
        fmha = quiet_import("xformers.ops.fmha")
        kernel = _try_small_call(fmha)
    except Exception as error:  # importing or calling another package may raise anything
        return reference(_reason(error, told))
    version = str(getattr(sys.modules["xformers"], "__version__", "of unknown version"))
    return OldPath(fmha.memory_efficient_attention, version, f"xformers {version} ({kernel})", fmha)


def reference(reason: str) -> OldPath:
    """The plain reference as the old path; `reason` says why."""
    return OldPath(OPERATORS[PLAIN], None, f"reference: {reason}")


def quiet_import(name: str) -> types.ModuleType:
    """Import a module of xformers without its warnings about missing extensions."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    finally:
        logging.disable(before)


def _try_small_call(fmha: types.ModuleType) -> str:
    """Run a small call and check its result; return the name of the kernel that xformers chose."""
    generator = torch.Generator("cuda").manual_seed(0)
    query = torch.randn(1, 16, 1, 64, device="cuda", generator=generator).half()
    out = fmha.memory_efficient_attention(query, query, query)
    torch.testing.assert_close(out, OPERATORS[PLAIN](query, query, query), atol=4e-3, rtol=4e-3)
    try:
        name = str(fmha._dispatch_fw(fmha.Inputs(query, query, query), True).NAME)
    except (AttributeError, TypeError):  # a private function that other versions lack or call differently
        return "kernel unknown"
    return next((title for start, title in KERNELS.items() if name.lower().startswith(start)), name)


def preload_runtime() -> str:
    """Load the CUDA 12 runtime that xformers' library links, if torch brings another.

    Returns:
        What is missing and how to install it; empty if nothing is.
    """
    if (torch.version.cuda or "").startswith("12") or "xformers._cpp_lib" in sys.modules:
        return ""
    places = (Path(entry, "nvidia", "cuda_runtime", "lib", RUNTIME) for entry in sys.path)
    for library in [*(str(place) for place in places if place.is_file()), RUNTIME]:
        with contextlib.suppress(OSError):
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
            return ""
    return f"its library needs {RUNTIME}, torch {torch.__version__} has none: pip install nvidia-cuda-runtime-cu12"


def _reason(error: Exception, told: str) -> str:
    """One line on why xformers does not work."""
    loading = getattr(sys.modules.get("xformers._cpp_lib"), "_cpp_library_load_exception", None)
    if loading is not None:
        cause = str(loading.__cause__ or loading).strip().splitlines()[0]
        return f"xformers cannot load its library ({cause})" + (f"; {told}" if told else "")
    first = (str(error).strip().splitlines() or [""])[0]
    if (
        isinstance(error, ModuleNotFoundError)
        and (error.name or "").startswith("flash_attn.")
        and flash4.is_installed()
    ):
        first += (
            "; flash-attn-4 is installed, beside which xformers cannot be imported: uninstall one of them to compare"
        )
    return f"xformers does not work here: {type(error).__name__}: {first}"


# ------------------------------------------------------------------------------------------------ standing in


def _importable() -> bool:
    """Whether `xformers.ops` can be imported, from the real package or a stand-in; its kernels need not work."""
    try:
        return hasattr(quiet_import("xformers.ops.fmha"), "_memory_efficient_attention")
    except Exception:  # a package that fails to import counts as absent
        return False


def _answered_by_reference() -> AbstractContextManager[None]:
    """A context in which the imported xformers keeps its masks and names, and the reference computes."""
    return calls.intercepted(lambda call, _: attend(call))


@contextlib.contextmanager
def _standin_installed() -> Iterator[None]:
    """Within this context, `sys.modules` holds an `xformers` with the masks of `xf2sdpa.compat` and the reference."""
    before = _pop_modules()
    standin = importlib.import_module("xf2sdpa.compat.standin")
    modules: dict[str, types.ModuleType] = standin._modules()
    vars(modules["xformers.ops.fmha"]).update(_functions())
    for name in (*calls.VARIANTS[:3],):
        setattr(modules["xformers.ops"], name, getattr(modules["xformers.ops.fmha"], name))
    sys.modules.update(modules)
    try:
        yield
    finally:
        _pop_modules()
        sys.modules.update(before)


def _pop_modules() -> dict[str, types.ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "xformers"]
    return {name: sys.modules.pop(name) for name in names}


def _functions() -> dict[str, Any]:
    """The attention functions of `xformers.ops.fmha`, public and inner, as `calls.intercepted` expects them."""
    inner_names = {variant: name for name, variant in calls.INNER.items()} | {calls.PARTIAL: calls.INNER_WITH_LSE}

    def inner(inp: Call, op: Any = None) -> Any:  # noqa: ARG001 - the signature of xformers' own
        return attend(inp)

    def public(variant: str) -> Operator:
        def through_inner(call: Call) -> Any:
            result = getattr(sys.modules["xformers.ops.fmha"], inner_names[variant])(call, call.op)
            return (result[0], getattr(result[1], "lse", result[1])) if call.gives_lse else result

        return calls.operator_of(variant, through_inner)

    return dict.fromkeys(calls.INNER, inner) | {variant: public(variant) for variant in calls.VARIANTS}
