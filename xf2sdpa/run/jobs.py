"""The work of a run, file by file: what each must be told of the others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xf2sdpa.files.source import Source
from xf2sdpa.helper.copies import _HELPER
from xf2sdpa.helper.text import is_copy
from xf2sdpa.project.handed_on import bindings_of_ours, dotted_imports, handed_on, imports_from, names_of_ours
from xf2sdpa.rewrite.engine import NEEDLE
from xf2sdpa.run.wish import Wish
from xf2sdpa.settings import Settings

_SHIPPED_ALONE = re.compile(r"(^|/)examples/community/[^/]+\.py$")
"""Files that diffusers loads one by one, without what lies beside them."""
_SWITCHES = re.compile(r"\.(enable_xformers\w*|(set_)?use_memory_efficient_attention_xformers)\(|XFormers\w*Processor")
"""Of other libraries: what these ask for is the real package."""
_CALLS = re.compile(r"\b(memory_efficient_attention|merge_attentions)")
"""As `NEEDLE`, but not in the names of other libraries' switches."""


@dataclass(frozen=True)
class Job:
    """One file to rewrite, as it is handed to a process."""

    source: Source
    settings: Settings
    only_exact: bool
    handed_on: frozenset[str]
    compat: str | None = None
    reached: bool = False
    handed_over: Mapping[str, str] = field(default_factory=dict)
    migrating: bool = False
    alone: bool = False


def module_stem(path: Path) -> str:
    """What a file's module is called last: a package by its folder."""
    return path.parent.name if path.stem == "__init__" else path.stem


def names_taken_from(path: Path, taken: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The names that others take from a file; `from . import name` is one of its package's `__init__.py`."""
    names = taken.get(module_stem(path), frozenset())
    return names | taken.get("", frozenset()) if path.stem == "__init__" else names


def jobs_of(sources: Sequence[Source], settings: Settings, wish: Wish) -> Iterator[Job]:
    """The work on each source, told what it must know of the others."""
    taken = handed_on([source.text for source in sources], {module_stem(source.path) for source in sources})
    reached = _reached(sources)
    handed_over = _handed_over(sources, taken)
    calls = any(_CALLS.search(source.text) for source in sources)
    module = _HELPER if wish.helper else None
    for source in sources:
        if is_copy(source.text):
            continue
        stem = module_stem(source.path)
        names = names_taken_from(source.path, taken)
        alone = _SHIPPED_ALONE.search(source.path.as_posix()) is not None
        flags = stem in reached or (calls and not _SWITCHES.search(source.text))
        yield Job(source, settings, wish.only_exact, names, None if alone else module, flags, handed_over, calls, alone)


def _reached(sources: Sequence[Source]) -> set[str]:
    """Last components of the modules that files with call sites import from, and of what those import from."""
    imports = {source.path.stem: {last for last, _ in imports_from(source.text)} | _plain(source) for source in sources}
    found = set().union(*(imports[s.path.stem] for s in sources if NEEDLE.search(s.text) and not is_copy(s.text)))
    while further := set().union(*(imports[stem] for stem in found if stem in imports)) - found:
        found |= further
    return found


def _handed_over(sources: Sequence[Source], taken: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """What names stand for that one file binds to a part of xformers and another imports from it."""
    found = {}
    for source in sources:
        stem = module_stem(source.path)
        if taken.get(stem, frozenset()) & names_of_ours(source.text):
            for name, dotted in bindings_of_ours(source.text).items():
                found[f"{stem}.{name}"] = dotted
    return found


def _plain(source: Source) -> set[str]:
    return {dotted.rpartition(".")[2] for dotted in dotted_imports(source.text)}
