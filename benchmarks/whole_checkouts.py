"""Whole checkouts before and after the rewrite: no name is undefined, no import is broken, every one left has a reason.

    python benchmarks/whole_checkouts.py CORPUS [NAME ...] [--keep FOLDER]

Each folder of CORPUS is copied and rewritten there. Then, against the copy as it was:

* ruff's checks for undefined names, unknown exports, redefinitions and unused imports say nothing new of any file, save
  of imports of the project's own modules that stand in functions and whose only readers went: such an import runs the
  module, which may register something or switch it on, and whether that is wanted there, only its people know
  (`from modules import shared` in forge's modules/errors.py); these are counted as `explained`;
* an import that is new leads to torch or to a file of the tree;
* a name that a module no longer binds is imported from it by no other file;
* a file that still imports xformers or mslk stands in the report, with a call that is left or a finding.

Prints what does not hold, and a line for each folder. `--keep` keeps the rewritten trees. Exit status: 0 all holds, 1
something does not, 2 a run failed.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

CHECKS = "F401,F811,F821,F822,F823"
OURS = re.compile(r"^\s*(?:from|import)\s+(?:xformers|mslk)\b", re.MULTILINE)
TIMEOUT = 900


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    folders = sorted(
        f for f in options.corpus.iterdir() if f.is_dir() and (not options.names or f.name in options.names)
    )
    status, totals = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        for folder in folders:
            place = (options.keep or Path(temporary)) / folder.name
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(folder, place, symlinks=True, ignore=shutil.ignore_patterns(".git"))
            began = time.perf_counter()
            report = rewritten(place)
            seconds = time.perf_counter() - began
            if report is None:
                print(f"{folder.name}: the run failed", flush=True)
                status = 2
                continue
            explained: list[str] = []
            wrong = list(problems(folder, place, report, explained))
            counts = report["totals"] | {"seconds": round(seconds, 1), "wrong": len(wrong), "explained": len(explained)}
            totals.update({key: value for key, value in counts.items() if key != "seconds"})
            print(f"{folder.name}: {' '.join(f'{key} {value}' for key, value in counts.items() if value)}", flush=True)
            for line in wrong:
                print(f"    {line}", flush=True)
            if not options.keep:
                shutil.rmtree(place)
    print(f"{len(folders)} folders: {dict(totals)}")
    return max(status, 1 if totals["wrong"] else 0)


def rewritten(place: Path) -> dict | None:
    """Rewrite a tree in place; the report, or None if there is none."""
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "--output-format", "json", "."]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        return json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None


def problems(before: Path, after: Path, report: dict, explained: list[str]) -> Iterator[str]:
    """What does not hold in one tree; `explained` takes what ruff says that has a reason."""
    told = {file["path"]: file for file in report["files"]}
    changed = [path for path, file in told.items() if file["changed"] and path.endswith(".py")]
    new = [helper["path"] for helper in report["helpers"] if helper["new"]]
    was, now = (Counter(said(root, [*changed, *(new if root == after else [])])) for root in (before, after))
    for path, message in now - was:
        line = f"ruff: {path}: {message}"
        if is_idle_own_import(after, path, message):
            explained.append(line)
        else:
            yield line
    for path in changed:
        old, text = tree(before / path), tree(after / path)
        if text is None or old is None:
            yield f"does not parse: {path}"
            continue
        for imported in set(imports(text)) - set(imports(old)):
            if not leads_somewhere(after, Path(path), imported):
                yield f"leads nowhere: {path}: {'.' * imported[0]}{imported[1]} {imported[2]}"
        gone = bindings(old) - bindings(text)
        yield from (f"still imported: {path}: {name}, by {other}" for name, other in taken(after, path, gone))
    for file in after.rglob("*.py"):
        path = file.relative_to(after).as_posix()
        text = file.read_text("utf-8", "replace") if file.is_file() else ""
        if OURS.search(text) and not has_reason(told.get(path)):
            yield f"imports xformers, and nothing is said: {path}"


def said(root: Path, paths: list[str]) -> Iterator[tuple[str, str]]:
    """What ruff says of files, each with its path and without the line."""
    if not paths:
        return
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--exit-zero", "--select", CHECKS]
    command += ["--target-version", "py312", "--output-format", "json", "--", *paths]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    for item in json.loads(done.stdout):
        message = re.sub(r"(from )?line \d+", "", item["message"])
        yield Path(item["filename"]).relative_to(root.resolve()).as_posix(), f"{item['code']} {message}"


def is_idle_own_import(root: Path, path: str, message: str) -> bool:
    """Whether ruff speaks of an unused import of a module of the tree, and all such imports stand in functions."""
    found = re.match(r"F401 `([\w.]+)(?: as \w+)?` imported but unused", message)
    module = tree(root / path)
    if found is None or module is None:
        return False
    named = [item for item in imports(module) if ".".join(filter(None, item[1:])) == found[1].lstrip(".")]
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {item for function in functions for item in imports(function)}
    outside = {item for node in without_functions(module) for item in imports_of(node)}
    own = (item[1].split(".")[0] != "torch" and leads_somewhere(root, Path(path), item) for item in named)
    return bool(named) and set(named) <= inside - outside and all(own)


def without_functions(module: ast.Module) -> Iterator[ast.AST]:
    """The nodes of a module outside its functions."""
    waiting: list[ast.AST] = [module]
    while waiting:
        node = waiting.pop()
        yield node
        inner = ast.iter_child_nodes(node)
        waiting += [n for n in inner if not isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def tree(file: Path) -> ast.Module | None:
    """The syntax tree of a file; None if it has none."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return None


