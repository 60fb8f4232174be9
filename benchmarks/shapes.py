"""Speed and memory of the rows of xf2sdpa/bench/shapes.toml: real xformers, our inline form, the compat function.

    python benchmarks/shapes.py OUT.json [--rounds 15]
    python benchmarks/shapes.py OUT.json --rehearse     # on the CPU, small sizes: tries this script only

For each row, forward and forward+backward: the median time of a call by CUDA events (calls back to back, the
sides in alternating order, so a call that launches slower than it computes counts what it makes one wait),
the time in kernels alone (torch.profiler), the median of single calls each after a pause (`rested`: a large
shape back to back runs into the card's power limit) and what a call allocates at its peak. `old/new` above 1 is faster
than xformers. A ratio below 1.0 is marked `<`, one below 0.85 `<<`; memory above 1.1 times `M`.

The emitted form of a row is the inline form where it has one, else the compat function. It is also measured under
each SDPA backend that takes it (`verify` advises to pin another one where that is faster). The limits: the geometric
mean of forward+backward over the rows at least 1.5, no row below 0.85, none below 0.9 with the best backend pinned. A
row that misses one is printed with both kernels.

The `3-D` row has three more sides, which start from the `[B, M, H * K]` of a linear layer and return there:
the user's `permute` and `reshape(b * h, …)` around xformers and around our form, and without that reshape.

Prints a table and writes JSON. Exit status: 0 measured, 1 a limit missed, 3 not run (no GPU or no xformers).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from xf2sdpa import compat  # noqa: E402
from xf2sdpa.bench import workloads  # noqa: E402
from xf2sdpa.bench.implementations import pinnable  # noqa: E402
from xf2sdpa.timing.kernels import family_of  # noqa: E402

Call = Callable[..., torch.Tensor]
LEAST, LEAST_PINNED, MEAN = 0.85, 0.9, 1.5


@dataclass
class Row:
    """One shape: its inputs, and a function of them for each side."""

    name: str
    work: workloads.Workload
    inputs: list[torch.Tensor]
    sides: dict[str, Call]
    backward: bool
    emitted: str
    """The side that the rewrite makes of such a call."""
    pipelines: dict[str, Call] = field(default_factory=dict)
    wide: list[torch.Tensor] = field(default_factory=list)
    """Inputs of the pipelines."""


class Clock:
    """Times calls on one device; on the CPU by the wall, with nothing claimed."""

    def __init__(self, device: str, rounds: int) -> None:
        self.device, self.rounds = device, rounds

    def one(self, call: Callable[[], Any], inner: int) -> float:
        """Milliseconds a call, over `inner` calls in a row."""
        if self.device == "cpu":
            began = time.perf_counter()
            for _ in range(inner):
                call()
            return (time.perf_counter() - began) * 1e3 / inner
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(inner):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / inner

    def medians(self, calls: dict[str, Callable[[], Any]], unrested: str = "none") -> dict[str, dict[str, float]]:
        """Median, least and greatest time of each call; every other round runs them in reverse.

        Names that begin with `unrested` are not measured rested: that takes a quarter of a second each.
        """
        inner = {}
        for name, call in calls.items():
            self.one(call, 3)
            inner[name] = max(1, min(40, math.ceil(6.0 / max(1e-3, self.one(call, 2)))))
        times: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(self.rounds):
            for name in sorted(calls, reverse=turn % 2 == 1):
                times[name].append(self.one(calls[name], inner[name]))
        return {
            name: {
                "median": statistics.median(seen),
                "min": min(seen),
                "max": max(seen),
            }
            | ({} if name.startswith(unrested) else {"rested": self.rested(calls[name])})
            for name, seen in times.items()
        }

    def rested(self, call: Callable[[], Any]) -> float:
        """The median of single calls, each after a pause: the card at its full clock, not held by its power limit."""
        if self.device == "cpu":
            return self.one(call, 1)
        seen = []
        for _ in range(7):
            torch.cuda.synchronize()
            time.sleep(0.03)
            call()  # wakes the card
            seen.append(self.one(call, 1))
        return statistics.median(seen)

    def kernels(self, call: Callable[[], Any]) -> tuple[float, str]:
        """Milliseconds in kernels alone, and the name of the longest."""
        if self.device == "cpu":
            return 0.0, ""
        activity = torch.profiler.ProfilerActivity.CUDA
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=[activity]) as profile:
            for _ in range(3):
                call()
            torch.cuda.synchronize()
        events = sorted(profile.key_averages(), key=lambda event: event.self_device_time_total)
        total = sum(event.self_device_time_total for event in events)
        return total / 3e3, events[-1].key[:90] if events else ""

    def memory(self, call: Callable[[], Any]) -> int:
        """Bytes that a call allocates at its peak, its results counted."""
        if self.device == "cpu":
            return 0
        call()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        kept = call()
        torch.cuda.synchronize()
        del kept
        return torch.cuda.max_memory_allocated() - before


def inline(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
    """What a rewritten 4-D call says."""
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), **options).transpose(
        1, 2
    )


def inline_bmk(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """What a rewritten 3-D call says."""
    return F.scaled_dot_product_attention(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)).squeeze(1)


def row_of(shape: dict[str, Any], xformers_ops: Any, device: str) -> Row:
    """A row of shapes.toml as something to run."""
    work = workloads.make(shape, device)
    inputs, mask, heads = list(work.leaves), work.mask, shape["heads"]
    sides: dict[str, Call] = {}
    if xformers_ops is not None:
        is_own = mask is None or isinstance(mask, torch.Tensor)
        real = mask if is_own else workloads.mask_of(shape, xformers_ops.fmha.attn_bias, device)
        sides["xformers"] = lambda q, k, v: xformers_ops.memory_efficient_attention(q, k, v, real)
    else:
        sides["xformers"] = lambda q, k, v: compat.memory_efficient_attention(q, k, v, mask)
    if not shape.get("inline_only"):
        sides["compat"] = lambda q, k, v: compat.memory_efficient_attention(q, k, v, mask)
    if not heads:
        sides["inline"] = inline_bmk
    elif len(heads) == 1 and shape["mask"] in {"none", "LowerTriangularMask", "tensor"}:
        options: dict[str, Any] = {"is_causal": True} if shape["mask"] == "LowerTriangularMask" else {}
        if isinstance(mask, torch.Tensor):
            options["attn_mask"] = mask[:, :1, :1] if shape.get("inline_only") else mask
        sides["inline"] = lambda q, k, v: inline(q, k, v, **options)
    emitted = "inline" if "inline" in sides else "compat"
    row = Row(shape["name"], work, inputs, sides, shape["backward"], emitted)
    if not heads:
        add_pipelines(row, sides["xformers"])
    return row


def pinned_sides(row: Row, backward: bool) -> dict[str, Call]:
    """The emitted form under each fused SDPA backend that takes it; none where it does not go through SDPA."""
    found = pinnable(row.sides[row.emitted], row.work, backward=backward)
    return {f"pinned {name}": call for name, call in found.items() if name != "math"}


def add_pipelines(row: Row, old: Call) -> None:
    """The 3-D family with what surrounds it: `batch` of the 3-D call is images times heads."""
    batch, m, width = row.inputs[0].shape
    heads = math.gcd(8, batch)
    images = batch // heads

    def split(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(images, m, heads, width).permute(0, 2, 1, 3)

    def merged(attend: Call) -> Call:
        def run(*wide: torch.Tensor) -> torch.Tensor:
            out = attend(*(split(x).reshape(images * heads, m, width) for x in wide))
            return out.reshape(images, heads, m, width).permute(0, 2, 1, 3).reshape(images, m, heads * width)

        return run

    def heads_first(*wide: torch.Tensor) -> torch.Tensor:
        out = F.scaled_dot_product_attention(*(split(x) for x in wide))
        return out.permute(0, 2, 1, 3).reshape(images, m, heads * width)

    row.wide = [torch.randn_like(row.inputs[0].view(images, m, heads * width)) for _ in range(3)]
    row.pipelines = {"xformers": merged(old), "unsqueeze(1)": merged(inline_bmk), "heads-first 4-D": heads_first}


def calls_of(sides: dict[str, Call], inputs: list[torch.Tensor], backward: bool) -> dict[str, Callable[[], Any]]:
    """Each side as a call without arguments."""
    if not backward:
        return {name: lambda side=side: no_graph(side, inputs) for name, side in sides.items()}
    leaves = [x.detach().requires_grad_() for x in inputs]
    with torch.no_grad():
        upstream = torch.randn_like(next(iter(sides.values()))(*inputs))
    return {
        name: lambda side=side: torch.autograd.grad(side(*leaves), leaves, upstream) for name, side in sides.items()
    }


def no_graph(side: Call, inputs: list[torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return side(*inputs)


def measure(sides: dict[str, Call], inputs: list[torch.Tensor], backward: bool, clock: Clock) -> dict[str, Any]:
    """Time, kernel time, memory of each side, and against xformers: old/new time, new/old memory.

    Of the sides that pin a backend, the time only.
    """
    calls = calls_of(sides, inputs, backward)
    result: dict[str, Any] = clock.medians(calls, unrested="pinned")
    old = result["xformers"]
    for name, seen in result.items():
        seen["ratio"] = old["median"] / seen["median"]
        if name.startswith("pinned"):
            continue
        seen["kernel_ms"], seen["kernel"] = clock.kernels(calls[name])
        seen["bytes"] = clock.memory(calls[name])
        seen["rested_ratio"] = old["rested"] / seen["rested"]
        seen["kernel_ratio"] = old["kernel_ms"] / seen["kernel_ms"] if seen["kernel_ms"] else None
        seen["memory_ratio"] = seen["bytes"] / old["bytes"] if old["bytes"] else None
        if name != "xformers":
            seen["marks"] = marks(seen) if clock.device == "cuda" else ""
    return result


def advised(result: dict[str, Any], emitted: str) -> tuple[str, float]:
    """The best that `verify`'s advice can give: a backend to pin, or `default`, and old/new time with it."""
    ratios = {"default": result[emitted]["ratio"]}
    ratios |= {
        name.removeprefix("pinned "): seen["ratio"] for name, seen in result.items() if name.startswith("pinned")
    }
    best = max(ratios, key=lambda name: ratios[name])
    return best, ratios[best]


