"""The figures and pictures of docs/performance.md and docs/speed.md, made from the stored results, not typed by hand.

    python docs/make/performance.py            # writes them
    python docs/make/performance.py --check    # exit 1 if they say something else than the results

It reads `benchmarks/results/h200_bench.json` and `h100_bench.json` (`xf2sdpa bench --json FILE` on such machines),
`h200_shapes.json` (`benchmarks/shapes.py`), `h200_alternatives.json` (`alternatives.py`),
`h200_shadow_slowdown.json` (`shadow_slowdown.py`), and of `two_processes.py` `h200_two_processes.json`,
`h200_two_processes_cudnn_9.26_fa4.json` and `h200_windows_flex.json` (three runs with `--only window --turns 5`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from charts import Chart, Group
from pages import DOCS, PICTURES, ROOT, between, run, wrapped

from xf2sdpa.bench.guide import FIGURES
from xf2sdpa.bench.judges import geometric_mean
from xf2sdpa.bench.model import Result, ShapeResult, forward_time
from xf2sdpa.bench.report import json as report
from xf2sdpa.bench.report import tables
from xf2sdpa.bench.report.markdown import escaped, table_lines
from xf2sdpa.timing.kernels import family_of

RESULTS = ROOT / "benchmarks" / "results"
RUNS = {"H200": "h200_bench.json", "H100": "h100_bench.json"}
SHAPES, ALTERNATIVES, SLOWDOWN = "h200_shapes.json", "h200_alternatives.json", "h200_shadow_slowdown.json"
APART, NEWER = "h200_two_processes.json", "h200_two_processes_cudnn_9.26_fa4.json"
WINDOWS = "h200_windows_flex.json"
SPEED = (SHAPES, ALTERNATIVES, APART, NEWER, WINDOWS)
"""What docs/speed.md is made of, beside the run of bench."""
SHOWN = (
    "sdpa",
    "sdpa_flash",
    "sdpa_efficient",
    "xformers",
    "xformers_fa2",
    "xformers_cutlass",
    "flash_attention_2",
    "standard",
)


Document = dict[str, Any]


class MissingError(Exception):
    """A result is not stored yet; the text names it."""


def runs() -> dict[str, Result]:
    """The stored runs by the GPU's short name."""
    missing = [name for name in (*RUNS.values(), *SPEED, SLOWDOWN) if not (RESULTS / name).is_file()]
    if missing:
        raise MissingError(f"not stored in benchmarks/results: {', '.join(missing)}")
    return {name: report.parse((RESULTS / file).read_text("utf-8")) for name, file in RUNS.items()}


def stored(name: str) -> Document:
    """The stored result of a script."""
    found: Document = json.loads((RESULTS / name).read_text("utf-8"))
    return found


def made() -> dict[Path, str]:
    """Every file of this script with its text."""
    found = runs()
    sections = {
        "performance": section(found, stored(SLOWDOWN)),
        "speed": speed(found["H200"], {name: stored(name) for name in SPEED}),
    }
    places = {name: DOCS / f"{name}.md" for name in sections}
    texts = {place: between(place.read_text("utf-8"), name, sections[name]) for name, place in places.items()}
    texts |= {PICTURES / f"{name}.svg": chart.svg() for name, chart in charts(found).items()}
    return texts


