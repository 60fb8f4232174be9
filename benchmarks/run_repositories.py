"""Import and run modules of real repositories: before the rewrite on the reference, after it without xformers.

    python benchmarks/run_repositories.py CORPUS [--only NAME …] [--keep FOLDER] [--json FILE]

CORPUS is a git work tree with one folder a repository, `OWNER+NAME/path`; its last commit is read, nothing is written.
For each case the repository is laid out twice, one copy goes through `xf2sdpa rewrite`, and in processes of their own

* `before`: the old modules run with tests/oracle.py in place of xformers' kernels (its mask classes are the real ones),
* `after`: the new modules run where neither xformers nor mslk can be imported,

with one seed, one set of weights (the state dict of `before` is loaded strictly) and one set of inputs, forward and
backward; in float64, and in float32 under autocast to bfloat16. The exit status is 1 unless

* `before` called xformers' attention, and `after` calls SDPA as often or more often, and has no module of xformers,
* in float64 all outputs and all gradients agree to 1e-9 of their norm,
* under autocast they are no farther from `before`'s float64 than twice what `before`'s own are, plus 1 % of the norm.

The modules are the repository's own: whole models (repository_cases.py), and single functions and layers executed where
they stand (repository_parts.py). Of what they import besides torch, small packages must be installed: timm,
einops, omegaconf, pydantic, huggingface_hub < 1, Pillow. What the modules run here import and do not use (see
`Case.stubs` in repository_cases.py) is played by empty modules.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from repository_cases import CASES as WHOLE
from repository_cases import MODES, Case
from repository_parts import PARTS
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
CASES = (*WHOLE, *PARTS)
SEED = 20
SMALL = {"float64": 1e-6, "autocast": 1e-3}


# ------------------------------------------------------------------------------------- one side, in its own process


class Anything(type):
    """Classes that have every attribute and can be called or used as a decorator: what an empty module holds."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = placeholder(name)
        setattr(cls, name, value)
        return value


def placeholder(name: str) -> Any:
    return Anything(name, (), {"__init__": decorator, "__getattr__": lambda *_: decorator})


def decorator(*arguments: Any, **options: Any) -> Any:
    """`register` and `register(name)` alike leave what they decorate as it is; an `__init__` that takes anything."""
    if arguments and isinstance(type(arguments[0]), Anything):
        return None
    return arguments[0] if len(arguments) == 1 and callable(arguments[0]) and not options else lambda what: what


class EmptyModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = placeholder(name)
        setattr(self, name, value)
        return value


class Stubs:
    """A finder that plays packages, whatever submodules are asked for."""

    def __init__(self, roots: Sequence[str]) -> None:
        self.roots = roots

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        mine = any(f"{name}.".startswith(f"{root}.") for root in self.roots)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if mine else None  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return EmptyModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


@contextlib.contextmanager
def surroundings(side: str) -> Iterator[Callable[[], int]]:
    """xformers as the reference, or gone; yields what counts the calls of its attention."""
    from tests import oracle  # noqa: PLC0415 - it imports the real xformers, which `after` must not have
    from tests.projects import harness  # noqa: PLC0415

    if side == "before":
        with harness.installed() as calls:
            yield lambda: calls.count
    else:
        with oracle.absent(), mock.patch.object(importlib.metadata.Distribution, "from_name", staticmethod(installed)):
            yield lambda: 0


def installed(name: str) -> importlib.metadata.Distribution:
    """The distribution of that name; `oracle.absent` raises StopIteration for one that is missing anyway."""
    found = next(iter(importlib.metadata.Distribution.discover(name=name)), None)
    if found is None or name.lower() in {"xformers", "mslk"}:
        raise importlib.metadata.PackageNotFoundError(name)
    return found


