"""Makes sets of inputs for a site: finds a candidate for each atom once, then makes its values at any shape."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from xf2sdpa.judging.calls import Call, operator_of
from xf2sdpa.verify.inputs.arguments import Argument, arguments_of, fits
from xf2sdpa.verify.inputs.candidates import SCALE, Candidate, candidates
from xf2sdpa.verify.inputs.kinds import forward_only, is_tensor, kinds_for, rank_of, taken
from xf2sdpa.verify.inputs.shapes import TINY, Shape
from xf2sdpa.verify.inputs.tensors import QKV, Build
from xf2sdpa.verify.planning.namespace import Helper
from xf2sdpa.verify.planning.parts import Atom
from xf2sdpa.verify.planning.plan import SitePlan

_MOST_TRIES = 4000


class Reason(str):
    """Why no inputs can be made."""

    __slots__ = ()


class Atoms(NamedTuple):
    """Values for the atoms of a site, in order.

    Attributes:
        shape: the sizes; they may differ from those asked for, as some sites take only as many keys as queries.
        mask: the kind of bias: `none`, `causal`, `tensor`, a class's name, …
        forward_only: why there are no gradients to compare; empty if there are.
    """

    values: list[Any]
    shape: Shape
    mask: str
    forward_only: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """A description of these inputs, for the report."""
        made_up = f"made up: {self.shape.name}, stored {self.shape.storage}"
        return (made_up, self.forward_only) if self.forward_only else (made_up,)


@dataclass(frozen=True)
class _Recipe:
    """The candidate for each atom of a site, by the atom's source; atoms with equal sources get one value."""

    rank: int
    kind: str
    square: bool
    choice: dict[str, Candidate]
    scale: float = 0.0
    """The factor of the scores that the call gives, an atom's value or a literal; 0 for the default."""

    def values(self, build: Build, atoms: Sequence[Atom]) -> list[Any]:
        made: dict[str, Any] = {}
        for atom in atoms:
            if atom.source not in made:
                made[atom.source] = self.choice[atom.source](build, atom.role)
        return [made[atom.source] for atom in atoms]


def make(
    plan: SitePlan,
    shape: Shape,
    device: torch.device | str,
    dtype: torch.dtype,
    seed: int,
    *,
    helper: Helper | None = None,
) -> list[Atoms] | Reason:
    """Inputs of one shape for a site: one set for each kind of mask and rank that it may get.

    A site whose mask could be anything gets tensors, and objects of the classes that the project's `helper` contains:
    those are the classes that the project uses.

    Returns:
        Values that are the same for the same seed on one kind of device; query, key and value require gradients, as
        does a bias of the kind `LEARNT`. A `Reason` if the site cannot be run on two sides, or an atom cannot be made.
    """
    return Maker(plan, helper).make(shape, device, dtype, seed)


