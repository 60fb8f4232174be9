"""Compares an old with a new computation on the same inputs: for `xf2sdpa verify`, and as a public function.

    from xf2sdpa.verify import compare
    case = compare(old_attention, new_attention, (q, k, v))
    assert case.ok, case.checks

The checks and their names are in `comparison`, the criteria in `solution` and `tolerance`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from xf2sdpa.judging import exact as exact_mode
from xf2sdpa.judging.calls import intercepted, operator_of, variant_of
from xf2sdpa.judging.comparison import Attend, Comparison
from xf2sdpa.judging.model import Case
from xf2sdpa.judging.old_path import find_old_path
from xf2sdpa.judging.probe import Probe


def compare_probe(
    probe: Probe,
    atoms: Sequence[Any],
    *,
    seed: int,
    exact: bool = True,
    gradients: bool = True,
    upstream: Sequence[Tensor] = (),
) -> Case:
    """Run both sides of a call site on copies of its atoms, forward and (with `gradients`) backward, and judge them.

    Gradients are computed for the atoms that require one; if none does, for those from which the operator's query, key
    or value comes. Autocast is as at the time of the call, for both sides. With `exact`, both sides run once more with
    the same kernel pinned. Dropout is 0 on both sides while numbers are compared; a check compares the requested rates.
    `upstream`: the gradients of the results; normally distributed ones if it is empty.
    What the sides raise is not raised here: an error of the new side gives a failing check, one of the old side a
    check that is not available.
    """
    variant = variant_of(probe.operator)

    def old(attend: Attend, *values: Any) -> Any:
        return probe.old(operator_of(variant, lambda call: attend(call, probe.operator)), *values)

    comparison = Comparison(old, probe.new, atoms, seed, gradients, probe.strides_matter, upstream=upstream)
    comparison.refused = probe.is_refused is not None and probe.is_refused(*atoms)
    return comparison.case(exact_mode.checks if exact else None)


def compare(
    old: Callable[..., Any],
    new: Callable[..., Any],
    inputs: Sequence[Any] | Mapping[str, Any],
    *,
    seed: int = 0,
    gradients: bool = True,
    exact: bool = True,
    strides_matter: bool = True,
    judge: Callable[..., Any] | None = None,
) -> Case:
    """Whether `new(*inputs)` (or `new(**inputs)`) computes what `old` does, which calls xformers somewhere inside.

    Tensors in `inputs`, in lists and dicts too, are copied for each run and never changed; see `compare_probe` for
    which get gradients. The judge answers `old`'s calls of xformers in float64; if `old` makes none, `judge` is called
    with float64 inputs instead; without a `judge`, the tolerances of xformers' own tests decide, and `Case.notes` says
    so. Without xformers or a GPU, the plain reference takes xformers' place, and `notes` says so. `strides_matter`: a
    contiguous result must stay contiguous. While it runs, calls of xformers from other threads are answered by it too.
    Returns a `Case`; `ok` is the verdict, `checks` the reasons. `ok` is also False where nothing could be compared,
    for example because `old` refuses the inputs.

    Raises:
        TypeError: `inputs` is not a collection of arguments; for a single tensor, pass `(tensor,)`.
    """
    if isinstance(inputs, Tensor | str) or not isinstance(inputs, Sequence | Mapping):
        raise TypeError(f"inputs must be a tuple, list or dict of arguments, (x,) for one of them; not {_kind(inputs)}")
    atoms = list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs)

    def with_names(function: Callable[..., Any]) -> Callable[..., Any]:
        if not isinstance(inputs, Mapping):
            return function
        return lambda *values: function(**dict(zip(inputs, values, strict=True)))

    def intercepted_old(attend: Attend, *values: Any) -> Any:
        with intercepted(attend):
            return with_names(old)(*values)

    path = find_old_path()
    with path.install():
        own = None if judge is None else with_names(judge)
        comparison = Comparison(intercepted_old, with_names(new), atoms, seed, gradients, strides_matter, own)
        case = comparison.case(exact_mode.checks if exact else None)
    return case if path.version else replace(case, notes=(*case.notes, path.description))


def _kind(value: Any) -> str:
    return f"one tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