def child(case: Case, side: str, mode: str, folder: Path, state: Path) -> dict[str, Any]:
    """Build the module, run it forward and backward, and say what was seen."""
    importlib.import_module("tests.projects.harness")  # while no repository's own `tests` come first
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [str(folder / case.root), *(entry for entry in sys.path if entry != here), str(ROOT)]
    sys.meta_path.insert(0, Stubs(case.stubs))
    torch.set_num_threads(1)
    spy = mock.Mock(wraps=F.scaled_dot_product_attention)
    places: set[str] = set()
    seen = mock.patch.object(F, "scaled_dot_product_attention", spy)
    with surroundings(side) as calls, seen, noted_places(places, folder):
        torch.manual_seed(SEED)
        model, forward = case.build()
        weigh(model, MODES[mode], state)
        torch.manual_seed(SEED)
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            outputs = [out.double() for out in forward(MODES[mode])]
        torch.autograd.backward(torch.stack([out.square().mean() for out in outputs]).sum())
        modules = {name: module for name, module in sys.modules.items() if module is not None}
        return {
            "outputs": [out.detach() for out in outputs],
            "gradients": {n: p.grad.double() for n, p in model.named_parameters() if p.grad is not None},
            "xformers_calls": calls(),
            "sdpa_calls": spy.call_count,
            "places": sorted(places),
            "helper": any(name.endswith("_attention_compat") for name in modules),
            "left": sorted(name for name in modules if name.partition(".")[0] in ("xformers", "mslk")),
        }


@contextlib.contextmanager
def noted_places(places: set[str], folder: Path) -> Iterator[None]:
    """Note where below a folder xformers' attention is called, as `path:line`."""
    from tests import oracle  # noqa: PLC0415

    def note(calls: oracle.Calls, arguments: Any) -> None:
        frame = sys._getframe(2)  # past the function that counts
        while frame is not None:  # the nearest of the repository's own
            with contextlib.suppress(ValueError):
                path = Path(frame.f_code.co_filename).resolve().relative_to(folder.resolve())
                places.add(f"{path.as_posix()}:{frame.f_lineno}")
                break
            frame = frame.f_back
        old(calls, arguments)

    old = oracle.Calls.note
    with mock.patch.object(oracle.Calls, "note", note):
        yield


def weigh(model: nn.Module, dtype: torch.dtype, state: Path) -> None:
    """Give the module its weights: made once, none of them zero, and loaded by all others."""
    model.to(torch.float64)
    if state.exists():
        model.load_state_dict(torch.load(state), strict=True)
    else:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        torch.save(model.state_dict(), state)
    model.to(dtype)


# ----------------------------------------------------------------------------------------------------- both sides


def lay_out(corpus: Path, case: Case, folder: Path) -> None:
    """The repository as it is in the corpus' last commit."""
    command = ["git", "-C", str(corpus), "archive", "HEAD", case.repository]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            archive.extractall(folder, filter="data")
    if process.returncode:
        raise SystemExit(f"{case.repository} is not in the last commit of {corpus}")


def rewritten(folder: Path) -> dict[str, int]:
    """Rewrite a repository by the command; how many sites of each class."""
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "--output-format", "json", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode not in {0, 2}:  # 2: some file does not parse, the others are done
        raise SystemExit(result.stderr)
    return {name: count for name, count in json.loads(result.stdout)["totals"].items() if isinstance(count, int)}


