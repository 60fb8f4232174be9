"""One comparison: runs both sides on copies of the inputs, runs the judge, and yields the checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.judging.calls import Call
from xf2sdpa.judging.judge import Judge, only_moves
from xf2sdpa.judging.leaves import Leaves, floating_in, is_floating
from xf2sdpa.judging.model import REFUSED, Case, Check
from xf2sdpa.judging.probe import Operator
from xf2sdpa.judging.sides import Ran, isolated, run, upstream_of
from xf2sdpa.judging.tolerance import Measured, finite_check, row_rms
from xf2sdpa.judging.watch import autocast_dtype

Attend = Callable[[Call, Operator], Any]
"""Answers a call of xformers' operator; the second argument is that operator itself."""

MoreChecks = Callable[["Comparison", Sequence[Tensor]], Iterator[Check]]
"""Further checks of a comparison, given the upstream gradients of its outputs; exact mode is one."""

ROLES = {"query": "query", "key": "key", "value": "value", "attn_bias": "bias"}
"""The operator's tensor arguments, and their names in checks."""


@dataclass
class Comparison:
    """Old against new on the same atoms.

    Attributes:
        old: `old(attend, *atoms)`: the old side, its calls of xformers answered by `attend`.
        new: `new(*atoms)`: the new side.
        own_judge: computes the same in float64; used if `old` makes no call of xformers.
        upstream: upstream gradients of the first outputs; for the others they are drawn.
        calls: the calls of xformers that `old` makes, detached from their graph.
        roles: which arguments of these calls each leaf reaches, by its index: `query`, `query and key`, `bias`, …
        refused: whether the new side is to refuse these atoms, by a check of its own.
        untouched: the outputs and gradients whose elements are the operator's own, at most moved: indices into the list
            of outputs followed by gradients.
    """

    old: Callable[..., Any]
    new: Callable[..., Any]
    atoms: Sequence[Any]
    seed: int
    gradients: bool
    strides_matter: bool
    own_judge: Callable[..., Any] | None = None
    upstream: Sequence[Tensor] = ()
    calls: list[Call] = field(default_factory=list)
    roles: dict[int, str] = field(default_factory=dict)
    untouched: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    refused: bool = False

    def case(self, more: MoreChecks | None = None) -> Case:
        """Run the comparison; `more` yields further checks after the others."""
        with isolated([x.device for x in floating_in(self.atoms)]):
            self._trace()
            checks = tuple(self._checks(more))
        return replace(self._described(), checks=checks, notes=tuple(dict.fromkeys(self.notes)))

    # ------------------------------------------------------------------------------------------ running the sides

    def _trace(self) -> None:
        """Call the old side with an operator that returns zeros, to learn `calls` and `roles`."""
        leaves = Leaves(self.atoms, lambda *_: self.gradients)
        reached: dict[int, set[str]] = {}

        def attend(call: Call, _: Operator) -> Any:
            self.calls.append(call)
            for argument, role in ROLES.items():
                for i in leaves.reached_from(getattr(call, argument)):
                    reached.setdefault(i, set()).add(role)
            out = call.query.new_zeros(call.result_shape)
            return (out, out[..., 0]) if call.gives_lse else out

        run(partial(self.old, attend), leaves, self.seed, gradients=self.gradients)
        self.roles = {i: _listed([role for role in ROLES.values() if role in found]) for i, found in reached.items()}
        self.calls = [_without_graph(call) for call in self.calls]

    def leaves(self) -> Leaves:
        """New copies of the atoms, requiring gradients where the comparison needs them."""
        asked = any(x.requires_grad for x in floating_in(self.atoms))

        def wants(i: int, x: Tensor) -> bool:
            if not self.gradients or asked:
                return self.gradients and x.requires_grad
            return not self.calls or self.roles.get(i, "bias") != "bias"

        return Leaves(self.atoms, wants)

    def run_old(self, attend: Attend, upstream: Sequence[Tensor] = ()) -> Ran:
        """Run the old side, its calls of xformers answered by `attend`."""
        side = partial(self.old, attend)
        return run(side, self.leaves(), self.seed, gradients=self.gradients, upstream=upstream)

    def run_new(self, upstream: Sequence[Tensor], backend: Any = None) -> Ran:
        """Run the new side, pinned to an SDPA backend if one is given."""
        leaves = self.leaves()
        return run(self.new, leaves, self.seed, gradients=self.gradients, upstream=upstream, backend=backend)

    def name_of(self, leaf: int) -> str:
        """The name of a leaf's gradient, by the leaf's index: `gradient of query`."""
        return f"gradient of {self.roles.get(leaf, f'input {leaf}')}"

    # ---------------------------------------------------------------------------------------------------- checks

    def _checks(self, more: MoreChecks | None) -> Iterator[Check]:
        old = self.run_old(lambda call, operator: call.answered_by(operator, p=0.0), self.upstream)
        if old.error is not None:
            yield Check("old path", True, f"the old path refuses these inputs: {_one_line(old.error)}", available=False)
            return
        upstream = [
            self.upstream[i] if i < len(self.upstream) else upstream_of(x, self.seed + i)
            for i, x in enumerate(old.outputs)
        ]
        new = self.run_new(upstream)
        if self.refused and isinstance(new.error, NotImplementedError):
            yield Check(REFUSED, True, str(new.error))
            return
        if new.error is not None:
            yield Check("runs", False, f"the new side raises {_one_line(new.error)}")
            return
        yield shape_check(old, new)
        if [x.shape for x in old.outputs] != [x.shape for x in new.outputs]:
            return
        yield dtype_check(old, new)
        if self.strides_matter:
            yield contiguity_check(old, new)
        yield from self._asked_for(old, new)
        yield from self._numbers(old, new, upstream)
        if more is not None:
            yield from more(self, upstream)

    def _asked_for(self, old: Ran, new: Ran) -> Iterator[Check]:
        """Checks of what both sides ask their kernels for: dropout, and the dtype to compute in."""
        asked = {call.p for call in self.calls}
        if any(asked):
            told = ", ".join(f"{p:g}" for p in sorted(asked))
            self.notes.append(f"dropout p = {told} on the old side; numbers are compared with p = 0 on both")
        yield dropout_check(asked, old, new)
        yield precision_check({call.query.dtype for call in self.calls}, new)

    def _numbers(self, old: Ran, new: Ran, upstream: Sequence[Tensor]) -> Iterator[Check]:
        value, unit = self._judged(upstream)
        eps = self._eps(old)
        outputs = _names(len(old.outputs))
        gradients, missing = self._gradients(old, new)
        triples = [*zip(outputs, old.outputs, new.outputs, strict=True), *((what, a, b) for _, what, a, b in gradients)]
        yield finite_check([(what, a, b) for what, a, b in triples if is_floating(a)])
        for i, (what, one, two) in enumerate(zip(outputs, old.outputs, new.outputs, strict=True)):
            yield Measured(what, one, two, _at(value, i), _at(unit, i), eps).check()
        for leaf, what, one, two in gradients:
            yield Measured(what, one, two, _at(value, leaf, True), _at(unit, leaf, True), eps).check()
        yield from missing

    def _gradients(self, old: Ran, new: Ran) -> tuple[list[tuple[int, str, Tensor, Tensor]], list[Check]]:
        """(leaf, name, old, new) of each gradient that both sides give, and failing checks for those that one gives."""
        both, missing = [], []
        for leaf, (one, two) in enumerate(zip(old.gradients, new.gradients, strict=True)):
            what = self.name_of(leaf)
            if one is not None and two is not None:
                both.append((leaf, what, one, two))
            elif one is not None and bool(one.any()):
                missing.append(Check(what, False, f"{what}: the new side gives none"))
            elif two is not None and bool(two.any()):
                missing.append(Check(what, False, f"{what}: only the new side gives one"))
        return both, missing

    def _judged(self, upstream: Sequence[Tensor]) -> tuple[Ran | None, Ran | None]:
        """The old side's exact result, and the units of its rounding errors; None where there is no judge."""
        if not self.calls:
            return self._judged_by_own(upstream), None
        error: Exception | None = None
        eps = max(torch.finfo(call.query.dtype).eps for call in self.calls)
        for rounds in (False, True):
            judge = Judge(self.seed, rounds=rounds)

            def answered(attend: Callable[[Call], Any]) -> Ran:
                return self.run_old(lambda call, _: attend(call), upstream)

            value = answered(judge.value)
            error = value.error
            if error is None:
                if any(solution.sampled for solution in judge.solutions):
                    self.notes.append("judged on a sample of (batch, head) pairs; old and new compared everywhere")
                ones, unit = answered(judge.again().ones), answered(judge.again().unit)
                images = enumerate([*ones.outputs, *ones.gradients])
                self.untouched = {i for i, x in images if x is not None and bool((x == 1).all())}
                self._sum_units_per_role(
                    unit,
                    lambda role: answered(partial(judge.again().unit_of, role=role)),  # noqa: B023
                )
                return value, _units(value, ones, unit, lambda: answered(judge.again().noise), eps)  # noqa: B023
        self.notes.append(f"no float64 judge ({_one_line(error)}): the tolerances of xformers' own tests")
        return None, None

    def _sum_units_per_role(self, unit: Ran, units_of_role: Callable[[str], Ran]) -> None:
        """For each leaf with several roles, set its unit to the sum of the absolute error units per role.

        In `attend(x, -x, x)`, backward subtracts the unit of the key from the others; but errors do not cancel.
        """
        several = [i for i, role in self.roles.items() if role not in ROLES.values()]
        if unit.error is not None or all(unit.gradients[i] is None for i in several):
            return
        ran = [units_of_role(role) for role in ROLES.values()]
        for i in several:
            parts = [x for one in ran if one.error is None and (x := one.gradients[i]) is not None]
            if parts:
                unit.gradients[i] = torch.stack([x.abs() for x in parts]).sum(0)

    def _judged_by_own(self, upstream: Sequence[Tensor]) -> Ran | None:
        if self.own_judge is None:
            self.notes.append("no call of xformers was seen: no judge, the tolerances of xformers' own tests")
            return None
        leaves = self.leaves().in_double()
        ran = run(self.own_judge, leaves, self.seed, gradients=self.gradients, upstream=upstream)
        if ran.error is not None or [x.shape for x in ran.outputs] != [x.shape for x in upstream]:
            why = _one_line(ran.error) if ran.error else "other shapes"
            self.notes.append(f"the given judge cannot be used ({why}): the tolerances of xformers' own tests")
            return None
        return ran

    def _eps(self, old: Ran) -> float:
        """The eps of the coarsest dtype that the old path computes in, takes or returns."""
        dtypes = {call.query.dtype for call in self.calls} | {x.dtype for x in old.outputs if is_floating(x)}
        dtypes |= {x.dtype for x in self.leaves().tensors if x.requires_grad}
        return float(max(torch.finfo(dtype).eps for dtype in dtypes))

    # ------------------------------------------------------------------------------------------------ description

    def _described(self) -> Case:
        if not self.calls:
            tensors = floating_in(self.atoms)
            shape = ", ".join(_shape_text(x.shape) for x in tensors)
            return Case(shape, _short(tensors[0].dtype) if tensors else "", gradients=self.gradients)
        call = self.calls[0]
        shapes = {"q": call.query.shape, "k": call.key.shape}
        if call.value.shape != call.key.shape:
            shapes["v"] = call.value.shape
        cast = autocast_dtype(call.query.device)
        return Case(
            ", ".join(f"{name} {_shape_text(shape)}" for name, shape in shapes.items()),
            _short(call.query.dtype),
            mask=_mask(call.attn_bias),
            gradients=self.gradients,
            autocast=None if cast is None else _short(cast),
        )


