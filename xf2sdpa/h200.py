"""Sets H200 backend flags and SDPA attention processors while a program runs.

    from xf2sdpa import h200
    model = h200.apply(model)               # permanently
    with h200.applied(model) as model: …    # restored at the end
    with h200.apply(flags=["fa4"]): …       # only flags, by name

The flags are those of `xf2sdpa explain flags`. They are set only on a Hopper GPU, only where they have an effect, and
never if the program has set them itself. diffusers' xformers attention processors are swapped for its SDPA ones, on any
device, keeping their weights.

For code that imports xformers and cannot be edited, call `xf2sdpa.compat.install()` first.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar, cast, overload

import torch
from torch import nn

from xf2sdpa.flags.table import CUDNN_BENCHMARK, FA4, NAN_GUARD, TF32

Model = TypeVar("Model")
HOPPER = (9, 0)
"""The compute capability of H100 and H200."""
NAMED_FLAGS = (TF32.name, CUDNN_BENCHMARK.name, NAN_GUARD.name, FA4.name)
"""What `flags` may name; `avoid-recompile` has to stand in the environment before torch's first call."""
_HAS_CORNER_FROM, _NO_CORNER = (2, 11), 92600
"""The first torch that takes cuDNN first on Hopper, and the first cuDNN without NaN gradients there."""
PROCESSORS: Mapping[str, tuple[str, ...]] = {
    "XFormersAttnProcessor": ("AttnProcessor2_0",),
    "XFormersCrossAttnProcessor": ("AttnProcessor2_0",),
    "XFormersAttnAddedKVProcessor": ("AttnAddedKVProcessor2_0",),
    "XFormersJointAttnProcessor": ("JointAttnProcessor2_0",),
    "LoRAXFormersAttnProcessor": ("LoRAAttnProcessor2_0",),
    "CustomDiffusionXFormersAttnProcessor": ("CustomDiffusionAttnProcessor2_0",),
    "IPAdapterXFormersAttnProcessor": ("IPAdapterAttnProcessor2_0",),
}
"""diffusers' xformers processors by class name, and the SDPA processors of the same module that compute the same."""
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_Undo = Callable[[], object]
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass
class Applied:
    """What `apply` did, as lines of text, and `undo`; as a context manager, it calls `undo` at the end."""

    said: list[str] = field(default_factory=list)
    _undo: list[_Undo] = field(default_factory=list)

    def undo(self) -> None:
        """Restore everything, last change first; a second call does nothing."""
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Applied:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


@overload
def apply(model: None = None, *, flags: Collection[str] = (), quiet: bool = False) -> Applied: ...
@overload
def apply(model: Model, *, flags: Collection[str] = (), quiet: bool = False) -> Model: ...
def apply(model: Any = None, *, flags: Collection[str] = (), quiet: bool = False) -> Any:
    """Set the flags, swap a model's attention processors, and print what was done.

    Args:
        model: a module, or a pipeline of them (anything with `components`); it is changed in place.
        flags: names of flags that need no reason in the model: `NAMED_FLAGS`.
        quiet: print nothing.

    Returns:
        The model; without one, an `Applied`, a context manager that restores the flags.

    Raises:
        ValueError: there is no such flag.
    """
    done = _apply(model, flags, quiet=quiet)
    return done if model is None else model


@contextlib.contextmanager
def applied(model: Model, *, flags: Collection[str] = (), quiet: bool = False) -> Iterator[Model]:
    """`apply(model)` within a `with` block; at its end, flags and processors are restored."""
    with _apply(model, flags, quiet=quiet):
        yield model


def _apply(model: Any, flags: Collection[str] = (), *, quiet: bool) -> Applied:
    unknown = sorted(set(flags) - set(NAMED_FLAGS))
    if unknown:
        raise ValueError(f"no such flag: {', '.join(unknown)}; there are {', '.join(NAMED_FLAGS)}")
    done = Applied()
    modules = list(_modules(model))
    reason = _not_hopper()
    if reason:
        done.said.append(f"no flags set: {reason}")
    else:
        _set_tf32(done, modules, asked=TF32.name in flags)
        _set_cudnn_benchmark(done, modules, asked=CUDNN_BENCHMARK.name in flags)
        if NAN_GUARD.name in flags:
            _set_nan_guard(done)
        if FA4.name in flags:
            _set_fa4(done)
    for module in modules:
        _swap(done, module)
        _reset_backend(done, module)
    if not quiet:
        print("\n".join(f"xf2sdpa.h200: {line}" for line in done.said))
    return done


