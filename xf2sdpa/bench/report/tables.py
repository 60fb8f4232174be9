"""A run as tables of text, the same for terminal, Markdown and page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xf2sdpa.bench.guide import FIGURES
from xf2sdpa.bench.judges import geometric_mean
from xf2sdpa.bench.model import (
    BACKENDS,
    EMITTED,
    FLASH4,
    GUIDE_SHAPE,
    Entry,
    Outcome,
    Result,
    ShapeResult,
    Verdict,
    forward_time,
    speedup,
    total_time,
)
from xf2sdpa.timing.model import GAIN, Timing

EMPTY = "–"
CLAIMS = "The guide's claims"
CPU_NOTE = "CPU: batch and lengths a sixteenth, float32, one thread; nothing here says anything about a GPU."


@dataclass(frozen=True)
class Table:
    """A table of text; `numbers` are the right-aligned columns, `notes` go below the table."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()


def all_tables(result: Result) -> list[Table]:
    """All tables that have rows."""
    made = (guide_shape(result), shapes(result), modules(result), ceilings(result), selections(result), claims(result))
    return [table for table in made if table.rows]


def headline(result: Result) -> list[str]:
    """Lines on where and how the run was made."""
    where = result.environment
    parts = [where.device, f"torch {where.torch}", f"CUDA {where.cuda}" if where.cuda else ""]
    parts += [f"cuDNN {where.cudnn}" if where.cudnn else "", f"driver {where.driver}" if where.driver else ""]
    parts += [where.old_path if where.xformers else f"no xformers ({where.old_path.removeprefix('reference: ')})"]
    lines = [", ".join(part for part in parts if part)]
    if not result.is_gpu:
        lines.append(CPU_NOTE)
    lines.append(
        f"{where.date}, {result.seconds:.0f} s of {result.budget:.0f} s, seed {where.seed}, python {where.python}; "
        f"{where.precision}"
    )
    return [*lines, where.command]


PLURALS = {
    Verdict.HOLDS: "hold",
    Verdict.FAILS: "do not hold here",
    Verdict.OPINION: "are opinion",
    Verdict.NOT_JUDGED: "not measured here",
}


def totals(result: Result) -> str:
    """How many claims have which verdict, as one line."""
    counted = {verdict: sum(outcome.verdict is verdict for outcome in result.outcomes) for verdict in Verdict}
    parts = (f"{count} {PLURALS[verdict]}" for verdict, count in counted.items() if count)
    return f"{len(result.outcomes)} claims: " + ", ".join(parts)


def guide_shape(result: Result) -> Table:
    """Table of the guide's shape: the guide's figures and the measured ones."""
    shape = result.guide_shape
    head = (
        "implementation",
        "the guide",
        "forward ms",
        "speed",
        "fwd+bwd ms",
        "memory GB",
        "TFLOP/s",
        "GB/s",
        "kernel",
    )
    if shape is None:
        return Table(GUIDE_SHAPE, head, ())
    base = shape.timing("sdpa")
    rows = tuple(_guide_row(result, shape, entry, base) for entry in shape.entries)
    notes = (
        "Milliseconds: median; on the device, or back to back where Python takes longer. Speed: against SDPA, forward.",
        "Memory: peak of forward, inputs counted; the guide has 2.1 GB for all optimised ones, 8.7 GB for standard.",
        "TFLOP/s and GB/s of forward; in brackets the part of what a large matrix product and a copy reached here.",
    )
    return Table(f"{GUIDE_SHAPE}: {shape.shape}", head, rows, frozenset({2, 3, 4, 5, 6, 7}), notes)


