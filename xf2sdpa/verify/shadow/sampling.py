"""The shadow at run time: the program gets the old result, while old and new are compared on copies.

The program is not affected: the comparison works on detached copies, outside of the program's autograd graph; the
states of random generators and autograd modes are restored, and none of its exceptions reaches the program.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import multiprocessing.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from xf2sdpa.judging.leaves import copy_of
from xf2sdpa.judging.model import Case, Check
from xf2sdpa.judging.probe import Probe
from xf2sdpa.verify.options import MEMORY_SHARE, SHAPES
from xf2sdpa.verify.plain import plain
from xf2sdpa.verify.planning.namespace import Helper
from xf2sdpa.verify.planning.parts import Shadow
from xf2sdpa.verify.shadow import ambient
from xf2sdpa.verify.shadow.aftermath import Kept, measured
from xf2sdpa.verify.shadow.failed import Failed
from xf2sdpa.verify.shadow.hook import process

WORKING_COPIES = 12
"""Memory of a comparison as a multiple of its inputs': copies, results, gradients, the judge's chunks."""
_busy = threading.local()
"""`_busy.on` is true in a thread while it runs a comparison."""


def at(site: str, old: Callable[..., Any]) -> Callable[..., Any]:
    """The function that replaces the call at a site.

    Args:
        site: the id of the site.
        old: the old side, a function of the operator and the atoms.
    """

    def run(operator: Callable[..., Any], *atoms: Any) -> Any:
        if torch.compiler.is_compiling():
            is_compiled(site)
            return old(operator, *atoms)
        result = old(operator, *atoms)
        if not getattr(_busy, "on", False):
            with _errors_reported(site):
                observe(site, old, operator, atoms, result)
        return result

    return run


@contextlib.contextmanager
def _errors_reported(site: str) -> Iterator[None]:
    """Record exceptions for the report instead of raising them in the program."""
    try:
        yield
    except Exception as error:
        with contextlib.suppress(Exception):
            _ledger().note(site, f"the shadow failed: {type(error).__name__}: {error}")


def is_compiled(site: str) -> None:
    """Record that torch.compile traces the site; torch calls this once, while tracing, and does not compile it."""
    with _errors_reported(site):
        _ledger().note(site, "compiled: torch.compile traces it, and what it makes of it runs without a probe")


is_compiled._dynamo_marked_constant = True  # type: ignore[attr-defined] # torch.compiler.assume_constant_result


def observe(
    site: str, old: Callable[..., Any], operator: Callable[..., Any], atoms: Sequence[Any], result: Any
) -> None:
    """Count one call, and compare it if it is one of the samples."""
    ledger = _ledger()
    sample = ledger.take(site, atoms, result)
    if sample is None:
        return
    shadow = process().shadows[site]
    probe = Probe(site, old, ledger.new_side(shadow), operator, shadow.strides_matter, shadow.roles)
    ledger.keep_for_timing(sample, probe, atoms)
    comparison = _Comparison(ledger, shadow, probe, sample)
    trains = [x for x in _tensors(result) if x.requires_grad]
    if trains and torch.is_grad_enabled():
        comparison.wait_for_gradient(_copied(atoms), trains[0])
    else:
        comparison.run(list(atoms), gradients=False)


# -- which calls -----------------------------------------------------------------------------------


class _Ledger:
    """Counts the calls of each site and picks the samples; one per process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.calls: dict[str, int] = {}
        self.taken: dict[str, dict[Any, int]] = {}
        self.reasons: set[tuple[str, str]] = set()
        self.functions: dict[str, Callable[..., Any]] = {}
        self.numbers = itertools.count()
        self.first: set[int] = set()
        """Samples that are the first of their site and kind."""
        self.kept: list[Kept] = []

    def take(self, site: str, atoms: Sequence[Any], result: Any) -> int | None:
        """Count a call; return its sample number if it is a sample, else None."""
        reason = ambient.unsuitable([*_tensors(list(atoms)), *_tensors(result)])
        options = process().handover.options
        with self.lock:
            self.calls[site] = self.calls.get(site, 0) + 1
            if self.calls[site] & (self.calls[site] - 1) == 0:  # powers of two: a killed process never calls `close`
                process().recorder.write({"site": site, "calls": self.calls[site]})
            if reason:
                self.note(site, reason)
                return None
            key = _kind_of(atoms)
            kinds = self.taken.setdefault(site, {})
            done = kinds.get(key, 0)
            if options.samples and (done >= options.samples or (not done and len(kinds) >= SHAPES)):
                return None
            reason = _too_large(atoms, options.max_memory)
            if reason:
                self.note(site, reason)
                return None
            kinds[key] = done + 1
            number = next(self.numbers)
            self.first |= set() if done else {number}
            return number

    def note(self, site: str, reason: str) -> None:
        """Record once per site and reason why a call was not compared."""
        if (site, reason) not in self.reasons:
            self.reasons.add((site, reason))
            process().recorder.write({"site": site, "reason": reason})

    def new_side(self, shadow: Shadow) -> Callable[..., Any]:
        """The new side of a site."""
        if shadow.site not in self.functions:
            text = process().handover.helpers.get(shadow.helper)
            helper = Helper(shadow.helper, text) if text is not None else None
            self.functions[shadow.site] = shadow.new_function(helper)
        return self.functions[shadow.site]

    def keep_for_timing(self, sample: int, probe: Probe, atoms: Sequence[Any]) -> None:
        """Keep the first call of each kind for timing at the end; only on a GPU and against the real xformers."""
        handover = process().handover
        wanted = handover.options.timing and not handover.reference and os.environ.get("RANK", "0") == "0"
        if wanted and sample in self.first and all(x.is_cuda for x in _tensors(list(atoms))):
            self.kept.append(Kept(sample, probe, atoms))

    def close(self) -> None:
        """Record the final counts."""
        if self.process == os.getpid():
            for site, calls in self.calls.items():
                process().recorder.write({"site": site, "calls": calls})

    def close_and_time(self) -> None:
        """Record the final counts, and time the kept calls, when the program has finished."""
        self.close()
        if self.process != os.getpid():
            return
        for call, timings, reason in measured(self.kept):
            record = {"site": call.probe.site, "sample": call.sample}
            process().recorder.write(record | ({"not timed": reason} if reason else {"timings": plain(timings)}))


