"""A tree of 2,000 and more files, none of which names xformers: `xf2sdpa rewrite TREE` beside `grep -rl`.

    python benchmarks/no_match.py [--files N] [--rounds N]

The tree is made of the running interpreter's standard library and site-packages, without the files that name
xformers or mslk. Limit: 2.4 times `grep -rl --include=*.py xformers` (exit status 1 beyond it). `rg` and `python -c
pass` stand beside it. The tree is measured twice: as plain folders, and as a git work tree, where git is asked for
the listing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from timing import Table, as_installed, run_command

LIMIT = 2.4
GREP = "grep -rl --include=*.py xformers"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2500)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    script = shutil.which("xf2sdpa", path=str(Path(sys.executable).parent)) or shutil.which("xf2sdpa")
    if script is None:
        print("the command xf2sdpa is not installed")
        return 2
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        count, size = make_tree(tree, options.files)
        print(f"{count} files, {size / 1e6:.1f} MB, {len(os.sched_getaffinity(0))} processors")
        if count < 2000:
            print("too few files for the limit to mean anything: install more packages")
        print("\nplain folders")
        status = measure(script, tree, options.rounds)
        subprocess.run(["git", "init", "-q", str(tree)], check=True)
        subprocess.run(["git", "-C", str(tree), "add", "-A"], check=True)
        print("\na git work tree")
        status |= measure(script, tree, options.rounds)
    return status


def measure(script: str, tree: Path, rounds: int) -> int:
    commands = {
        GREP: (["grep", "-rl", "--include=*.py", "xformers", str(tree)], (1,)),
        "xf2sdpa rewrite": ([script, "rewrite", str(tree)], (0,)),
        "python -c pass": ([sys.executable, "-c", "pass"], (0,)),
    }
    if shutil.which("rg"):
        commands["rg -l -tpy xformers"] = (["rg", "-l", "-tpy", "xformers", str(tree)], (1,))
    table = Table(GREP, "ms", 1000)
    environment = as_installed(str(tree.parent / "bytecode"))
    for number in range(rounds + 1):
        for name, (command, allowed) in commands.items():
            seconds = run_command(command, allowed=allowed, environment=environment)
            if number:  # the first round fills the file cache, and writes bytecode
                table.add(name, seconds)
    table.print()
    return table.verdict("xf2sdpa rewrite", LIMIT)


def make_tree(tree: Path, wanted: int) -> tuple[int, int]:
    """Copy Python files that name neither xformers nor mslk; how many, and their bytes."""
    count = size = 0
    for root, file in python_files():
        data = file.read_bytes()
        if b"xformers" in data.lower() or b"mslk" in data.lower():
            continue
        target = tree / ("library" if root.name.startswith("python") else "packages") / file.relative_to(root)
        if {"build", "dist", "venv", "node_modules"} & set(target.relative_to(tree).parts):
            continue  # folders that a walk would not enter
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        count, size = count + 1, size + len(data)
        if count == wanted:
            break
    return count, size


def python_files() -> Iterator[tuple[Path, Path]]:
    paths = sysconfig.get_paths()
    packages, library = Path(paths["purelib"]), Path(paths["stdlib"])
    for file in sorted(library.rglob("*.py")):
        if packages not in file.parents and "site-packages" not in file.parts:
            yield library, file
    for file in sorted(packages.rglob("*.py")):
        yield packages, file


if __name__ == "__main__":
    sys.exit(main())
