"""README's section "Performance", made from the stored results: nothing in it is typed by hand.

    python benchmarks/readme_performance.py            # writes it between its markers in README.md
    python benchmarks/readme_performance.py --check    # exit 1 if README.md says something else

It reads `benchmarks/results/h200_bench.json` and `h100_bench.json` (`xf2sdpa bench --json FILE` on such machines),
`h200_shapes.json` (`benchmarks/shapes.py`), `h200_alternatives.json` (`alternatives.py`) and
`h200_shadow_slowdown.json` (`shadow_slowdown.py`). Exit status: 0 written or the same, 1 differs, 3 a result is
missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from xf2sdpa.bench.judges import geometric_mean  # noqa: E402
from xf2sdpa.bench.model import Outcome, Result, ShapeResult, Verdict, forward_time  # noqa: E402
from xf2sdpa.bench.report import json as report  # noqa: E402
from xf2sdpa.bench.report import tables  # noqa: E402
from xf2sdpa.bench.report.markdown import escaped, table_lines  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
RUNS = {"H200": "h200_bench.json", "H100": "h100_bench.json"}
SHAPES, ALTERNATIVES, SLOWDOWN = "h200_shapes.json", "h200_alternatives.json", "h200_shadow_slowdown.json"
BEGIN = "<!-- performance: made by benchmarks/readme_performance.py -->"
END = "<!-- /performance -->"
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
    missing = [name for name in (*RUNS.values(), SHAPES, ALTERNATIVES, SLOWDOWN) if not (RESULTS / name).is_file()]
    if missing:
        raise MissingError(f"not stored in benchmarks/results: {', '.join(missing)}")
    return {name: report.parse((RESULTS / file).read_text("utf-8")) for name, file in RUNS.items()}


def scripts() -> list[Document]:
    """The stored results of `shapes.py`, `alternatives.py` and `shadow_slowdown.py`."""
    return [json.loads((RESULTS / name).read_text("utf-8")) for name in (SHAPES, ALTERNATIVES, SLOWDOWN)]


def section(found: dict[str, Result], shapes: Document, others: Document, slowdown: Document) -> str:
    """The text between the markers, from stored runs of bench and the results of the scripts."""
    main = found["H200"]
    parts = ["## Performance", "", *_wrapped(_introduction(found)), ""]
    parts += [*table_lines(_implementations(found)), ""]
    parts += [*_wrapped(_reading(main)), ""]
    parts += [*table_lines(_modules(found)), ""]
    parts += [*_wrapped(_shapes(main, shapes)), ""]
    for missed in shapes.get("missed", ()):
        parts += _wrapped(escaped(missed), bullet=True)
    parts += ["", *_wrapped(_OTHERS), ""]
    for row in others["rows"]:
        parts += _wrapped(escaped(_other_forms(row)), bullet=True)
    parts += ["", *_wrapped(_slowdown(slowdown))]
    failing = [outcome for outcome in main.outcomes if outcome.verdict is Verdict.FAILS]
    parts += ["", *_wrapped(f"Of the guide's {tables.totals(main)}, on the H200."), ""]
    parts += ["<details><summary>Those that do not hold, in the guide's words, and what was measured</summary>", ""]
    for outcome in failing:
        parts += _wrapped(_failing(outcome), bullet=True)
    return "\n".join([*parts, "", "</details>"]) + "\n"


def _introduction(found: dict[str, Result]) -> str:
    machines = [
        f"{run.environment.device} (torch {run.environment.torch}, cuDNN {run.environment.cudnn}, "
        f"{run.environment.old_path})"
        for run in found.values()
    ]
    return (
        "`xf2sdpa bench` measures the claims of the performance guide that this project began with, on the machine "
        f"where it runs. Here: {'; '.join(machines)}. Batch 32, sequence 1024, dim 1024, 16 heads, bfloat16; "
        "milliseconds forward / forward and backward, and speed relative to SDPA, forward."
    )


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
    sentences.append("The guide's modules, milliseconds of inference / of a training step:")
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
    "What another form of torch would give there (`benchmarks/alternatives.py`, the same machine; xformers' time over "
    "it, forward / forward and backward). None is taken: the helper compiles nothing behind a program's back, and "
    "cuDNN's ragged kernel builds its plan anew in each call."
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


def _slowdown(found: Document) -> str:
    runs = found["runs"]
    alone, again, sampled, every = (runs[name] for name in ("alone", "alone again", "samples 3", "all calls, no times"))
    ratios = [run["step"] / alone["step"] for run in (sampled, again, every)]
    return (
        f"What `xf2sdpa verify` costs a program (`benchmarks/shadow_slowdown.py --device cuda`, the same machine, "
        f"{found['steps']} steps of examples/families): {sampled['seconds'] / alone['seconds']:.1f} times as long in "
        f"all with `--samples 3`, start, comparisons, times and report included; a later step "
        f"{ratios[0]:.1f} times ({ratios[1]:.1f} between two plain runs). With every call compared, a step takes "
        f"{ratios[2]:.0f} times as long."
    )


def _failing(outcome: Outcome) -> str:
    reason = f" ({outcome.reason})" if outcome.reason else ""
    return escaped(f"“{tables.said(outcome)}”: the guide {outcome.guide}, measured {outcome.measured}{reason}")


def _wrapped(text: str, *, bullet: bool = False) -> Iterator[str]:
    indent = ("* ", "  ") if bullet else ("", "")
    yield from textwrap.wrap(
        text, 120, initial_indent=indent[0], subsequent_indent=indent[1], break_long_words=False, break_on_hyphens=False
    )


def placed(readme: str, text: str) -> str:
    """README with the section between its markers.

    Raises:
        ValueError: README has no markers.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no {BEGIN} … {END}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if README.md says something else")
    options = parser.parse_args()
    readme = ROOT / "README.md"
    try:
        text = section(runs(), *scripts())
    except MissingError as missing:
        print(missing)
        return 3
    old = readme.read_text("utf-8")
    new = placed(old, text)
    if not options.check:
        readme.write_text(new, "utf-8")
    return int(options.check and new != old)


if __name__ == "__main__":
    sys.exit(main())
