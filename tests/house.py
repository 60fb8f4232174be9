"""The map of the house as data: its rooms from the ground up, and which room imports which.

A room is a folder of `xf2sdpa`, or a module that lies beside the folders. A room may import the rooms that stand above
it in `ROOMS` (the lower floors), never one that stands below.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).parents[1] / "xf2sdpa"

ROOMS = {
    "model": "records that pass between rooms",
    "files": "a file's bytes and text, git's listing, patterns, a search of many files",
    "folding": "lines that fit the terminal they are shown in, broken between words",
    "console": "how a command ends that cannot go on",
    "collector": "how often a process of ours looks for cycles among its objects",
    "settings": "what a project or a command line asks for, as plain data",
    "codes": "the codes of the run itself, and the families of codes",
    "compat": "the torch-only stand-in for what cannot be inline; the static half reads it as text only",
    "analysis": "what ONE file's code says; nothing here edits",
    "edits": "edits as data, carried out on LibCST, and the self-check",
    "project": "what only the whole project says: who imports whom, what is handed on, where programs start",
    "helper": "the helper module: its text, its place, its copies",
    "uninstall": "can xformers go? flags held back, files still bound, requirements, torch",
    "flags": "H200 backend flags: the table, the block in a file's text, which files get it",
    "rulekit": "what a rule stands on: drafts, spelling, helper names, guards, quoted names",
    "rules": "the rules; none imports another",
    "rewrite": "ONE text from old to new: decisions, wishes, edits, the pages of `explain`",
    "report": "one output format, one file",
    "run": "a run over many files: options, jobs, pool, order of passes, writing",
    "libcst_command": "the same rewrite for `python -m libcst.tool codemod`",
    "h200": "the flags while a program runs; imports torch",
    "page": "HTML pages: tables, charts, templates",
    "timing": "how long calls take, and on what machine",
    "judging": "old against new on tensors, for verify and bench; imports torch",
    "bench": "the performance guide's claims, measured",
    "verify": "plans, runs and reports a comparison of a whole project",
    "bot": "the rewrite of a repository as a pull request",
    "cli": "the commands, each imported when it is called",
    "__main__": "the short way out where nothing matches; else the command line",
}
"""What each room holds, lowest first."""

FLOORS_OF_VERIFY = (
    "model", "plain", "options", "speed", "verdict", "pytest_plugin", "report", "planning", "inputs", "shadow", "run",
    "command",
)  # fmt: skip
"""The rooms inside `verify`, lowest first."""

FLOORS_OF_BENCH = (
    "model", "ceilings", "judges", "workloads", "implementations", "modules", "guide", "selection", "report", "run",
    "command",
)  # fmt: skip
"""The rooms inside `bench`, lowest first."""


@dataclass(frozen=True)
class Arrow:
    """One import: `source` imports `target`, both dotted paths below `xf2sdpa`."""

    source: str
    target: str


def texts() -> dict[str, str]:
    """The text of every module, by its dotted path below `xf2sdpa`; a package by its own."""
    found = {}
    for path in HOME.rglob("*.py"):
        parts = path.relative_to(HOME).with_suffix("").parts
        dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[dotted] = path.read_text("utf-8")
    return found


def arrows(modules: Mapping[str, str]) -> Iterator[Arrow]:
    """Every import of one module by another, those in functions and for type checkers among them."""
    for source, text in modules.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                start = _start(node, source, modules)
                named = (f"{start}.{alias.name}" for alias in node.names)
                paths = [path if _below(path) in modules else start for path in named]
            elif isinstance(node, ast.Import):
                paths = [alias.name for alias in node.names]
            else:
                continue
            for path in paths:
                if path.partition(".")[0] == "xf2sdpa" and _below(path) != source:
                    yield Arrow(source, _below(path))


def _start(node: ast.ImportFrom, source: str, modules: Mapping[str, str]) -> str:
    """The module that an import takes names from; dots at its beginning count from the package of `source`."""
    if not node.level:
        return str(node.module)
    is_package = any(module.startswith(f"{source}.") for module in modules)
    package = ["xf2sdpa", *source.split(".")][: None if is_package else -1]
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def _below(dotted: str) -> str:
    return dotted.removeprefix("xf2sdpa").lstrip(".")


def room(module: str) -> str:
    """The room that a module lies in; the package's own module is none."""
    return module.partition(".")[0]


def upward(modules: Mapping[str, str]) -> list[Arrow]:
    """The imports that lead from a lower room to a higher one."""
    floors = {name: floor for floor, name in enumerate(ROOMS)}
    inside = {
        **{f"verify.{name}": floor for floor, name in enumerate(FLOORS_OF_VERIFY)},
        **{f"bench.{name}": floor for floor, name in enumerate(FLOORS_OF_BENCH)},
    }
    found = []
    for arrow in arrows(modules):
        source, target = room(arrow.source), room(arrow.target)
        if source == target:
            one, other = (inside.get(".".join(m.split(".")[:2])) for m in (arrow.source, arrow.target))
            if one is not None and other is not None and one < other:
                found.append(arrow)
        elif target and source and floors[source] < floors[target]:
            found.append(arrow)
    return found


def circles(modules: Mapping[str, str]) -> list[list[str]]:
    """Groups of modules that import one another in a circle; imports in functions count as well."""
    edges: dict[str, set[str]] = {module: set() for module in modules}
    for arrow in arrows(modules):
        if arrow.target in edges and not arrow.source.startswith(f"{arrow.target}."):  # not a package from its parts
            edges[arrow.source].add(arrow.target)
    reached: dict[str, set[str]] = {module: _reached(edges, module) for module in edges}
    found = {frozenset(m for m in reached[module] if module in reached[m]) for module in edges}
    return sorted(sorted(group) for group in found if group)


def _reached(edges: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += edges.get(module, ())
    return found