def missed(result: dict[str, Any], emitted: str) -> list[str]:
    """The limits that a row misses, each with what it came to."""
    ratio, (best, best_ratio) = result[emitted]["ratio"], advised(result, emitted)
    found = [f"{ratio:.2f} is below {LEAST}"] if ratio < LEAST else []
    if best_ratio < LEAST_PINNED:
        found.append(f"with the best backend ({best}) {best_ratio:.2f} is below {LEAST_PINNED}")
    return found


def reason(result: dict[str, Any], emitted: str) -> str:
    """What a row below a limit comes from: the kernels, the card's power limit, or launching."""
    old, new = result["xformers"], result[emitted]
    names = " against ".join(family_of(seen["kernel"]) or seen["kernel"][:40] or "?" for seen in (old, new))
    if new["kernel_ratio"] is not None and new["kernel_ratio"] < 0.95:
        return f"the kernels alone: {new['kernel_ratio']:.2f} ({names})"
    if new["rested_ratio"] >= 0.95:
        return f"rested {new['rested_ratio']:.2f}: back to back, the card's power limit ({names})"
    return f"launching: the kernels alone are level ({names})"


def summary(rows: list[dict[str, Any]]) -> tuple[float, list[str]]:
    """The geometric mean of forward+backward of the emitted forms, and a line for each row that misses a limit."""
    logs = [math.log(row["fwd+bwd"][row["emitted"]]["ratio"]) for row in rows if "fwd+bwd" in row]
    lines = [
        f"{row['name']}, {way}: {'; '.join(limits)}: {reason(row[way], row['emitted'])}"
        for row in rows
        for way in ("fwd", "fwd+bwd")
        if way in row and (limits := missed(row[way], row["emitted"]))
    ]
    return math.exp(statistics.fmean(logs)) if logs else math.nan, lines


