"""`require_serial` for the hooks: one process with all files, or pre-commit's several with a share of the files each?

    python benchmarks/hook.py [--rounds 5]

Runs the hook's command as pre-commit would either way, over files without a match and over files that change, in a git
work tree of 2,000 files, and prints medians in milliseconds. pre-commit deals the files out to as many processes as
there are processors, at least four files each. What is said of a project is only whole in one process: the others would
look at files that their neighbours are about to write. Exits with 1 where one process takes more than 1.5 times as
long.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from killed_runs import INLINE

LIMIT = 1.5
TREE = 2_000
SHAPES = ((1, 0), (20, 0), (500, 0), (1, 1), (20, 5), (60, 40))
"""How many files are passed, and how many of these have a call."""
COMMAND = (
    *(sys.executable, "-m", "xf2sdpa", "rewrite", "--check"),
    *("--no-new-files", "--flags=keep", "--no-journal", "--"),
)
PLAIN = (
    "import torch\n\n\ndef relu{n}(x):\n    return torch.relu(x)\n" + "# A line of a file as long as files are.\n" * 60
)


def make(root: Path) -> tuple[list[str], list[str]]:
    """A work tree; returns its files without and with a call."""
    root.mkdir()
    plain, calling = [], []
    for number in range(TREE):
        has_call = number % 20 == 0
        name = f"part{number % 40}/module{number}.py"
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text((INLINE if has_call else PLAIN).replace("{n}", str(number)))
        (calling if has_call else plain).append(name)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    return plain, calling


def seconds(root: Path, shares: list[list[str]]) -> float:
    """Until the hook's command is done with every share, all at once."""
    start = time.perf_counter()
    running = [
        subprocess.Popen([*COMMAND, *share], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for share in shares
    ]
    if not {process.wait() for process in running} <= {0, 1}:
        raise SystemExit("the hook's command failed")
    return time.perf_counter() - start


def dealt(files: list[str], processes: int) -> list[list[str]]:
    """Shares as pre-commit makes them (`pre_commit/xargs.py`): at least four files each."""
    size = max(4, -(-len(files) // processes))
    return [files[first : first + size] for first in range(0, len(files), size)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    processes, slow = os.cpu_count() or 1, False
    print(f"{processes} processors, {rounds} rounds, medians in ms")
    print(f"{'files':>6} {'hits':>5} {'one process':>12} {'several':>9} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "tree")
        plain, calling = make(root)
        for count, hits in SHAPES:
            files = calling[:hits] + plain[: count - hits]
            files = files[::2] + files[1::2]
            times = [(seconds(root, [files]), seconds(root, dealt(files, processes))) for _ in range(rounds)]
            one, several = (statistics.median(column) for column in zip(*times, strict=True))
            slow |= one > LIMIT * several
            print(f"{count:6} {hits:5} {one * 1e3:12.0f} {several * 1e3:9.0f} {one / several:6.2f}", flush=True)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