def _guide_row(result: Result, shape: ShapeResult, entry: Entry, base: Timing | None) -> tuple[str, ...]:
    said = guide_figures(entry.name)
    timing = entry.timing
    if timing is None:
        return (entry.label, said, *[EMPTY] * 6, entry.reason)
    return (
        entry.label,
        said,
        milliseconds(forward_time(timing)),
        f"{forward_time(base) / forward_time(timing):.2f}x" if base else EMPTY,
        milliseconds(total_time(timing)),
        f"{entry.forward_memory / 1e9:.2f}" if entry.forward_memory else EMPTY,
        _rate(shape.tflops(timing), result.flops_share(shape, timing)),
        _rate(shape.gigabytes(timing), result.bytes_share(shape, timing)),
        timing.kernel[:70],
    )


def guide_figures(name: str) -> str:
    """The guide's figures for an implementation; empty if it does not name it."""
    figures = FIGURES.get(name)
    return f"{figures.milliseconds} ms, {figures.speed}" if figures else ""


def milliseconds(time: float | None) -> str:
    """Milliseconds with three decimals, one from 10 on, or `EMPTY`."""
    return EMPTY if time is None else f"{time:.3f}" if time < 10 else f"{time:.1f}"


def _rate(value: float, share: float | None) -> str:
    text = f"{value:.0f}" if value >= 10 else f"{value:.2g}"
    return f"{text} ({share:.0%})" if share is not None else text


def emitted(shape: ShapeResult) -> tuple[str, Timing] | None:
    """What the rewrite turns a call of this shape into, with its timing: inline if possible, else the helper."""
    return next(((name, seen) for name in EMITTED if (seen := shape.timing(name))), None)


def old_new(shape: ShapeResult) -> float | None:
    """xformers' time divided by that of the emitted form, with backward if both have it."""
    ours, theirs = emitted(shape), shape.timing("xformers")
    return speedup(ours[1], theirs) if ours and theirs else None


def fastest_backend(shape: ShapeResult) -> tuple[str, float] | None:
    """The label of the fastest SDPA backend, and how many times as fast as the default it is."""
    base = shape.timing("sdpa")
    if base is None:
        return None
    ratios = {label: speedup(seen, base) for name, label in BACKENDS.items() if (seen := shape.timing(name))}
    return max(ratios.items(), key=lambda item: item[1]) if ratios else None


def shapes(result: Result) -> Table:
    """Table of all shapes: xformers against what the rewrite emits, and the fastest backend."""
    head = ("shape", "", "xformers ms", "emitted ms", "old/new", "form", "fastest backend", "TFLOP/s", "GB/s")
    rows = tuple(_shape_row(result, shape) for shape in result.shapes)
    known = [value for shape in result.shapes if (value := old_new(shape)) is not None]
    notes = ["Milliseconds: forward / forward and backward. old/new above 1: the emitted form is faster than xformers."]
    if known:
        notes.append(
            f"old/new, geometric mean of {len(known)} shapes: {geometric_mean(known):.2f}, least {min(known):.2f}"
        )
    notes += flash4_advice(result.shapes)
    return Table("Shapes", head, rows, frozenset({2, 3, 4, 7, 8}), (*notes, *reasons(result.shapes)))


def flash4_advice(found: Sequence[ShapeResult]) -> list[str]:
    """Where FlashAttention-4 is faster than SDPA's default by a tenth or more, and how to have it; where it is slower.

    Empty where it was not measured: flash-attn-4 is not installed, or not for this torch.
    """
    pairs = [
        (shape, base, seen) for shape in found if (base := shape.timing("sdpa")) and (seen := shape.timing(FLASH4))
    ]
    if not pairs:
        return []
    ratios = {shape.name: speedup(seen, base) for shape, base, seen in pairs}
    faster = [f"{name} {ratio:.2f}x" for name, ratio in ratios.items() if ratio >= GAIN]
    slower = [f"{name} {ratio:.2f}x" for name, ratio in ratios.items() if ratio < 1 / GAIN]
    told = f"FlashAttention-4 against SDPA's default: faster at {', '.join(faster) or 'none'}"
    told += f"; slower at {', '.join(slower) or 'none'}."
    if faster:
        told += ' Where your shapes are the faster ones: `xf2sdpa rewrite --flags fa4`, or h200.apply(flags=["fa4"]).'
    return [told + " Beside flash-attn-4 xformers cannot be imported."]


