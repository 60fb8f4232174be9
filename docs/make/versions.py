"""The table of torch versions in docs/helper.md, made from what the tests said under each.

    python docs/make/versions.py            # writes it
    python docs/make/versions.py --check    # exit 1 if it says something else than the result

It reads `benchmarks/results/torch_versions.json` (`benchmarks/torch_versions.py --json FILE`, run for each version).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import DOCS, ROOT, between, run, wrapped

from xf2sdpa.bench.report import tables
from xf2sdpa.bench.report.markdown import escaped, table_lines

RESULT = ROOT / "benchmarks" / "results" / "torch_versions.json"
Row = dict[str, Any]


def made() -> dict[Path, str]:
    """The page with its table."""
    rows = json.loads(RESULT.read_text("utf-8"))
    page = DOCS / "helper.md"
    return {page: between(page.read_text("utf-8"), "versions", section(rows))}


def section(rows: list[Row]) -> str:
    """The text between the markers."""
    groups = list(rows[0]["groups"])
    cells = tuple(
        (_short(row), row["python"], row["xformers"], *(_cell(row["groups"][group]) for group in groups))
        for row in reversed(rows)
    )
    table = tables.Table("", ("torch", "Python", "xformers", *groups), cells, frozenset(range(3, 3 + len(groups))))
    lacks = [wrapped(escaped(text), bullet=True) for row in rows if (text := _lacks(row))]
    return "\n\n".join(["\n".join(table_lines(table)), "\n".join(lacks)]).rstrip() + "\n"


def _short(row: Row) -> str:
    """Without the build: `2.13.0+cpu` is 2.13.0."""
    return str(row["torch"]).partition("+")[0]


def _cell(group: Row) -> str:
    """`1,183`, and how many failed, if any did."""
    failed = len(group["failed"])
    return f"{group['counts'].get('passed', 0):,}" + (f", {failed} failed" if failed else "")


def _lacks(row: Row) -> str:
    """What was left out under this version because of it: the reasons that speak of a torch."""
    reasons: Counter[str] = Counter()
    for group in row["groups"].values():
        reasons.update({said: number for said, number in group["left out"].items() if "torch" in said})
    said = "; ".join(f"{reason} ({number})" for reason, number in sorted(reasons.items()))
    return f"Left out with torch {_short(row)}: {said}." if said else ""


if __name__ == "__main__":
    sys.exit(run(made, __doc__))
