"""From what was seen of a site to one word, one figure and one sentence. Plain data in and out, no torch.

*Speed.* A case counts where old and new were both timed. Its ratio is old time over new time, of forward and backward
where both were measured; the site's is the geometric mean. New is *faster* or *slower* where that mean is further from
1 than the mean margin of the cases. The margin of a case is half the sum of the two quartile distances, so that the
middle halves of old and new do not overlap, and at least 3 %: below that, two runs of the same code on one GPU differ.
Nothing is said of speed where the old path was the reference, without a GPU, and where the results differ.

*Advice.* Another backend is named where it takes at most 1/1.1 of the default's time, beyond the margin, at every
shape or at some. Never `math` (it holds all scores: fast at a small shape, 28 times slower at a large one, MEASURED
§1); `cudnn` only for inference and from cuDNN 9.15.1 on: before, torch switched it off for wrong results, and its
query gradient is NaN in the corner of MEASURED §4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xf2sdpa.judging.model import Case, Speed
from xf2sdpa.timing.model import Environment, Timing
from xf2sdpa.verify.model import SiteReport, Status

LEAST_MARGIN = 0.03
GAIN = 1.10
"""What another backend must win to be worth a line in somebody's code."""
CUDNN_FROM = (9, 15, 1)
PINS = {"cudnn": "CUDNN_ATTENTION", "flash": "FLASH_ATTENTION", "efficient": "EFFICIENT_ATTENTION"}


@dataclass(frozen=True)
class Verdict:
    """Speed of a site: one word, the ratio old/new where it was measured, and what that figure does not say."""

    speed: Speed
    speedup: float | None = None
    note: str = ""


def settle(site: SiteReport, environment: Environment) -> None:
    """Fill in what follows from the cases of a site: status, speed, advice. A site without cases stays as it is."""
    if not site.cases:
        return
    site.status = status_of(site.cases)
    verdict = speed_of(site.cases, environment)
    site.speed, site.speedup, site.speed_note = verdict.speed, verdict.speedup, verdict.note
    may_advise = site.status is Status.AGREES and environment.device != "cpu"  # with or without xformers
    site.advice = advice_of(site.cases, environment) if may_advise else ""


def status_of(cases: Sequence[Case]) -> Status:
    """One failed check is enough to differ; to agree, numbers must have been compared."""
    if any(case.failed for case in cases):
        return Status.DIFFERS
    return Status.AGREES if any(case.compared for case in cases) else Status.NOT_RUN


def speed_of(cases: Sequence[Case], environment: Environment) -> Verdict:
    """How new compares with old over the cases of one site."""
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
    """One sentence with the line that pins a faster backend, or nothing. Half precision is looked at first."""
    timed = [case for case in cases if case.timing("new")]
    halves = [case for case in timed if case.dtype.removeprefix("torch.") in {"bfloat16", "float16"}]
    for group in (halves, [case for case in timed if case not in halves]):
        gains = [_gain(name, group) for name in PINS if group and (name != "cudnn" or _cudnn_may(group, environment))]
        best = max((gain for gain in gains if gain.wins), key=lambda gain: (gain.everywhere, gain.factor), default=None)
        if best is not None:
            return _sentence(best)
    return ""


@dataclass(frozen=True)
class _Gain:
    """What one backend wins over the default: at which cases, of how many, and by what factor there."""

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
    pin = PINS[gain.backend]
    dtypes = ", ".join(sorted({case.dtype.removeprefix("torch.") for case in gain.wins}))
    if gain.everywhere:
        where = f"at all {gain.of} cases measured" if gain.of > 1 else f"at {gain.wins[0].shape}"
    else:
        shapes = "; ".join(dict.fromkeys(case.shape for case in gain.wins))
        where = f"at {len(gain.wins)} of {gain.of} cases ({shapes}); pin it only where your shapes are these"
    line = f"with sdpa_kernel(SDPBackend.{pin}):  # from torch.nn.attention import SDPBackend, sdpa_kernel"
    return f"{pin} is {gain.factor:.2f} times as fast as the default ({dtypes}) {where}: `{line}`"


def _cudnn_may(cases: Sequence[Case], environment: Environment) -> bool:
    return not any(case.gradients for case in cases) and _version(environment.cudnn) >= CUDNN_FROM


def _version(text: str | None) -> tuple[int, ...]:
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
    """Time over time: of forward and backward where both have it, else of forward."""
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
    """The geometric mean; of none, 1."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else 1.0