def imports(module: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Every import: how many dots, the module, the name (empty for `import module`)."""
    for node in ast.walk(module):
        yield from imports_of(node)


def imports_of(node: ast.AST) -> Iterator[tuple[int, str, str]]:
    """What an import brings; nothing of another node."""
    if isinstance(node, ast.Import):
        yield from ((0, alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from ((node.level, node.module or "", alias.name) for alias in node.names)


def leads_somewhere(root: Path, path: Path, imported: tuple[int, str, str]) -> bool:
    """Whether a new import finds torch, or a file of the tree that holds the name."""
    dots, module, name = imported
    if not dots and module.split(".")[0] == "torch":
        return True
    folder = root / path.parent
    starts = [folder.joinpath(*[".."] * (dots - 1))] if dots else [root / up for up in path.parents]
    for start in starts:
        target = start.joinpath(*filter(None, module.split(".")))
        for file in (target.with_suffix(".py"), target / "__init__.py"):
            if file.is_file() and (not name or name in bindings(tree(file))):
                return True
        if name and (target / f"{name}.py").is_file():
            return True
    return False


def bindings(module: ast.Module | None) -> set[str]:
    """The names that a module binds at its top level, in whatever block."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(module.body) if module is not None else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return found


def taken(root: Path, path: str, names: set[str]) -> Iterator[tuple[str, str]]:
    """The names that other files import from a module of this stem, each with the file."""
    stem = Path(path).parent.name if path.endswith("__init__.py") else Path(path).stem
    needle = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names)) if names else None
    for file in root.rglob("*.py") if needle else ():
        if not file.is_file() or not needle.search(file.read_text("utf-8", "replace")):
            continue
        other = tree(file)
        for dots, module, name in imports(other) if other is not None else ():
            if name in names and (module.split(".")[-1] == stem or (dots and not module)):
                yield name, file.relative_to(root).as_posix()


def has_reason(told: dict | None) -> bool:
    """Whether the report says of a file why it still imports xformers."""
    return told is not None and bool(told["findings"] or any(site["class"] == "left" for site in told["sites"]))


if __name__ == "__main__":
    sys.exit(main())
