"""That the comparison agrees where it must: every executable fixture, and the helper module on every kind of mask.

    python -m tests.verify.no_false_alarm [--device cuda] [--cases 180] [--json FILE] [--no-exact]

Each in float16, bfloat16 and float32, forward and backward, with the exact mode where both sides have a kernel in
common. Old is xformers (the plain reference on the CPU); new is the fixture's expected output, run without xformers, or
`xf2sdpa.compat`: for a fixture whose call stays, in xformers' place; and for random problems, `--cases` of them: the
shapes of `benchmarks/compat_gpu.py` on a GPU, the problems of `benchmarks/compat_cases.py` on the CPU. What the real
xformers refuses is counted, by its reason, and is no agreement. Exit status: 0 no alarm, 1 some, 3 nothing compared.

On a GPU an alarm about a gradient may be a true one: cuDNN's attention is wrong where one process hands it gradients of
one shape in two layouts (`benchmarks/cudnn_gradient_layout.py`). What alarms is therefore compared once more without
cuDNN; where the alarm is gone then, it is told and counted as cuDNN's.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import re
import sys
import time
import unittest.mock
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests import oracle
from tests.cases import Case as Fixture
from tests.cases import all_cases, givens
from tests.equivalence import Given, load
from xf2sdpa import compat
from xf2sdpa.helper.text import MODULE_NAME
from xf2sdpa.judging.compare import compare, compare_probe
from xf2sdpa.judging.model import Case
from xf2sdpa.judging.old_path import OldPath, find_old_path, quiet_import
from xf2sdpa.judging.probe import Probe
from xf2sdpa.verify.report.words import failure

ROOT = Path(__file__).resolve().parents[2]
STILL_IMPORTS = re.compile(r"^\s*(import|from) +(xformers|mslk)\b", re.MULTILINE)
DTYPES = (torch.float16, torch.bfloat16, torch.float32)


@dataclass
class Seen:
    """What came of one comparison."""

    name: str
    dtype: str
    case: Case
    without_cudnn: Case | None = None  # the same again, if the first raised an alarm about a gradient

    @property
    def by_cudnn(self) -> bool:
        """Whether what was said is cuDNN's doing: nothing is, once it computes no attention."""
        return self.without_cudnn is not None and self.without_cudnn.compared and not _said(self.without_cudnn)

    @property
    def alarms(self) -> list[str]:
        """What was said against it."""
        return [] if self.by_cudnn else _said(self.case)

    @property
    def refused(self) -> str:
        """Why nothing was compared; empty if something was."""
        reasons = [check.message for check in self.case.checks if check.name == "old path"]
        return "" if self.case.compared else (reasons or ["no numbers"])[0]

    @property
    def exact(self) -> int:
        """How many results and gradients were compared to the last bit."""
        return sum(check.name.startswith("exact ") and check.available for check in self.case.checks)

    @property
    def nearest(self) -> float:
        """Largest error as a share of what is allowed; exact checks aside."""
        judged = [check for check in self.case.checks if check.limit and not check.name.startswith("exact")]
        return max(((check.new_error or 0.0) / (check.limit or 1.0) for check in judged), default=0.0)


def _said(case: Case) -> list[str]:
    return [failure(check) for check in case.checks if check.available and not check.ok]


@dataclass
class Run:
    """How to run."""

    device: str
    exact: bool
    path: OldPath = field(default_factory=find_old_path)


# -------------------------------------------------------------------------------------------------- fixtures


def fixtures(run: Run, dtypes: tuple[torch.dtype, ...], every: int = 1) -> Iterator[Seen]:
    """Every fixture that defines `run`; or each `every`-th."""
    for fixture in [case for case in all_cases() if "def run(" in case.old][::every]:
        with _importable(run):
            old = load(fixture.old)
        for given in givens(old):
            for dtype in dtypes:
                seen = _fixture(run, fixture, given, dtype)
                if run.device == "cuda" and any(message.startswith("gradient") for message in seen.alarms):
                    with _no_cudnn():
                        seen.without_cudnn = _fixture(run, fixture, given, dtype).case
                yield seen