def _units(value: Ran, ones: Ran, unit: Ran, noise: Callable[[], Ran], eps: float) -> Ran:
    """The units of outputs and gradients: what `unit` became where elements were only moved, else what `noise` did.

    `ones` shows which of the two it is: see `only_moves`.
    """
    exact, image, moved = ([*ran.outputs, *ran.gradients] for ran in (value, ones, unit))
    mixed = [i for i, x in enumerate(image) if x is not None and not only_moves(x)]
    if mixed:
        ran = noise()
        shaken = [*ran.outputs, *ran.gradients]
        for i in mixed:
            one, other = exact[i], shaken[i]
            if one is not None and other is not None:
                moved[i] = one.double().abs() + row_rms(other.double() - one.double()) / eps
    count = len(value.outputs)
    return Ran([x for x in moved[:count] if x is not None], moved[count:])


def shape_check(old: Ran, new: Ran) -> Check:
    """Both results have the same number of tensors, of equal shapes."""
    one, two = ([tuple(x.shape) for x in ran.outputs] for ran in (old, new))
    return Check("shape", one == two, "" if one == two else f"{_list(one)} became {_list(two)}")


def dtype_check(old: Ran, new: Ran) -> Check:
    """Both results have equal dtypes."""
    one, two = ([_short(x.dtype) for x in ran.outputs] for ran in (old, new))
    return Check("dtype", one == two, "" if one == two else f"{_list(one)} became {_list(two)}")


