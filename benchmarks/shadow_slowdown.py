"""What a shadow run costs: a small training script alone, with the samples of `--samples N`, and with every call.

    python benchmarks/shadow_slowdown.py [--device cuda] [--steps 60] [--rounds 3] [--json OUT.json]

Whole processes are timed, start and report included. A later step is the median time between two lines that the
script prints, over its second half, where `--samples 3` has all it wants: that is what a long run costs. Without
xformers or a GPU the plain run is on the reference too, so that like is compared with like.

Where two plain runs print the same losses, the others must; exit status 1 if not. Where they do not, the program is not
deterministic, and the largest difference between plain runs stands beside that of the others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
EXAMPLE = "examples/families"
ALONE = """
import runpy, sys
from xf2sdpa.judging.old_path import find_old_path
sys.argv = sys.argv[1:]
sys.path[0] = {folder!r}
with find_old_path().install():
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
KINDS = ("alone", "alone again", "samples 3", "samples 3, no times", "all calls, no times")


@dataclass
class Timed:
    """One run: its seconds, those of a later step, and the losses it printed."""

    seconds: float
    step: float
    losses: list[float]


def timed(command: list[str]) -> Timed:
    """Run a command to its end; when each of its lines came is when a step ended."""
    began = time.perf_counter()
    came, losses, lines = [], [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        for line in process.stdout or ():
            lines.append(line)
            if found := re.fullmatch(r"step \d+: loss (\S+)", line.strip()):
                came.append(time.perf_counter())
                losses.append(float(found[1]))
    if process.returncode not in {0, 3}:
        raise SystemExit(f"exit status {process.returncode}: {' '.join(command)}\n{''.join(lines)[-2000:]}")
    gaps = [after - before for before, after in itertools.pairwise(came[len(came) // 2 :])]
    return Timed(time.perf_counter() - began, statistics.median(gaps), losses)


def commands(script: list[str], report: Path) -> dict[str, list[str]]:
    """How each kind of run is started; `report` is that of the last."""
    plain = [sys.executable, "-u", "-c", ALONE.format(folder=EXAMPLE), *script]
    verify = [sys.executable, "-m", "xf2sdpa", "verify", EXAMPLE, "--json", str(report)]
    program = ["--", sys.executable, "-u", *script]
    return {
        "alone": plain,
        "alone again": plain,
        "samples 3": [*verify, *program],
        "samples 3, no times": [*verify, "--no-timing", *program],
        "all calls, no times": [*verify, "--no-timing", "--samples", "0", *program],
    }


def measured(device: str, steps: int, rounds: int) -> dict[str, Any]:
    """Medians over rounds, and the losses of the first."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        script = [f"{EXAMPLE}/train.py", "--steps", str(steps), "--device", device]
        kinds = commands(script, report)
        runs = {name: [timed(command) for _ in range(rounds)] for name, command in kinds.items()}
        written = json.loads(report.read_text())
    plain = runs["alone"][0].losses
    machine = {name: value for name, value in written["environment"].items() if name != "command"}
    found: dict[str, Any] = {"environment": machine, "steps": steps, "rounds": rounds}
    found["calls"] = sum(site["calls"] for site in written["sites"])
    found["runs"] = {
        name: {
            "seconds": statistics.median(run.seconds for run in made),
            "step": statistics.median(run.step for run in made),
            "apart": max(abs(x - y) for run in made for x, y in zip(run.losses, plain, strict=True)),
        }
        for name, made in runs.items()
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measured(given.device, given.steps, given.rounds)
    runs, alone = found["runs"], found["runs"]["alone"]
    print(f"{'run':<22}{'seconds':>9}{'ratio':>7}{'a later step (ms)':>19}{'ratio':>7}{'losses apart':>14}")
    for name, run in runs.items():
        whole, step = run["seconds"] / alone["seconds"], run["step"] / alone["step"]
        print(
            f"{name:<22}{run['seconds']:>9.2f}{whole:>7.2f}{1000 * run['step']:>19.1f}{step:>7.2f}{run['apart']:>14.2g}"
        )
    own = max(runs["alone"]["apart"], runs["alone again"]["apart"])
    others = max(run["apart"] for run in runs.values())
    if own:
        print(
            f"{found['calls']} calls seen; the script is not deterministic here: plain runs differ by up to {own:.2g}"
        )
    else:
        print(f"{found['calls']} calls seen; plain runs agree to the last digit, the others by {others:.2g}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(1 if others and not own else 0)


if __name__ == "__main__":
    main()
