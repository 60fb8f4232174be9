"""The mutation table: rewrites that are wrong on purpose, each of which the comparison must catch by a named check.

    python -m tests.verify.mutations [--device cuda] [--json FILE] [--only WORD]

A row is a site as a user has it (`old`), the right rewrite (`new`) and a wrong one (`wrong`). On the same inputs the
right one must agree, and the wrong one must differ in the check that the row names: one that is caught by an exception
or by a shape only would not count. On the CPU the plain reference stands in for xformers, on a GPU it is the real one;
rows with `cpu=False` need a kernel that only a GPU has. Exit status: 0 the table holds, 1 it does not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.verify.mutation import TOOLS, Mutation
from tests.verify.mutation_table import TABLE
from xf2sdpa.judging.compare import compare_probe
from xf2sdpa.judging.model import Case
from xf2sdpa.judging.old_path import OldPath, find_old_path, quiet_import
from xf2sdpa.judging.probe import Probe
from xf2sdpa.verify.report.words import failure


@dataclass
class Outcome:
    """What came of one row in one dtype."""

    mutation: Mutation
    dtype: str
    right: Case
    wrong: Case

    @property
    def caught_by(self) -> list[str]:
        """The checks that failed for the wrong text."""
        return [check.name for check in self.wrong.checks if check.available and not check.ok]

    @property
    def alarm(self) -> list[str]:
        """What was said against the right text."""
        return [failure(check) for check in self.right.checks if check.available and not check.ok]

    @property
    def compared(self) -> bool:
        """Whether the right text was compared at all."""
        return self.right.compared

    @property
    def holds(self) -> bool:
        """Whether the right text agrees, and the named check caught the wrong one."""
        return self.right.ok and self.compared and self.mutation.check in self.caught_by

    def as_data(self) -> dict[str, Any]:
        """A row of the JSON table."""
        row = {"name": self.mutation.name, "site": self.mutation.site, "dtype": self.dtype, "holds": self.holds}
        row |= {"check": self.mutation.check, "caught_by": self.caught_by, "false_alarm": self.alarm}
        found = next((check for check in self.wrong.checks if check.name == self.mutation.check), None)
        if found is not None:
            row |= {"message": found.message, "error": found.new_error, "limit": found.limit}
        exact = [check for check in self.right.checks if check.name.startswith("exact")]
        row |= {"exact": [check.message for check in exact], "exact_available": any(check.available for check in exact)}
        return row | {"notes": list(self.right.notes)}


def run_row(mutation: Mutation, dtype: str, device: str, path: OldPath) -> Outcome:
    """Both texts of one row through `compare_probe`."""
    names = TOOLS | {"masks": quiet_import("xformers.ops.fmha.attn_bias")}
    atoms = _inputs(mutation, device, getattr(torch, dtype), names)
    parameters = ", ".join(atoms)

    def compiled(text: str, first: str = "") -> Callable[..., Any]:
        function: Callable[..., Any] = eval(f"lambda {first}{parameters}: {text}", names)
        return function

    def case(text: str) -> Case:
        operator = path.variant(mutation.variant)
        probe = Probe(mutation.site, compiled(mutation.old, "op, "), compiled(text), operator)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=mutation.autocast):
            return compare_probe(probe, list(atoms.values()), seed=1, gradients=mutation.gradients)

    return Outcome(mutation, dtype, case(mutation.new), case(mutation.wrong))


def _inputs(mutation: Mutation, device: str, dtype: torch.dtype, names: dict[str, Any]) -> dict[str, Any]:
    atoms: dict[str, Any] = {}
    drawn = torch.Generator().manual_seed(7)
    for name, given in mutation.given.items():
        if isinstance(given, tuple):
            atoms[name] = torch.randn(given, generator=drawn).to(device, dtype)
        else:
            atoms[name] = eval(given, names | {"drawn": drawn, "device": device, "dtype": dtype} | atoms)
        if hasattr(atoms[name], "to") and not isinstance(atoms[name], Tensor):
            atoms[name] = atoms[name].to(torch.device(device))
    for name in mutation.trains.split():
        atoms[name].requires_grad_()
    return atoms


def jobs(device: str, only: str = "") -> list[tuple[Mutation, str]]:
    """Every row that this device can show, in every dtype of the row."""
    rows = [mutation for mutation in TABLE if only in mutation.name and (mutation.cpu or device == "cuda")]
    return [(mutation, dtype) for mutation in rows for dtype in mutation.shown(device)]


Row = dict[str, Any]


def _here(todo: list[tuple[Mutation, str]], device: str) -> Iterator[Row]:
    path = find_old_path()
    for mutation, dtype in todo:
        yield run_row(mutation, dtype, device, path).as_data()


def _in_processes(todo: list[tuple[Mutation, str]], options: argparse.Namespace) -> Iterator[Row]:
    """The same in other processes: a kernel that crashes takes its process along, and no more than its own row."""
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "rows")
        while done < len(todo):
            arguments = ["--device", options.device, "--only", options.only, "--from-row", str(done)]
            command = [sys.executable, "-m", "tests.verify.mutations", *arguments, "--lines", str(lines)]
            lines.write_text("")
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            _, errors = process.communicate()
            rows = [json.loads(line) for line in lines.read_text().splitlines()]
            yield from rows
            done += len(rows)
            if done < len(todo):
                mutation, dtype = todo[done]
                told = (errors.strip().splitlines() or ["no message"])[-1]
                row = {"name": mutation.name, "site": mutation.site, "dtype": dtype, "holds": False}
                yield row | {"check": mutation.check, "caught_by": [], "false_alarm": [f"the process died: {told}"]}
                done += 1


def main(arguments: list[str] | None = None) -> int:
    """Print the table; write it as JSON too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--from-row", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--lines", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    todo = jobs(options.device, options.only)
    if options.lines:
        with options.lines.open("a") as lines:
            for row in _here(todo[options.from_row :], options.device):
                lines.write(json.dumps(row) + "\n")
                lines.flush()
        return 0
    return _table(_in_processes(todo, options) if options.device == "cuda" else _here(todo, options.device), options)


