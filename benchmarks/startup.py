"""One small file without a match: `xf2sdpa rewrite FILE` beside `python -c pass`.

    python benchmarks/startup.py [--rounds N]

Limit: 6 times `python -c pass` (exit status 1 beyond it). Goal: 3 times. For orientation also `import click` and
`import libcst` alone, and the same file under `--check`. The commands take turns, so that a busy machine slows all
of them alike; each figure is the median of its rounds.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from timing import Table, as_installed, run_command

LIMIT = 6.0
TEXT = "import torch\n\n\ndef relu(x):\n    return torch.relu(x) + 1\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    script = shutil.which("xf2sdpa", path=str(Path(sys.executable).parent)) or shutil.which("xf2sdpa")
    if script is None:
        print("the command xf2sdpa is not installed")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "small.py"
        file.write_text(TEXT)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "xf2sdpa rewrite FILE": [script, "rewrite", str(file)],
            "xf2sdpa rewrite --check FILE": [script, "rewrite", "--check", str(file)],
            "python -c 'import click'": [sys.executable, "-c", "import click"],
            "python -c 'import libcst'": [sys.executable, "-c", "import libcst"],
        }
        table = Table("python -c pass", "ms", 1000)
        for _ in range(rounds):
            for name, command in commands.items():
                table.add(name, run_command(command, environment=as_installed(folder)))
    table.print()
    return table.verdict("xf2sdpa rewrite FILE", LIMIT)


if __name__ == "__main__":
    sys.exit(main())