def _modules(model: Any) -> Iterator[nn.Module]:
    """Every module of a model, or of a pipeline's components."""
    parts = [model] if isinstance(model, nn.Module) else list(getattr(model, "components", {}).values())
    for part in parts:
        if isinstance(part, nn.Module):
            yield from part.modules()


def _not_hopper() -> str:
    """Why the current device is not a Hopper GPU; empty if it is one."""
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    capability = torch.cuda.get_device_capability()
    if capability != HOPPER:
        name = torch.cuda.get_device_name()
        return f"{name} has compute capability {capability[0]}.{capability[1]}, not {HOPPER[0]}.{HOPPER[1]} (Hopper)"
    return ""


# -- flags -------------------------------------------------------------------------------------------


def _set_tf32(done: Applied, modules: list[nn.Module], *, asked: bool) -> None:
    lacking = "" if asked else _no_float32_product(modules)
    if lacking:
        done.said.append(f"{TF32.name} not set: {lacking}")
        return
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # reading this setting raises once the program has used the newer API
        done.said.append(f"{TF32.name} not set: the program sets fp32_precision itself")
        return
    if before != "highest":
        done.said.append(f"{TF32.name} not set: the precision is {before!r} already")
        return
    done._undo.append(_precision_back(before))
    torch.set_float32_matmul_precision("high")
    done.said.append(f'torch.set_float32_matmul_precision("high"): {TF32.brief} {TF32.numbers}')


def _no_float32_product(modules: list[nn.Module]) -> str:
    """Why no product of float32 matrices is known to run; empty if one may."""
    if not modules:
        return "there is no model to look at"
    if not any(p.dtype is torch.float32 for module in modules for p in module.parameters(recurse=False)):
        return "the model has no float32 parameter"
    if torch.is_autocast_enabled() and (dtype := _autocast_dtype()) is not torch.float32:
        return f"autocast to {dtype} is on"
    return ""


def _autocast_dtype() -> torch.dtype:
    newer = getattr(torch, "get_autocast_dtype", None)  # torch >= 2.4, where the older function warns
    dtype: torch.dtype = newer("cuda") if newer else torch.get_autocast_gpu_dtype()
    return dtype


def _precision_back(before: str) -> _Undo:
    """A function that restores the precision, and the newer API's (torch >= 2.9), which the older setter overwrites."""
    states = [(matmul, matmul.fp32_precision) for matmul in _matmuls() if _has_precision(matmul)]

    def back() -> None:
        torch.set_float32_matmul_precision(before)
        for matmul, state in states:
            matmul.fp32_precision = state

    return back


def _matmuls() -> Iterator[Any]:
    for name in ("cuda", "mkldnn"):
        matmul = getattr(getattr(torch.backends, name, None), "matmul", None)
        if matmul is not None:
            yield matmul


def _has_precision(matmul: Any) -> bool:
    try:
        return isinstance(matmul.fp32_precision, str)
    except (AssertionError, AttributeError, RuntimeError):  # AssertionError: an attribute that torch 2.1 does not know
        return False


def _set_cudnn_benchmark(done: Applied, modules: list[nn.Module], *, asked: bool) -> None:
    cudnn = torch.backends.cudnn
    if not (asked or any(isinstance(module, _CONVOLUTIONS) for module in modules)):
        lacking = "the model has no convolution" if modules else "there is no model to look at"
        done.said.append(f"{CUDNN_BENCHMARK.name} not set: {lacking}")
    elif cudnn.benchmark:
        done.said.append(f"{CUDNN_BENCHMARK.name} not set: it is on already")
    elif cudnn.deterministic or torch.are_deterministic_algorithms_enabled():
        done.said.append(f"{CUDNN_BENCHMARK.name} not set: the program asks for deterministic algorithms")
    else:
        done._undo.append(lambda: setattr(cudnn, "benchmark", False))
        cudnn.benchmark = True
        done.said.append(f"torch.backends.cudnn.benchmark = True: {CUDNN_BENCHMARK.brief} {CUDNN_BENCHMARK.numbers}")


def _set_nan_guard(done: Applied) -> None:
    cudnn_version = cast("Callable[[], int | None]", torch.backends.cudnn.version)
    if not (_torch_version() >= _HAS_CORNER_FROM and (cudnn_version() or _NO_CORNER) < _NO_CORNER):
        done.said.append(f"{NAN_GUARD.name} not set: this torch and its cuDNN have no such corner")
        return
    _switch_cudnn_off(done, NAN_GUARD.name)
    done.said.append(f"{NAN_GUARD.name}: {NAN_GUARD.brief} {NAN_GUARD.numbers}")


