"""Which value of which dimension came out in which class: the table, and the cells that must not be empty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.property import options as o
from tests.property.program import NOT_SHOWN, UNPACKED, Program

KINDS = ("exact", "assumed", "left")
OVERRIDDEN = "a subclass that is not seen may override the method"
OUTSIDE = "nothing shows the dtype of the caller's tensors"
HALF = "autocast may be of the other half dtype"
BLOCKED = "nothing proves it in this version (now and then the use of the result does)"
HARD = "is migrated where it can be shown to be right, which is not asked for"
REASONS = (BLOCKED, OUTSIDE, HALF, OVERRIDDEN, HARD)

RANKS = (o.Option("4-D"), o.Option("3-D"))
FORMS = (*o.FORMS, o.Option("fused"), NOT_SHOWN, UNPACKED)


def _by_rank(options: tuple[o.Use | o.Expression | o.Fused, ...]) -> tuple[o.Option, ...]:
    return tuple(replace(option, name=f"{option.name} ({option.rank}-D)") for option in options)


def _both_ranks(option: o.Option) -> tuple[o.Option, ...]:
    return tuple(replace(option, name=f"{option.name} ({rank}-D)") for rank in (4, 3))


DIMENSIONS: dict[str, tuple[o.Option, ...]] = {
    "imports": o.IMPORTS,
    "guard": o.GUARDS,
    "naming": o.NAMINGS,
    "rank": RANKS,
    "expression": _by_rank(o.EXPRESSIONS) + _by_rank(o.FUSED) + _both_ranks(NOT_SHOWN) + _both_ranks(UNPACKED),
    "form": FORMS,
    "storage": o.STORAGES,
    "projection": o.PROJECTIONS,
    "cast": o.CASTS,
    "mask": o.MASKS,
    "style": o.STYLES,
    "dropout": o.DROPOUTS,
    "scale": o.SCALES,
    "op": o.OPS,
    "use": _by_rank(o.USES + o.HARD_USES),
    "neighbour": o.NEIGHBOURS,
    "twist": o.TWISTS,
}


def impossible(dimension: str, option: o.Option, kind: str) -> str:
    """Why there can be no such program; "" if there can."""
    if option.hard:
        return HARD
    if kind == "left":
        return ""
    if option.blocks:
        return BLOCKED
    return _never_exact(dimension, option) if kind == "exact" else ""


def _never_exact(dimension: str, option: o.Option) -> str:
    if getattr(option, "half", False):
        return HALF
    if getattr(option, "method", ""):
        return OVERRIDDEN
    outside = dimension == "projection" and not getattr(option, "proves", True)
    return OUTSIDE if outside or option.name.startswith(UNPACKED.name) else ""


@dataclass
class Coverage:
    """Counts of programs by (dimension, value, class), by (aim, class), and of the codes of sites left."""

    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    aims: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    programs: int = 0

    def add(self, program: Program, kind: str, code: str) -> None:
        """Count one program."""
        self.programs += 1
        self.aims[program.aim, kind] += 1
        if program.aim != "left" and kind == "left" and not program.hard:
            self.lost[code] += 1
        for dimension in DIMENSIONS:
            self.cells[dimension, program.traits[dimension], kind] += 1

    def empty(self) -> list[str]:
        """The cells without a program that should have one."""
        return [
            f"{dimension} = {option.name}: never {kind}"
            for dimension, options in DIMENSIONS.items()
            for option in options
            for kind in KINDS
            if not self.cells[dimension, option.name, kind] and not impossible(dimension, option, kind)
        ]

    def table(self) -> str:
        """The table, a line for each value, and the reasons of the cells that are empty for good."""
        return "\n".join([*self._lines(), *self._reasons(), *self._totals()])

    def _lines(self) -> Iterator[str]:
        yield f"{'':48}" + "".join(f"{kind:>9}" for kind in KINDS)
        for dimension, options in DIMENSIONS.items():
            for option in options:
                cells = (self._cell(dimension, option, kind) for kind in KINDS)
                yield f"{dimension:11}{option.name:37}" + "".join(f"{cell:>9}" for cell in cells)

    def _cell(self, dimension: str, option: o.Option, kind: str) -> str:
        count = self.cells[dimension, option.name, kind]
        reason = impossible(dimension, option, kind)
        return str(count) if count or not reason else f"- [{self._number(reason)}]"

    @staticmethod
    def _number(reason: str) -> int:
        return REASONS.index(reason) + 1

    def _reasons(self) -> Iterator[str]:
        for reason in REASONS:
            yield f"[{self._number(reason)}] impossible: {reason}"

    def _totals(self) -> Iterator[str]:
        yield f"{self.programs} programs; aimed at → became: " + ", ".join(
            f"{aim} → {kind}: {count}" for (aim, kind), count in sorted(self.aims.items())
        )
        if self.lost:
            yield "left although it could be proved, by code: " + str(dict(self.lost.most_common()))
