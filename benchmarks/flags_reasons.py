"""H200 flags over real repositories: how many blocks a run writes, for which reasons, and what it leaves to a person.

    python benchmarks/flags_reasons.py FOLDER [FOLDER ...] [--before PYTHON]

`--before` names an interpreter with another version of xf2sdpa, whose blocks are counted beside. Nothing is written.
Each reason is told in general words, without files and lines, with the number of entry points that give it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

_PLACE = re.compile(r", \w+ at .*|`[^`]*` \(line \d+\)|: `.*|\(line \d+\)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--before", help="an interpreter with another version of xf2sdpa")
    options = parser.parse_args()
    totals: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for folder in options.folders:
        flags = report(sys.executable, folder)
        if flags is None:
            print(f"{folder.name}: no report")
            totals["no report"] += 1
            continue
        tally(flags, totals, reasons)
        if options.before:
            old = report(options.before, folder) or {"places": []}
            totals["blocks before"] += sum(place["code"] == "XF501" for place in old["places"])
    print(f"{len(options.folders)} folders")
    for name, count in [*totals.most_common(), *reasons.most_common()]:
        print(f"{count:6}  {name}")
    return 0


def tally(flags: dict[str, Any], totals: Counter[str], reasons: Counter[str]) -> None:
    """Count what one report says."""
    for place in flags["places"]:
        kind = {"XF501": "blocks", "XF504": "entry points without a flag"}.get(place["code"], place["code"])
        totals[kind] += 1
        reasons.update(f"set: {_PLACE.sub('', reason)}" for reason in place["reasons"])
        reasons.update(f"not set: {_PLACE.sub('', reason)}" for reason in place["lacking"])
        reasons.update(f"left to the program: {theirs.partition(':')[0]}" for theirs in place["theirs"])
    if flags["many"]:
        totals["repositories with more entry points than are edited unasked"] += 1
        totals["entry points in them"] += len(flags["many"])
    totals["repositories with lines to paste"] += bool(flags["paste"])


def report(python: str, folder: Path) -> dict[str, Any] | None:
    """What a run says about flags; None if it says nothing."""
    command = [python, "-m", "xf2sdpa", "rewrite", "--check", "--jobs", "1", "--output-format", "json", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout)["flags"]
    except (ValueError, KeyError):
        return None
    return found


if __name__ == "__main__":
    sys.exit(main())