def _set_fa4(done: Applied) -> None:
    if _torch_version() < FA4.since:
        done.said.append(f"{FA4.name} not set: torch is {torch.__version__}, older than 2.15")
        return
    try:
        torch.nn.attention.activate_flash_attention_impl("FA4")
    except Exception as error:
        done.said.append(f"{FA4.name} not set: {error}")
        return
    done._undo.append(torch.nn.attention.restore_flash_attention_impl)
    _switch_cudnn_off(done, FA4.name)
    done.said.append(f"{FA4.name}: {FA4.brief} {FA4.numbers}")


def _switch_cudnn_off(done: Applied, name: str) -> None:
    """Keep SDPA off cuDNN, unless the program has done so."""
    backends: Any = torch.backends.cuda
    if backends.cudnn_sdp_enabled():
        done._undo.append(lambda: backends.enable_cudnn_sdp(True))
        backends.enable_cudnn_sdp(False)
    else:
        done.said.append(f"{name}: cuDNN's attention is off already")


def _torch_version() -> tuple[int, int]:
    major, minor = torch.__version__.split(".")[:2]
    return int(major), int(minor)


# -- diffusers' attention processors -----------------------------------------------------------------


def _swap(done: Applied, module: nn.Module) -> None:
    """Replace a module's xformers processor, if it has one, by the SDPA one."""
    old = getattr(module, "processor", None)
    name = type(old).__name__
    if name not in PROCESSORS:
        return
    new, reason = _counterpart(module, old)
    if reason:
        done.said.append(f"{name} left: {reason}")
        return
    _set_processor(module, new)
    done._undo.append(lambda: _set_processor(module, old))
    line = f"{name} -> {type(new).__name__}"
    if line not in done.said:
        done.said.append(line)


def _counterpart(module: nn.Module, old: Any) -> tuple[Any, str]:
    """A processor that computes the same with SDPA, and an empty text; or None and the reason why there is none."""
    home = sys.modules[type(old).__module__]
    cls = next((getattr(home, name) for name in PROCESSORS[type(old).__name__] if hasattr(home, name)), None)
    if cls is None:
        return None, f"{home.__name__} has no {PROCESSORS[type(old).__name__][0]}"
    if not _has_usual_scale(module):
        return None, "its scale is not 1/sqrt(head size), which is what the SDPA processor takes"
    ignored = cls.__name__ == "AttnProcessor2_0"
    if ignored and any(getattr(module, name, None) is not None for name in ("norm_q", "norm_k")):
        return None, "the SDPA processor would apply norm_q and norm_k, which this one ignores"
    arguments = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if hasattr(old, name):
            arguments[name] = getattr(old, name)
        elif parameter.default is parameter.empty and parameter.kind not in _REST:
            return None, f"{cls.__name__} needs {name!r}, which it does not have"
    new = cls(**arguments)
    return _with_weights(new, old)


def _has_usual_scale(module: nn.Module) -> bool:
    """Whether an attention module scales its scores by SDPA's default, as far as its attributes tell."""
    scale, heads = getattr(module, "scale", None), getattr(module, "heads", None)
    width = getattr(getattr(module, "to_q", None), "out_features", None)
    if scale is None or not heads or not width:
        return getattr(module, "scale_qk", True) is not False
    return math.isclose(scale, (width / heads) ** -0.5, rel_tol=1e-6)


def _with_weights(new: Any, old: Any) -> tuple[Any, str]:
    """The new processor with the old one's layer objects, which optimisers and hooks may refer to."""
    if isinstance(old, nn.Module):
        if not isinstance(new, nn.Module) or set(new.state_dict()) != set(old.state_dict()):
            return None, f"{type(new).__name__} has other weights"
        for name, child in old.named_children():
            setattr(new, name, child)
        new.train(old.training)
    return new, ""


def _set_processor(module: nn.Module, processor: Any) -> None:
    setter = getattr(module, "set_processor", None)
    if setter is not None:
        setter(processor)
        return
    if isinstance(module._modules.get("processor"), nn.Module) and not isinstance(processor, nn.Module):
        del module._modules["processor"]
    module.processor = processor


def _reset_backend(done: Applied, module: nn.Module) -> None:
    """Switch a processor of newer diffusers, which has a choice of backends, from "xformers" to torch's own."""
    processor = getattr(module, "processor", None)
    backend = getattr(processor, "_attention_backend", None)
    if processor is None or str(getattr(backend, "value", backend)) != "xformers":
        return
    native: Any = type(backend)
    processor._attention_backend = native("native")
    done._undo.append(lambda: setattr(processor, "_attention_backend", backend))
    line = f"attention backend of {type(processor).__name__}: xformers -> native"
    if line not in done.said:
        done.said.append(line)
