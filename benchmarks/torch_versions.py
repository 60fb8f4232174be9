"""The tests that depend on torch, under several versions of it: a table.

    python benchmarks/torch_versions.py PYTHON [PYTHON ...] [--only GROUP] [--json FILE] [--jobs N]

Each PYTHON is an interpreter whose environment holds another torch, and what the tests need: an environment is made by
`python -m venv E; E/bin/pip install torch==2.5.1 numpy -e '.[test]'; E/bin/pip install --no-deps xformers==0.0.35`.
torch before 2.3 wants numpy below 2, and an older torch an xformers that it can import (its masks are what the tests
compare with): 0.0.26.post1 for torch 2.1; for 2.5, 0.0.32.post2 less its library of FlashAttention-3
(`rm xformers/flash_attn_3/_C.so`), which is linked against a newer one. Tests for a GPU are left out.

Prints one line for each interpreter, and below it every test that failed. What FILE holds of the same torch and group
gives way to the new result, all else in it stays.
Exit status: 0 none failed, 1 some did, 2 an interpreter does not run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
GROUPS = {
    "helper": ["tests/compat"],
    "emitted forms": ["tests/test_fixtures.py"],
    "flags": ["tests/test_h200.py", "tests/flags"],
    "judging": ["tests/judging"],
}
FACTS = """
import importlib.metadata, json, platform, torch
print(json.dumps([torch.__version__, platform.python_version(), importlib.metadata.version("xformers")]))
"""
SKIPPED = re.compile(r"SKIPPED \[(\d+)\] [^:]+(?::\d+)?: (.*)")
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|error|xfailed)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one test run (pytest-xdist)")
    parser.add_argument("--only", choices=GROUPS, action="append", help="a group of tests; again for another")
    options = parser.parse_args()
    status, chosen = 0, options.only or list(GROUPS)
    print(f"{'torch':14} {'Python':8} " + " ".join(f"{group:>22}" for group in chosen))
    for python in options.pythons:
        facts = subprocess.run([python, "-c", FACTS], capture_output=True, text=True, check=False)
        if facts.returncode:
            print(f"{python}: {facts.stderr.strip().splitlines()[-1]}")
            status = 2
            continue
        torch, version, xformers = json.loads(facts.stdout)
        found = {group: run(python, GROUPS[group], options.jobs) for group in chosen}
        print(f"{torch:14} {version:8} " + " ".join(f"{shown(group):>22}" for group in found.values()))
        print("".join(f"    {name}\n" for group in found.values() for name in group["failed"]), end="", flush=True)
        if options.json:
            store(options.json, {"torch": torch, "python": version, "xformers": xformers, "groups": found})
        status = max(status, *map(verdict, found.values()))
    return status


def store(file: Path, row: Row) -> None:
    """Write a row beside those of other versions that a file has already, oldest torch first."""
    stored = json.loads(file.read_text()) if file.is_file() else []
    rows = {known["torch"]: known for known in stored}
    groups = rows.get(row["torch"], row)["groups"] | row["groups"]
    rows[row["torch"]] = row | {"groups": {name: groups[name] for name in GROUPS if name in groups}}
    file.write_text(json.dumps(sorted(rows.values(), key=release), indent=1) + "\n")


def release(row: Row) -> list[int]:
    """What a row is sorted by."""
    return [int(part) for part in row["torch"].partition("+")[0].split(".")]


def run(python: str, folders: list[str], jobs: int) -> Row:
    """Run the tests of some folders: numbers by outcome, failed ones by name, why others were left out."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not gpu", "-rfEs", "--tb=no"]
    command += ["-n", str(jobs)] if jobs > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *folders], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    counts = {kind: int(number) for number, kind in COUNTS.findall(lines[-1] if lines else "")}
    failed = [line.split(" ", 1)[1].split(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    left_out: Counter[str] = Counter()
    for number, reason in (match.groups() for line in lines if (match := SKIPPED.match(line))):
        left_out[reason] += int(number)
    return {"counts": counts, "failed": failed, "left out": dict(sorted(left_out.items()))}


def verdict(group: Row) -> int:
    """The exit status that a group asks for."""
    counts = group["counts"]
    return 2 if counts.get("error") or not counts else 1 if group["failed"] else 0


def shown(group: Row) -> str:
    """Counts in a cell."""
    counts = [f"{number} {kind}" for kind, number in group["counts"].items() if kind != "skipped"]
    return ", ".join(counts) or "nothing ran"


if __name__ == "__main__":
    sys.exit(main())
