"""`xf2sdpa verify PATHS` without a program: runs every site on made-up inputs, compares and, on a GPU, times it.

The first shape of a site is always run. The remaining budget is divided among the remaining sites; the notes say what
was left out. Timing comes before the comparison, so that the time of a shape's first call includes its planning.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

import torch

from xf2sdpa import timing
from xf2sdpa.judging.calls import PLAIN
from xf2sdpa.judging.compare import compare_probe
from xf2sdpa.judging.model import Case, Check
from xf2sdpa.judging.old_path import OldPath, find_old_path
from xf2sdpa.judging.probe import Probe
from xf2sdpa.timing.model import Environment, Timing
from xf2sdpa.verify.inputs import CPU_SHAPES, GPU_SHAPES, Atoms, Maker, Reason, Shape
from xf2sdpa.verify.inputs.kinds import untried_for
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.options import Options
from xf2sdpa.verify.planning.plan import Plan, SitePlan
from xf2sdpa.verify.speed import as_paths, timings
from xf2sdpa.verify.verdict import settle, version_parts

DTYPES = {"cuda": (torch.bfloat16, torch.float16, torch.float32), "cpu": (torch.float32, torch.bfloat16)}
"""By kind of device. All shapes are run in the first dtype, those of `_in_every_dtype` in the others too."""
BUDGET = 600.0
"""The default budget of a run in seconds."""
TIMING_BUDGET = 2.0
"""The most seconds for timing one case with all its paths."""
NAN_CORNER = (
    "the NaN corner of docs/classes.md (pytorch#196678): cuDNN's gradient of the query, at this key length and "
    "these scores; `--nan-guard all` or torch.backends.cuda.enable_cudnn_sdp(False) keeps off it"
)
NAN_FREE_CUDNN = (9, 26)
"""The first cuDNN without it: measured, `benchmarks/nan_corner.py`."""


class Interrupted(Exception):
    """The user pressed Ctrl-C; `report` holds the results so far."""

    def __init__(self, report: Report) -> None:
        super().__init__("interrupted")
        self.report = report


def run(
    plan: Plan,
    options: Options,
    *,
    command: str = "",
    budget: float = BUDGET,
    shapes: Sequence[Shape] = (),
    log: TextIO | None = None,
) -> Report:
    """Compare old and new at every site of a plan; of the user's program, only the sites' expressions are run.

    Args:
        plan: the sites.
        options: `seed`, `device`, `exact` and `timing` are used.
        command: the command line, for the report.
        budget: seconds for all sites together.
        shapes: shapes to run instead of the device's own.
        log: where progress is printed; None: standard error.

    Raises:
        Interrupted: the user pressed Ctrl-C.
    """
    path = find_old_path()
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    with path.install():
        environment = timing.environment(command, options.seed, path, device)
        times = options.timing and device == "cuda"
        ran = _Run(plan, options, path, torch.device(device), environment, budget, times, shapes, log or sys.stderr)
        return ran.report()


@dataclass
class _Run:
    """The state of one run."""

    plan: Plan
    options: Options
    path: OldPath
    device: torch.device
    environment: Environment
    budget: float
    times: bool
    shapes: Sequence[Shape]
    log: TextIO
    skipped: int = 0
    too_large: int = 0
    missing: list[str] = field(default_factory=list)
    untried: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    """Sites by the masks that their copy of the helper has no part for."""
    seen: set[tuple[Any, ...]] = field(default_factory=set)
    """Sizes of the calls made so far: only the first call with a size includes planning."""

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.budget

    def report(self) -> Report:
        """Run all sites."""
        report = Report(self.environment, [dataclasses.replace(site.report, cases=[]) for site in self.plan.sites])
        done = 0
        try:
            for number, (site, result) in enumerate(zip(self.plan.sites, report.sites, strict=True), 1):
                until = time.monotonic() + (self.deadline - time.monotonic()) / (len(self.plan.sites) - number + 1)
                self._site(site, result, until)
                settle(result, self.environment)
                done = number
                self._tell(number, result)
        except KeyboardInterrupt:
            for result in report.sites[done:]:
                result.reason = result.reason or "interrupted before anything was compared"
                settle(result, self.environment)
            report.notes += [f"interrupted: {done} of {len(report.sites)} sites were run to the end"]
            report.notes += self._notes(report)
            raise Interrupted(report) from None
        report.notes += self._notes(report)
        return report

    def _site(self, site: SitePlan, result: SiteReport, until: float) -> None:
        if site.shadow is None:
            return
        helper = self.plan.helper(site)
        probe = site.probe(self.path.variant(site.variant), helper)
        maker = Maker(site, helper)
        if maker.recipes and maker.missing:
            self.missing.append(f"{site.report.id}: no inputs were made for these masks: {', '.join(maker.missing)}")
        if maker.recipes and (untried := untried_for(site, helper)):
            self.untried.setdefault(untried, []).append(site.report.id)
        for dtype, shape in self._grid():
            if self._is_late(result, until):
                continue
            made = maker.make(shape, self.device, dtype, self.options.seed)
            if isinstance(made, Reason):
                result.status, result.reason = Status.NOT_RUN, str(made)
                return
            for atoms in made:
                if self._is_late(result, until):
                    continue
                try:
                    result.cases.append(self._case(site, probe, atoms, until))
                except torch.cuda.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    self.too_large += 1
        if not any(case.compared or case.failed for case in result.cases):
            result.reason = _why_nothing(result.cases)

    def _is_late(self, result: SiteReport, until: float) -> bool:
        """Whether a site's time is up; every site gets at least one case."""
        late = bool(result.cases) and time.monotonic() > until
        self.skipped += late
        return late

    def _grid(self) -> Iterator[tuple[torch.dtype, Shape]]:
        shapes = self.shapes or (GPU_SHAPES if self.device.type == "cuda" else CPU_SHAPES)
        dtypes = DTYPES[self.device.type]
        yield from ((dtypes[0], shape) for shape in shapes)
        yield from ((dtype, shape) for dtype in dtypes[1:] for shape in shapes if _in_every_dtype(shape, shapes))

    def _case(self, site: SitePlan, probe: Probe, atoms: Atoms, until: float) -> Case:
        times: tuple[Timing, ...] = ()
        notes = list(atoms.notes)
        trains = site.variant == PLAIN and not atoms.forward_only
        refused = probe.is_refused is not None and probe.is_refused(*atoms.values)
        if self.times and not refused and atoms.shape.timed and time.monotonic() < until:
            times, why_not = self._timings(probe, atoms, trains)
            notes += [why_not] if why_not else []
        case = compare_probe(probe, atoms.values, seed=self.options.seed, exact=self.options.exact, gradients=trains)
        if atoms.shape.low and atoms.mask != "causal" and site.report.kind != "compat":
            case = without_known_nan(case, atoms.shape, self.environment)
        return dataclasses.replace(
            case, mask=atoms.mask, notes=tuple(dict.fromkeys([*notes, *case.notes])), timings=times if case.ok else ()
        )

    def _timings(self, probe: Probe, atoms: Atoms, trains: bool) -> tuple[tuple[Timing, ...], str]:
        """The times of old, new, and new under each backend that accepts it; or none and the reason."""
        leaves, paths = as_paths(probe, atoms.values, with_old=self.path.version is not None)
        key = (leaves[0].dtype, atoms.mask, *((x.shape, x.stride()) for x in leaves))
        budget = min(TIMING_BUDGET, max(0.5, self.deadline - time.monotonic()))
        try:
            first = {} if key in self.seen else timing.first_calls(paths, leaves, backward=trains)
            seen = timings(paths, leaves, backward=trains, budget=budget)
        except Exception as error:  # the comparison runs the sides as well, and reports what they raise
            return (), f"not timed: {type(error).__name__}: {error}".splitlines()[0]
        self.seen.add(key)
        return tuple(dataclasses.replace(one, first=first.get(one.path)) for one in seen), ""

    def _notes(self, report: Report) -> list[str]:
        notes = ["inputs were made up: shapes, storage and values are not those of a program"]
        notes += self.missing
        for kinds, ids in self.untried.items():
            sites = ids[0] if len(ids) == 1 else f"{len(ids)} sites"
            notes.append(f"{sites}: not tried, as the helper has no part for these masks: {', '.join(kinds)}")
        if self.skipped:
            notes.append(
                f"{self.skipped} sets of inputs or more were left out: the budget of {self.budget:g} s was used up"
            )
        if self.too_large:
            notes.append(f"{self.too_large} sets of inputs were too large for this device's memory, and left out")
        if any(NAN_CORNER in case.notes for site in report.sites for case in site.cases):
            notes.append(f"{NAN_CORNER}: not counted as a difference, as no class promises otherwise")
        return notes

    def _tell(self, number: int, site: SiteReport) -> None:
        said = f"{site.status.value}, {len(site.cases)} cases" if site.cases else f"{site.status.value}: {site.reason}"
        print(f"verify: {number}/{len(self.plan.sites)} {site.id}: {said}", file=self.log, flush=True)


