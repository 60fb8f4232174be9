"""Every notebook of real repositories, rewritten on a copy: what differs in its JSON outside edited cells.

    python benchmarks/notebooks_untouched.py CORPUS [--show DIFFS]

CORPUS holds repositories as folders. Each that has a notebook which names xformers is copied and rewritten. Each
notebook is then held against its old self by the standard library's parser and byte by byte: no key but `source` of
code cells may differ, no source but of cells that the report lists, and without the sources of code cells both must be
the same to the byte. New cells must be ones that the report lists. `nbformat`, where it is installed, must find a
notebook valid that was valid before. A second run must change nothing. Exit status 1 if any of that fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xf2sdpa.files.cells import read_book


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--show", type=Path, help="Write the diffs by cells, and the reports, into this file.")
    options = parser.parse_args()
    totals: Counter[str] = Counter()
    shown: list[str] = []
    for repository in sorted(filter(Path.is_dir, options.corpus.iterdir())):
        if any(map(names_ours, repository.rglob("*.ipynb"))):
            wrong = list(check(repository, totals, shown))
            print(f"{repository.name}: {'; '.join(wrong) if wrong else 'as it should be'}", flush=True)
            totals["wrong"] += len(wrong)
    if options.show:
        options.show.write_text("".join(shown), "utf-8")
    print(", ".join(f"{count} {name}" for name, count in totals.items()))
    return 1 if totals["wrong"] else 0


def names_ours(path: Path) -> bool:
    data = path.read_bytes().lower() if path.is_file() else b""
    return b"xformers" in data or b"mslk" in data


def check(repository: Path, totals: Counter[str], shown: list[str]) -> Iterator[str]:
    """What is wrong in one repository."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(repository, Path(place) / "tree", symlinks=True))
        before = {path: path.read_bytes() for path in copy.rglob("*.ipynb") if path.is_file()}
        shown += [f"===== {repository.name}\n", xf2sdpa(copy, "--diff").stdout]
        report = json.loads(xf2sdpa(copy, "--output-format", "json").stdout)
        cells = {copy / file["path"]: file.get("cells", []) for file in report["files"]}
        totals["repositories"] += 1
        for path, data in before.items():
            totals["notebooks"] += 1
            totals["named"] += names_ours(path)
            totals["changed"] += path.read_bytes() != data
            yield from (
                f"{path.relative_to(copy)}: {why}" for why in compared(data, path.read_bytes(), cells.get(path, []))
            )
        again = json.loads(xf2sdpa(copy, "--check", "--output-format", "json").stdout)
        yield from (
            f"{f['path']}: changes again" for f in again["files"] if f["changed"] and f["path"].endswith(".ipynb")
        )


def xf2sdpa(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", *options, "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def compared(old: bytes, new: bytes, cells: list[dict[str, Any]]) -> Iterator[str]:
    """What differs in a notebook that should not."""
    if old == new:
        if cells:
            yield "is as it was, but cells are reported"
        return
    was, now = (json.loads(data) for data in (old, new))
    added = [change["new"] for change in cells if change["old"] is None]
    edited = {change["cell"] - 1: change for change in cells if change["old"] is not None}
    kept = [cell for cell in now["cells"] if not (source(cell) in added and added.remove(source(cell)) is None)]
    gone = {index for index, change in edited.items() if change["new"] is None}
    pairs = list(zip((i for i in range(len(was["cells"])) if i not in gone), kept, strict=True))
    for index, cell in pairs:
        wanted = edited[index]["new"] if index in edited else source(was["cells"][index])
        if source(cell) != wanted:
            yield f"cell {index + 1} is not what the report says"
        if {**cell, "source": ""} != {**was["cells"][index], "source": ""}:
            yield f"cell {index + 1} differs outside its source"
    if {**was, "cells": []} != {**now, "cells": []}:
        yield "differs outside its cells"
    if not gone and len(kept) == len(now["cells"]):
        texts = (data.decode("utf-8-sig") for data in (old, new))
        if len(set(map(without_sources, texts))) > 1:
            yield "differs in its bytes outside the sources of code cells"
    yield from invalid(old, new)


def without_sources(text: str) -> str:
    """A notebook's text with the sources of its code cells cut out."""
    for cell in reversed(read_book(text).cells):
        if cell.value:
            text = text[: cell.value[0]] + text[cell.value[1] :]
    return text


def source(cell: dict[str, Any]) -> str:
    return "".join(cell.get("source", ""))


def invalid(old: bytes, new: bytes) -> Iterator[str]:
    try:
        import nbformat  # noqa: PLC0415 - an extra
    except ImportError:
        return
    problems = []
    for data in (old, new):
        try:
            nbformat.validate(json.loads(data))
            problems.append(False)
        except nbformat.ValidationError:
            problems.append(True)
    if problems == [False, True]:
        yield "nbformat took it before, and does not now"


if __name__ == "__main__":
    sys.exit(main())
