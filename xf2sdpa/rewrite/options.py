"""What one file is rewritten with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xf2sdpa.analysis.others import Others
from xf2sdpa.analysis.values import Value
from xf2sdpa.model import Seen, Unreached
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
    replaced: frozenset[str] = frozenset()
    """Variables of this file, imports and flags, that other files put something else in the place of."""
    elsewhere: frozenset[str] = frozenset()
    """Names that this file binds to parts of xformers, its private flags, and attributes that it gives as `op=`: those
    that others have behind a dot, or as strings."""
    asking: Mapping[str, bool] = field(default_factory=dict)
    """Functions of other files that are given a package's name; True for those that only say whether it is there."""
    reached: bool = False
    """Whether files with call sites import something from this one: its flags then count as theirs."""
    migrating: bool = False
    """Whether the project has call sites at all."""
    loaded_alone: bool = False
    """Whether the file is loaded by itself, without others of its project."""
    own_modules: frozenset[str] = frozenset()
    """Dotted paths, as this file writes them in its imports, that lead to files of its own project."""
    starred: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What its star imports bring, by the module as written: names, with the path of what is imported; only of files of
    its own project."""
    own_library: bool = False
    """Whether the library with the switches to xformers (diffusers) is part of the project: a fork holds it."""
    own_switches: bool = False
    """Whether a class of the project has code behind such a switch."""
    inherited: frozenset[str] = frozenset()
    """Methods of that library's that this file's classes have from a file of its own project."""
    subclasses: frozenset[str] = frozenset()
    """Classes, by dotted path as this file has them, that are of its own project and diffusers' all the same."""
    diffusers: tuple[int, int] | None = None
    """The newest release of diffusers that the project admits, if it says so."""
    own_functions: Mapping[str, str] = field(default_factory=dict)
    """The text of each function that it imports from there under the operator's name, by its dotted path."""
    never_passed: Mapping[tuple[str, str], tuple[Unreached, ...]] = field(default_factory=dict)
    """Functions and those of their parameters that nothing in the project passes, by no call that is reached."""
    others: Others = field(default_factory=Others)
    """What other files change of what this one shows."""
    passed: Mapping[tuple[str, str], Value] = field(default_factory=dict)
    """What all callers in the project pass for parameters of this file's functions, by qualified name and parameter."""
    seen: Mapping[str, Seen] = field(default_factory=dict)
    """What recorded runs saw at the file's calls, as in `FileDraft`."""
    plain_masks: str | None = None
    """Why masked calls need no guard against cuDNN's NaN gradients: an assumption, or empty where no torch that the
    project admits has them; None where they do."""
    mask_objects: bool = True
    """Whether something in the project may make a mask object of xformers."""
    masks_stay: str = ""
    """What keeps the project's mask objects with xformers, as a clause; empty where the helper's may take their place.
    """
