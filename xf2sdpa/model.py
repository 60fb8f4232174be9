"""The plain data that passes between the rooms of the house.

Nothing here reads a file, parses code or prints. Lines count from 1 and columns from 0, in characters,
as editors' protocols do; whoever prints a column for a person adds 1.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TorchVersion = tuple[int, int]

Pin = tuple[TorchVersion, str]
"""A version, and the place that says it: `requirements.txt:3: torch==2.0.1`."""


class SiteClass(str, enum.Enum):
    """What became of one call site."""

    EXACT = "exact"
    """The same for every input that xformers would accept."""
    ASSUMED = "assumed"
    """Right if the assumptions named in the site hold."""
    COMPAT = "compat"
    """Calls the torch-only stand-in, which decides when it runs."""
    REMOVED = "removed"
    """A capability probe: nothing to compute, so it went."""
    LEFT = "left"
    """Untouched; the site says why and what would help."""


@dataclass(frozen=True)
class Span:
    """A stretch of source text: from (line, column) up to, not including, (end_line, end_column)."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Note:
    """One sentence about a site or a file, under a code that `xf2sdpa explain` knows."""

    code: str
    message: str
    advice: str = ""


@dataclass(frozen=True)
class Site:
    """One call of xformers' attention, and what was decided about it.

    A site is known by `path`, `qualname` and `ordinal` (its index among the sites of that function, from 0):
    that survives a rewrite, line numbers do not.
    """

    path: str
    qualname: str
    ordinal: int
    span: Span
    kind: SiteClass
    code: str
    message: str
    advice: str = ""
    assumptions: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    before: str = ""
    after: str = ""
    torch_floor: TorchVersion | None = None

    @property
    def identity(self) -> str:
        """`path::qualname#ordinal`, stable across a rewrite."""
        return f"{self.path}::{self.qualname}#{self.ordinal}"


class FindingKind(str, enum.Enum):
    """What a finding is about."""

    DONE = "done"
    """An edit of the file, besides those of its calls."""
    DROPPED = "dropped"
    """Words for a person that went with the code around them."""
    NOTE = "note"
    """Something to know."""
    KEEPS = "keeps"
    """The file still needs xformers here."""
    UNSURE = "unsure"
    """The file may still need xformers here."""
    ERROR = "error"
    """The file could not be worked on."""


@dataclass(frozen=True)
class Finding:
    """Something to tell about a place that is not a call site: an edit, an import kept, an error, a value use."""

    path: str
    span: Span
    code: str
    message: str
    advice: str = ""
    kind: FindingKind = FindingKind.NOTE

    @property
    def is_error(self) -> bool:
        """Whether the file could not be worked on."""
        return self.kind is FindingKind.ERROR

    @property
    def needs_xformers(self) -> bool:
        """Whether xformers cannot go, for all that is known, while this stands."""
        return self.kind in (FindingKind.KEEPS, FindingKind.UNSURE, FindingKind.ERROR)


@dataclass
class FileResult:
    """All that happened to one file. `old == new` when nothing changed; `new` is never half an edit."""

    path: Path
    old: str = ""
    new: str = ""
    sites: list[Site] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    compat_names: frozenset[str] = frozenset()
    """What the new text takes from the helper module."""
    switches: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Where the old text tells another library to use xformers, with the expressions that decide about it."""

    @property
    def changed(self) -> bool:
        """Whether the file's text differs."""
        return self.old != self.new

    @property
    def failed(self) -> bool:
        """Whether the file could not be worked on (it then stays as it was)."""
        return any(finding.is_error for finding in self.findings)


@dataclass(frozen=True)
class FlagsPlace:
    """What became of the H200 flags in one entry point.

    Attributes:
        path: the file.
        line: where the block starts; 1 where there is none.
        code: of what was done, or why not.
        flags: names of the flags that are set there now.
        why: what makes the file an entry point, and by which files it leads to a rewritten call; or what was done.
        theirs: for each flag that the program settles itself, where and how.
    """

    path: str
    line: int
    code: str
    flags: tuple[str, ...]
    why: str
    theirs: tuple[str, ...] = ()


@dataclass
class FlagsOutcome:
    """What a run did about H200 flags: what was wanted, where they are, and lines to paste where nothing was found."""

    wanted: tuple[str, ...] = ()
    places: list[FlagsPlace] = field(default_factory=list)
    paste: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copy:
    """One helper module of a project.

    Attributes:
        path: where it is, or will be.
        modules: its users, and how each imports it.
        old: its text before, None if there is none.
        text: its text after; empty if it is to be deleted; None if a person edited it, so that it stays.
        missing: names that its users need and an edited copy lacks.
        broken: why what stands in its place is no module at all; its users then stay as they were.
    """

    path: Path
    modules: Mapping[Path, str]
    old: str | None = None
    text: str | None = None
    missing: tuple[str, ...] = ()
    broken: str = ""


@dataclass(frozen=True)
class Listed:
    """A line of a requirement file."""

    path: str
    line: int
    text: str


@dataclass
class Run:
    """All results of one run, in the order of the paths."""

    results: list[FileResult] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    """Helper modules that the rewritten files import."""
    flags: FlagsOutcome = field(default_factory=FlagsOutcome)
    """What became of H200 flags in entry points."""
    listed: list[Listed] = field(default_factory=list)
    """Lines of requirement files that list xformers, though nothing needs it any more."""

    @property
    def changed(self) -> list[FileResult]:
        """The files whose text differs."""
        return [result for result in self.results if result.changed]

    @property
    def failed(self) -> bool:
        """Whether some file could not be worked on."""
        return any(result.failed for result in self.results)

    @property
    def torch_floor(self) -> TorchVersion | None:
        """The torch version that the rewritten files need."""
        floors = [site.torch_floor for result in self.results for site in result.sites if site.torch_floor]
        return max(floors, default=None)

    def count(self, kind: SiteClass) -> int:
        """How many sites of a class there are."""
        return sum(site.kind is kind for result in self.results for site in result.sites)
