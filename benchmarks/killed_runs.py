"""Killed runs: is every file old or new, does the next run say so, does `undo` work after each?

    python benchmarks/killed_runs.py [--moments 200] [--files 500] [--whole 40] [--seed 0]

Makes a tree of modules, notebooks and requirement files, works out its rewrite once, and then, as often as asked, lets
a process write it and kills that at a random moment, from before its first write to after its last (three times of
four after its journal is there); every fourth time `undo` is killed as well, and asked again. Then whole runs of the
command over a smaller tree are killed, most while they still read and decide. Exits with 1 at the first tree that is
not as it should be.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from xf2sdpa.cli import cli
from xf2sdpa.files.journal import broken_off
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.notebook import PATTERN
from xf2sdpa.model import Run
from xf2sdpa.run.closing import close
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.rewrite_files import rewrite_files
from xf2sdpa.run.undo_command import tell_of_broken_off
from xf2sdpa.run.write import write_back
from xf2sdpa.settings import Settings

INLINE = """\
import xformers.ops as xops


def attend{n}(x, b, n, h):
    q, k, v = x.view(b, n, 3, h, -1).unbind(2)
    return xops.memory_efficient_attention(q, k, v)
"""
HELPED = """\
from xformers.ops import memory_efficient_attention


def attend{n}(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias)
"""
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": [], "source": source}
        for source in (["!pip install torch xformers==0.0.22\n"], None)
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 4,
}
REQUIREMENTS = {
    "pyproject.toml": '[project]\nname = "pkg"\nversion = "1"\ndependencies = ["torch", "xformers>=0.0.20"]\n',
    "requirements.txt": "torch\nxformers==0.0.22  # attention\n",
    "environment.yml": "dependencies:\n  - pytorch\n  - xformers::xformers\n",
    "setup.py": "from setuptools import setup\n\nsetup(install_requires=['torch', 'xformers'])\n",
}
FOLDERS = 20
SMALL = 40
"""Files of the tree whose whole runs are killed."""
Tree = dict[str, bytes]


def make(root: Path, files: int) -> None:
    """A package of that many files, a third of which need the helper module, a tenth notebooks; what it requires."""
    for name, text in REQUIREMENTS.items():
        root.joinpath(name).write_text(text)
    for number in range(files):
        folder = root / "pkg" / f"part{number % FOLDERS}"
        folder.mkdir(parents=True, exist_ok=True)
        text = (HELPED if number % 3 == 0 else INLINE).replace("{n}", str(number))
        if number % 10 == 9:
            cells = [cell if cell["source"] else {**cell, "source": [text]} for cell in NOTEBOOK["cells"]]
            (folder / f"note{number}.ipynb").write_text(json.dumps({**NOTEBOOK, "cells": cells}, indent=1))
        else:
            (folder / f"module{number}.py").write_text(text)
    for folder in (root / "pkg", *(root / "pkg").iterdir()):
        (folder / "__init__.py").touch()


def held(root: Path) -> Tree:
    """Every file and what it holds."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def put(root: Path, tree: Tree) -> None:
    """Make the files what the tree says, and delete others."""
    for name in held(root).keys() - tree.keys():
        root.joinpath(name).unlink()
    for name, data in tree.items():
        if not root.joinpath(name).exists() or root.joinpath(name).read_bytes() != data:
            root.joinpath(name).write_bytes(data)


