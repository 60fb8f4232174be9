"""The results of a bench run as plain data. Nothing here imports torch. Times are milliseconds, memory is bytes."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from xf2sdpa.timing.model import Environment, Timing

FORMAT_VERSION = 1
"""Increased when a key of the JSON report is removed or changes its meaning."""

GUIDE_SHAPE = "the guide's shape"
NO_TIME = "no time was left"
PARTS = ("ceilings", "selection", "guide", "modules", "shapes")
"""The parts of a run, in the order in which they are measured."""
BACKENDS = {"sdpa_cudnn": "cuDNN", "sdpa_flash": "FLASH", "sdpa_efficient": "EFFICIENT", "sdpa_math": "MATH"}
"""SDPA pinned to one backend: names of `Entry` (`sdpa_` and the name in `timing.pinning`), and labels."""
FLASH4 = "sdpa_fa4"
"""SDPA pinned to FLASH, with FlashAttention-4 in its place: the `Entry` is there where flash-attn-4 is installed."""
EMITTED = ("inline", "compat")
"""What the rewrite turns a call into: inline SDPA where possible, else a call of the helper module."""


class Verdict(str, enum.Enum):
    """The result for one claim of the guide."""

    HOLDS = "holds"
    FAILS = "does not hold here"
    OPINION = "opinion"
    NOT_JUDGED = "not measured here"


@dataclass(frozen=True)
class Outcome:
    """One claim with the measured figure.

    Attributes:
        id: the claim's id in `guide.CLAIMS`.
        guide: the guide's figure or statement, short.
        measured: the measured figure; empty only if nothing that concerns the claim was measured.
        reason: why it could not be judged, or how to read the figure.
    """

    id: str
    section: str
    quote: str
    guide: str
    verdict: Verdict
    measured: str = ""
    reason: str = ""


def forward_time(timing: Timing) -> float:
    """Milliseconds of a forward pass: the device's time, or Python's where that is longer."""
    return max(timing.forward, timing.forward_paced or 0.0)


def total_time(timing: Timing) -> float | None:
    """The same for forward and backward; None if not measured."""
    return None if timing.total is None else max(timing.total, timing.total_paced or 0.0)


def speedup(ours: Timing, theirs: Timing) -> float:
    """Their time divided by ours: of forward and backward if both have it, else of forward. Above 1, ours is faster."""
    mine, other = total_time(ours), total_time(theirs)
    if mine is None or other is None:
        return forward_time(theirs) / forward_time(ours)
    return other / mine


@dataclass(frozen=True)
class Entry:
    """One implementation at one shape: a timing, or the reason why there is none.

    Attributes:
        name: key of the implementation, such as `sdpa` or `xformers_fa2`.
        label: name for display; says what really ran if that differs (`torch's own FlashAttention-2`).
        timing: forward, and forward with backward if the shape has a backward pass.
        forward_memory: peak bytes of the forward pass, inputs included; None on the CPU.
        reason: why there is no timing.
    """

    name: str
    label: str
    timing: Timing | None = None
    forward_memory: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class ShapeResult:
    """All implementations at one shape.

    Attributes:
        shape: for display: `q 32×1024×16×64, bfloat16`.
        source: where the shape comes from, as its row says; may be empty.
        forward_flops: FLOP of the two products, over the (query, key) pairs that the mask leaves.
        total_flops: FLOP of forward and backward (3.5 times forward, as in the FlashAttention papers), or None.
        forward_bytes: bytes that must be read and written at least: query, key, value, bias, result.
        input_bytes: bytes of query, key and value.
    """

    name: str
    shape: str
    source: str
    forward_flops: float
    total_flops: float | None
    forward_bytes: int
    input_bytes: int
    entries: tuple[Entry, ...] = ()

    def entry(self, name: str) -> Entry | None:
        """An implementation by its key."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def timing(self, name: str) -> Timing | None:
        """The times of an implementation; None if it was not measured."""
        entry = self.entry(name)
        return entry.timing if entry else None

    def tflops(self, timing: Timing) -> float:
        """Achieved TFLOP/s of the forward pass."""
        return self.forward_flops / timing.forward / 1e9

    def total_tflops(self, timing: Timing) -> float | None:
        """Achieved TFLOP/s of forward and backward."""
        return self.total_flops / timing.total / 1e9 if self.total_flops and timing.total else None

    def gigabytes(self, timing: Timing) -> float:
        """GB/s of the forward pass, counting only the bytes that must be moved."""
        return self.forward_bytes / timing.forward / 1e6


@dataclass(frozen=True)
class Ceiling:
    """A peak rate of this device: that of a large matrix product, or of a copy within its memory.

    `name` is `copy`, or `matmul` with a dtype: `matmul bfloat16`, `matmul tf32`. `value` is TFLOP/s, of a copy GB/s
    (bytes read and written).
    """

    name: str
    what: str
    value: float


@dataclass(frozen=True)
class ModuleResult:
    """A module of the guide's code example in one setting.

    Attributes:
        name: key, such as `encoder bf16`.
        label: name for display.
        forward: inference, `eval()` without gradients.
        step: forward and backward in training, gradients of all parameters.
        operators: attention operators that ran, `inference: …; training: …`, by torch's profiler.
        reason: why there are no timings.
    """

    name: str
    label: str
    forward: Timing | None = None
    step: Timing | None = None
    operators: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Selection:
    """Which attention operator SDPA picked for one kind of call: `causal`, `no mask`, `tensor mask`, `complex`."""

    name: str
    call: str
    operators: str
    """Such as `_scaled_dot_product_cudnn_attention`; empty if the profiler saw none."""


@dataclass
class Result:
    """The results of one run of bench."""

    environment: Environment
    is_gpu: bool
    budget: float
    """The time limit of the run in seconds."""
    seconds: float = 0.0
    """Seconds that it took."""
    ceilings: list[Ceiling] = field(default_factory=list)
    selections: list[Selection] = field(default_factory=list)
    shapes: list[ShapeResult] = field(default_factory=list)
    modules: list[ModuleResult] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    """What was not measured, because time ran out or the options left it out."""

    @property
    def is_h200(self) -> bool:
        """Whether the run was made on an H200, the GPU that the guide is about."""
        return self.is_gpu and "H200" in self.environment.device

    @property
    def guide_shape(self) -> ShapeResult | None:
        """The result at the guide's shape."""
        return next((shape for shape in self.shapes if shape.name == GUIDE_SHAPE), None)

    def ceiling(self, name: str) -> float | None:
        """A ceiling's value by name."""
        return next((ceiling.value for ceiling in self.ceilings if ceiling.name == name), None)

    def module(self, name: str) -> ModuleResult | None:
        """A module by name."""
        return next((module for module in self.modules if module.name == name), None)

    def selection(self, name: str) -> Selection | None:
        """A kind of call by name."""
        return next((selection for selection in self.selections if selection.name == name), None)

    def flops_share(self, shape: ShapeResult, timing: Timing) -> float | None:
        """Forward TFLOP/s as a share of those of a large matrix product of the same dtype in this run."""
        dtype = shape.shape.rpartition(", ")[2]
        ceiling = self.ceiling(f"matmul {dtype}")
        return shape.tflops(timing) / ceiling if ceiling else None

    def bytes_share(self, shape: ShapeResult, timing: Timing) -> float | None:
        """Forward GB/s as a share of those of a copy in this run."""
        ceiling = self.ceiling("copy")
        return shape.gigabytes(timing) / ceiling if ceiling else None
