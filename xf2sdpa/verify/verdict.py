"""Turns a site's cases into its status, speed and advice. Plain data in and out, no torch.

*Speed.* A case counts if old and new were both timed. Its ratio is old time divided by new time, of forward and
backward if both were measured; the site's is the geometric mean. New is *faster* or *slower* if that mean is further
from 1 than the mean margin of the cases. The margin of a case is half the sum of the two quartile distances, so that
the middle halves of old and new do not overlap, and at least 3 %: two runs of the same code on one GPU differ by that.
There is no speed if the old path was the reference, without a GPU, or if the results differ.

*Advice.* Another backend is named if it takes at most 1/1.1 of the default's time, beyond the margin, at every shape or
at some. Never `math`, which stores all scores: it is 2 to 50 times slower than the default (half precision, forward,
`benchmarks/results/h200_bench.json`). `cudnn` only for inference and from cuDNN 9.15.1 on: torch disables earlier
versions for wrong results, and its query gradient can be NaN (pytorch#196678, `benchmarks/nan_corner.py`).
FlashAttention-4 (`fa4`, timed where flash-attn-4 is installed) cannot be had for one call: its flag is named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xf2sdpa.judging.model import Case, Speed
from xf2sdpa.timing.model import FLASH4, GAIN, Environment, Timing
from xf2sdpa.verify.model import SiteReport, Status

LEAST_MARGIN = 0.03
CUDNN_FROM = (9, 15, 1)
FA4_HOW = (
    "`xf2sdpa rewrite --flags fa4` writes the lines that set it, for all calls of the program without a mask; "
    "beside flash-attn-4 xformers cannot be imported"
)
PINS = {"cudnn": "CUDNN_ATTENTION", "flash": "FLASH_ATTENTION", "efficient": "EFFICIENT_ATTENTION"}


@dataclass(frozen=True)
class Verdict:
    """Speed of a site: one word, the ratio old/new if it was measured, and a note on what that figure does not show."""

    speed: Speed
    speedup: float | None = None
    note: str = ""


def settle(site: SiteReport, environment: Environment) -> None:
    """Set the status, speed and advice of a site from its cases. A site without cases is not changed."""
    if not site.cases:
        return
    site.status = status_of(site.cases)
    verdict = speed_of(site.cases, environment)
    site.speed, site.speedup, site.speed_note = verdict.speed, verdict.speedup, verdict.note
    may_advise = site.status is Status.AGREES and environment.device != "cpu"  # with or without xformers
    site.advice = advice_of(site.cases, environment) if may_advise else ""


def status_of(cases: Sequence[Case]) -> Status:
    """The status by the cases: `DIFFERS` if a check failed, else `AGREES` if numbers were compared."""
    if any(case.failed for case in cases):
        return Status.DIFFERS
    return Status.AGREES if any(case.compared for case in cases) else Status.NOT_RUN


def speed_of(cases: Sequence[Case], environment: Environment) -> Verdict:
    """The speed of new relative to old over the cases of one site."""
    if environment.is_reference:
        return Verdict(Speed.UNKNOWN, note="no speed: the old path was the reference, not xformers")
    if environment.device == "cpu":
        return Verdict(Speed.UNKNOWN, note="no speed: no GPU")
    if status_of(cases) is Status.DIFFERS:
        return Verdict(Speed.UNKNOWN, note="no speed: the results differ")
    pairs = [(case, old, new) for case in cases if (old := case.timing("old")) and (new := case.timing("new"))]
    if not pairs:
        return Verdict(Speed.UNKNOWN, note="no speed: no case was timed often enough within the budget")
    ratios = [_ratio(old, new) for _, old, new in pairs]
    speedup = _mean(ratios)
    margin = sum(_margin(old, new) for _, old, new in pairs) / len(pairs)
    return Verdict(_word(speedup, margin), speedup, _what_the_mean_hides(pairs, speedup))


def advice_of(cases: Sequence[Case], environment: Environment) -> str:
    """One sentence with the line that pins a faster backend; empty if none is. Half precision comes first."""
    timed = [case for case in cases if case.timing("new")]
    halves = [case for case in timed if case.dtype.removeprefix("torch.") in {"bfloat16", "float16"}]
    for group in (halves, [case for case in timed if case not in halves]):
        gains = [
            _gain(name, group)
            for name in (*PINS, FLASH4)
            if group and (name != "cudnn" or _cudnn_may(group, environment))
        ]
        best = max((gain for gain in gains if gain.wins), key=lambda gain: (gain.everywhere, gain.factor), default=None)
        if best is not None:
            return _sentence(best)
    return ""


@dataclass(frozen=True)
class _Gain:
    """By what factor one backend is faster than the default, in which cases, and of how many."""

    backend: str
    wins: tuple[Case, ...]
    of: int
    factor: float
    everywhere: bool


def _gain(name: str, cases: Sequence[Case]) -> _Gain:
    seen = [(case, new, pinned) for case in cases if (new := case.timing("new")) and (pinned := case.timing(name))]
    wins = [
        (case, _ratio(new, pinned)) for case, new, pinned in seen if _ratio(new, pinned) >= GAIN + _margin(new, pinned)
    ]
    ratios = [_ratio(new, pinned) for _, new, pinned in seen]
    everywhere = len(seen) == len(cases) and _mean(ratios) >= GAIN and min(ratios) > 1 - LEAST_MARGIN
    factor = _mean(ratios) if everywhere else _mean([ratio for _, ratio in wins])
    return _Gain(name, tuple(case for case, _ in wins), len(cases), factor, everywhere)


def _sentence(gain: _Gain) -> str:
    dtypes = ", ".join(sorted({case.dtype.removeprefix("torch.") for case in gain.wins}))
    if gain.everywhere:
        where = f"at all {gain.of} cases measured" if gain.of > 1 else f"at {gain.wins[0].shape}"
    else:
        shapes = "; ".join(dict.fromkeys(case.shape for case in gain.wins))
        where = f"at {len(gain.wins)} of {gain.of} cases ({shapes}); pin it only where your shapes are these"
    told = f"is {gain.factor:.2f} times as fast as the default ({dtypes}) {where}"
    if gain.backend == FLASH4:
        return f"FlashAttention-4 {told}: {FA4_HOW}"
    pin = PINS[gain.backend]
    line = f"with sdpa_kernel(SDPBackend.{pin}):  # from torch.nn.attention import SDPBackend, sdpa_kernel"
    return f"{pin} {told}: `{line}`"


def _cudnn_may(cases: Sequence[Case], environment: Environment) -> bool:
    return not any(case.gradients for case in cases) and version_parts(environment.cudnn) >= CUDNN_FROM


def version_parts(text: str | None) -> tuple[int, ...]:
    """A version `9.19.0` as numbers; (0,) for none."""
    return tuple(int(part) for part in (text or "0").split("."))


def _what_the_mean_hides(pairs: Sequence[tuple[Case, Timing, Timing]], speedup: float) -> str:
    slower = [
        f"{case.shape} {case.dtype.removeprefix('torch.')}: {_ratio(old, new):.2f}"
        for case, old, new in pairs
        if _word(_ratio(old, new), _margin(old, new)) is Speed.SLOWER
    ]
    said = [f"slower at {len(slower)} of {len(pairs)} cases ({'; '.join(slower)})"] if slower and len(pairs) > 1 else []
    paced = [old / new for case, _, _ in pairs if (old := _paced(case, "old")) and (new := _paced(case, "new"))]
    if paced and abs(math.log(_mean(paced) / speedup)) > math.log(GAIN):
        said.append(f"with Python and launches, calls back to back: {_mean(paced):.2f}")
    return "; ".join(said)


def _paced(case: Case, path: str) -> float | None:
    timing = case.timing(path)
    if timing is None:
        return None
    return timing.forward_paced if timing.total is None else timing.total_paced


def _ratio(slow: Timing, fast: Timing) -> float:
    """`slow`'s time divided by `fast`'s: of forward and backward if both have it, else of forward."""
    if slow.total is not None and fast.total is not None:
        return slow.total / fast.total
    return slow.forward / fast.forward


def _margin(one: Timing, other: Timing) -> float:
    return max(LEAST_MARGIN, (one.spread + other.spread) / 2)


def _word(ratio: float, margin: float) -> Speed:
    if abs(math.log(ratio)) <= math.log1p(margin):
        return Speed.SAME
    return Speed.FASTER if ratio > 1 else Speed.SLOWER


def _mean(ratios: Sequence[float]) -> float:
    """The geometric mean; 1 if there are no ratios."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else 1.0