_ledgers: list[_Ledger] = []


def _ledger() -> _Ledger:
    if not _ledgers or _ledgers[-1].process != os.getpid():  # a forked child counts from 0
        _ledgers[:] = [_Ledger()]
        atexit.register(_ledgers[-1].close_and_time)
        multiprocessing.util.Finalize(None, _ledgers[-1].close, exitpriority=0)  # its children skip atexit
    return _ledgers[-1]


def _kind_of(atoms: Sequence[Any]) -> tuple[Any, ...]:
    """What two calls of a site must have in common to be of one kind: shapes, dtypes, devices, flags, torch's modes."""
    return (torch.is_grad_enabled(), ambient.autocast_state(), *(_kind(x) for x in pytree.tree_flatten(list(atoms))[0]))


def _kind(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.shape, x.dtype, x.device, x.requires_grad
    return (type(x).__qualname__, isinstance(x, bool | int | float) and bool(x))  # so that a `p` of 0 is another kind


def _too_large(atoms: Sequence[Any], ceiling: int | None) -> str:
    tensors = _tensors(list(atoms))
    needed = WORKING_COPIES * sum(x.numel() * x.element_size() for x in tensors)
    limit = ceiling if ceiling is not None else int(MEMORY_SHARE * ambient.free_memory(tensors))
    if needed <= limit:
        return ""
    return f"memory: comparing needs about {needed >> 20} MiB, and {limit >> 20} MiB is the ceiling (--max-memory)"


# -- one comparison --------------------------------------------------------------------------------


@dataclass
class _Comparison:
    ledger: _Ledger
    shadow: Shadow
    probe: Probe
    sample: int

    def wait_for_gradient(self, atoms: list[Any], result: Tensor) -> None:
        """Compare forward now, and again with the program's own upstream gradient when its backward pass runs."""
        self.run(atoms, gradients=False, note="no gradient came by: only the result was compared")
        node, index, state = result.grad_fn, result.output_nr, ambient.State.now()
        if node is None:
            return

        def on_gradient(gradients: Sequence[Tensor | None]) -> None:
            handle.remove()
            gradient = gradients[index] if index < len(gradients) else None
            if gradient is not None and not getattr(_busy, "on", False):
                with _errors_reported(self.shadow.site), state.again():
                    self.run(atoms, gradients=True, upstream=(gradient.detach().clone(),))

        handle = node.register_prehook(on_gradient)

    def run(self, atoms: list[Any], *, gradients: bool, upstream: Sequence[Tensor] = (), note: str = "") -> None:
        """Compare, and record the result."""
        notes = (*self.shadow.notes, *([note] if note else []))
        try:
            with _unobserved():
                case = self.case(atoms, gradients, upstream)
        except torch.cuda.OutOfMemoryError:
            self.ledger.note(self.shadow.site, "memory: the comparison did not fit")
            return
        except Exception as error:
            self.ledger.note(self.shadow.site, f"the comparison failed: {type(error).__name__}: {error}")
            return
        self.write(replace(case, notes=(*case.notes, *notes)))

    def case(self, atoms: list[Any], gradients: bool, upstream: Sequence[Tensor]) -> Case:
        failed = next((atom for atom in atoms if isinstance(atom, Failed)), None)
        if failed is not None:
            told = f"the new side cannot be computed: {type(failed.error).__name__}: {failed.error}"
            return Case("", "", gradients=gradients, checks=(Check("new side", ok=False, message=told),))
        from xf2sdpa.judging.compare import compare_probe  # noqa: PLC0415 - needed only if a sample is compared

        options = process().handover.options
        return compare_probe(
            self.probe,
            atoms,
            seed=options.seed + self.sample,
            exact=options.exact,
            gradients=gradients,
            upstream=upstream,
        )

    def write(self, case: Case) -> None:
        process().recorder.write({"site": self.shadow.site, "sample": self.sample, "case": plain(case)})


@contextlib.contextmanager
def _unobserved() -> Iterator[None]:
    """Within this context, sites are not shadowed, and the program's dispatch modes do not see operations."""
    _busy.on = True
    try:
        with ambient.no_modes():
            yield
    finally:
        _busy.on = False


def _tensors(value: Any) -> list[Tensor]:
    return [x for x in pytree.tree_flatten(value)[0] if isinstance(x, Tensor)]


def _copied(atoms: Sequence[Any]) -> list[Any]:
    """Copies of the atoms, since the program may change them before the backward pass."""

    def copied(x: Any) -> Any:
        return copy_of(x).requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x

    with torch.inference_mode(False), torch.no_grad(), _unobserved():
        return list(pytree.tree_map(copied, list(atoms)))