def execute(case: Case, side: str, mode: str, folder: Path, state: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "result.pt")
        names = [case.name, side, mode, str(folder), str(state), str(out)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
        environment.pop("XFORMERS_DISABLED", None)
        result = subprocess.run(
            [sys.executable, __file__, "--child", *names], cwd=scratch, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if result.returncode or not out.exists():
            return {"failure": " / ".join(result.stderr.strip().splitlines()[-3:])}
        seen: dict[str, Any] = torch.load(out)
        return seen


def tensors(seen: dict[str, Any]) -> dict[str, Tensor]:
    return {**{f"output {i}": out for i, out in enumerate(seen["outputs"])}, **seen["gradients"]}


def distances(one: dict[str, Tensor], other: dict[str, Tensor], mode: str) -> dict[str, float]:
    """How far apart the tensors are, in parts of the other's norm.

    Or of a small part of the largest norm, if that is more: the gradient of a bias before a normalisation, or of a
    key's bias, is 0 but for rounding.
    """
    floor = SMALL[mode] * max(float(tensor.norm()) for tensor in other.values())
    return {
        name: float((one[name] - tensor).norm()) / max(float(tensor.norm()), floor) if name in one else float("inf")
        for name, tensor in other.items()
    }


def faults(
    before: dict[str, Any], after: dict[str, Any], exact: dict[str, Any], mode: str, tolerance: float
) -> list[str]:
    """What is wrong with a pair of runs; `exact` is what `before` gives in float64, where they may be so far apart."""
    for side, seen in (("before", before), ("after", after), ("before in float64", exact)):
        if "failure" in seen:
            return [f"{side} failed: {seen['failure']}"]
    found = []
    if not before["xformers_calls"]:
        found.append("before: xformers' attention was never called")
    if after["sdpa_calls"] < before["xformers_calls"] + before["sdpa_calls"]:
        found.append(f"after: SDPA called {after['sdpa_calls']} times only")
    if after["left"]:
        found.append(f"after: imported {', '.join(after['left'])}")
    old, new, truth = tensors(before), tensors(after), tensors(exact)
    if old.keys() != new.keys():
        found.append(f"other tensors: {sorted(old.keys() ^ new.keys())}")
    allowed = dict.fromkeys(old, tolerance)
    if mode == "autocast":
        allowed = {name: 2 * error + 0.01 for name, error in distances(old, truth, mode).items()}
    apart = distances(new, truth if mode == "autocast" else old, mode)
    return found + [f"{name}: {apart[name]:.1e} apart" for name in old if not apart[name] <= allowed[name]]


def run_case(case: Case, corpus: Path, folder: Path) -> dict[str, Any]:
    """Both sides in all modes; a line for each mode is printed."""
    for side in ("before", "after"):
        lay_out(corpus, case, folder / side)
    report: dict[str, Any] = {"repository": case.repository, "what": case.what}
    report["sites"] = rewritten(folder / "after" / case.repository)
    exact: dict[str, Any] = {}
    for mode in case.modes:
        before, after = (
            execute(case, side, mode, folder / side / case.repository, folder / "state.pt")
            for side in ("before", "after")
        )
        exact = exact or before
        wrong = faults(before, after, exact, mode, case.tolerance)
        report[mode] = {"faults": wrong} if wrong else summary(before, after, mode)
        print(f"{case.name:15} {mode:9} {'; '.join(wrong) if wrong else in_words(report[mode])}", flush=True)
    return report


def summary(before: dict[str, Any], after: dict[str, Any], mode: str) -> dict[str, Any]:
    apart = distances(tensors(after), tensors(before), mode)
    return {
        "faults": [],
        "outputs": len(before["outputs"]),
        "gradients": len(before["gradients"]),
        "xformers_calls_before": before["xformers_calls"],
        "sdpa_calls_after": after["sdpa_calls"],
        "helper": after["helper"],
        "places": before["places"],
        "largest_distance": max(apart.values()),
    }


def in_words(numbers: dict[str, Any]) -> str:
    return (
        f"ok: {numbers['outputs']} outputs and {numbers['gradients']} gradients within "
        f"{numbers['largest_distance']:.1e}; {numbers['xformers_calls_before']} calls of xformers before, "
        f"{numbers['sdpa_calls_after']} of SDPA after{', helper module used' if numbers['helper'] else ''}"
    )


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        name, side, mode, folder, state, out = sys.argv[2:]
        case = next(case for case in CASES if case.name == name)
        warnings.simplefilter("ignore")
        torch.save(child(case, side, mode, Path(folder), Path(state)), out)
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", nargs="*", choices=[case.name for case in CASES], help="run these cases")
    parser.add_argument("--keep", type=Path, help="lay the repositories out in this folder, and leave them there")
    parser.add_argument("--json", type=Path, help="write the figures into this file")
    options = parser.parse_args()
    reports = {}
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            if not options.only or case.name in options.only:
                place = Path(options.keep or scratch, case.name)
                place.mkdir(parents=True)
                reports[case.name] = run_case(case, options.corpus, place)
    if options.json:
        options.json.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    bad = [name for name, report in reports.items() if any(report[mode]["faults"] for mode in MODES if mode in report)]
    print(f"{len(reports) - len(bad)} of {len(reports)} cases agree" + (f"; not: {', '.join(bad)}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