def _table(rows: Iterator[Row], options: argparse.Namespace) -> int:
    began = time.perf_counter()
    path = find_old_path()
    print(f"torch {torch.__version__}, {options.device}, old path: {path.description}")
    print(f"{'wrong rewrite':48} {'dtype':9} {'':6} caught by")
    seen = []
    for row in rows:
        seen.append(row)
        verdict, told = "" if row["holds"] else "FAILS", ", ".join(row["caught_by"]) or "nothing"
        print(f"{row['name']:48} {row['dtype']:9} {verdict:6} {told}", flush=True)
        for message in row["false_alarm"]:
            print(f"{'':58} false alarm: {message}")
    bad = [row for row in seen if not row["holds"]]
    skipped = list(_not_shown(options.device))
    names = {row["name"] for row in seen}
    print(f"{len(names)} wrong rewrites, {len(seen)} rows, {len(bad)} not as they should be")
    print(f"exact mode: {sum(row.get('exact_available', False) for row in seen)} rows compared to the last bit")
    for line in skipped:
        print(f"not shown here: {line}")
    print(f"{time.perf_counter() - began:.0f} s")
    if options.json:
        facts = {"torch": torch.__version__, "device": _device(options.device), "old_path": path.description}
        options.json.write_text(json.dumps(facts | {"not_run": skipped, "rows": seen}, indent=1) + "\n")
    return 1 if bad else 0


def _not_shown(device: str) -> Iterator[str]:
    """What of the table this kind of device does not show, and why."""
    for mutation in TABLE:
        missing = [dtype for dtype in mutation.dtypes if dtype not in mutation.shown(device)]
        if device == "cpu" and not mutation.cpu:
            yield f"{mutation.name}: needs a kernel that only a GPU has"
        elif missing:
            yield f"{mutation.name} ({', '.join(missing)}): {mutation.equal_on_gpu}"


def _device(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


if __name__ == "__main__":
    sys.exit(main())
