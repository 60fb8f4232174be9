"""The tests that depend on torch, under several versions of it: a table.

    python benchmarks/torch_versions.py PYTHON [PYTHON ...] [--json FILE] [--jobs N]

Each PYTHON is an interpreter whose environment holds another torch, and what the tests need: an environment is made by
`python -m venv E; E/bin/pip install torch==2.5.1 numpy -e '.[test]'; E/bin/pip install --no-deps xformers==0.0.35`.
torch before 2.3 wants numpy below 2. Tests for a GPU are left out. Prints one line for each interpreter, and below it
every test that failed. Exit status: 0 none failed, 1 some did, 2 an interpreter does not run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {
    "helper": ["tests/compat"],
    "emitted forms": ["tests/test_fixtures.py"],
    "flags": ["tests/test_h200.py", "tests/flags"],
    "judging": ["tests/judging"],
}
FACTS = "import json, platform, torch; print(json.dumps([platform.python_version(), torch.__version__]))"
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|error|xfailed)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one test run (pytest-xdist)")
    options = parser.parse_args()
    rows, status = [], 0
    print(f"{'torch':14} {'Python':8} " + " ".join(f"{group:>22}" for group in GROUPS))
    for python in options.pythons:
        facts = subprocess.run([python, "-c", FACTS], capture_output=True, text=True, check=False)
        if facts.returncode:
            print(f"{python}: {facts.stderr.strip().splitlines()[-1]}")
            status = 2
            continue
        version, torch = json.loads(facts.stdout)
        found = {group: run(python, folders, options.jobs) for group, folders in GROUPS.items()}
        cells = " ".join(f"{shown(counts):>22}" for counts, _ in found.values())
        print(f"{torch:14} {version:8} {cells}", flush=True)
        failed = [name for _, names in found.values() for name in names]
        print("".join(f"    {name}\n" for name in failed), end="", flush=True)
        counts = {group: counts for group, (counts, _) in found.items()}
        rows.append({"torch": torch, "python": version, "groups": counts, "failed": failed})
        broken = any(counts.get("error") or not counts for counts, _ in found.values())
        status = max(status, 2 if broken else 1 if failed else 0)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return status


def run(python: str, folders: list[str], jobs: int) -> tuple[dict[str, int], list[str]]:
    """How many tests of some folders passed, failed and so on, and the names of those that failed."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not gpu", "-rfE", "--tb=no"]
    command += ["-n", str(jobs)] if jobs > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *folders], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    counts = {kind: int(number) for number, kind in COUNTS.findall(lines[-1] if lines else "")}
    failed = [line.split(" ", 1)[1].split(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return counts, failed


def shown(counts: dict[str, int]) -> str:
    """Counts in a cell."""
    return ", ".join(f"{number} {kind}" for kind, number in counts.items() if kind != "skipped") or "nothing ran"


if __name__ == "__main__":
    sys.exit(main())
