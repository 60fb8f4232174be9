"""Plans for the text of one file, and programs that are run in a process of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from xf2sdpa.cli import cli
from xf2sdpa.files.source import decode
from xf2sdpa.settings import Settings
from xf2sdpa.verify.planning.old_text import OldTexts
from xf2sdpa.verify.planning.plan import Plan, SitePlan
from xf2sdpa.verify.planning.sites import plan

ROOT = Path(__file__).parent.parent.parent
PATH = Path("program.py")
_PYTHONPATH = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
KNOWN = {"PYTHONPATH": _PYTHONPATH, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
"""The environment of all programs."""


def planned(old: str, disk: str | None = None, path: Path = PATH, **settings: Any) -> Plan:
    """The plan for a text; with `disk`, for a tree that holds that instead."""
    texts = OldTexts()
    source = decode(old.encode(), path)
    if disk is None:
        texts.sources[path] = source
    else:
        texts.take(source, disk)
    return plan(texts, Settings(**settings))


def only(found: Plan) -> SitePlan:
    """The one site of a plan."""
    (site,) = found.sites
    return site


@dataclass
class Done:
    """How a run of verify ended: its exit status, and what the program printed."""

    returncode: int
    stdout: str
    stderr: str


def verify(folder: Path, *arguments: str, **environment: str) -> tuple[Done, dict[str, Any]]:
    """`xf2sdpa verify` in a folder, in this process (torch is imported already), and its JSON report, if any."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    command = ["verify", "--json", str(report), "--no-timing", *arguments]
    here = Path.cwd()
    try:
        os.chdir(folder)
        with mock.patch.dict(os.environ, KNOWN | environment), _printed(folder) as read:
            try:
                cli.main(command, standalone_mode=False)
            except SystemExit as end:
                status = int(end.code or 0)
            done = Done(status, *read())
    finally:
        os.chdir(here)
    return done, json.loads(report.read_text()) if report.exists() else {}


@contextlib.contextmanager
def _printed(folder: Path) -> Iterator[Callable[[], list[str]]]:
    """What sub-processes print while this lasts."""
    files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - closed below
    kept = [os.dup(number) for number in (1, 2)]
    for number, file in enumerate(files, 1):
        os.dup2(file.fileno(), number)

    def read() -> list[str]:
        for file in files:
            file.seek(0)
        return [file.read().decode() for file in files]

    try:
        yield read
    finally:
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)
        for file in files:
            file.close()


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with this checkout importable and torch on one thread."""
    given = os.environ | KNOWN | environment
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=300)
