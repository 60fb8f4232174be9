"""Helper modules that files import and that are gone: a run puts them back."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from xf2sdpa.files.search import Searcher
from xf2sdpa.files.source import text_or_nothing
from xf2sdpa.helper.text import FILE_NAME, assemble, exported, line_ends, with_ends
from xf2sdpa.model import Copy
from xf2sdpa.project.import_graph import imports_in

_MODULE = FILE_NAME.removesuffix(".py")


def missing_helpers(files: Sequence[str], known: Collection[Path]) -> list[Copy]:
    """Copies for the places where files look for a helper module and none stands; `known` are those a run makes."""
    here = {Path(os.path.realpath(path)) for path in known}
    users: dict[Path, dict[Path, str]] = {}
    names: dict[Path, set[str]] = {}
    for file in Searcher(files).matching({_MODULE.encode()}):
        if file.name == FILE_NAME:
            continue
        for place, module, name in _imported(file):
            if name in exported() and place not in here and not os.path.lexists(place):
                users.setdefault(place, {})[file] = module
                names.setdefault(place, set()).add(name)
    return [
        Copy(_as_given(place, by), by, None, with_ends(assemble(names[place]), line_ends(map(text_or_nothing, by))))
        for place, by in sorted(users.items())
    ]


def _imported(file: Path) -> Iterator[tuple[Path, str, str]]:
    """Where a file looks for a helper module, how it says so, and what it takes."""
    folder = Path(os.path.realpath(file)).parent
    for statement in imports_in(text_or_nothing(file)):
        *above, last = statement.module.split(".")
        if last != _MODULE:
            continue
        module = "." * statement.dots + statement.module
        if statement.dots:
            roots = [folder, *folder.parents][statement.dots - 1 : statement.dots]
        else:  # from where the dotted path begins; a bare name is beside the file
            roots = [root for root in (folder, *folder.parents) if above and root.joinpath(*above).is_dir()]
            roots = roots[:1] if above else [folder]
        for root in roots:
            yield root.joinpath(*above, FILE_NAME), module, statement.name


def _as_given(place: Path, users: Collection[Path]) -> Path:
    """A place, spelled from the path of a file that looks for it."""
    user = min(users)
    return Path(os.path.normpath(user.parent / os.path.relpath(place, Path(os.path.realpath(user)).parent)))
