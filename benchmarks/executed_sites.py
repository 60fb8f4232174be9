"""Which of the inline sites of a corpus were executed, old against new, and why the others were not.

    python benchmarks/executed_sites.py SITES.json RUNS.json [--json FILE]

SITES.json is what `corpus.py --sites` writes, RUNS.json what `run_repositories.py --json` does, over the same corpus.
Prints a line a site: `executed by CASE`, or `read: REASON`; exits with 1 if a site is neither. `--json` stores counts,
by repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

UNUSED = (
    "the script drops the result, so that running it shows nothing: [B, H, M, K] goes in as [B, M, H, K], and stays so"
)
READ = {
    f"kohya-ss/sd-scripts:{place}": UNUSED
    for place in ("gen_img.py:206", "gen_img_diffusers.py:257", "sdxl_gen_img.py:201")
}
"""Sites that were read, by hand, with the reason why running them is not enough."""


def executed(runs: dict[str, Any]) -> dict[str, str]:
    """The case that executed a site without a fault in any mode, by the site."""
    found: dict[str, str] = {}
    for name, report in runs.items():
        modes = [mode for mode in report.values() if isinstance(mode, dict) and "faults" in mode]
        if modes and not any(mode["faults"] for mode in modes):
            repository = report["repository"].replace("+", "/", 1)
            found |= {f"{repository}:{place}": name for mode in modes for place in mode["places"]}
    return found


def main() -> int:
    """Print what became of each site; 1 if one was neither executed nor read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sites", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--json", type=Path, help="write the counts into this file")
    options = parser.parse_args()
    sites = json.loads(options.sites.read_text("utf-8"))
    runs = json.loads(options.runs.read_text("utf-8"))
    inline = sorted(place for place, site in sites.items() if site["kind"] in ("exact", "assumed"))
    by = executed(runs)
    counts: dict[str, Counter[str]] = {}
    for place in inline:
        how = "read" if place in READ else "executed" if place in by else "neither"
        why = {"read": f"read: {READ.get(place)}", "executed": f"executed by {by.get(place)}"}.get(how, how)
        print(f"{place}: {why}")
        counts.setdefault(place.partition(":")[0], Counter())[how] += 1
    total = sum(counts.values(), Counter())
    print(f"{len(inline)} inline sites: {', '.join(f'{count} {how}' for how, count in total.items())}")
    if options.json:
        distances = {
            mode: max(
                report[mode]["largest_distance"]
                for report in runs.values()
                if "largest_distance" in report.get(mode, {})
            )
            for mode in ("float64", "autocast")
        }
        stored = {"cases": len(runs), "largest distance": distances, "repositories": counts}
        options.json.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    return int(total["neither"] > 0)


if __name__ == "__main__":
    sys.exit(main())
