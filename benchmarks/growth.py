"""How the time grows: with the lines of a file, the calls in it, and the files of a project; a table, and a plot.

    python benchmarks/growth.py [--quick] [--svg FILE]

Made-up texts: lines without a call above one call (100 to 20,000), calls in one function (1 to 800), files of which one
in ten holds a call (100 to 10,000). Lines and calls are timed in this process, files as `rewrite --check --jobs 1` with
its memory. Processor seconds, the best of two. Linear means: from one size to the next, the time grows by no more than
1.5 times as much as the size does, which what is quadratic would miss (from the size on at which it takes a tenth of a
second); flat memory: a file among many takes no more than 40 KB (exit status 1 otherwise).
Memory is read as Linux tells it.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xf2sdpa.analysis.parsed import forget
from xf2sdpa.rewrite.engine import rewrite_text

SLACK = 1.5
WORTH = 0.1
"""Seconds below which a time says little."""
BYTES_A_FILE = 40_000
HEAD = "import torch\nimport xformers.ops as xops\n\n\n"
CALL = "xops.memory_efficient_attention(q, k, v).reshape(b, n, h * d)"
FUNCTION = "def attend(q, k, v):\n    b, n, h, d = q.shape\n"


def of_lines(count: int) -> str:
    """A file of so many lines, with one call at its end."""
    filler = "".join(f"def f{n}(x):\n    y = x + {n}\n    return y * 2\n\n\n" for n in range(count // 5))
    return f"{HEAD}{filler}{FUNCTION}    return {CALL}\n"


def of_calls(count: int) -> str:
    """A file with so many calls in one function."""
    return HEAD + FUNCTION + "".join(f"    x{n} = {CALL}\n" for n in range(count)) + "    return x0\n"


def in_process(make: Callable[[int], str]) -> Callable[[int], tuple[float, int]]:
    """What measures the rewrite of one made text."""

    def measure(size: int) -> tuple[float, int]:
        text, best = make(size), float("inf")
        for _ in range(2):
            forget()
            started = time.process_time()
            result = rewrite_text(text)
            best = min(best, time.process_time() - started)
            if result.failed or not result.changed:
                raise SystemExit(f"{size}: the text was not rewritten")
        return best, 0

    return measure


def of_files(count: int) -> tuple[float, int]:
    """The seconds and the bytes of memory that a project of so many files takes."""
    with tempfile.TemporaryDirectory() as place:
        for number in range(count):
            folder = Path(place) / f"pkg{number // 100}"
            folder.mkdir(exist_ok=True)
            text = of_calls(1) if number % 10 == 0 else f"from . import m{number // 10 * 10}\n\nX = {number}\n" * 5
            (folder / f"m{number}.py").write_text(text)
        return _command(place)


def _command(place: str) -> tuple[float, int]:
    code = (
        "import sys\n"
        "from xf2sdpa.cli import cli\n"
        "try:\n    cli(['rewrite', '--check', '--quiet', '--jobs', '1', '--flags', 'off', sys.argv[1]])\n"
        # `ru_maxrss` would begin with the memory of this process.
        "finally:\n    print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, place], capture_output=True, text=True, check=False, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, int(done.stdout.split()[-1]) * 1024


@dataclass
class Row:
    """What was measured of one kind: seconds and bytes, by size."""

    name: str
    measure: Callable[[int], tuple[float, int]]
    sizes: tuple[int, ...]
    seconds: dict[int, float] = field(default_factory=dict)
    memory: dict[int, int] = field(default_factory=dict)

    def run(self) -> None:
        for size in self.sizes:
            self.seconds[size], self.memory[size] = self.measure(size)
            told = f"  {self.memory[size] / 1e6:7.1f} MB" if self.memory[size] else ""
            print(f"{self.name:6} {size:7,}  {self.seconds[size]:8.3f} s  {self._growth(size)}{told}", flush=True)

    def _growth(self, size: int) -> str:
        return f"{self.growth(size):5.2f} x as much as the size" if self.growth(size) else " " * 28

    def growth(self, size: int) -> float:
        """How much more the time grew than the size since the size before; 0 where that took too little to tell."""
        place = self.sizes.index(size)
        if place == 0 or self.seconds[self.sizes[place - 1]] < WORTH:
            return 0.0
        before = self.sizes[place - 1]
        return (self.seconds[size] / self.seconds[before]) / (size / before)

    @property
    def missed(self) -> bool:
        first, last = self.sizes[0], self.sizes[-1]
        swollen = self.memory[last] - self.memory[first] > BYTES_A_FILE * (last - first)
        return swollen or any(self.growth(size) > SLACK for size in self.sizes)


def svg(rows: Mapping[str, Row]) -> str:
    """The rows as lines on logarithmic axes: size across, seconds upwards."""
    colours = ("#1f77b4", "#d62728", "#2ca02c")
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 400" font-family="sans-serif" font-size="11">']
    for power in range(5):
        x = 50 + power * 110
        parts.append(f'<path d="M{x} 20V350" stroke="#ddd"/><text x="{x - 10}" y="366">{10**power:,}</text>')
    for power in range(-3, 3):
        y = 350 - (power + 3) * 66
        parts.append(f'<path d="M50 {y}H500" stroke="#ddd"/><text x="4" y="{y + 4}">{10.0**power:g} s</text>')
    for number, (row, colour) in enumerate(zip(rows.values(), colours, strict=True)):
        points = " ".join(f"{_across(size):.1f},{_up(seconds):.1f}" for size, seconds in row.seconds.items())
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="60" y="{36 + 14 * number}" fill="{colour}">{row.name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _across(size: int) -> float:
    return 50 + 110 * _log(size)


def _up(seconds: float) -> float:
    return 350 - 66 * (_log(max(seconds, 1e-3)) + 3)


def _log(value: float) -> float:
    return math.log10(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the largest sizes")
    parser.add_argument("--svg", type=Path, help="where the plot goes")
    options = parser.parse_args()
    rows = [
        Row("lines", in_process(of_lines), (100, 500, 2_000, 5_000, 10_000, 20_000)),
        Row("calls", in_process(of_calls), (1, 25, 100, 200, 400, 800)),
        Row("files", of_files, (100, 300, 1_000, 3_000, 10_000)),
    ]
    for row in rows:
        row.sizes = row.sizes[:-2] if options.quick else row.sizes
        row.run()
    if options.svg:
        options.svg.write_text(svg({row.name: row for row in rows}))
    missed = [row.name for row in rows if row.missed]
    print(f"not linear, or not flat: {', '.join(missed)}" if missed else "linear, with flat memory")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
