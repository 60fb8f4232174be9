"""What files take from a copy of the helper that an earlier run made: calls that may be inline by now.

A copy that a person edited may do something else, and so may one that does not belong to this project: their names mean
nothing here. Of the helper's names those of the operator and of its masks are told; all others stay with it anyhow.
"""

from __future__ import annotations

from collections.abc import Iterator

from xf2sdpa.analysis.api import ATTENTION, FORWARD_ONLY, is_mask_class
from xf2sdpa.analysis.names import below
from xf2sdpa.helper.text import FILE_NAME, MODULE_NAME, PACKAGE_NAME, exported, is_copy, is_untouched
from xf2sdpa.project.files import Project
from xf2sdpa.project.import_graph import Import


def meanings_in(project: Project, file: str) -> dict[str, str]:
    """What the names stand for that a file takes from a copy or `xf2sdpa.compat`, by the path as it writes them."""
    return {below(s.source, s.name): f"xformers.ops.{s.name}" for s in _taken(project, file)}


def names_in(project: Project, file: str) -> set[str]:
    """The names that those imports bind in the file."""
    return {statement.bound for statement in _taken(project, file)}


def _taken(project: Project, file: str) -> Iterator[Import]:
    text = project.text(file)
    if MODULE_NAME not in text and PACKAGE_NAME not in text:
        return
    for statement in project.imports(file):
        known = statement.name in (ATTENTION, FORWARD_ONLY) or is_mask_class(statement.name)
        if known and statement.name in exported() and _is_as_made(project, file, statement):
            yield statement


def _is_as_made(project: Project, file: str, statement: Import) -> bool:
    """Whether an import takes a name from the helper as this tool writes it."""
    if not statement.dots and statement.module == PACKAGE_NAME:
        return True
    if statement.module.rpartition(".")[2] != MODULE_NAME:
        return False
    home = project.graph.module(file, statement.dots, statement.module)
    homes = {home} if home is not None else project.graph.candidates(file, statement)
    texts = [project.text(home) for home in homes if home is not None and home.endswith(FILE_NAME)]
    return bool(texts) and all(is_copy(text) and is_untouched(text) for text in texts)
