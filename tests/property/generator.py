"""Puts a program together from one option of each dimension.

`draw_program(pick)` asks `pick(dimension, options)` for every choice, so that Hypothesis (or anything else
that can choose) is in control. Only programs that xformers itself would run are made.

The first choice is the aim: `exact`, `assumed` or `left`, which is what the design says of such a program.
An aim of `left` takes one option that blocks (`BLOCKERS`); of `assumed`, the tensors come from the caller or
are cast to half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from tests.property import options as o
from tests.property.program import NOT_SHOWN, UNPACKED, Choice, Program, Sizes
from tests.property.writing import Writer, parallel, template_name

T = TypeVar("T")
Pick = Callable[[str, Sequence[Any]], Any]

AIMS = ("exact", "exact", "exact", "assumed", "left")
HARD = ("",) * 6 + ("cast", "mask", "style", "use", "twist")
BLOCKERS = ("rank", "mask", "cast", "style", "op")


def draw_program(pick: Pick) -> Program:
    """One program."""
    aim = pick("aim", AIMS)
    blocker = pick("blocker", BLOCKERS) if aim == "left" else ""
    sizes = Sizes(
        batch=pick("batch", (2, 1, 3)),
        queries=pick("queries", (5, 4, 3)),
        keys=pick("keys", (4, 5, 6)),
        heads=pick("heads", (3, 2, 1)),
        width=pick("width", (4, 8)),
    )
    choice = _draw_choice(pick, aim, blocker)
    if choice.fused:
        sizes = replace(sizes, keys=sizes.queries)
    return Writer(choice, sizes).program(aim, pick("input storage", (0, 1, 2)))


def _allowed(options: Sequence[T], blocks: bool, hard: bool = False) -> list[T]:
    return [option for option in options if option.blocks == blocks and option.hard == hard]


def _draw_choice(pick: Pick, aim: str, blocker: str) -> Choice:
    hard = pick("hard", HARD)

    def of(dimension: str, options: Sequence[Any]) -> Any:
        if dimension == hard and dimension != blocker:
            return pick(f"hard {dimension}", [option for option in options if option.hard])
        return pick(dimension, _allowed(options, dimension == blocker))

    rank = pick("rank", (4, 3))
    storage, expression, form = _draw_layout(pick, aim, blocker, rank)
    projection, cast = _draw_dtype(pick, aim, blocker, expression)
    if hard == "cast" and blocker != "cast":
        cast = pick("hard cast", _allowed(o.CASTS, False, True))
    twist = of("twist", o.TWISTS)
    plain = not (cast.half or cast.blocks or cast.hard or twist.hard)  # so a layer may follow
    uses = [use for use in o.USES + o.HARD_USES if use.rank == rank and use.hard == (hard == "use")]
    uses = [use for use in uses if plain or not use.init]
    style = of("style", o.STYLES)
    return Choice(
        imports=pick("imports", o.IMPORTS),
        guard=pick("guard", o.GUARDS),
        naming=pick("naming", o.NAMINGS),
        rank=rank,
        expression=expression,
        form=form,
        storage=storage,
        projection=projection,
        cast=cast,
        mask=of("mask", o.MASKS),
        style=style,
        dropout=pick("dropout", o.DROPOUTS),
        scale=pick("scale", o.SCALES),
        op=of("op", o.OPS),
        use=pick("use", uses),
        neighbour=pick("neighbour", o.NEIGHBOURS),
        twist=twist,
    )


def _draw_layout(pick: Pick, aim: str, blocker: str, rank: int) -> tuple[Any, Any, Any]:
    """Storage order, the expression that makes heads, and how it is applied."""
    as_written = o.STORAGES[0]
    if blocker == "rank":
        return as_written, NOT_SHOWN, NOT_SHOWN
    if aim != "exact" and pick("unpacked", (False,) * 5 + (True,)):
        return as_written, UNPACKED, UNPACKED
    storages = [s for s in o.STORAGES if rank == 4 or not s.name.startswith("heads first")]
    storage = pick("storage", storages)
    if storage.name == "fused":
        expression = pick("fused", [f for f in o.FUSED if f.rank == rank and not f.heads_first])
        return storage, expression, o.Option("fused")
    if storage.name.startswith("heads first") and pick("fused heads first", (False, False, True)):
        return storage, next(f for f in o.FUSED if f.heads_first), o.Option("fused")
    attribute = template_name(storage)
    options = [e for e in o.EXPRESSIONS if e.rank == rank and getattr(e, attribute)]
    expression = pick("expression", options)
    forms = [f for f in o.FORMS if f.name != "branch" or parallel(expression, attribute)]
    return storage, expression, pick("form", forms)


def _draw_dtype(pick: Pick, aim: str, blocker: str, expression: Any) -> tuple[Any, Any]:
    """Where the values come from, and their last cast.

    Only a projection proves the dtype; a cast to half does not (autocast may be of the other half dtype), so
    with one the site can be assumed at most.
    """
    casts = _allowed(o.CASTS, blocker == "cast")
    if aim == "exact":
        casts = [cast for cast in casts if not cast.half]
    cast = pick("cast", casts)
    made_outside = expression in (NOT_SHOWN, UNPACKED)
    if made_outside or (aim == "assumed" and not cast.half and not isinstance(expression, o.Fused)):
        return next(p for p in o.PROJECTIONS if not p.proves), cast
    fused = isinstance(expression, o.Fused)
    fitting = [p for p in o.PROJECTIONS if p.proves and (p.fused or not fused)]
    if aim == "assumed" and not cast.half:  # a fused projection proves the dtype but for a cast
        cast = pick("half cast", [cast for cast in o.CASTS if cast.half])
    return pick("projection", fitting), cast