def marks(seen: dict[str, Any]) -> str:
    slow = "<<" if seen["ratio"] < 0.85 else "<" if seen["ratio"] < 1.0 else ""
    return slow + ("M" if (seen["memory_ratio"] or 0.0) > 1.1 else "")


def print_line(name: str, way: str, result: dict[str, Any]) -> None:
    old = result["xformers"]
    text = f"{name[:34]:34} {way:8} {old['median']:8.3f} {old['kernel_ms']:8.3f} {old['bytes'] / 2**20:7.0f}"
    for side, seen in result.items():
        if side.startswith("pinned"):
            text += f" | {side}: {seen['median']:.3f} ×{seen['ratio']:.2f}"
        elif side != "xformers":
            memory = f"{seen['memory_ratio']:.2f}" if seen["memory_ratio"] else "-"
            text += f" | {side}: {seen['median']:.3f} ({seen['kernel_ms']:.3f})"
            text += f" ×{seen['ratio']:.2f}{seen['marks']} r{seen['rested_ratio']:.2f} m{memory}"
    print(text, flush=True)


def why_not() -> tuple[Any, str]:
    """xformers.ops, or None and why it cannot run here."""
    if not torch.cuda.is_available():
        return None, "no CUDA device"
    try:
        import xformers.ops  # noqa: PLC0415

        q = torch.zeros(1, 16, 2, 64, device="cuda", dtype=torch.float16)
        xformers.ops.memory_efficient_attention(q, q, q)
    except (ImportError, NotImplementedError, RuntimeError) as error:
        return None, f"xformers does not work here: {error}".splitlines()[0]
    return xformers.ops, ""