def killed(work: Callable[[], object], after: float, begun: Callable[[], object] = lambda: True) -> None:
    """Do the work in a process of its own that is killed so many seconds after it has begun, if it is still at work."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    while not begun():
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(0.002)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def undo(root: Path) -> tuple[int, str]:
    """`xf2sdpa undo`, in this process."""
    result = CliRunner().invoke(cli, ["undo", "--quiet", str(root)])
    return result.exit_code, result.output


def planned(root: Path) -> Run:
    """The rewrite of a tree, requirement files included, before anything is written."""
    files = list_files([root], include=(*Settings().include, PATTERN))
    run = rewrite_files(files, Settings(), RunOptions())
    close(run, files, [root], Settings())
    return run


def rewritten(root: Path) -> None:
    """`xf2sdpa rewrite`, in this process."""
    CliRunner().invoke(cli, ["rewrite", "--quiet", "--jobs", "1", str(root)])


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def torn(now: Tree, old: Tree, new: Tree) -> list[str]:
    """Files that are neither as before nor as after, drafts of a killed process aside."""
    drafts = {name for name in now if Path(name).name.startswith(".xf2sdpa-")}
    wrong = [name for name in now.keys() - drafts if now[name] not in (old.get(name), new.get(name))]
    return wrong + sorted((old.keys() & new.keys()) - now.keys())


def told_of(root: Path) -> str:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        tell_of_broken_off(root)
    return errors.getvalue()


def trial(
    root: Path, work: Callable[[], object], old: Tree, new: Tree, *, after: float, undo_after: float | None, late: bool
) -> tuple[str, str]:
    """One killed run and its undoing: what is wrong, empty if nothing is; and how far the run had come.

    With `late` the clock starts when the journal is there, that is with the first file that is written.
    """
    killed(work, after, (lambda: broken_off(root)) if late else lambda: True)
    now = held(root)
    if wrong := torn(now, old, new):
        return f"neither old nor new: {wrong[:3]}", ""
    written = sum(now.get(name) == new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    pending = bool(broken_off(root))
    told = told_of(root)
    if pending != (f"was broken off: {written} of" in told):
        return f"{written} files were written, and the next run said: {told!r}", ""
    if undo_after is not None:
        killed(lambda: undo(root), undo_after)
        if wrong := torn(held(root), old, new):
            return f"neither old nor new, after a killed undo: {wrong[:3]}", ""
    status, said = undo(root)
    nothing = status == 2 and "no run to take back" in said
    now = {name: data for name, data in held(root).items() if not Path(name).name.startswith(".xf2sdpa-")}
    if now != old or (status and not (nothing and (written == 0 or undo_after is not None))):
        return f"undo ended with {status}: {said}", ""
    return "", "none" if not written else "all" if not pending else "some"


def trials(root: Path, work: Callable[[], object], moments: int, chance: random.Random, *, writes: bool) -> bool:
    """Kill the work so many times over the tree as it is now, and say what became of it; whether all was well.

    Work that only `writes` is mostly killed at it.
    """
    old = held(root)
    # In a process of its own, as each trial: writing tells the run what happened to it.
    length = seconds(lambda: os.waitpid(_started(work), 0))
    new = held(root)
    back = seconds(lambda: undo(root))
    put(root, old)
    changed = [name for name in new if new[name] != old.get(name)]
    kinds = collections.Counter(Path(name).suffix for name in changed)
    print(f"{len(changed)} files change ({dict(kinds)}): {length:.2f} s, taking back {back:.2f} s", flush=True)
    ends: collections.Counter[str] = collections.Counter()
    for number in range(moments):
        undo_after = chance.uniform(0, back) if number % 4 == 3 else None
        late = writes and number % 4 != 1
        after = chance.uniform(0, length / (2 if late else 0.9))
        wrong, end = trial(root, work, old, new, after=after, undo_after=undo_after, late=late)
        if wrong:
            print(f"moment {number}: {wrong}")
            return False
        ends[end] += 1
        put(root, old)
        while undo(root)[0] != 2:  # nothing of this trial is left for the next
            put(root, old)
    print(f"{moments} runs killed: {', '.join(f'{ends[end]} with {end} written' for end in ('none', 'some', 'all'))}")
    return True


def main(moments: int, files: int, whole: int, seed: int) -> int:
    """Kill so many runs while they write a tree of so many files, and so many whole ones of a small tree."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_STATE_HOME"] = str(Path(place, "state"))
        roots = [Path(os.path.realpath(place), name) for name in ("project", "small")]
        for root, count in zip(roots, (files, SMALL), strict=True):
            root.mkdir()
            make(root, count)
        run = planned(roots[0])
        well = trials(roots[0], lambda: write_back(run, roots[0]), moments, chance, writes=True)
        well = well and trials(roots[1], lambda: rewritten(roots[1]), whole, chance, writes=False)
    if well:
        print("No file was neither old nor new; each next run said what happened; undo took back every one.")
    return int(not well)


def _started(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", type=int, default=40)
    given = parser.parse_args()
    sys.exit(main(given.moments, given.files, given.whole, given.seed))
