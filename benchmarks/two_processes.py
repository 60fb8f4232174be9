"""The rows of xf2sdpa/bench/shapes.toml, each library in a process of its own, by turns.

    python benchmarks/two_processes.py OUT.json [--turns 3] [--only NAME] [--old-site FOLDER] [--fa4-site FOLDER]
    python benchmarks/two_processes.py OUT.json --rehearse     # on the CPU, small sizes: tries this script only

FlashAttention-4 breaks xformers' own import, and kernels of one library warm the card for the other; so every side runs
in its own process, and for each row the processes are asked by turns. A figure is the median of the turns.

Sides: `xformers` (from `--old-site`, where that is another release), `default` (the emitted form as it is), `plain` (a
masked call by torch's own function) and `guarded` (the same by the helper's) where the row has a tensor mask, `flex`
(the helper after `use_flex()`) where it has a window, and `fa4` where `--fa4-site` holds flash-attn-4: the emitted form
after `activate_flash_attention_impl("FA4")`. torch before 2.15 takes two results of its kernels where newer ones
return more; that is mended for the measurement, and said.

Prints old/new for forward and forward+backward with the best of {default, fa4}, the geometric mean and the rows below
1.0; the JSON is written anew after each row. Exit status: 0 measured, 3 not run (no GPU, or xformers does not work).
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import site
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
NEW = ("default", "fa4")
"""Sides of which a user may have the better one."""


class Worker:
    """A process that measures one side, a row at a time."""

    def __init__(self, side: str, folder: str, *, rehearse: bool) -> None:
        words = [sys.executable, __file__, "-", "--side", side, *(["--rehearse"] if rehearse else [])]
        around = dict(os.environ)
        if folder and side == "xformers":
            around["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, around.get("PYTHONPATH", "")]))
        if folder and side == "fa4":
            around["FA4_SITE"] = folder
        self.side = side
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=around)
        self.facts: dict[str, Any] = self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line that it says; what a library prints is none of its words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                told: dict[str, Any] = json.loads(line)
                return told
        return {"error": f"its process ended with {self.process.wait()}"}

    def ask(self, row: str, way: str) -> dict[str, Any]:
        """The figures of a row, or why there are none."""
        assert self.process.stdin is not None
        if self.process.poll() is not None:
            return {"error": "its process is gone"}
        print(json.dumps([row, way]), file=self.process.stdin, flush=True)
        return self.answer()

    def end(self) -> None:
        """Let it go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


# -- a worker ---------------------------------------------------------------------------------------


def work(side: str, *, rehearse: bool) -> int:
    """Answer questions about rows until there are no more."""
    if side == "fa4" and not rehearse:
        prepare_fa4(os.environ["FA4_SITE"])
    from benchmarks import shapes  # noqa: PLC0415 - after the site of FlashAttention-4
    from xf2sdpa.bench import workloads  # noqa: PLC0415

    xformers_ops, why = (None, "") if side != "xformers" or rehearse else shapes.why_not()
    say(
        {"error": why}
        if why
        else facts(rehearse=rehearse) | ({"xformers": version_of_xformers()} if xformers_ops else {})
    )
    if why:
        return 3
    if side == "flex" and not rehearse:
        shapes.compat.use_flex()
    device = "cpu" if rehearse else "cuda"
    clock = shapes.Clock(device, 2 if rehearse else 7)
    table = {shape["name"]: shape for shape in workloads.read_table()}
    for line in sys.stdin:
        name, way = json.loads(line)
        try:
            shape = workloads.shrunk(table[name]) if rehearse else table[name]
            row = shapes.row_of(shape, xformers_ops, device)
            call = side_of(side, row)
            calls = shapes.calls_of({side: call}, row.inputs, way == "fwd+bwd")
            with pinned(side, rehearse=rehearse):
                seen = clock.medians(calls, unrested=side)[side]
                say({"median": seen["median"], "bytes": clock.memory(calls[side])})
            del row, call, calls
        except (LookupError, RuntimeError, NotImplementedError, ValueError) as error:
            say({"error": str(error).splitlines()[0][:200] if str(error) else type(error).__name__})
    return 0


