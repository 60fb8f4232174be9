"""The data that verify and the processes of a program exchange: a folder with JSON files.

`plan.json` contains the texts and sites. Each process appends lines to a file of its own, so that nothing is lost if
one of them ends abruptly, and none waits for another.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xf2sdpa.verify.options import Options
from xf2sdpa.verify.planning.parts import Shadow

PLAN = "plan.json"
FOLDER = "XF2SDPA_SHADOW"
"""Environment variable that names the folder."""


@dataclass
class File:
    """One file of the program.

    Attributes:
        text: its old text, which the program runs.
        rewritten: whether the text on disk differs.
        shadows: its sites.
    """

    text: str
    rewritten: bool = False
    shadows: list[Shadow] = field(default_factory=list)


@dataclass
class Handover:
    """Everything that a process needs.

    Attributes:
        files: the files with old texts, by real path.
        helpers: source of each helper module, by key.
        options: the options of the run.
        reference: why the reference is used in xformers' place; empty if the real xformers works.
    """

    files: dict[str, File] = field(default_factory=dict)
    helpers: dict[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    reference: str = ""

    def write(self, folder: Path) -> None:
        """Write the plan into a folder."""
        (folder / PLAN).write_text(json.dumps(dataclasses.asdict(self)), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Handover:
        """Read the plan that `write` wrote."""
        data = json.loads((folder / PLAN).read_text("utf-8"))
        files = {
            path: File(file["text"], file["rewritten"], [Shadow.of(shadow) for shadow in file["shadows"]])
            for path, file in data["files"].items()
        }
        return cls(files, data["helpers"], Options(**data["options"]), data["reference"])


class Recorder:
    """Appends records to this process's own file; a forked child gets a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.process = 0
        self.path = folder

    def unlock(self) -> None:
        """Replace the lock in a forked child: a thread that the child does not have may have held it."""
        self.lock = threading.Lock()

    def write(self, record: dict[str, Any]) -> None:
        """Append one record as a line, and close the file."""
        with self.lock:
            if self.process != os.getpid():
                self.process = os.getpid()
                self.path = self.folder / f"{self.process}-{time.time_ns()}.jsonl"
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")


def records(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of all processes, each with its file's name; incomplete lines are skipped."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text("utf-8", "replace").splitlines():
            try:
                yield path.stem, json.loads(line)
            except ValueError:
                continue
