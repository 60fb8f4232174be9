"""Replaces a missing xformers for code that imports `xformers.ops` and cannot be edited.

    import xf2sdpa.compat; xf2sdpa.compat.install()      # before that code is imported
    xf2sdpa.compat.uninstall()                           # undo it

`import xformers`, `xformers.ops`, `xformers.ops.fmha` and `xformers.ops.fmha.attn_bias` then give this
package's functions and classes. Names without an equivalent in torch are missing, so importing them fails as
it would without xformers. This module is not copied into users' packages.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
import warnings
from typing import Any

import torch

from xf2sdpa.compat import attention, masks, ops, packed_masks, sequences

VERSION = "0.0.35+xf2sdpa"
"""`xformers.__version__` of the stand-in: compat behaves like this release."""

_KERNELS = ("ck", "cutlass", "flash", "flash3", "triton", "triton_splitk")
_replaced: dict[str, types.ModuleType] | None = None


def install(*, force: bool = False) -> bool:
    """Put the stand-in into `sys.modules`. If the real xformers is installed, only warn and return False.

    With `force`, it replaces the real one for later imports. An xformers that the program has disabled by None in
    `sys.modules` does not count as installed.
    """
    global _replaced  # noqa: PLW0603 - one interpreter has one sys.modules
    if _replaced is not None:
        return True
    if not force and (sys.modules.get("xformers") or importlib.util.find_spec("xformers")):
        # Whether one of its kernels works here could only be found out by importing and calling it.
        message = (
            "xf2sdpa.compat.install() did nothing: xformers is installed and stays. Where it does not run"
            " (no kernel for this device or this torch), install(force=True) takes its place."
        )
        warnings.warn(message, stacklevel=2)
        return False
    _replaced = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "xformers"}
    for name in _replaced:
        del sys.modules[name]
    sys.modules.update(_modules())
    return True


def uninstall() -> None:
    """Remove the stand-in and restore the modules that it replaced. Names already imported stay."""
    global _replaced  # noqa: PLW0603
    if _replaced is None:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "xformers"]:
        del sys.modules[name]
    sys.modules.update(_replaced)
    _replaced = None


def _modules() -> dict[str, types.ModuleType]:
    """The stand-in modules by name, each an attribute of its parent as after an import."""
    biases = _public(masks) | _public(packed_masks)
    biases |= {"_SeqLenInfo": sequences._SeqLenInfo, "_PaddedSeqLenInfo": sequences._PaddedSeqLenInfo}
    shared = _public(attention)
    kernels = {name: _kernel(name) for name in _KERNELS}
    contents: dict[str, dict[str, Any]] = {
        "xformers": {"__version__": VERSION},
        "xformers.ops": shared | _public(ops) | {"unbind": torch.unbind, "AttentionMask": masks.AttentionMask},
        "xformers.ops.fmha": shared,
        "xformers.ops.fmha.attn_bias": biases,
        "xformers.ops.fmha.common": shared,
        **{f"xformers.ops.fmha.{name}": classes for name, classes in kernels.items()},
    }
    for name in ("xformers.ops", "xformers.ops.fmha"):
        contents[name].update(_named_masks(biases), **_named_ops(kernels))
    modules = {name: _module(name, attributes) for name, attributes in contents.items()}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    return modules


def _public(module: types.ModuleType) -> dict[str, Any]:
    """The functions and classes that `module` defines under public names."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def _named_masks(biases: dict[str, Any]) -> dict[str, Any]:
    """The mask classes that `xformers.ops` and `fmha` export too."""
    return {name: biases[name] for name in ("AttentionBias", "BlockDiagonalMask", "LowerTriangularMask")}


def _kernel(name: str) -> dict[str, Any]:
    """`FwOp` and `BwOp` of one kernel module; only names, as torch chooses its own kernels."""
    doc = {"__doc__": f"xformers' {name} kernel by name only.", "NAME": name}
    return {
        "FwOp": type("FwOp", (attention.AttentionFwOpBase,), dict(doc)),
        "BwOp": type("BwOp", (attention.AttentionBwOpBase,), dict(doc)),
    }


def _named_ops(kernels: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The pairs of kernels that `op=` accepts, by name."""
    pairs = {
        "MemoryEfficientAttentionCutlassOp": ("cutlass", "cutlass"),
        "MemoryEfficientAttentionCutlassFwdFlashBwOp": ("cutlass", "flash"),
        "MemoryEfficientAttentionFlashAttentionOp": ("flash", "flash"),
        "MemoryEfficientAttentionTritonFwdFlashBwOp": ("triton", "flash"),
        "TritonFlashAttentionOp": ("triton", "triton"),
        "MemoryEfficientAttentionCkOp": ("ck", "ck"),
        "MemoryEfficientAttentionSplitKCkOp": ("ck", "ck"),
    }
    named = {name: (kernels[forward]["FwOp"], kernels[back]["BwOp"]) for name, (forward, back) in pairs.items()}
    return named | {"AttentionOp": attention.AttentionOp}


def _module(name: str, attributes: dict[str, Any]) -> types.ModuleType:
    """A module that `import` and `importlib.util.find_spec` accept as an ordinary package without files."""
    module = types.ModuleType(name, f"Stand-in for {name}, made by xf2sdpa.compat from torch.")
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None, is_package=True)
    module.__path__ = []
    vars(module).update(attributes)
    return module