def facts_of(xformers_ops: Any) -> dict[str, Any]:
    """What ran where."""
    return {
        "device": torch.cuda.get_device_name() if xformers_ops else "CPU, no speed claimed",
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "xformers": sys.modules["xformers"].__version__ if xformers_ops else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, small; compat in place of xformers")
    options = parser.parse_args()
    xformers_ops, reason = (None, "") if options.rehearse else why_not()
    if reason:
        print(f"not run: {reason}")
        return 3
    device = "cpu" if options.rehearse else "cuda"
    clock = Clock(device, 3 if options.rehearse else options.rounds)
    facts = facts_of(xformers_ops)
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(
        "ms a call (ms in kernels); ×: old/new time, < below 1, << below 0.85; r: the same, rested; "
        "m: new/old memory, M above 1.1"
    )
    print(f"{'row':34} {'':8} {'xformers':>8} {'kernels':>8} {'MiB':>7}")
    rows = []
    for shape in workloads.read_table():
        if options.only not in shape["name"]:
            continue
        row = row_of(workloads.shrunk(shape) if options.rehearse else shape, xformers_ops, device)
        line: dict[str, Any] = {"name": row.name, "source": shape["source"], "emitted": row.emitted}
        for backward in (False, True)[: 1 + row.backward]:
            way = "fwd+bwd" if backward else "fwd"
            line[way] = measure(row.sides | pinned_sides(row, backward), row.inputs, backward, clock)
            print_line(row.name, way, line[way])
            if row.pipelines:
                line[f"{way}, from a linear layer and back"] = measure(row.pipelines, row.wide, backward, clock)
                print_line(" … from a linear layer and back", way, line[f"{way}, from a linear layer and back"])
        rows.append(line)
        del row
    print_summary(rows)
    if device == "cpu":
        mean, misses = math.nan, []
        print("a rehearsal on the CPU: no limit is judged")
    else:
        mean, misses = summary(rows)
        print(f"geometric mean of fwd+bwd: {mean:.2f} (limit {MEAN}){' MISSED' if mean < MEAN else ''}")
        print("limits missed:", *(misses or ["none"]), sep="\n  ")
    totals = {"geometric_mean": None if math.isnan(mean) else mean, "missed": misses}
    options.out.write_text(json.dumps(facts | totals | {"rows": rows}, indent=1, default=lambda x: round(x, 5)) + "\n")
    return 1 if misses or mean < MEAN else 0


def print_summary(rows: list[dict[str, Any]]) -> None:
    """Each row with the best backend."""
    print("\nold/new of the emitted form, and with the best backend pinned")
    print(f"{'row':44} {'form':6} {'fwd':>24} {'fwd+bwd':>24}")
    for row in rows:
        cells = []
        for way in ("fwd", "fwd+bwd"):
            if way not in row:
                cells.append("-")
                continue
            best, ratio = advised(row[way], row["emitted"])
            cells.append(f"{row[way][row['emitted']]['ratio']:.2f} ({best} {ratio:.2f})")
        print(f"{row['name'][:44]:44} {row['emitted']:6} {cells[0]:>24} {cells[1]:>24}")


if __name__ == "__main__":
    sys.exit(main())
