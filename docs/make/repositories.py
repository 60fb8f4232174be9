"""The figures of docs/repositories.md, made from stored results.

    python docs/make/repositories.py            # writes them
    python docs/make/repositories.py --check    # exit 1 if they say something else than the results

It reads `benchmarks/results/corpus.json` (`benchmarks/corpus.py --json FILE` over all Python files of repositories),
`corpus_matching_files.json` (the same over those that name xformers), `executed_sites.json` (`executed_sites.py`), and
of `helper_sizes.py` `helper_sizes.json` and `helper_sizes_at_first.json`, the second with `--written` over what the
version of 2026-11-22 had rewritten.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import DOCS, ROOT, between, run, wrapped

from xf2sdpa.bench.report.markdown import table_lines
from xf2sdpa.bench.report.tables import Table

RESULTS = ROOT / "benchmarks" / "results"
Document = dict[str, Any]
COLUMNS = ("exact", "assumed", "guarded", "checked")


def made() -> dict[Path, str]:
    """The page with its figures."""
    names = ("corpus", "corpus_matching_files", "executed_sites", "helper_sizes_at_first", "helper_sizes")
    documents = [json.loads((RESULTS / f"{name}.json").read_text("utf-8")) for name in names]
    page = DOCS / "repositories.md"
    return {page: between(page.read_text("utf-8"), "repositories", section(*documents))}


def section(corpus: Document, matching: Document, executed: Document, first: Document, now: Document) -> str:
    """The text between the markers."""
    parts = [
        "## What became of the calls",
        wrapped(_calls(corpus, matching)),
        "\n".join(table_lines(_table("known by", corpus["tables"]["known by"]))),
        "\n".join(table_lines(_table("mask", corpus["tables"]["mask"]))),
        "## Executed, old against new",
        wrapped(_executed(executed)),
        "\n".join(table_lines(_by_repository(executed))),
        "## The helper modules",
        wrapped(_helpers(now)),
        "\n".join(table_lines(_sizes(first, now))),
    ]
    return "\n\n".join(parts) + "\n"


def _calls(corpus: Document, matching: Document) -> str:
    classes = corpus["classes"]
    inline, fewer = (found["classes"]["exact"] + found["classes"]["assumed"] for found in (corpus, matching))
    return (
        f"Of {corpus['sites']} calls in {corpus['repositories']} repositories {inline} became SDPA where they stand "
        f"({inline / corpus['sites']:.0%}): {classes['exact']} exact, {classes['assumed']} assumed. "
        f"{classes['compat']} call the helper, {classes['left']} were left, {classes['removed']} went with an arm for "
        f"an old torch. With only those files in sight that name xformers, and so without most callers, {fewer} did. "
        f"{corpus['repositories free of xformers']} repositories import xformers no longer; of the "
        f"{corpus['repositories of attention alone']} that use nothing of it but attention, "
        f"{corpus['those of them free of xformers']}."
    )


def _table(title: str, rows: dict[str, dict[str, int]]) -> Table:
    cells = [
        (row, str(found["exact"] + found["assumed"]), *(str(found[c]) for c in COLUMNS)) for row, found in rows.items()
    ]
    total = ("all", *(str(sum(int(row[column]) for row in cells)) for column in range(1, 2 + len(COLUMNS))))
    return Table("", (title, "calls", *COLUMNS), (*cells, total), frozenset(range(1, 2 + len(COLUMNS))))


def _executed(found: Document) -> str:
    counts = found["repositories"].values()
    done, read = (sum(count.get(how, 0) for count in counts) for how in ("executed", "read"))
    apart = found["largest distance"]
    return (
        f"Of the {sum(sum(count.values()) for count in counts)} inline calls {done} were executed in their own "
        f"functions ({found['cases']} cases), and {read} read, as their scripts drop the result. In float64 the "
        f"largest distance of an output or gradient is {apart['float64']:.0e} of its norm, where a module goes through "
        f"float32 on its way; under autocast {apart['autocast']:.0e}."
    )


def _by_repository(found: Document) -> Table:
    rows = tuple(
        (name, *(str(count.get(how, 0)) for how in ("executed", "read")))
        for name, count in found["repositories"].items()
    )
    return Table("", ("repository", "executed", "read"), rows, frozenset({1, 2}))


def _helpers(now: Document) -> str:
    without = sum(not sizes for sizes in now["sizes"].values())
    return (
        f"With those files in sight that name xformers, {len(now['sizes'])} repositories are rewritten, and {without} "
        "of them need no helper. Lines of code of the others' helpers, without blanks, comments and docstrings (at "
        "first: the version of 2026-11-22):"
    )


def _sizes(first: Document, now: Document) -> Table:
    rows = tuple(_row(label, found["sizes"]) for label, found in (("at first", first), ("now", now)))
    return Table("", ("", "helpers", "least", "mean", "most", "lines in all"), rows, frozenset(range(1, 6)))


def _row(label: str, by_repository: dict[str, list[int]]) -> tuple[str, ...]:
    sizes = [size for found in by_repository.values() for size in found]
    figures = (len(sizes), min(sizes), round(statistics.mean(sizes)), max(sizes), sum(sizes))
    return (label, *(f"{figure:,}" for figure in figures))


if __name__ == "__main__":
    sys.exit(run(made, __doc__))
