"""Where the helper module goes, and how each file that needs it says so.

One copy in the nearest package that all its users share; beside the files where there is no package. Imports are
relative where the file imports relatively already, else by the dotted path by which the project knows the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_RELATIVE = re.compile(r"^[ \t]*from[ \t]+\.", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """A folder for a copy, and the module path by which each of its users imports it."""

    folder: Path
    modules: Mapping[Path, str]


def places(users: Iterable[Path], texts: Mapping[Path, str], imported: frozenset[str], name: str) -> list[Place]:
    """A place for each group of users that share a package.

    Args:
        users: the files that need the helper.
        texts: the text of each.
        imported: every dotted module path that some file of the project imports.
        name: the helper's module name, without `.py`.
    """
    groups: dict[Path, list[Path]] = {}
    for user in users:
        groups.setdefault(_root(user, imported), []).append(user)
    found = []
    for root, members in sorted(groups.items()):
        folder = _common(members, root)
        modules = {user: _module(user, folder, root, texts[user], name) for user in members}
        found.append(Place(folder, modules))
    return found


def _root(user: Path, imported: frozenset[str]) -> Path:
    """The folder from which a file's dotted path counts: above its packages, or where imports of it begin."""
    folder = user.resolve().parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    # A folder without __init__.py can still be imported from: `from models.layers import …`
    parts = user.resolve().with_suffix("").parts
    for length in range(len(parts) - len(folder.parts), 5):
        dotted = ".".join(parts[-length:])
        if length > 1 and dotted in imported:
            folder = Path(*parts[: len(parts) - length])
    return folder


def _common(members: list[Path], root: Path) -> Path:
    """The deepest folder that holds all members; below `root` unless they lie apart."""
    common = members[0].resolve().parent
    for member in members[1:]:
        while common not in member.resolve().parents:
            common = common.parent
    return common if common == root or root in common.parents else root


def _module(user: Path, folder: Path, root: Path, text: str, name: str) -> str:
    own = user.resolve().parent
    packaged = (own / "__init__.py").exists()
    if packaged and _RELATIVE.search(text) and own != root:
        ups = len(own.relative_to(folder).parts)
        return "." * (ups + 1) + name
    return ".".join([*folder.relative_to(root).parts, name])
