"""What a shadow run costs: a small training script alone, with the samples of `--samples N`, and with every call.

    python benchmarks/shadow_slowdown.py [--device cuda] [--steps 30] [--json OUT.json]

Whole processes are timed, start and report included, and a run of one step is subtracted to give the cost of a step
that is no longer sampled. Without xformers or a GPU the plain run is on the reference too, so that like is compared
with like. Exits with 1 if the losses of the runs differ.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "families"
ALONE = """
import runpy, sys
from xf2sdpa.verify.judging.old_path import find_old_path
sys.argv = sys.argv[1:]
sys.path[0] = {folder!r}
with find_old_path().install():
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def seconds(command: list[str]) -> tuple[float, str]:
    """How long a command takes, and what it prints."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode not in {0, 3}:
        raise SystemExit(f"exit status {done.returncode}: {' '.join(command)}\n{done.stderr[-2000:]}")
    return took, done.stdout


def verify(report: Path, *options: str) -> list[str]:
    command = [sys.executable, "-m", "xf2sdpa", "verify", str(EXAMPLE), "--json", str(report)]
    return [*command, *options, "--", sys.executable]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        found = measured(given, report)
        found["calls"] = sum(site["calls"] for site in json.loads(report.read_text())["sites"])
    print(f"{'run':<28}{'seconds':>9}{'of it, a step after the first (ms)':>38}{'ratio':>8}")
    alone = found["alone"]
    for name in ("alone", "samples 3", "samples 3, no times", "all calls, no times"):
        whole, step = found[name]["seconds"], found[name]["step"]
        print(f"{name:<28}{whole:>9.2f}{1000 * step:>38.1f}{whole / alone['seconds']:>8.2f}")
    print(f"{found['calls']} calls seen; losses of all runs are the same: {found['same']}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(0 if found["same"] else 1)


def measured(given: argparse.Namespace, report: Path) -> dict[str, Any]:
    """Seconds of each kind of run, medians over rounds."""
    runs = {
        "alone": [sys.executable, "-c", ALONE.format(folder=str(EXAMPLE))],
        "samples 3": verify(report),
        "samples 3, no times": verify(report, "--no-timing"),
        "all calls, no times": verify(report, "--no-timing", "--samples", "0"),
    }
    times: dict[tuple[str, int], list[float]] = {}
    printed = set()
    for _ in range(given.rounds):
        for name, command in runs.items():
            for steps in (1, given.steps):
                script = [str(EXAMPLE / "train.py"), "--steps", str(steps), "--device", given.device]
                took, output = seconds([*command, *script])
                times.setdefault((name, steps), []).append(took)
                if steps == given.steps:
                    printed.add(output)
    found: dict[str, Any] = {"device": given.device, "steps": given.steps, "same": len(printed) == 1}
    for name in runs:
        first, whole = (statistics.median(times[name, steps]) for steps in (1, given.steps))
        found[name] = {"seconds": whole, "step": (whole - first) / max(given.steps - 1, 1)}
    return found


if __name__ == "__main__":
    main()
