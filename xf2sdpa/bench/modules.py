"""The guide's code example, a `TransformerEncoder` of 24 layers, and `nn.MultiheadAttention`, in the guide's settings.

Every setting is measured twice: `forward` is inference (`eval()`, no gradients), `step` a training step without its
optimizer (`train()`, the default dropout of 0.1, gradients of all parameters). Dtypes, flags and autocast are set and
restored within each call, so that settings can be measured in turn.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xf2sdpa import timing
from xf2sdpa.bench.ceilings import precision
from xf2sdpa.bench.model import NO_TIME, ModuleResult


@dataclass(frozen=True)
class Size:
    """The size of the example: the guide's on a GPU, a small one on a CPU."""

    layers: int
    width: int
    heads: int
    batch: int
    length: int

    def __str__(self) -> str:
        return f"{self.layers} layers, d {self.width}, {self.heads} heads, {self.batch}×{self.length} tokens"


GUIDE = Size(24, 1024, 16, 32, 1024)
SMALL = Size(2, 64, 4, 2, 32)


@dataclass(frozen=True)
class Setting:
    """How a module is run.

    Attributes:
        tf32: whether float32 matrix products run in TF32.
        autocast: dtype of autocast, or None.
        weights: dtype of parameters and input.
        batch_first: layout of the input, `[B, M, C]` or `[M, B, C]`.
        cudnn_benchmark: `torch.backends.cudnn.benchmark`.
    """

    name: str
    label: str
    tf32: bool = False
    autocast: torch.dtype | None = None
    weights: torch.dtype = torch.float32
    batch_first: bool = True
    cudnn_benchmark: bool = False


_BF16 = torch.bfloat16

ENCODER = (
    Setting(
        "encoder bf16", "the guide's example: bf16 autocast, TF32, cudnn.benchmark", True, _BF16, cudnn_benchmark=True
    ),
    Setting(
        "encoder bf16, batch_first=False",
        "the same with batch_first=False",
        True,
        _BF16,
        batch_first=False,
        cudnn_benchmark=True,
    ),
    Setting("encoder bf16, no cudnn.benchmark", "the same without cudnn.benchmark", True, _BF16),
    Setting("encoder bf16 weights", "bf16 parameters instead of autocast", True, None, _BF16, cudnn_benchmark=True),
    Setting("encoder tf32", "float32 with TF32", True),
    Setting("encoder fp32", "float32 without TF32"),
)


def encoder_settings(device: str) -> tuple[Setting, ...]:
    """The settings that make sense on the device: a CPU has no TF32 and no cuDNN."""
    unmeant = {"encoder tf32", "encoder bf16, no cudnn.benchmark"} if device == "cpu" else set()
    return tuple(setting for setting in ENCODER if setting.name not in unmeant)


@contextlib.contextmanager
def applied(setting: Setting, device: str) -> Iterator[None]:
    """Within this context, the flags and autocast of a setting apply."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = setting.cudnn_benchmark
    dtype = setting.autocast
    autocast = torch.autocast(device, dtype=dtype) if dtype else contextlib.nullcontext()
    try:
        with precision("high" if setting.tf32 else "highest"), autocast:
            yield
    finally:
        torch.backends.cudnn.benchmark = before


@dataclass(frozen=True)
class Subject:
    """A module in a setting, with its input, to be measured."""

    setting: Setting
    module: nn.Module
    run: Callable[[Tensor], Tensor]
    source: Tensor
    device: str

    def forward(self, _: Tensor) -> Tensor:
        """Inference."""
        self.module.eval()
        with applied(self.setting, self.device), torch.no_grad():
            return self.run(self.source)

    def step(self, _: Tensor) -> Tensor:
        """Forward and backward in training; the gradients are discarded."""
        self.module.train()
        with torch.enable_grad():
            with applied(self.setting, self.device):
                loss = self.run(self.source).float().square().mean()
            with applied(dataclasses.replace(self.setting, autocast=None), self.device):
                torch.autograd.grad(loss, list(self.module.parameters()))
        return loss.detach()


def encoder(setting: Setting, size: Size, device: str) -> Subject:
    """The guide's `TransformerEncoder` with its defaults (post-norm, ReLU, feed-forward 2048, dropout 0.1)."""
    torch.manual_seed(0)
    made: dict[str, Any] = {"device": device, "dtype": setting.weights}
    layer = nn.TransformerEncoderLayer(size.width, size.heads, batch_first=setting.batch_first, **made)
    module = nn.TransformerEncoder(layer, size.layers, enable_nested_tensor=False)  # nesting needs padding
    shape = (size.batch, size.length) if setting.batch_first else (size.length, size.batch)
    source = torch.randn(*shape, size.width, **made)
    return Subject(setting, module, module, source, device)


