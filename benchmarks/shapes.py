"""Speed and memory of the rows of shapes.toml: real xformers, the inline form we emit, the compat function.

    python benchmarks/shapes.py OUT.json [--rounds 15]
    python benchmarks/shapes.py OUT.json --rehearse     # on the CPU, small sizes: tries this script only

For each row, forward and forward+backward: the median time of a call by CUDA events (calls back to back, the
sides in alternating order, so a call that launches slower than it computes counts what it makes one wait),
the time in kernels alone (torch.profiler), the median of single calls each after a pause (`rested`: a large
shape back to back runs into the card's power limit) and what a call allocates at its peak. `old/new` above 1 is faster
than xformers. A ratio below 1.0 is marked `<`, one below 0.85 `<<`; memory above 1.1 times `M`.

The `3-D` row has three more sides, which start from the `[B, M, H * K]` of a linear layer and return there:
the user's `permute` and `reshape(b * h, …)` around xformers and around our form, and without that reshape.

Prints a table and writes JSON. Exit status: 0 measured, 1 a row below 0.85, 3 not run (no GPU or no xformers).
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

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

from xf2sdpa import compat  # noqa: E402

Call = Callable[..., torch.Tensor]
SHRINK = 16  # of lengths and batch in a rehearsal


@dataclass
class Row:
    """One shape: its inputs, and a function of them for each side."""

    name: str
    inputs: list[torch.Tensor]
    sides: dict[str, Call]
    backward: bool
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

    def medians(self, calls: dict[str, Callable[[], Any]]) -> dict[str, dict[str, float]]:
        """Median, least and greatest time of each call; every other round runs them in reverse."""
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
                "rested": self.rested(calls[name]),
            }
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


def shrunk(shape: dict[str, Any]) -> dict[str, Any]:
    """The same row, small enough for a CPU."""
    small = {name: max(1, shape[name] // SHRINK) for name in ("batch", "m", "n")}
    if blocks := shape.get("blocks"):
        blocks = [{"count": 2, "length": block["length"] // SHRINK} for block in blocks]
        small |= {"blocks": blocks, "batch": 1}
        small["m"] = small["n"] = sum(block["count"] * block["length"] for block in blocks)
    return shape | small


def mask_of(shape: dict[str, Any], namespace: Any, device: str, dtype: torch.dtype) -> Any:
    """The bias of a row, from xformers' classes or ours."""
    kind, batch, m, n = shape["mask"], shape["batch"], shape["m"], shape["n"]
    if kind == "none":
        return None
    if kind == "tensor":
        if "mask_storage" not in shape:
            return torch.randn(batch, *shape["heads"], m, n, device=device, dtype=dtype)
        lengths = torch.linspace(n / 2, n, batch, device=device).long()
        closed = torch.arange(n, device=device) >= lengths[:, None]
        padding = torch.zeros(batch, n, device=device, dtype=dtype).masked_fill_(closed, -math.inf)
        return padding[:, None, None].expand(batch, *shape["heads"], m, n)
    if kind == "BlockDiagonalMask":
        lengths = [block["length"] for block in shape["blocks"] for _ in range(block["count"])]
        return namespace.BlockDiagonalMask.from_seqlens(lengths, device=torch.device(device))
    return getattr(namespace, kind)(*shape.get("window", ()))


