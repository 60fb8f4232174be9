"""How many repositories can lose xformers after a rewrite, why the others cannot, and what of that can be checked.

    python benchmarks/can_be_uninstalled.py CORPUS [--keep FOLDER] [--json FILE] [--summary FILE]
    python benchmarks/can_be_uninstalled.py --told JSON … [--summary FILE]

CORPUS holds whole repositories, a folder each. Each is copied, rewritten and asked again: `xf2sdpa status` must say the
same, and find nothing that a second run would change. Every requirement file that changed is read by the reference
parser of its format, before and after: nothing but xformers may be gone, nothing but torch's version changed. Exit
status 1 if one does not hold. With --keep the copies stay, for a look at their diffs. --summary writes the figures
alone, without a name of the corpus; --told takes what --json wrote in runs before, in place of a corpus.
"""

from __future__ import annotations

import argparse
import ast
import collections
import configparser
import difflib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from xf2sdpa.files.pyproject import parse_toml

CALL = [sys.executable, "-m", "xf2sdpa"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--told", type=Path, nargs="+", default=[])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--summary", type=Path)
    arguments = parser.parse_args()
    rows = [row for file in arguments.told for row in json.loads(file.read_text("utf-8"))]
    for repository in sorted(path for path in arguments.corpus.iterdir() if path.is_dir()) if arguments.corpus else ():
        with tempfile.TemporaryDirectory() as folder:
            copy = (arguments.keep or Path(folder)) / repository.name
            shutil.copytree(repository, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
            rows.append(look_at(repository, copy))
        print(f"{rows[-1]['answer']:8} {rows[-1]['seconds']:6.1f} s  {repository.name}", flush=True)
        if arguments.json:  # after each, as the whole takes its time
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    tell(rows)
    if arguments.summary:
        arguments.summary.write_text(json.dumps(summary(rows), indent=1) + "\n", "utf-8")
    return int(any(row["faults"] for row in rows))


def look_at(before: Path, copy: Path) -> dict[str, Any]:
    """Rewrite one copy, and hold what came out against what is promised."""
    start = time.monotonic()
    report = rewritten(copy)
    seconds = time.monotonic() - start
    faults = []
    again = json.loads(ran("status", "--output-format", "json", folder=copy).stdout)
    changed = [file["path"] for file in again["files"] if file["changed"]]
    if changed:
        faults.append(f"a second run changes {', '.join(changed)}")
    answer = {True: 0, False: 1, None: 2}[report["closing"]["can_be_uninstalled"]]
    if again["closing"]["can_be_uninstalled"] != report["closing"]["can_be_uninstalled"]:
        faults.append(f"status says {again['closing']['can_be_uninstalled']}, the run {answer}")
    touched = sorted({c["path"] for c in report["closing"]["requirements"] if not c["why"]})
    faults += [fault for file in touched for fault in misread(before / file, copy / file)]
    needing = [m for m in report["closing"]["mentions"] if m["bearing"] in ("needs", "unsure")]
    return {
        "repository": before.name,
        "answer": ("yes", "no", "untold")[answer],
        "seconds": seconds,
        "faults": faults,
        "requirement_files": touched,
        "left": [c for c in report["closing"]["requirements"] if c["why"]],
        "reasons": collections.Counter(reason(mention) for mention in needing),
        "needing": needing,
    }


def rewritten(folder: Path) -> dict[str, Any]:
    done = ran("rewrite", "--output-format", "json", "--no-journal", ".", folder=folder)
    if done.returncode not in (0, 2):
        raise SystemExit(f"{folder}: {done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def ran(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CALL, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def reason(mention: dict[str, Any]) -> str:
    """The kind of a place, with the code of its finding or what it does there."""
    return f"{mention['kind']}: {mention['code'] or mention['text']}" if mention["kind"] == "code" else mention["kind"]


def misread(before: Path, after: Path) -> list[str]:
    """What the reference parser of a format finds wrong with an edited requirement file."""
    old, new = (required(path) for path in (before, after))
    if isinstance(new, str):
        return [f"{after}: {new}"] if not isinstance(old, str) else []
    gone = [line for line in difflib.ndiff(old, new) if line[:1] in "+-"] if not isinstance(old, str) else []
    return [f"{after}: {line}" for line in gone if "xformers" not in line and "torch" not in line]


def required(path: Path) -> list[str] | str:
    """All strings that a requirement file holds, by the parser of its format; the error where it has none."""
    text = path.read_text("utf-8", "replace")
    try:
        if path.name == "setup.py":
            return [str(n.value) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)]
        if path.suffix == ".toml" or path.name == "Pipfile":
            return strings(parse_toml(text))
        if path.suffix == ".cfg":
            config = configparser.RawConfigParser(strict=False)
            config.read_string(text)
            return [
                f"{key} {line}" for name in config.sections() for key, v in config.items(name) for line in v.split("\n")
            ]
        if path.suffix in (".yml", ".yaml"):
            import yaml  # noqa: PLC0415 - comes with LibCST

            return strings(yaml.safe_load(text))
        lines = [line.partition(" #")[0].strip() for line in text.splitlines()]
        return [plain(line) for line in lines if line and not line.startswith("#")]
    except (ValueError, SyntaxError, configparser.Error) as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def plain(line: str) -> str:
    """A line of requirements.txt as `packaging` reads it; as it is where it is none of PEP 508."""
    try:
        return str(Requirement(line))
    except InvalidRequirement:
        return line


def strings(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [text for key, value in node.items() for text in (str(key), *strings(value))]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [str(node)]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all repositories; of each reason how many have it, and in how many places."""
    answers = collections.Counter(row["answer"] for row in rows)
    places: collections.Counter[str] = collections.Counter()
    spread: collections.Counter[str] = collections.Counter()
    for row in rows:
        places.update(row["reasons"])
        spread.update(set(row["reasons"]))
    return {
        "repositories": len(rows),
        "answers": {answer: answers[answer] for answer in ("yes", "no", "untold")},
        "requirement_files_edited": sum(len(row["requirement_files"]) for row in rows),
        "faults": sum(len(row["faults"]) for row in rows),
        "reasons": {
            told: {"repositories": count, "places": places[told]}
            for told, count in sorted(spread.items(), key=lambda item: (-item[1], item[0]))
        },
    }


def tell(rows: list[dict[str, Any]]) -> None:
    told = summary(rows)
    answers = told["answers"]
    print(f"\n{len(rows)} repositories: {answers['yes']} yes, {answers['no']} no, {answers['untold']} cannot be told")
    print(f"{told['requirement_files_edited']} requirement files edited")
    print("\nreason                                                   repositories  places")
    for reason_, counts in told["reasons"].items():
        print(f"{reason_[:56]:56} {counts['repositories']:12} {counts['places']:7}")
    for row in rows:
        for fault in row["faults"]:
            print(f"FAULT {row['repository']}: {fault}")


if __name__ == "__main__":
    sys.exit(main())
