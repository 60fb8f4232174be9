"""What the benchmarks share: timing a command, and a table of medians and their ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence


def run_command(
    command: Sequence[str], *, allowed: Sequence[int] = (0,), environment: Mapping[str, str] | None = None
) -> float:
    """The seconds that a command takes; its output goes nowhere."""
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=environment)
    seconds = time.perf_counter() - started
    if done.returncode not in allowed:
        raise SystemExit(f"exit status {done.returncode}: {' '.join(command)}")
    return seconds


def as_installed(place: str) -> dict[str, str]:
    """An environment in which Python finds its bytecode, as that of an installed package is; kept in `place`."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": place}


class Table:
    """Timings by name; one of the names is what the others are compared with."""

    def __init__(self, base: str, unit: str, factor: float) -> None:
        self.base = base
        self.unit = unit
        self.factor = factor
        self.timings: dict[str, list[float]] = {base: []}

    def add(self, name: str, seconds: float) -> None:
        self.timings.setdefault(name, []).append(seconds)

    def median(self, name: str) -> float:
        return statistics.median(self.timings[name])

    def ratio(self, name: str) -> float:
        return self.median(name) / self.median(self.base)

    def print(self) -> None:
        width = max(map(len, self.timings))
        print(f"{'':{width}}  {self.unit + ' (median)':>14}  {'min':>8}  {'ratio':>6}   n")
        for name, timings in self.timings.items():
            median, least = self.median(name) * self.factor, min(timings) * self.factor
            print(f"{name:{width}}  {median:14.2f}  {least:8.2f}  {self.ratio(name):6.2f}  {len(timings):2}")

    def verdict(self, name: str, limit: float) -> int:
        """Say whether the limit is kept; the exit status."""
        kept = self.ratio(name) <= limit
        print(f"{name}: {self.ratio(name):.2f} x {self.base}, limit {limit:g}: {'kept' if kept else 'MISSED'}")
        return int(not kept)