def _shape_row(result: Result, shape: ShapeResult) -> tuple[str, ...]:
    ours, fastest, gain = emitted(shape), fastest_backend(shape), old_new(shape)
    timing = ours[1] if ours else None
    return (
        shape.name,
        shape.shape,
        both(shape.timing("xformers")),
        both(timing),
        f"{gain:.2f}" if gain else EMPTY,
        ours[0] if ours else EMPTY,
        f"{fastest[0]} {fastest[1]:.2f}x" if fastest else EMPTY,
        _rate(shape.tflops(timing), result.flops_share(shape, timing)) if timing else EMPTY,
        _rate(shape.gigabytes(timing), result.bytes_share(shape, timing)) if timing else EMPTY,
    )


def both(timing: Timing | None) -> str:
    """`forward / forward and backward` in milliseconds, the second if measured."""
    if timing is None:
        return EMPTY
    total = total_time(timing)
    return milliseconds(forward_time(timing)) + (f" / {milliseconds(total)}" if total is not None else "")


def reasons(found: Iterable[ShapeResult]) -> list[str]:
    """Why entries are empty: each reason once, with its implementations and shapes."""
    places: dict[tuple[str, str], list[str]] = {}
    shapes = list(found)
    for shape in shapes:
        for entry in shape.entries:
            if entry.reason:
                places.setdefault((entry.label, entry.reason), []).append(shape.name)
    by_text: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (label, reason), names in places.items():
        by_text.setdefault((reason, tuple(names)), []).append(label)
    return [
        f"Empty: {', '.join(labels)}: {reason} ({_where(names, len(shapes))})"
        for (reason, names), labels in by_text.items()
    ]


def _where(names: tuple[str, ...], count: int) -> str:
    if len(names) == count:
        return "every shape"
    return "; ".join(names) if len(names) <= 3 else f"{len(names)} of {count} shapes"


def modules(result: Result) -> Table:
    """Table of the guide's code example and `nn.MultiheadAttention`."""
    head = ("module", "inference ms", "training ms", "attention operators")
    rows = tuple(
        (
            module.label,
            milliseconds(forward_time(module.forward)) if module.forward else EMPTY,
            milliseconds(forward_time(module.step)) if module.step else EMPTY,
            module.reason or module.operators,
        )
        for module in result.modules
    )
    return Table("The guide's modules", head, rows, frozenset({1, 2}), tuple(result.notes))


def ceilings(result: Result) -> Table:
    """Table of the rates that matrix products and a copy reached."""
    rows = tuple(
        (ceiling.what, _figure(ceiling.value), "GB/s" if ceiling.name == "copy" else "TFLOP/s")
        for ceiling in result.ceilings
    )
    return Table("Ceilings measured in this run", ("what", "reached", "unit"), rows, frozenset({1}))


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def selections(result: Result) -> Table:
    """Table of the operators that SDPA picked."""
    rows = tuple((selection.call, selection.operators or "none seen") for selection in result.selections)
    return Table("What SDPA takes by default", ("call", "operator"), rows)


def claims(result: Result) -> Table:
    """Table of the guide's claims, with what was not measured in the notes."""
    rows = tuple((o.verdict.value, said(o), o.guide, o.measured or EMPTY, o.reason) for o in result.outcomes)
    notes = (totals(result), *(f"Not measured: {line}" for line in result.cut))
    return Table(CLAIMS, ("verdict", "claim", "the guide", "here", "how to read it"), rows, notes=notes)


def said(outcome: Outcome) -> str:
    """The guide's words without Markdown."""
    words = " ".join(outcome.quote.replace("**", "").replace("`", "").split())
    return words.strip("-#| ").replace(" | ", "; ")
