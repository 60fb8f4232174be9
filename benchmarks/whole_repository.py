"""Whole repositories: `xf2sdpa rewrite --check` beside django-upgrade on the same files, both in one process.

    python benchmarks/whole_repository.py FOLDER [FOLDER ...] [--rounds N]

Both only say what they would change. django-upgrade (`pip install django-upgrade`) parses every file and rewrites by
tokens; it is given the Python files that this tool would look at. The two take turns; figures are processor seconds of
the whole process, which other programs on the machine disturb less than the time that passes. Limit: once
django-upgrade's time on each folder (exit status 1 beyond it). A folder without Python files is passed over.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from timing import Table, as_installed

from xf2sdpa.files.listing import list_files

LIMIT = 1.0
OURS, THEIRS = "xf2sdpa rewrite --check", "django-upgrade --check"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if importlib.util.find_spec("django_upgrade") is None:
        print("django-upgrade is not installed: pip install django-upgrade")
        return 2
    with tempfile.TemporaryDirectory() as place:
        environment = as_installed(place) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return max([measure(folder, options.rounds, environment) for folder in options.folders])


def measure(folder: Path, rounds: int, environment: Mapping[str, str]) -> int:
    files = [str(Path(file).resolve()) for file in list_files([folder]) if file.endswith(".py")]
    size = sum(Path(file).stat().st_size for file in files)
    print(f"\n{folder.name}: {len(files)} Python files, {size / 1e6:.1f} MB", flush=True)
    if not files:
        return 0
    commands = {
        THEIRS: [sys.executable, "-m", "django_upgrade", "--check", "--target-version", "4.2", *files],
        # a release to write for: a project held to an older torch is an error, after all the work
        OURS: [sys.executable, "-m", "xf2sdpa", "rewrite", "--check", "--torch", "2.11", "--jobs", "1", "."],
    }
    table = Table(THEIRS, "s", 1)
    for number in range(rounds + 1):
        for name, command in commands.items():
            seconds = processor_seconds(command, folder, environment)
            if number:  # the first round fills the file cache, and writes bytecode
                table.add(name, seconds)
    table.print()
    return table.verdict(OURS, LIMIT)


def processor_seconds(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """The processor time of a command that may exit with 0 or 1."""
    before = os.times()
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    after = os.times()
    if done.returncode not in (0, 1):
        raise SystemExit(f"exit status {done.returncode}: {' '.join(command[:6])} …")
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    sys.exit(main())