def facts(*, rehearse: bool) -> dict[str, Any]:
    """What a process runs on."""
    import torch  # noqa: PLC0415

    device = "CPU, no speed claimed" if rehearse else torch.cuda.get_device_name()
    return {"device": device, "torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}


def version_of_xformers() -> str:
    return str(sys.modules["xformers"].__version__)


def side_of(side: str, row: Any) -> Callable[..., Any]:
    """The call of a side.

    Raises:
        LookupError: the row has no such side.
    """
    from benchmarks import shapes  # noqa: PLC0415
    from xf2sdpa import compat  # noqa: PLC0415

    sides: dict[str, Callable[..., Any]] = row.sides
    if side == "flex" and not hasattr(row.work.mask, "window_left"):
        raise LookupError("no window")
    if side in ("xformers", "flex", *NEW):
        return sides["xformers" if side == "xformers" else row.emitted]
    import torch  # noqa: PLC0415

    if not isinstance(row.work.mask, torch.Tensor) or "inline" not in sides:
        raise LookupError("no masked call of SDPA")
    options = {"attn_mask": row.work.mask}
    if side == "plain":
        return functools.partial(shapes.inline, **options)

    def guarded(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        heads = (x.transpose(1, 2) for x in (q, k, v))
        return compat.scaled_dot_product_attention(*heads, **options).transpose(1, 2)

    return guarded


def pinned(side: str, *, rehearse: bool) -> ExitStack:
    """FLASH for FlashAttention-4, which stands in its place; nothing for the others."""
    stack = ExitStack()
    if side == "fa4" and not rehearse:
        from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: PLC0415

        stack.enter_context(sdpa_kernel(SDPBackend.FLASH_ATTENTION))
    return stack


def prepare_fa4(folder: str) -> None:
    """Make FlashAttention-4 torch's FLASH; torch before 2.15 gets the first results of its kernels only."""
    site.addsitedir(folder)
    import torch  # noqa: PLC0415
    from torch.nn.attention import activate_flash_attention_impl  # noqa: PLC0415

    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 15):
        cut_results()
    activate_flash_attention_impl("FA4")


def cut_results() -> None:
    """Let FlashAttention-4's kernels return their first results only."""
    from flash_attn.cute import interface  # noqa: PLC0415

    for name, count in (("_flash_attn_fwd", 2), ("_flash_attn_bwd", 3)):
        setattr(interface, name, first_of(getattr(interface, name), count))


def first_of(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function with its first results only."""

    @functools.wraps(function)
    def cut(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)[:count]

    return cut


def say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


# -- the one that asks ------------------------------------------------------------------------------


def measure(workers: list[Worker], row: str, way: str, turns: int) -> dict[str, Any]:
    """Each side's figures: the median of the turns, which go through the sides to and fro."""
    seen: dict[str, list[dict[str, Any]]] = {worker.side: [] for worker in workers}
    for turn in range(turns):
        for worker in workers if turn % 2 == 0 else reversed(workers):
            if not any("error" in told for told in seen[worker.side]):
                seen[worker.side].append(worker.ask(row, way))
    figures: dict[str, Any] = {}
    for side, told in seen.items():
        errors = [one["error"] for one in told if "error" in one]
        times = [one["median"] for one in told if "median" in one]
        figures[side] = (
            {"error": errors[0]}
            if errors
            else {"median": statistics.median(times), "turns": times, "bytes": told[0]["bytes"]}
        )
    old = figures["xformers"].get("median")
    for side, figure in figures.items():
        if old and side != "xformers" and "median" in figure:
            figure["ratio"] = old / figure["median"]
    return figures


def best(figures: dict[str, Any]) -> tuple[str, float]:
    """The better of the sides that a user may have, and old/new time with it; nan where there is none."""
    ratios = {side: figures[side]["ratio"] for side in NEW if "ratio" in figures.get(side, {})}
    side = max(ratios, key=lambda name: ratios[name], default="none")
    return side, ratios.get(side, math.nan)


def line_of(row: str, way: str, figures: dict[str, Any]) -> str:
    cells = [
        f"{side} {figure['median']:.3f}" + (f" ×{figure['ratio']:.2f}" if "ratio" in figure else "")
        for side, figure in figures.items()
        if "median" in figure
    ]
    return f"{row[:40]:40} {way:8} " + " | ".join(cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where the JSON goes")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--old-site", default="", help="a folder with another release of xformers")
    parser.add_argument("--fa4-site", default="", help="a folder with flash-attn-4")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, small; the helper in place of xformers")
    parser.add_argument("--side", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return work(options.side, rehearse=options.rehearse)
    from xf2sdpa.bench import workloads  # noqa: PLC0415

    sides = {"xformers": options.old_site, "default": "", "plain": "", "guarded": "", "flex": ""}
    if options.fa4_site or options.rehearse:
        sides["fa4"] = options.fa4_site
    workers = [Worker(side, folder, rehearse=options.rehearse) for side, folder in sides.items()]
    facts = {worker.side: worker.facts for worker in workers}
    print(json.dumps(facts, indent=1))
    if "error" in facts["xformers"]:
        return 3
    rows: list[dict[str, Any]] = []
    for shape in workloads.read_table():
        if options.only in shape["name"]:
            ways = ("fwd", "fwd+bwd")[: 1 + shape["backward"]]
            row = {way: measure(workers, shape["name"], way, options.turns) for way in ways}
            for way, figures in row.items():
                print(line_of(shape["name"], way, figures), flush=True)
            rows.append({"name": shape["name"], **row})
            store(options.out, facts, {}, rows)
    for worker in workers:
        worker.end()
    store(options.out, facts, summed_up(rows, claims=not options.rehearse), rows)
    return 0


def store(out: Path, facts: dict[str, Any], totals: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    out.write_text(json.dumps({"sides": facts, **totals, "rows": rows}, indent=1) + "\n")


def summed_up(rows: list[dict[str, Any]], *, claims: bool) -> dict[str, Any]:
    """Geometric means of old/new with the better side, and the rows below 1.0; nothing after a rehearsal."""
    if not claims:
        print("a rehearsal on the CPU: nothing is claimed")
        return {}
    totals: dict[str, Any] = {}
    for way in ("fwd", "fwd+bwd"):
        found = {row["name"]: best(row[way]) for row in rows if way in row}
        ratios = [ratio for _, ratio in found.values() if not math.isnan(ratio)]
        mean = math.exp(statistics.fmean(map(math.log, ratios))) if ratios else None
        below = {name: [side, ratio] for name, (side, ratio) in found.items() if ratio < 1.0}
        totals[way] = {"geometric_mean": mean, "worst": min(ratios, default=None), "below 1.0": below}
        print(f"{way}: geometric mean {mean}, worst {min(ratios, default=None)}; below 1.0: {below}")
    return totals


if __name__ == "__main__":
    sys.exit(main())