@contextlib.contextmanager
def _no_cudnn() -> Iterator[None]:
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def _fixture(run: Run, fixture: Fixture, given: Given, dtype: torch.dtype) -> Seen:
    generator = torch.Generator().manual_seed(3)
    inputs: dict[str, Any] = {
        name: torch.randn(shape, generator=generator).to(run.device, dtype) for name, shape in given.shapes.items()
    }

    def program(text: str, surroundings: Callable[[], Any]) -> Callable[..., Any]:
        smooth = text.replace("F.relu(", "F.silu(")  # whose gradient does not jump where a result rounds to 0
        with surroundings():
            function = load(smooth)["run"]

        def called(**values: Any) -> Any:
            with surroundings(), torch.device(run.device):
                return function(**values)

        return called

    after: Callable[[], Any] = contextlib.nullcontext if STILL_IMPORTS.search(fixture.new) else _absent_but_helped
    if "left" in fixture.expect:
        after = _compat_in_its_place
    with _importable(run):
        old = program(fixture.old, contextlib.nullcontext)
        new = program(fixture.new, after)
        case = compare(old, new, inputs | given.others, exact=run.exact, strides_matter=fixture.layout)
    return Seen(fixture.name, str(dtype).removeprefix("torch."), case)


@contextlib.contextmanager
def _importable(run: Run) -> Iterator[None]:
    """xformers, and mslk by the same modules, for a program of before the migration."""
    fmha, masks = (quiet_import(f"xformers.ops.{name}") for name in ("fmha", "fmha.attn_bias"))
    names = {"mslk": fmha, "mslk.attention": fmha, "mslk.attention.fmha": fmha, "mslk.attention.fmha.attn_bias": masks}
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(names)
    try:
        with run.path.install():
            yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


@contextlib.contextmanager
def _absent_but_helped() -> Iterator[None]:
    """No xformers; the helper module can be imported by the name that the fixtures have for it."""
    with oracle.absent(), unittest.mock.patch.dict(sys.modules, {MODULE_NAME: compat}):
        yield


@contextlib.contextmanager
def _compat_in_its_place() -> Iterator[None]:
    with oracle._modules({}, keep=False):
        compat.install(force=True)
        try:
            yield
        finally:
            compat.uninstall()


# ---------------------------------------------------------------------------------------------------- compat


