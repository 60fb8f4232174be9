"""What one file is rewritten with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xf2sdpa.settings import Settings


@dataclass(frozen=True)
class Options:
    """What one file is rewritten with; see `rewrite_text`."""

    settings: Settings
    only_exact: bool = False
    handed_on: frozenset[str] = frozenset()
    compat: str | None = None
    meanings: Mapping[str, str] = field(default_factory=dict)
    """What names of other files stand for, by the dotted path as this file has it: `.shared.xops` → `xformers.ops`."""
    asking: Mapping[str, bool] = field(default_factory=dict)
    """Functions of other files that are given a package's name; True for those that only say whether it is there."""
    reached: bool = False
    """Whether files with call sites import something from this one: its flags then count as theirs."""
    migrating: bool = False
    """Whether the project has call sites at all."""
    loaded_alone: bool = False
    """Whether the file is loaded by itself, without others of its project."""
    own_imports: frozenset[str] = frozenset()
    """Processors of another library's name that this file imports from its own project, by their dotted paths."""
    own_library: bool = False
    """Whether the library with the switches to xformers (diffusers) is part of the project: a fork holds it."""
    own_functions: Mapping[str, str] = field(default_factory=dict)
    """The text of each function that it imports from there under the operator's name, by its dotted path."""