class Maker:
    """Makes inputs for one site; the candidates for its atoms are searched for once."""

    def __init__(self, plan: SitePlan, helper: Helper | None = None) -> None:
        self.plan = plan
        self.helper = helper
        self.recipes: list[_Recipe] = []
        self.missing: list[str] = []
        """Kinds of mask that the site may get, but that could not be made."""
        self.arguments = [] if plan.shadow is None else arguments_of(plan.shadow)
        self.reason = Reason(plan.report.reason) if plan.shadow is None else self._search()

    def make(self, shape: Shape, device: torch.device | str, dtype: torch.dtype, seed: int) -> list[Atoms] | Reason:
        """See `make`."""
        if not self.recipes:
            return self.reason
        found = []
        for recipe in self.recipes:
            sizes = replace(shape, keys=shape.queries) if recipe.square else shape
            if taken(recipe.kind, sizes, float64=dtype == torch.float64):
                build = Build(sizes, recipe.rank, recipe.kind, torch.device(device), dtype, seed, recipe.scale)
                try:
                    values = recipe.values(build, self.plan.atoms)
                except (AssertionError, ValueError):  # a mask class refuses these lengths
                    continue
                found.append(Atoms(values, sizes, recipe.kind, forward_only(recipe.kind, recipe.rank)))
        return found

    def _search(self) -> Reason:
        """Find a recipe for each rank and kind of mask; return the reason to give if there is none."""
        for atom in self.plan.atoms:
            if not candidates(atom, "none"):
                return Reason(f"needs a program: the new side reads {atom.source}")
        kinds = kinds_for(self.plan, self.helper)
        for kind in kinds:
            ranks = (self.plan.rank,) if self.plan.rank else (4, 3)
            found = [recipe for rank in ranks if self._accepts(rank, kind) and (recipe := self._recipe(rank, kind))]
            self.recipes += found
            self.missing += [] if found else [kind]
        parts = dict.fromkeys(atom.source for atom in self.plan.atoms if not atom.whole)
        return Reason(f"needs a program: no made-up value fits {', '.join(parts) or 'a mask: ' + ', '.join(kinds)}")

    def _accepts(self, rank: int, kind: str) -> bool:
        """Whether xformers accepts this kind of mask with query, key and value of this rank."""
        if not is_tensor(kind):
            return rank != 3 or kind in {"none", "causal"}
        whole = any(atom.role == "attn_bias" and atom.whole for atom in self.plan.atoms)
        return not whole or rank_of(self.plan.bias) in {None, rank}

    def _recipe(self, rank: int, kind: str) -> _Recipe | None:
        """Find a candidate for each atom, argument by argument, and check them by the whole call."""
        for square in (False, True):
            shape = replace(TINY, keys=TINY.queries) if square else TINY
            build = Build(shape, rank, kind, torch.device("cpu"), torch.float32, 0, SCALE)
            settled: dict[str, Candidate] = {}
            if not all(self._settle(argument, settled, build) for argument in self.arguments):
                continue
            for choice in _choices(self.plan.atoms, settled, kind):
                recipe = _Recipe(rank, kind, square, choice)
                call = self._fitting_call(recipe, build)
                if call is not None:
                    return replace(recipe, scale=float(call.scale or 0.0))
        return None

    def _settle(self, argument: Argument, settled: dict[str, Candidate], build: Build) -> bool:
        """Find candidates for the atoms of one argument, and add them to those that earlier arguments settled."""
        atoms = [self.plan.atoms[number] for number in argument.atoms]
        for choice in _choices(atoms, settled, build.kind):
            values = _Recipe(build.rank, build.kind, False, choice).values
            try:
                held = fits(argument.role, argument.function(*values(build, atoms)), build)
            except Exception:  # a candidate of the wrong kind may fail in any way
                continue
            if held:
                settled.update(choice)
                return True
        return False

    def _fitting_call(self, recipe: _Recipe, build: Build) -> Call | None:
        """The operator's call with a recipe's values; None if it does not fit."""
        seen: list[Call] = []

        def attend(call: Call) -> Any:
            seen.append(call)
            out = call.query.new_zeros(call.result_shape)
            return (out, call.query.new_zeros(call.result_shape[:-1])) if call.gives_lse else out

        operator = operator_of(self.plan.variant, attend)
        try:
            self.plan.probe(operator, None).old(operator, *recipe.values(build, self.plan.atoms))
            held = [fits(role, getattr(call, role), build) for call in seen for role in (*QKV, "attn_bias")]
        except Exception:  # as above
            return None
        return seen[0] if len(seen) == 1 and all(held) else None


def _choices(atoms: Sequence[Atom], settled: Mapping[str, Candidate], kind: str) -> Iterator[dict[str, Candidate]]:
    """All combinations of candidates for the atoms, by their source, together with those that are settled."""
    open_ = {atom.source: candidates(atom, kind) for atom in atoms if atom.source not in settled}
    for choice in itertools.islice(itertools.product(*open_.values()), _MOST_TRIES):
        yield dict(settled) | dict(zip(open_, choice, strict=True))
