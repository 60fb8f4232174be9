"""Exact mode: pins the same kernel on both sides, so that results must be equal to the last bit.

Since 0.0.29, xformers uses torch's own FlashAttention-2 and CUTLASS kernels: `op=` on the old side and `sdpa_kernel` on
the new one pick the same function, FLASH or EFFICIENT. Some gradients of these kernels are sums in no fixed order, so
the old side is run several times (`RUNS`, and `MOST_RUNS` before a check fails): gradients must agree to within
`NOISE` times the largest difference between these runs, and to the last bit if there is none.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from xf2sdpa.judging.calls import PLAIN, Call
from xf2sdpa.judging.leaves import is_floating
from xf2sdpa.judging.model import Check
from xf2sdpa.judging.sides import Ran
from xf2sdpa.judging.tolerance import first, float_info
from xf2sdpa.judging.watch import SDPA

if TYPE_CHECKING:
    from xf2sdpa.judging.comparison import Comparison


NOISE = 2.0
"""A new gradient may differ from an old one by this many times what the old ones differ by, plus one rounding."""

RUNS = 3
MOST_RUNS = 12
"""How often the old side is run to see how much its runs differ; the order of a sum may change in few of them."""


@dataclass(frozen=True)
class Kernel:
    """One kernel that both sides can be pinned to: its SDPA backend, and its module in `xformers.ops.fmha`."""

    backend: str
    module: str
    direct: str
    """Name of the torch operator for this kernel, for a new side that calls it directly."""


KERNELS = (
    Kernel("FLASH_ATTENTION", "flash", "_flash_attention_forward"),
    Kernel("EFFICIENT_ATTENTION", "cutlass", "_efficient_attention_forward"),
)


def checks(comparison: Comparison, upstream: Sequence[Tensor]) -> Iterator[Check]:
    """The exact checks with the first kernel that both sides accept; else one unavailable check that says why."""
    if reason := _why_not(comparison):
        yield _unavailable(reason)
        return
    reasons = []
    for kernel in KERNELS:
        found = _pinned(comparison, kernel, upstream)
        if isinstance(found, str):
            reasons.append(f"{kernel.backend}: {found}")
            continue
        yield from _outputs(comparison, kernel, *found)
        if comparison.gradients:
            yield from _gradients(comparison, kernel, *found, partial(_old, comparison, kernel, upstream))
        return
    yield _unavailable("; ".join(reasons))


def _unavailable(reason: str) -> Check:
    return Check("exact", True, f"exact: not available ({reason})", available=False)


def _fmha() -> Any:
    return sys.modules.get("xformers.ops.fmha")


def _attention() -> Any:
    """`torch.nn.attention`; None where torch does not have it yet."""
    name = "torch.nn.attention"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def _on_cuda(call: Call) -> bool:
    return call.query.is_cuda


def _why_not(comparison: Comparison) -> str:
    if not comparison.calls:
        return "no call of xformers was seen"
    if not all(map(_on_cuda, comparison.calls)):
        return "only CUDA kernels can be pinned on both sides"
    if not hasattr(_fmha(), "flash") or not hasattr(_attention(), "sdpa_kernel"):
        return "the old path is not xformers, or torch is older than 2.3"
    if any(_shared(call) for call in comparison.calls):
        return "xformers hands its kernel one key head for all that share it, torch each of them"
    return ""


def _old(comparison: Comparison, kernel: Kernel, upstream: Sequence[Tensor]) -> Ran:
    """Run the old side with one kernel."""
    module = getattr(_fmha(), kernel.module)

    def attend(call: Call, operator: Any) -> Any:
        pair = (module.FwOp, module.BwOp)
        return call.answered_by(operator, p=0.0, op=pair if call.variant == PLAIN else pair[0])

    return comparison.run_old(attend, upstream)


def _pinned(comparison: Comparison, kernel: Kernel, upstream: Sequence[Tensor]) -> tuple[Ran, Ran] | str:
    """Both sides run with one kernel, or why that is not possible."""
    if not hasattr(_fmha(), kernel.module):
        return "this xformers does not have it"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns several times when a backend refuses a call
        old = _old(comparison, kernel, upstream)
        if old.error is not None:
            return f"xformers refuses it ({_first_line(old.error)})"
        new = comparison.run_new(upstream, getattr(_attention().SDPBackend, kernel.backend))
    if new.error is not None:
        return f"torch refuses it ({_first_line(new.error)})"
    seen = new.watch.attention
    names = {call.name for call in seen}
    if not names <= {SDPA, kernel.direct} or len(seen) != len(comparison.calls):
        return f"the new side makes {len(seen)} calls of {', '.join(sorted(names)) or 'no kernel'}"
    if any(one.masked != _is_dense(call) for one, call in zip(seen, comparison.calls, strict=True)):
        return "a mask object on one side is a dense mask on the other"
    return old, new


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((following for line, following in itertools.pairwise(lines) if "because" in line), "")
    return reason or (lines[0] if lines else type(error).__name__)


def _outputs(comparison: Comparison, kernel: Kernel, old: Ran, new: Ran) -> Iterator[Check]:
    for i, (one, two) in enumerate(zip(old.outputs, new.outputs, strict=True)):
        what = "exact output" if len(new.outputs) == 1 else f"exact output {i}"
        yield _within(what, one, two, 0.0, kernel) if i in comparison.untouched else _unavailable_past_call(what)


def _unavailable_past_call(what: str) -> Check:
    """The check of a tensor computed further from the call: sums may run in another order with other strides."""
    return Check(what, True, "exact: not available (it is computed with beyond the call)", available=False)


def _gradients(comparison: Comparison, kernel: Kernel, old: Ran, new: Ran, again: Callable[[], Ran]) -> Iterator[Check]:
    runs = [old]
    for leaf, gradient in enumerate(new.gradients):
        first_old = old.gradients[leaf]
        if gradient is None or first_old is None:
            continue
        what = f"exact {comparison.name_of(leaf)}"
        if len(new.outputs) + leaf not in comparison.untouched:
            yield _unavailable_past_call(what)
            continue
        for count in (RUNS, MOST_RUNS):
            runs += [again() for _ in range(count - len(runs))]
            noise = _noise([ran.gradients[leaf] for ran in runs])
            check = _within(what, first_old, gradient, NOISE * noise, kernel)
            if check.ok:
                break
        yield check


def _noise(gradients: Sequence[Tensor | None]) -> float:
    """The largest difference between any two results of the same computation."""
    known = [x for x in gradients if x is not None]
    return max((_largest_difference(one, two) for one, two in itertools.combinations(known, 2)), default=0.0)


def _shared(call: Call) -> bool:
    """Whether key or value is expanded over heads."""
    return any(x.ndim > 3 and x.shape[-2] > 1 and x.stride(-2) == 0 for x in (call.key, call.value))


def _is_dense(call: Call) -> bool:
    """Whether the bias is a tensor; a kernel that applies a mask object itself scales and adds in another order."""
    return isinstance(call.attn_bias, Tensor) and not hasattr(call.attn_bias, "materialize")


def _largest_difference(one: Tensor, two: Tensor) -> float:
    if not one.numel() or not is_floating(one):
        return 0.0
    return float((one.double() - two.double()).abs().nan_to_num(0.0, 0.0, 0.0).max())


def _worst(apart: Tensor, allowed: Tensor) -> tuple[float, float]:
    """The largest excess over what is allowed, else the largest difference, with what is allowed there."""
    if not apart.numel():
        return 0.0, 0.0
    at = int((apart - allowed).argmax()) if bool((apart > allowed).any()) else int(apart.argmax())
    return float(apart.flatten()[at]), float(allowed.flatten()[at])


def _within(what: str, one: Tensor, two: Tensor, limit: float, kernel: Kernel) -> Check:
    """The check that two tensors are equal; with a `limit` (the old side's noise), within it plus one rounding."""
    by = f"both by {kernel.backend}"
    if one.shape != two.shape or one.dtype != two.dtype:
        return Check(what, False, f"{what}: {one.dtype} {tuple(one.shape)} against {two.dtype} {tuple(two.shape)}")
    allowed = limit + float_info(one.dtype).eps * one.double().abs() * (limit > 0)
    apart_here = (one.double() - two.double()).abs().nan_to_num(0.0, 0.0, 0.0)
    bad = (apart_here > allowed) | (one.isfinite() != two.isfinite())
    apart, limit = _worst(apart_here, allowed.nan_to_num(0.0, 0.0, 0.0))
    if not bad.any():
        return Check(what, True, by, None, apart, limit)
    message = f"{int(bad.sum())} of {bad.numel()} values differ, {by}"
    return Check(what, False, message, None, apart, limit, first(bad))
