"""Random cases of the compat module against xformers' own mask classes, on the CPU; totals a mask class.

    python benchmarks/compat_cases.py --cases 20000 [--first 100000] [--json PATH]

Each case: forward (with and without a graph) and the gradients of query, key and value in float64, to 1e-9
and 1e-8; every fourth once more in float32 under bfloat16 autocast. Needs xformers installed, for its mask
classes; no GPU. Exit status 1 if a case fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "compat"))

from compat_oracle import KINDS, actual, case, expected, forward_and_gradients, worst_error  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000, help="how many in all")
    parser.add_argument("--first", type=int, default=0, help="seed of the first case of each kind")
    parser.add_argument("--json", type=Path, help="write the table there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    print(f"torch {torch.__version__}; float64 forward 1e-9, gradients 1e-8; float32 under autocast 5e-5")
    print(f"{'kind':54} {'cases':>6} {'by rank':>20} {'fp32':>6} {'forward':>9} {'gradient':>9} {'failed':>7}")
    share, rest = divmod(options.cases, len(KINDS))
    rows = [run(kind, options.first, share + (i < rest)) for i, kind in enumerate(KINDS)]
    total, failed = sum(row["cases"] for row in rows), sum(len(row["failed"]) for row in rows)
    print(f"{'total':54} {total:6} {'':20} {sum(row['float32'] for row in rows):6} {'':19} {failed:7}")
    print(f"{time.perf_counter() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1) + "\n")
    return 1 if failed else 0


def run(kind: str, first: int, count: int) -> dict:
    """One line of the table."""
    row: dict = {"kind": kind, "cases": count, "ranks": {3: 0, 4: 0, 5: 0}, "float32": 0, "failed": []}
    forward = gradient = 0.0
    for seed in range(first, first + count):
        problem = case(kind, seed)
        row["ranks"][problem.rank] += 1
        errors = worst_error(problem)
        forward, gradient = max(forward, errors[0]), max(gradient, errors[1])
        good = errors[0] <= 1e-9 and errors[1] <= 1e-8
        if seed % 4 == 0:
            row["float32"] += 1
            good &= float32_is_right(problem)
        if not good:
            row["failed"].append(seed)
    row |= {"forward": forward, "gradient": gradient}
    ranks = " ".join(f"{rank}-D {n}" for rank, n in row["ranks"].items() if n)
    figures = f"{row['float32']:6} {forward:9.1e} {gradient:9.1e} {len(row['failed']):7}"
    print(f"{kind:54} {count:6} {ranks:>20} {figures}", flush=True)
    return row


def float32_is_right(problem) -> bool:
    got = forward_and_gradients(actual, problem, torch.float32, autocast=True)
    want = forward_and_gradients(expected, problem)
    return all(
        a.dtype == torch.float32 and torch.allclose(a.double(), b, atol=5e-5, rtol=1e-4)
        for a, b in zip(got, want, strict=True)
    )


if __name__ == "__main__":
    sys.exit(main())