def attentions(size: Size, device: str) -> dict[str, Subject]:
    """In bf16: `nn.MultiheadAttention` with defaults, with `need_weights=False`, and its projections around SDPA."""
    torch.manual_seed(0)
    mha = nn.MultiheadAttention(size.width, size.heads, batch_first=True, device=device, dtype=_BF16)
    source = torch.randn(size.batch, size.length, size.width, device=device, dtype=_BF16)

    def by_hand(x: Tensor) -> Tensor:
        qkv = functional.linear(x, mha.in_proj_weight, mha.in_proj_bias)
        q, k, v = qkv.view(*x.shape[:2], 3, size.heads, -1).permute(2, 0, 3, 1, 4)
        out: Tensor = mha.out_proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out

    ways: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
        "mha default": ("nn.MultiheadAttention, called as mha(x, x, x)", lambda x: mha(x, x, x)[0]),
        "mha no weights": (
            "nn.MultiheadAttention, need_weights=False",
            lambda x: mha(x, x, x, need_weights=False)[0],
        ),
        "mha by hand": ("the same projections around SDPA", by_hand),
    }
    return {
        name: Subject(Setting(name, label, weights=_BF16), mha, run, source, device)
        for name, (label, run) in ways.items()
    }


def measure(subjects: dict[str, Subject], budget: float) -> list[ModuleResult]:
    """Measure subjects in turn, inference first, within a budget in seconds; those not measured say why."""
    began = time.monotonic()
    usable, found = {}, {}
    for name, subject in subjects.items():
        late = time.monotonic() - began > budget
        operators, reason = ("", NO_TIME) if late else _tried(subject)
        found[name] = ModuleResult(name, subject.setting.label, operators=operators, reason=reason)
        if not reason:
            usable[name] = subject
    leaves = [next(iter(subjects.values())).source[:1, :1]]
    left = budget - (time.monotonic() - began)
    forward = timing.measure({n: s.forward for n, s in usable.items()}, leaves, backward=False, budget=0.35 * left)
    left = budget - (time.monotonic() - began)
    step = timing.measure({n: s.step for n, s in usable.items()}, leaves, backward=False, budget=left)
    for name in usable:
        reason = "" if name in forward and name in step else NO_TIME
        found[name] = dataclasses.replace(found[name], forward=forward.get(name), step=step.get(name), reason=reason)
    return list(found.values())


def _tried(subject: Subject) -> tuple[str, str]:
    """The attention operators that a subject runs and an empty reason; or "" and why it cannot be run."""
    try:
        return _operators(subject), ""
    except RuntimeError as error:  # out of memory, or a dtype that the device does not have
        return "", str(error).splitlines()[0][:160]


def _operators(subject: Subject) -> str:
    inference = operators_of(lambda: subject.forward(subject.source)) or "none seen"
    return f"inference: {inference}; training: {operators_of(lambda: subject.step(subject.source)) or 'none seen'}"


_ATTENTION = ("_scaled_dot_product_", "_flash_attention_forward", "_efficient_attention_forward", "_native_multi_head")
_INNER = ("_flash_attention_forward", "_efficient_attention_forward", "_native_multi_head")


def operators_of(call: Callable[[], Any]) -> str:
    """The attention operators of torch that a call runs in forward, by the profiler: `_scaled_dot_product_…`, …

    Only operators as the CPU thread sees them: they show which implementation torch picked, on a GPU too. Operators
    called by another attention operator are left out.
    """
    with torch.autograd.profiler.profile() as profile:  # CPU operators only; records nothing on the GPU
        call()
    results = profile.kineto_results  # the raw events: torch's summary of them takes longer than the call
    names = {event.name().removeprefix("aten::") for event in results.events()} if results else set()
    names = {name for name in names if name.startswith(_ATTENTION) and "backward" not in name}
    outer = {name for name in names if not name.startswith(_INNER)}
    return ", ".join(sorted(outer or names))


def free(device: str) -> None:
    """Free the GPU memory that the last subjects held."""
    if device != "cpu":
        gc.collect()
        torch.cuda.empty_cache()