def helper(run: Run, dtypes: tuple[torch.dtype, ...], count: int) -> Iterator[Seen]:
    """The helper module on `count` random problems, all kinds of masks in turn."""
    for folder in (ROOT / "tests" / "compat", ROOT / "benchmarks"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    problems = importlib.import_module("compat_oracle")
    gpu = importlib.import_module("compat_gpu")
    gpu.DEVICE = run.device
    shapes = gpu.shapes()
    for i in range(count):
        dtype = dtypes[i % len(dtypes)]
        if run.device == "cuda":
            shape, seed = shapes[i // len(dtypes) % len(shapes)], i
            problem = gpu.problem_of(shape, seed, dtype)
            inputs = gpu.inputs_of(problem, shape, dtype)
        else:
            problem = problems.case(problems.KINDS[i // len(dtypes) % len(problems.KINDS)], i)
            inputs = problem.inputs(dtype)
        yield _problem(run, problems, problem, inputs)


def _problem(run: Run, problems: Any, problem: Any, inputs: list[torch.Tensor]) -> Seen:
    real, ours = (problems.bias_like(inputs[0], problem.make(masks)) for masks in (problems.real_masks, compat))
    real = _on(_exact_shape(real, problem), run.device)

    def old(operator: Any, *tensors: torch.Tensor) -> Any:
        return operator(*tensors, attn_bias=real, scale=problem.scale)

    def new(*tensors: torch.Tensor) -> Any:
        return compat.memory_efficient_attention(*tensors, attn_bias=ours, scale=problem.scale)

    probe = Probe(f"{problem.kind} #{problem.seed}", old, new, run.path.operator)
    case = compare_probe(probe, inputs, seed=problem.seed, exact=run.exact)
    if not case.compared:  # xformers has no backward for it
        case = compare_probe(probe, inputs, seed=problem.seed, exact=run.exact, gradients=False)
    return Seen(probe.site, str(inputs[0].dtype).removeprefix("torch."), case)


def _exact_shape(bias: Any, problem: Any) -> Any:
    """A tensor bias in the one form that xformers takes since 0.0.21: `[B, *heads, M, N]`."""
    if not isinstance(bias, torch.Tensor):
        return bias
    query, key = problem.shapes[:2]
    full = (query[0], *query[2:-1], query[1], key[1])
    return bias.expand(full) if bias.ndim == 2 else bias.reshape(full)


def _on(bias: Any, device: str) -> Any:
    return bias.to(torch.device(device)) if hasattr(bias, "to") else bias


# ------------------------------------------------------------------------------------------------ the command


def main(arguments: list[str] | None = None) -> int:
    """Print alarms and counts; write them as JSON too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--cases", type=int, default=180, help="problems of the helper module")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-exact", action="store_true")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    run = Run(options.device, not options.no_exact)
    print(f"torch {torch.__version__}, {options.device}, old path: {run.path.description}")
    groups = {"fixtures": fixtures(run, DTYPES), "helper": helper(run, DTYPES, options.cases)}
    tables = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for title, comparisons in groups.items():
            tables[title] = _table(title, comparisons)
    seconds = round(time.perf_counter() - began, 1)
    print(f"{seconds} s")
    if options.json:
        facts = {"torch": torch.__version__, "old_path": run.path.description, "seconds": seconds, **tables}
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    compared = sum(table["compared"] for table in tables.values())
    return 1 if any(table["alarms"] for table in tables.values()) else 0 if compared else 3


def _table(title: str, comparisons: Iterator[Seen]) -> dict[str, Any]:
    """Run them; the counts, and every alarm."""
    seen: list[Seen] = []
    for one in comparisons:
        seen.append(one)
        for message in one.alarms:
            print(f"ALARM {one.name} {one.dtype} ({one.case.shape}, {one.case.mask}): {message}", flush=True)
        for message in _said(one.case) if one.by_cudnn else ():
            print(f"cuDNN {one.name} {one.dtype} ({one.case.shape}), right without it: {message}", flush=True)
    compared = [one for one in seen if not one.refused]
    refused = Counter(one.refused for one in seen if one.refused)
    exact = [one for one in seen if one.exact]
    nearest = {}
    for dtype in sorted({one.dtype for one in compared}):
        nearest[dtype] = round(max(one.nearest for one in compared if one.dtype == dtype), 3)
    alarms = [{"name": one.name, "dtype": one.dtype, "said": one.alarms} for one in seen if one.alarms]
    print(f"{title}: {len(seen)} comparisons, {len(compared)} compared ({len(exact)} also to the last bit), ", end="")
    print(f"{len(alarms)} alarms, {sum(one.by_cudnn for one in seen)} of cuDNN; ", end="")
    print(f"largest error as a share of what is allowed: {nearest}")
    for reason, count in refused.most_common():
        print(f"    not compared, {count}: {reason}")
    why = Counter(check.message for one in compared for check in one.case.checks if check.name == "exact")
    for reason, count in why.most_common(8):
        print(f"    {count}: {reason[:200]}")
    counts = {"comparisons": len(seen), "compared": len(compared), "exact": len(exact), "nearest": nearest}
    return counts | {"alarms": alarms, "refused": dict(refused), "exact_not_available": dict(why)}


if __name__ == "__main__":
    sys.exit(main())
