"""Judges what became of a project that asks whether xformers is there: it is run before and after, with it and without.

A project whose call was migrated must take, in both surroundings, the branch that it took with xformers. Any other must
take the branch that it took before in the same surroundings. Whatever name it bound before and still reads is bound.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import oracle
from tests.projects import harness
from tests.property.asking import Project

_IMPORT = re.compile(r"^\s*(?:import|from) xformers\b", re.MULTILINE)
SURROUNDINGS = {"present": oracle.installed, "absent": oracle.absent}


@dataclass(frozen=True)
class Ran:
    """One run: the branch, or the exception, and the public names of each module of the project."""

    branch: str
    names: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Result:
    """What the rewrite made of a project: its files, and whether the call was migrated."""

    texts: dict[str, str]
    migrated: bool


def rewritten(project: Project, folder: Path) -> Result:
    """Rewrite a project in a folder of its own."""
    root = harness.write(folder, project.texts())
    output = harness.rewrite(root, "--flags", "off").output
    return Result(harness.tree(root), "1 call site: " in output and ", 0 left." in output)


def run(texts: Mapping[str, str], folder: Path, where: str) -> Ran:
    """Run a project's files."""
    root = harness.write(folder, texts)
    files = [name for name in texts if name != "eager.py" and "_attention_compat" not in name]
    with harness.fresh(root, SURROUNDINGS[where]):
        try:
            branch = importlib.import_module("main").run(*harness.tensors())[0]
        except Exception as error:
            return Ran(f"{type(error).__name__}: {error}", {})
        modules = {name: name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in files}
        names = {name: frozenset(vars(importlib.import_module(module))) for name, module in modules.items()}
    return Ran(branch, names)


def complaints(project: Project, before: Mapping[str, Ran], result: Result, folder: Path) -> list[str]:
    """What is wrong with the new files; empty if nothing is."""
    found = []
    for where in SURROUNDINGS:
        after = run(result.texts, folder / f"after-{where}", where)
        expected = before["present" if result.migrated else where]
        if after.branch != expected.branch:
            found.append(f"xformers {where}: {after.branch!r} instead of {expected.branch!r}")
            continue
        for file, names in expected.names.items():
            lost = names - after.names.get(file, frozenset())
            read = [name for name in sorted(lost) if any(_reads(text, name) for text in result.texts.values())]
            if read:
                found.append(f"xformers {where}: {file} no longer binds {', '.join(read)}, which is still read")
    if result.migrated and any(_IMPORT.search(text) for text in result.texts.values()):
        found.append("an import of xformers stays")
    return found


def ran_before(project: Project, folder: Path) -> dict[str, Ran]:
    """The project as it is, in both surroundings; the example is wrong if it does not take both branches."""
    before = {where: run(project.texts(), folder / f"before-{where}", where) for where in SURROUNDINGS}
    assert before["present"].branch == "fast", f"{project}: {before['present'].branch}"
    assert before["absent"].branch in ("slow", "RuntimeError: slow"), f"{project}: {before['absent'].branch}"
    return before


def _reads(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.'\"]){re.escape(name)}\b(?!\s*=[^=])", text) is not None