def without_known_nan(case: Case, shape: Shape, environment: Environment) -> Case:
    """The case with cuDNN's NaN gradient (pytorch#196678) not counted as a difference: see docs/classes.md.

    Only NaN in the query's gradient, on a Hopper GPU, with cuDNN before 9.26, in half precision, at a key length of 64
    modulo 128; the check is kept but marked as not available.
    """
    if (environment.capability or "").partition(".")[0] != "9" or shape.keys % 128 != 64:
        return case
    if version_parts(environment.cudnn) >= NAN_FREE_CUDNN:
        return case
    if case.dtype.removeprefix("torch.") not in {"bfloat16", "float16"}:
        return case
    checks = tuple(_excused(check) for check in case.checks)
    return case if checks == case.checks else dataclasses.replace(case, checks=checks, notes=(*case.notes, NAN_CORNER))


def _excused(check: Check) -> Check:
    if check.ok or check.name != "nan" or not check.message.startswith("gradient of query"):
        return check
    return dataclasses.replace(check, available=False)


def _in_every_dtype(shape: Shape, shapes: Sequence[Shape]) -> bool:
    """Whether a shape is run in all dtypes: the first, and the one with low scores, where NaN depends on the dtype."""
    return shape.low or shape is shapes[0]


def _why_nothing(cases: Sequence[Case]) -> str:
    """Why no case compared numbers."""
    told = (check.message for case in cases for check in case.checks if not check.available and check.message)
    return next(told, "nothing could be compared")
