"""Which lines and branches of the rooms from `analysis` to `helper` no test reaches, and no comment explains.

    python benchmarks/coverage_of_core.py [TEST …]

Runs the tests of these rooms (or those named) under coverage, prints each file with what is left of it, and exits with
1 if there is any. A line or branch that cannot be reached says so: `# pragma: no cover - why`, `# pragma: no branch -
why`; without the reason the words do not count (pyproject.toml). Takes some ten minutes on one core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("analysis", "edits", "helper", "project", "rewrite", "rulekit", "rules")
TESTS = (*ROOMS, "kinds", "run", "uninstall", "flags", "test_fixtures.py")


def main() -> int:
    """Print what is left; 1 if there is anything."""
    tests = sys.argv[1:] or [f"tests/{name}" for name in TESTS]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "COVERAGE_FILE": str(Path(folder, "data"))}

        def coverage(*arguments: str) -> int:
            return subprocess.call([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, env=environment)

        failed = coverage("run", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
        coverage("combine", "--quiet")
        left = coverage("report", "--show-missing", "--skip-covered", "--precision=2", "--fail-under=100")
    return 1 if failed or left else 0


if __name__ == "__main__":
    sys.exit(main())