def row_of(shape: dict[str, Any], xformers_ops: Any, device: str) -> Row:
    """A row of shapes.toml as something to run."""
    dtype = getattr(torch, shape["dtype"])
    batch, m, n, heads, width = (shape[name] for name in ("batch", "m", "n", "heads", "k"))
    torch.manual_seed(0)
    inputs = [torch.randn(batch, rows, *heads, width, device=device, dtype=dtype) for rows in (m, n, n)]
    if len(heads) == 2:  # grouped: one key head a group, expanded
        inputs[1:] = [x[:, :, :, :1].contiguous().expand(x.shape) for x in inputs[1:]]
    sides: dict[str, Call] = {}
    mask = mask_of(shape, compat, device, dtype)
    if xformers_ops is not None:
        is_own = mask is None or isinstance(mask, torch.Tensor)
        real = mask if is_own else mask_of(shape, xformers_ops.fmha.attn_bias, device, dtype)
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
    row = Row(shape["name"], inputs, sides, shape.get("backward", True))
    if not heads:
        add_pipelines(row, sides["xformers"])
    return row


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
    """Time, kernel time, memory of each side, and against xformers: old/new time, new/old memory."""
    calls = calls_of(sides, inputs, backward)
    result: dict[str, Any] = clock.medians(calls)
    for name, call in calls.items():
        result[name]["kernel_ms"], result[name]["kernel"] = clock.kernels(call)
        result[name]["bytes"] = clock.memory(call)
    old = result["xformers"]
    for name, seen in result.items():
        seen["ratio"] = old["median"] / seen["median"]
        seen["rested_ratio"] = old["rested"] / seen["rested"]
        seen["kernel_ratio"] = old["kernel_ms"] / seen["kernel_ms"] if seen["kernel_ms"] else None
        seen["memory_ratio"] = seen["bytes"] / old["bytes"] if old["bytes"] else None
        if name != "xformers":
            seen["marks"] = marks(seen) if clock.device == "cuda" else ""
    return result


def marks(seen: dict[str, Any]) -> str:
    slow = "<<" if seen["ratio"] < 0.85 else "<" if seen["ratio"] < 1.0 else ""
    return slow + ("M" if (seen["memory_ratio"] or 0.0) > 1.1 else "")


def print_line(name: str, way: str, result: dict[str, Any]) -> None:
    old = result["xformers"]
    text = f"{name[:34]:34} {way:8} {old['median']:8.3f} {old['kernel_ms']:8.3f} {old['bytes'] / 2**20:7.0f}"
    for side, seen in result.items():
        if side != "xformers":
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
    with (ROOT / "benchmarks" / "shapes.toml").open("rb") as file:
        table = tomllib.load(file)
    facts = facts_of(xformers_ops)
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(
        "ms a call (ms in kernels); ×: old/new time, < below 1, << below 0.85; r: the same, rested; "
        "m: new/old memory, M above 1.1"
    )
    print(f"{'row':34} {'':8} {'xformers':>8} {'kernels':>8} {'MiB':>7}")
    rows = []
    for shape in table["shape"]:
        if options.only not in shape["name"]:
            continue
        shape = table["defaults"] | shape  # noqa: PLW2901
        row = row_of(shrunk(shape) if options.rehearse else shape, xformers_ops, device)
        line: dict[str, Any] = {"name": row.name, "source": shape["source"]}
        for backward in (False, True)[: 1 + row.backward]:
            way = "fwd+bwd" if backward else "fwd"
            line[way] = measure(row.sides, row.inputs, backward, clock)
            print_line(row.name, way, line[way])
            if row.pipelines:
                line[f"{way}, from a linear layer and back"] = measure(row.pipelines, row.wide, backward, clock)
                print_line(" … from a linear layer and back", way, line[f"{way}, from a linear layer and back"])
        rows.append(line)
        del row
    low = [
        f"{line['name']}, {way}, {side}: {seen['ratio']:.2f}"
        for line in rows
        for way in ("fwd", "fwd+bwd")
        for side, seen in line.get(way, {}).items()
        if "<" in seen.get("marks", "")
    ]
    print("below 1.0:", *low, sep="\n  ")
    options.out.write_text(json.dumps(facts | {"rows": rows}, indent=1, default=lambda x: round(x, 5)) + "\n")
    return 1 if device == "cuda" and any(float(text.rpartition(" ")[2]) < 0.85 for text in low) else 0


if __name__ == "__main__":
    sys.exit(main())
