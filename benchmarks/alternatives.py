"""Whether some other form of torch would be faster than the one we emit, in the rows that miss a limit of shapes.py.

    python benchmarks/alternatives.py OUT.json [--rounds 15]
    python benchmarks/alternatives.py OUT.json --rehearse     # on the CPU, small sizes: tries this script only

Of a window: compiled `flex_attention`, its block mask made before. Of blocks: cuDNN's ragged kernel, which torch has as
a private operator only. Of long causal rows: compiled `flex_attention`, and cuDNN on tensors that are stored heads
first (the copy is not counted, so this is a bound). Each is compared with what we emit, in the result (relative to its
largest value), and timed as in shapes.py; `first` is what the first call takes, as each new shape will again.

Prints a table and writes JSON. Exit status: 0 measured, 3 not run (no GPU or no xformers).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shapes
import torch
import torch.nn.functional as F

from xf2sdpa.bench import workloads

Row = dict[str, Any]
ROWS = ("window ±256, one batch", "window ±256", "block-diagonal", "4k, causal", "16k, causal")


def flex(shape: Row, device: str, visible: Callable[..., Any]) -> shapes.Call:
    """Compiled `flex_attention` over `[B, M, H, K]`; on the CPU as it is, as compiling it tells nothing there."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention  # noqa: PLC0415

    mask = create_block_mask(visible, None, None, shape["m"], shape["n"], device=device)
    attend: Any = torch.compile(flex_attention, dynamic=False) if device == "cuda" else flex_attention
    return lambda q, k, v: attend(*(x.transpose(1, 2) for x in (q, k, v)), block_mask=mask).transpose(1, 2)


def ragged(row: shapes.Row) -> shapes.Call:
    """cuDNN over the blocks of a `[1, T, H, K]`."""
    info = row.work.mask.q_seqinfo
    starts, longest = info.seqstart.to(row.inputs[0].device), info.max_seqlen

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        out = torch.ops.aten._cudnn_attention_forward(q[0], k[0], v[0], None, starts, starts, longest, longest, True)
        return out[0].unsqueeze(0)

    return run


def alternatives(shape: Row, row: shapes.Row, device: str) -> dict[str, shapes.Call]:
    """Other forms of a row, by name."""
    if shape["name"] == "block-diagonal":
        return {"cuDNN, ragged": ragged(row)} if device == "cuda" else {}
    if "window" in shape["name"]:
        left, right = shape["window"]
        return {"flex": flex(shape, device, lambda _, __, i, j: (j >= i - left) & (j <= i + right))}
    return {"flex": flex(shape, device, lambda _, __, i, j: i >= j)}


def heads_first(row: shapes.Row) -> tuple[dict[str, shapes.Call], list[torch.Tensor]]:
    """The causal call on tensors that are stored `[B, H, M, K]`."""
    stored = [x.transpose(1, 2).contiguous() for x in row.inputs]
    return {"xformers": lambda *x: F.scaled_dot_product_attention(*x, is_causal=True)}, stored


def measured(shape: Row, xformers_ops: Any, clock: shapes.Clock) -> Row:
    """Times of the sides, and how the others differ from ours."""
    row = shapes.row_of(shape, xformers_ops, clock.device)
    sides = {"xformers": row.sides["xformers"], row.emitted: row.sides[row.emitted]}
    line: Row = {"name": shape["name"], "emitted": row.emitted, "refused": {}}
    ours = shapes.no_graph(sides[row.emitted], row.inputs)
    for name, call in alternatives(shape, row, clock.device).items():
        began = time.perf_counter()
        try:
            out = shapes.no_graph(call, row.inputs)
            float(out.flatten()[0])
        except Exception as error:  # whatever it says is the finding
            line["refused"][name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            continue
        line["first"] = {name: time.perf_counter() - began}
        line["difference"] = {name: float((out - ours).abs().max() / ours.abs().max())}
        sides[name] = call
    for backward in (False, True)[: 2 if clock.device == "cuda" else 1]:  # torch has flex backward on a GPU only
        way = "fwd+bwd" if backward else "fwd"
        line[way] = shapes.measure(sides, row.inputs, backward, clock)
        if "causal" in shape["name"]:
            bound, stored = heads_first(row)
            line[way]["heads first"] = shapes.measure(bound, stored, backward, clock)["xformers"]
            line[way]["heads first"]["ratio"] = line[way]["xformers"]["median"] / line[way]["heads first"]["median"]
    return line


def print_line(line: Row) -> None:
    for way in (way for way in ("fwd", "fwd+bwd") if way in line):
        cells = (f"{name} {x['median']:.3f} ({x['kernel_ms']:.3f}) ×{x['ratio']:.2f}" for name, x in line[way].items())
        print(f"{line['name']:24} {way:8}", " | ".join(cells), flush=True)
    for what in ("first", "difference", "refused"):
        if line.get(what):
            print(f"{'':24} {what}:", ", ".join(f"{name} {value}" for name, value in line[what].items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, small; compat in place of xformers")
    options = parser.parse_args()
    xformers_ops, reason = (None, "") if options.rehearse else shapes.why_not()
    if reason:
        print(f"not run: {reason}")
        return 3
    clock = shapes.Clock("cpu" if options.rehearse else "cuda", 3 if options.rehearse else options.rounds)
    facts = shapes.facts_of(xformers_ops)
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(
        "ms a call (ms in kernels), ×: xformers' time over it; seconds of the first call; largest relative difference"
    )
    table = {shape["name"]: shape for shape in workloads.read_table()}
    rows = []
    for name in ROWS:
        shape = workloads.shrunk(table[name]) if options.rehearse else table[name]
        rows.append(measured(shape, xformers_ops, clock))
        print_line(rows[-1])
    options.out.write_text(json.dumps(facts | {"rows": rows}, indent=1, default=lambda x: round(x, 5)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