def contiguity_check(old: Ran, new: Ran) -> Check:
    """Results that were contiguous still are."""
    for one, two in zip(old.outputs, new.outputs, strict=True):
        if one.is_contiguous() and not two.is_contiguous():
            message = f"the result was contiguous, now it has strides {two.stride()} for {tuple(two.shape)}"
            return Check("contiguity", False, message)
    return Check("contiguity", True)


def dropout_check(asked: set[float], old: Ran, new: Ran) -> Check:
    """Torch's attention gets the dropout rates that xformers' got, and the rates around the call are equal too."""
    given = {call.dropout_p for call in new.watch.attention}
    one, two = (asked | old.watch.dropouts) - {0.0}, (given | new.watch.dropouts) - {0.0}
    if one == two and (not given or not asked or given == asked):
        return Check("dropout", True)
    return Check("dropout", False, f"dropout p: {_list(sorted(one or {0.0}))} became {_list(sorted(two or {0.0}))}")


def precision_check(asked: set[torch.dtype], new: Ran) -> Check:
    """The new side computes attention in a dtype at least as precise as xformers did."""
    given = {call.dtype for call in new.watch.attention}
    if not given or not asked:
        return Check("precision", True, "the new side calls no attention function of torch", available=False)
    one, two = (max(torch.finfo(dtype).eps for dtype in dtypes) for dtypes in (asked, given))
    told = f"attention in {_list(sorted(map(_short, asked)))} became attention in {_list(sorted(map(_short, given)))}"
    return Check("precision", two <= one, "" if two <= one else told)


def _at(ran: Ran | None, i: int, gradient: bool = False) -> Tensor | None:
    if ran is None:
        return None
    return ran.gradients[i] if gradient else ran.outputs[i]


def _without_graph(call: Call) -> Call:
    return replace(call, query=call.query.detach(), key=call.key.detach(), value=call.value.detach())


def _names(count: int) -> list[str]:
    return ["output"] if count == 1 else [f"output {i}" for i in range(count)]


def _one_line(error: Exception | None) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _list(items: Sequence[Any]) -> str:
    return ", ".join(str(item) for item in items)


def _shape_text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _mask(attn_bias: Any) -> str:
    if attn_bias is None:
        return "none"
    if isinstance(attn_bias, Tensor) and not hasattr(attn_bias, "materialize"):
        return f"tensor {_shape_text(attn_bias.shape)}"
    return type(attn_bias).__name__
