"""The helper module of a notebook that no package stands beside: a cell of its own that writes it as a file.

`%%writefile _attention_compat.py` puts the module where the kernel looks first, so that the helper's own names do not
mix with the notebook's, and other processes can import it too. The cell goes above the first that imports it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from xf2sdpa.helper.text import FILE_NAME, MODULE_NAME, assemble, bound_names, exported, is_copy, is_untouched
from xf2sdpa.project.files import Project

_FIRST_LINE = f"%%writefile {FILE_NAME}\n"


def helper_of(cell: str) -> str | None:
    """The text of the helper module that a cell writes; None where it does something else."""
    body = cell.removeprefix(_FIRST_LINE)
    return body.rstrip("\n") + "\n" if body != cell and is_copy(body) else None


def cell_with(names: Collection[str], standing: str | None = None) -> str | None:
    """A cell that writes a helper module with these names.

    Args:
        names: what the notebook takes from the helper.
        standing: the text of the module in a cell that is there already; its names are kept.

    Returns:
        The cell's source; None where a person edited the one that stands.
    """
    if standing is not None and not is_untouched(standing):
        return None
    kept = bound_names(standing or "") & exported()
    return (_FIRST_LINE + assemble({*names, *kept})).removesuffix("\n")


def lacking_in(standing: str | None, names: Collection[str]) -> frozenset[str]:
    """The names that a helper lacks which stands in a cell and which a person edited."""
    if standing is None or is_untouched(standing):
        return frozenset()
    return frozenset(names) - bound_names(standing)


def importable_from(notebook: Path, helpers: Iterable[Path], project: Project) -> tuple[Path, str] | None:
    """A helper module that a notebook can import as its kernel is started in its folder, and how; None for none.

    One that lies in that folder, or in a package in it which the notebook imports from anyway.
    """
    folder = Path(os.path.realpath(notebook)).parent
    roots = {s.module.partition(".")[0] for s in project.imports(notebook) if not s.dots}
    found = []
    for helper in helpers:
        place = Path(os.path.realpath(helper)).parent
        below = place.relative_to(folder).parts if place.is_relative_to(folder) else None
        if below is not None and all(map(str.isidentifier, below)) and (not below or below[0] in roots):
            found.append((len(below), helper, ".".join([*below, MODULE_NAME])))
    return min(found)[1:] if found else None
