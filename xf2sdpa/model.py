"""The plain data that passes between the rooms of the house.

Nothing here reads a file, parses code or prints. Lines count from 1 and columns from 0, in characters,
as editors' protocols do; whoever prints a column for a person adds 1.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

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
    """A stretch of source text: from (line, column) up to, not including, (end_line, end_column).

    In a notebook the lines are those of a cell, which is counted from 1 among cells of every kind; 0 elsewhere.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    cell: int = 0

    @property
    def where(self) -> str:
        """Its first line for people, behind the file's name: `12`, or `cell 3:1`."""
        return f"cell {self.cell}:{self.line}" if self.cell else str(self.line)


@dataclass(frozen=True)
class Seen:
    """What a recorded run of a program saw at one call site.

    Attributes:
        function: the digest of the text of the function around the call, as it was then.
        rank: the number of dimensions of query, key and value in every case; None if they differ.
        masked: whether a mask came in any case.
    """

    function: str
    rank: int | None
    masked: bool


class Unreached(NamedTuple):
    """A call that passes a mask, but that no run of its project reaches, for all that the project shows.

    Attributes:
        file, line: where it stands; the file's name without its folders.
        function: the function that it stands in.
        callee, parameter: what it calls, and which parameter it passes.
        for_list: whether it is on a path for lists of tensors, and no list comes; else nothing calls its function.
    """

    file: str
    line: int
    function: str
    callee: str
    parameter: str
    for_list: bool


class Way(str, enum.Enum):
    """By which way what a rewrite assumes is known."""

    FUNCTION = "function"
    """What the function around the call shows, annotations among it."""
    LIBRARY = "library"
    """What another library documents of its methods and functions."""
    CALLERS = "callers"
    """What the calls in the project pass, or do not pass."""
    CLASSES = "classes"
    """What classes of the project override."""
    INDEX = "index"
    """What nothing in the whole project does."""
    RUN = "run"
    """What a recorded run saw."""
    WISH = "wish"
    """What the user asked for."""


class Assumption(str):
    """A sentence of what a rewrite rests on, and by which way it is known."""

    __slots__ = ("way",)
    way: Way

    def __new__(cls, sentence: str, way: Way = Way.FUNCTION) -> Assumption:
        """A sentence that says by which way it is known."""
        made = super().__new__(cls, sentence)
        made.way = way
        return made


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
    assumptions: tuple[Assumption, ...] = ()
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


@dataclass(frozen=True)
class CellChange:
    """A code cell of a notebook that changes: its number, from 1, and its code; None where there is no such cell."""

    cell: int
    old: str | None
    new: str | None


@dataclass
class FileResult:
    """All that happened to one file. `old == new` when nothing changed; `new` is never half an edit.

    A notebook's texts are its JSON in the end; on the way there they are its code cells as one module. `cells` tells
    what changes in it for people to read, `cell_lines` where each line of each code cell stands in the old JSON.
    """

    path: Path
    old: str = ""
    new: str = ""
    sites: list[Site] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    compat_names: frozenset[str] = frozenset()
    """What the new text takes from the helper module."""
    switches: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Where the old text tells another library to use xformers, with the expressions that decide about it."""
    cells: tuple[CellChange, ...] = ()
    cell_lines: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    last: bool = False
    """Whether it is right only once every other file is written: a requirement file."""

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
        reasons: for each flag that is set there now, what in the program is the reason.
        lacking: for each flag that is neither, what is missing.
        cell: the cell of a notebook, from 1; 0 for another file.
    """

    path: str
    line: int
    code: str
    flags: tuple[str, ...]
    why: str
    theirs: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    cell: int = 0


@dataclass
class FlagsOutcome:
    """What a run did about H200 flags: what was wanted, where they are, and lines to paste where nothing was found.

    `many` are the entry points that would get flags, where there are too many of them to be edited unasked.
    """

    wanted: tuple[str, ...] = ()
    places: list[FlagsPlace] = field(default_factory=list)
    paste: tuple[str, ...] = ()
    many: tuple[str, ...] = ()


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


class Bearing(str, enum.Enum):
    """What a place that names xformers means for whether it can be uninstalled."""

    NEEDS = "needs"
    """Without xformers this raises, or takes a slower path."""
    UNSURE = "unsure"
    """It may, for all that is known."""
    CHOICE = "choice"
    """It chooses, or offers to choose, what xformers did: to be changed by who knows what for."""
    NAMES = "names"
    """It only names it."""


@dataclass(frozen=True)
class Mention:
    """A place of the tree that names xformers.

    Attributes:
        path: the file.
        line: the first of its lines that this is about.
        kind: what sort of file: code, notebook, requirements, lock, config, docs, script, CI, Docker, other.
        bearing: what it means for whether xformers can be uninstalled.
        text: what stands there.
        advice: what to do about it.
        count: how many lines this is about.
        code: of the finding that says the same, if one does.
        given: whether it lies in what the run was given to work on, and not elsewhere in its tree.
    """

    path: str
    line: int
    kind: str
    bearing: Bearing
    text: str
    advice: str
    count: int = 1
    code: str = ""
    given: bool = True


@dataclass(frozen=True)
class RequirementChange:
    """What became of a line of a requirement file: `now` is empty where it went, `why` says why it stays."""

    path: str
    line: int
    was: str
    now: str = ""
    why: str = ""
    extra: str = ""
    """The extra that holds nothing any more."""


@dataclass
class Closing:
    """What still names xformers in the whole tree, and whether it can be uninstalled."""

    mentions: list[Mention] = field(default_factory=list)
    requirements: list[RequirementChange] = field(default_factory=list)
    """What became of the lines that required xformers, or a torch that is too old."""
    edited: bool = True
    """Whether requirement files were to be edited."""

    def of(self, bearing: Bearing) -> list[Mention]:
        """The places of one bearing."""
        return [mention for mention in self.mentions if mention.bearing is bearing]

    @property
    def can_go(self) -> bool | None:
        """Whether xformers can be uninstalled; None where that cannot be told."""
        if self.of(Bearing.NEEDS):
            return False
        return None if self.of(Bearing.UNSURE) else True


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
    closing: Closing | None = None
    """What the whole tree says after the run; None where nobody asked."""
    uncommitted: list[str] = field(default_factory=list)
    """Files that change, and that held what git had not committed."""
    scanned: int | None = None
    """How many files were looked at; None where it was no matter of files."""
    matched: int = 0
    """How many of them name what a rule may change."""
    in_git: bool = False
    """Whether the files lie in a work tree of git."""
    kept: bool = False
    """Whether `undo` can take it back."""
    torch_too_old: bool = False
    """Whether every torch that the project admits is older than what the rewritten code needs."""

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

    def codes(self) -> dict[str, int]:
        """How often each code was reported: at call sites with their notes, as findings, in entry points."""
        told = [finding.code for result in self.results for finding in result.findings]
        told += [place.code for place in self.flags.places]
        for site in (site for result in self.results for site in result.sites):
            told += [site.code, *(note.code for note in site.notes)]
        return dict(sorted(Counter(told).items()))

    def count(self, kind: SiteClass) -> int:
        """How many sites of a class there are."""
        return sum(site.kind is kind for result in self.results for site in result.sites)
