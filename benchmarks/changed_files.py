"""Files that change: the whole rewrite of a text beside `libcst.parse_module` alone, per 1,000 lines.

    python benchmarks/changed_files.py [FOLDER ...] [--rounds N]

Without a FOLDER the inputs of `fixtures/` and `examples/` are used. Both are timed in this process, by turns, on the
same texts; nothing is written. Limit: 3 times LibCST's bare parse (exit status 1 beyond it). The rewrite includes the
analysis, the rules, LibCST's parse and printing, and the self-check with its second analysis.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libcst as cst
from timing import Table

from xf2sdpa.analysis.parsed import forget
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.source import SourceError, read
from xf2sdpa.rewrite.decide import decide
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

LIMIT = 3.0
HERE = Path(__file__).resolve().parent.parent
PARSE, REWRITE, LOOK = "libcst.parse_module", "rewrite_with", "of it, one look (analysis and rules)"
OPTIONS = Options(Settings(), compat="_attention_compat")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    folders = options.folders or [HERE / "fixtures", HERE / "examples"]
    texts = [text for text in inputs(folders) if rewrite_with(text, "<string>", OPTIONS).changed]
    lines = sum(text.count("\n") for text in texts)
    if not texts:
        print("no file there changes")
        return 2
    print(f"{len(texts)} files that change, {lines} lines, {lines // len(texts)} a file on average")
    table = Table(PARSE, "ms/1,000 lines", 1000 * 1000 / lines)
    steps: dict[str, Callable[[str], object]] = {
        PARSE: cst.parse_module,
        REWRITE: lambda text: rewrite_with(text, "<string>", OPTIONS),
        LOOK: lambda text: decide(text, "<string>", OPTIONS),
    }
    for _ in range(options.rounds):
        for name, step in steps.items():
            forget()  # trees of the round before, which a run would not have
            gc.collect()
            started = time.perf_counter()
            for text in texts:
                step(text)
            table.add(name, time.perf_counter() - started)
    table.print()
    return table.verdict(REWRITE, LIMIT)


def inputs(folders: list[Path]) -> Iterator[str]:
    """The texts; of a fixture the part before `# output`."""
    for file in list_files(folders):
        try:
            text = read(Path(file)).text
        except SourceError:
            continue
        yield re.split(r"^# output[ \t]*\r?\n", text, maxsplit=1, flags=re.MULTILINE)[0]


if __name__ == "__main__":
    sys.exit(main())