def section(found: dict[str, Result], slowdown: Document) -> str:
    """The text of docs/performance.md between the markers, from stored runs of bench and of `shadow_slowdown.py`."""
    main = found["H200"]
    parts = [
        "## The guide's table",
        wrapped(_introduction(found)),
        "![Milliseconds of each implementation: the guide's figure, H200, H100](pictures/guide-shape.svg)",
        "\n".join(table_lines(_implementations(found))),
        wrapped(_reading(main)),
        "## The guide's example and nn.MultiheadAttention",
        "Milliseconds of inference / of a training step:",
        "\n".join(table_lines(_modules(found))),
        "## What verify costs a program",
        wrapped(_slowdown(slowdown)),
        "## The guide's claims, one by one",
        wrapped(f"On the H200, of {tables.totals(main)}. A claim is held against every shape that it speaks of."),
        "\n".join(_claims(main)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def speed(main: Result, results: dict[str, Document]) -> str:
    """The text of docs/speed.md between the markers, from the H200's run of bench and the results of the scripts."""
    shapes, others, apart, newer, windows = (results[name] for name in SPEED)
    parts = [
        "## Over many shapes",
        "![How many times as fast as xformers the new code is, by shape](pictures/shapes.svg)",
        wrapped(_shapes(main, shapes)),
        "\n".join(wrapped(escaped(missed), bullet=True) for missed in shapes.get("missed", ())),
        wrapped(_OTHERS),
        "\n".join(wrapped(escaped(_other_forms(row)), bullet=True) for row in others["rows"]),
        "## Each side in a process of its own",
        wrapped(_apart(apart, newer)),
        "\n".join(table_lines(_turns(apart, newer))),
        *map(wrapped, _lessons(apart, newer)),
        wrapped("Why those below 1.0 are there: the time in kernels alone, by `benchmarks/shapes.py` (cuDNN 9.19):"),
        "\n".join(wrapped(escaped(why), bullet=True) for why in _reasons(apart, newer, shapes)),
        "## Windows by `use_flex()`",
        wrapped(_windows(windows)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def charts(found: dict[str, Result]) -> dict[str, Chart]:
    """The pictures of the page by name."""
    shapes = {name: run.guide_shape for name, run in found.items()}
    groups = [
        Group(_label(shapes, key), [_guide_time(key), *(_forward(shape, key) for shape in shapes.values())])
        for key in SHOWN
    ]
    names = list(dict.fromkeys(shape.name for run in found.values() for shape in run.shapes))
    ratios = [Group(name, [_ratio_of(run, name) for run in found.values()]) for name in names]
    title = "Milliseconds of a forward pass, batch 32, sequence 1024, 16 heads of 64, bfloat16"
    return {
        "guide-shape": Chart(title, ["the guide", *found], groups, " ms"),
        "shapes": Chart(
            "xformers' time over that of the new code: above 1 the new code is faster",
            list(found),
            [group for group in ratios if any(value is not None for value in group.values)],
            "x",
            line=1.0,
        ),
    }


def _label(shapes: dict[str, ShapeResult | None], key: str) -> str:
    labels = [entry.label for shape in shapes.values() if shape and (entry := shape.entry(key))]
    return labels[0].replace(" (torch's own, SDPA FLASH)", ", torch's own") if labels else key


def _guide_time(key: str) -> float | None:
    return FIGURES[key].milliseconds if key in FIGURES else None


def _forward(shape: ShapeResult | None, key: str) -> float | None:
    timing = shape.timing(key) if shape else None
    return forward_time(timing) if timing else None


def _ratio_of(run: Result, name: str) -> float | None:
    shape = next((shape for shape in run.shapes if shape.name == name), None)
    return tables.old_new(shape) if shape else None


def _introduction(found: dict[str, Result]) -> str:
    machines = [
        f"{run.environment.device} (torch {run.environment.torch}, cuDNN {run.environment.cudnn}, "
        f"{run.environment.old_path})"
        for run in found.values()
    ]
    return (
        f"`xf2sdpa bench` on {'; '.join(machines)}. Batch 32, sequence 1024, dim 1024, 16 heads, bfloat16; "
        "milliseconds forward / forward and backward, and speed relative to SDPA, forward."
    )


def _claims(run: Result) -> Iterator[str]:
    """Every claim in the guide's words, with what was measured and the verdict."""
    yield "| the guide says | measured | verdict |"
    yield "|---|---|---|"
    for outcome in run.outcomes:
        measured = "; ".join(part for part in (outcome.measured, outcome.reason) if part)
        verdict = outcome.verdict.value
        yield f"| {escaped(tables.said(outcome))} | {escaped(measured)} | {verdict} |"


def _implementations(found: dict[str, Result]) -> tables.Table:
    head = ["implementation", "the guide"]
    for name in found:
        head += [f"{name} ms", f"{name} speed", f"{name} GB"]
    shapes = {name: run.guide_shape for name, run in found.items()}
    rows = []
    for key in SHOWN:
        labels = [entry.label for shape in shapes.values() if shape and (entry := shape.entry(key))]
        row = [labels[0] if labels else key, tables.guide_figures(key)]
        for shape in shapes.values():
            row += _cells(shape, key)
        rows.append(tuple(row))
    return tables.Table("", tuple(head), tuple(rows), frozenset(range(2, len(head))))


def _cells(shape: ShapeResult | None, key: str) -> list[str]:
    entry, base = (shape.entry(key), shape.timing("sdpa")) if shape else (None, None)
    if entry is None or entry.timing is None or base is None:
        return [tables.EMPTY] * 3
    memory = f"{entry.forward_memory / 1e9:.2f}" if entry.forward_memory else tables.EMPTY
    return [tables.both(entry.timing), f"{forward_time(base) / forward_time(entry.timing):.2f}x", memory]


def _reading(run: Result) -> str:
    """Which kernels ran, and where the ceilings are."""
    shape = run.guide_shape
    sentences = []
    if shape and (sdpa := shape.timing("sdpa")):
        xformers = shape.timing("xformers")
        kernels = f"SDPA ran {sdpa.kernel.partition(':')[0]}"
        kernels += f", xformers {xformers.kernel.partition(':')[0]}" if xformers else ""
        sentences.append(f"On the H200 {kernels}.")
        compute, moved = run.flops_share(shape, sdpa), run.bytes_share(shape, sdpa)
        if compute is not None and moved is not None:
            sentences.append(
                f"SDPA's forward reaches {shape.tflops(sdpa):.0f} TFLOP/s, {compute:.0%} of what a large matrix "
                f"product reached in the same run, and needs {moved:.0%} of a copy's bandwidth."
            )
    return " ".join(sentences)


def _modules(found: dict[str, Result]) -> tables.Table:
    """The guide's example and `nn.MultiheadAttention`, a column a machine."""
    labels = {module.name: module.label for run in found.values() for module in run.modules}
    rows = []
    for name, label in labels.items():
        seen = [next((module for module in run.modules if module.name == name), None) for run in found.values()]
        cells = [
            f"{forward_time(module.forward):.1f} / {forward_time(module.step):.1f}"
            if module and module.forward and module.step
            else tables.EMPTY
            for module in seen
        ]
        rows.append((label, *cells))
    return tables.Table("", ("module", *(f"{name} ms" for name in found)), tuple(rows), frozenset(range(1, 3)))


def _shapes(run: Result, shapes: Document) -> str:
    ratios = [value for shape in run.shapes if (value := tables.old_new(shape)) is not None]
    text = f"`benchmarks/shapes.py`, {shapes['device']}, xformers {shapes['xformers']}: over its shapes, forward and "
    mean = shapes.get("geometric_mean")
    text += (
        f"backward of the emitted forms is {mean:.2f} times as fast on average (geometric). " if mean else "backward. "
    )
    if ratios:
        text += (
            f"`xf2sdpa bench` itself found {min(ratios):.2f} to {max(ratios):.2f}, {geometric_mean(ratios):.2f} on "
            f"average of {len(ratios)} shapes. "
        )
    if shapes.get("missed"):
        text += "Below its limits (0.85 as emitted, 0.9 with the best backend pinned), and why:"
    return text.rstrip()


_OTHERS = (
    "What another form of torch would give there (`benchmarks/alternatives.py`, H200; xformers' time over "
    "it, forward / forward and backward). None is taken unasked: the helper compiles nothing behind a program's back "
    "(`use_flex()` asks for it), and cuDNN's ragged kernel builds its plan anew in each call."
)


def _other_forms(row: Document) -> str:
    """One row of `alternatives.py`."""
    ways = [row[way] for way in ("fwd", "fwd+bwd")]
    names = [name for name in row["fwd"] if name != "xformers"]
    cells = [f"{_called(name, row)} {' / '.join(_ratio(way[name]) for way in ways)}" for name in names]
    return f"{row['name']}: {'; '.join(cells)}"


def _ratio(side: Document) -> str:
    return f"{side['ratio']:.2f}"


def _called(name: str, row: Document) -> str:
    if name == row["emitted"]:
        return "as emitted"
    first = row["first"].get(name)
    return f"{name} (first call {first:.1f} s)" if first is not None else f"stored {name}"


def _apart(apart: Document, newer: Document) -> str:
    """What the table after it shows."""
    old, new = apart["sides"]["default"], newer["sides"]["default"]
    return (
        f"`benchmarks/two_processes.py`: each side in a process of its own, by turns, median of three; "
        f"{old['device']}, torch {old['torch']}, xformers {apart['sides']['xformers']['xformers']}. xformers' "
        "milliseconds, then its time over that of the new code, forward / forward and backward: as emitted with cuDNN "
        f"{_cudnn(old)} and with cuDNN {_cudnn(new)} in its place, and there with `flash-attn-4` as SDPA's FLASH "
        "(torch before 2.15 takes two of the results that its kernels return; for the measurement they return no more)."
        " Short rows are bound by the host, in xformers above all, and vary from run to run."
    )


def _cudnn(side: Document) -> str:
    major, rest = divmod(side["cudnn"], 10000)
    return f"{major}.{rest // 100}"


def _turns(apart: Document, newer: Document) -> tables.Table:
    """A line a row of shapes.toml."""
    head = ("shape", "xformers ms", f"cuDNN {_cudnn(apart['sides']['default'])}")
    head += (f"cuDNN {_cudnn(newer['sides']['default'])}", "FlashAttention-4")
    later = {row["name"]: row for row in newer["rows"]}
    rows = tuple(
        (
            row["name"],
            _both(row, "xformers", "median"),
            _both(row, "default", "ratio"),
            _both(later[row["name"]], "default", "ratio"),
            _both(later[row["name"]], "fa4", "ratio"),
        )
        for row in apart["rows"]
    )
    return tables.Table("", head, rows, frozenset(range(1, 5)))


def _both(row: Document, side: str, figure: str) -> str:
    """A figure forward / forward and backward; a dash where there is none."""
    ways = [row[way].get(side, {}).get(figure) for way in ("fwd", "fwd+bwd") if way in row]
    digits = 3 if figure == "median" else 2
    cells = [f"{value:.{digits}f}" if value else tables.EMPTY for value in ways]
    return tables.EMPTY if set(cells) == {tables.EMPTY} else " / ".join(cells)


def _lessons(apart: Document, newer: Document) -> Iterator[str]:
    """The means, and what the helper's guard costs a masked call."""
    for document in (apart, newer):
        means = [f"{document[way]['geometric_mean']:.2f}" for way in ("fwd", "fwd+bwd")]
        below = {way: document[way]["below 1.0"] for way in ("fwd", "fwd+bwd")}
        names = [f"{name} {ratio:.2f}" for name, (_, ratio) in below["fwd+bwd"].items()]
        forward = [f"{name} {ratio:.2f}" for name, (_, ratio) in below["fwd"].items()]
        best = " or FlashAttention-4, whichever is faster," if "fa4" in document["sides"] else ""
        yield (
            f"With cuDNN {_cudnn(document['sides']['default'])}{best} the geometric mean is {' / '.join(means)}; below "
            f"1.0 forward: {', '.join(forward) or 'none'}; with backward: {', '.join(names) or 'none'}."
        )
    masked = [row for row in apart["rows"] if "median" in row["fwd"]["guarded"]]
    cells = [
        f"{row['name']} {_both(row, 'plain', 'median')} plain, {_both(row, 'guarded', 'median')} guarded"
        for row in masked
    ]
    yield f"Masked calls by torch's own function and by the helper's guarded one, ms: {'; '.join(cells)}."


def _reasons(apart: Document, newer: Document, shapes: Document) -> Iterator[str]:
    """For each row below 1.0: whose kernels are faster, by how much; or that it is the host that is slower."""
    measured = {row["name"]: row for row in shapes["rows"]}
    for way in ("fwd", "fwd+bwd"):
        names = dict.fromkeys(name for document in (apart, newer) for name in document[way]["below 1.0"])
        for name in names:
            seen = measured[name][way]
            old, new = seen["xformers"], seen[measured[name]["emitted"]]
            ratio = new["kernel_ratio"]
            families = " against ".join(family_of(side["kernel"]) or "another kernel" for side in (old, new))
            level = "" if ratio < 1 else ", so what varies is the host"
            yield f"{name}, {way}: {ratio:.2f} ({families}){level}"


def _windows(windows: Document) -> str:
    """`use_flex()` at the row that DESIGN names, over the stored runs."""
    name = "window ±256"
    runs = [next(row for row in run["rows"] if row["name"] == name) for run in windows["runs"]]
    forward = sorted(row["fwd"]["flex"]["ratio"] for row in runs)
    before = sorted(row["fwd"]["default"]["ratio"] for row in runs)
    backward = [row["fwd+bwd"]["flex"]["median"] / row["fwd+bwd"]["default"]["median"] for row in runs]
    times = [f"{row['fwd']['flex']['median']:.3f} ms against {row['fwd']['xformers']['median']:.3f}" for row in runs]
    return (
        f"After `use_flex()` a window of 256 to both sides of 2 × 8192 tokens takes, forward, {', '.join(times)} of "
        f"xformers in {len(runs)} runs of five turns: {forward[len(runs) // 2]:.2f} times as fast in the median, from "
        f"{forward[0]:.2f} to {forward[-1]:.2f}, as both wait for the host; without it {before[len(runs) // 2]:.2f}. "
        f"With gradients nothing changes ({min(backward):.2f} to {max(backward):.2f} of the time)."
    )


def _slowdown(found: Document) -> str:
    runs = found["runs"]
    alone, again, sampled, every = (runs[name] for name in ("alone", "alone again", "samples 3", "all calls, no times"))
    ratios = [run["step"] / alone["step"] for run in (sampled, again, every)]
    return (
        f"What `xf2sdpa verify` costs a program (`benchmarks/shadow_slowdown.py --device cuda`, H200, "
        f"{found['steps']} steps of examples/families): {sampled['seconds'] / alone['seconds']:.1f} times as long in "
        f"all with `--samples 3`, start, comparisons, times and report included; a later step "
        f"{ratios[0]:.1f} times ({ratios[1]:.1f} between two plain runs). With every call compared, a step takes "
        f"{ratios[2]:.0f} times as long."
    )


if __name__ == "__main__":
    sys.exit(run(made, __doc__))
