"""What a generated program is, and the choices that it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from tests.equivalence import Condition, Given
from tests.property import options as o

NOT_SHOWN = o.Option("parameters, not shown", blocks=True)
UNPACKED = o.Option("shape unpacked")


@dataclass(frozen=True)
class Program:
    """A text that defines `run`, what to call it with, and which options it was made of."""

    text: str
    traits: dict[str, str]
    aim: str
    givens: tuple[Given, ...]
    storage: int
    loose: bool
    hard: bool
    keeps: str
    second_site: bool
    import_goes: bool

    def __repr__(self) -> str:
        return f"Program({', '.join(f'{name}: {value}' for name, value in self.traits.items())})"

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """In which dtypes and storage orders to run it; autocast only says something of exact sites."""
        return Condition(storage=self.storage), Condition(torch.float32, self.storage, autocast=True)


@dataclass(frozen=True)
class Sizes:
    """How large the tensors are."""

    batch: int
    queries: int
    keys: int
    heads: int
    width: int

    @property
    def dim(self) -> int:
        """The width of all heads together."""
        return self.heads * self.width


@dataclass(frozen=True)
class Choice:
    """One option of each dimension."""

    imports: o.ImportForm
    guard: o.Guard
    naming: o.Naming
    rank: int
    expression: Any
    form: Any
    storage: o.Option
    projection: o.Projection
    cast: o.Cast
    mask: o.Mask
    style: o.Option
    dropout: o.Argument
    scale: o.Argument
    op: o.Argument
    use: o.Use
    neighbour: o.Neighbour
    twist: o.Twist

    @property
    def hard(self) -> bool:
        """Whether it may be left although the rest can be proved."""
        return any(getattr(option, "hard", False) for option in vars(self).values())

    @property
    def traits(self) -> dict[str, str]:
        """Dimension → value, for the coverage table."""
        named = {name: getattr(value, "name", value) for name, value in vars(self).items()}
        for dimension in ("expression", "use"):  # the same word for either rank
            named[dimension] = f"{named[dimension]} ({self.rank}-D)"
        return named | {"rank": f"{self.rank}-D"}

    @property
    def fused(self) -> bool:
        """Whether q, k and v come out of one projection."""
        return isinstance(self.expression, o.Fused)

    @property
    def shown(self) -> bool:
        """Whether the function makes the heads itself."""
        return isinstance(self.expression, o.Fused | o.Expression)

    @property
    def heads_first(self) -> bool:
        """Whether the tensors are heads first until they are transposed for xformers."""
        return self.storage.name.startswith("heads first")
