"""What a rule works on: the draft of one call, and the draft of one file."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable
from dataclasses import dataclass, field

from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.sites import CallSite
from xf2sdpa.analysis.spans import split_lines
from xf2sdpa.edits.kinds import ArgumentEdit, Edit
from xf2sdpa.model import Finding, Note, SiteClass, TorchVersion
from xf2sdpa.settings import Settings


class Refusal(Exception):
    """A rule's word that a call cannot be rewritten, with the reason and what would help."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.note = Note(code, message, advice)


@dataclass
class FileDraft:
    """One file on its way: what is known of it, and the edits asked for so far.

    Attributes:
        compat: how this file imports the helper module (`._attention_compat`); None if there is to be none.
        compat_names: what it needs from there, by the name it is bound to.
        handed_on: names that other files of the project import from this one.
        migrated: whether some call of this file is rewritten or removed.
        probes_stay: whether other calls of this file stay on xformers, which a probe in it then must go on trying out.
        alone: whether the file is loaded by itself, so that it can have no helper.
        migrating: whether the project that the file belongs to has calls.
        gone: `id`s of the nodes that the edits take away; names that stand there count as used no longer.
    """

    path: str
    text: str
    tree: ast.Module
    attributes: ClassAttributes
    settings: Settings
    sites: list[CallSite]
    edits: list[Edit] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    untouched: set[int] = field(default_factory=set)
    handed_on: frozenset[str] = frozenset()
    off_limits: bool | None = None
    """Whether nothing in the file may be rewritten; None until somebody asks."""
    migrated: bool = False
    migrating: bool = False
    probes_stay: bool = False
    alone: bool = False
    compat: str | None = None
    compat_names: dict[str, str] = field(default_factory=dict)
    bound_in_place: set[str] = field(default_factory=set)
    """Those of `compat_names` that an import standing elsewhere in the file was turned into."""
    bound_at_top: dict[str, int] = field(default_factory=dict)
    """Names that an import at the top of the file, which nothing guards, brings from the helper, and its line."""
    for_the_top: dict[str, str] = field(default_factory=dict)
    """Names of the helper that the imports at the top of the file bring, and that the first of them will."""
    answers: dict[int, bool] = field(default_factory=dict)
    """Questions about the installed xformers that are settled, by `id` of the expression."""

    @property
    def names(self) -> Names:
        """The scopes of the file."""
        return self.attributes.names

    @property
    def may_lose_imports(self) -> bool:
        """Whether guards and imports are to be settled: not where a missing helper is the user's wish."""
        return self.compat is not None or self.alone

    def pending(self) -> dict[str, str]:
        """The names of the helper for which no import has been found a place yet."""
        return {name: api for name, api in self.compat_names.items() if name not in self.bound_in_place}

    def bind_at_top(self, names: Iterable[str], statement: ast.stmt) -> None:
        """Note that names are imported from the helper where an unguarded statement of the module stood."""
        for name in names:
            self.bound_at_top.setdefault(name, statement.lineno)

    @functools.cached_property
    def lines(self) -> list[str]:
        """The lines of the text, as `ast` counts them."""
        return split_lines(self.text)

    def leave(self, node: ast.AST) -> None:
        """Count a node and all below it as not to be touched by any rule."""
        self.untouched.update(id(child) for child in ast.walk(node))

    def give_back(self, node: ast.AST) -> None:
        """Count a node and all below it as there after all: its text goes on elsewhere."""
        self.gone.difference_update(id(child) for child in ast.walk(node))

    def take_away(self, node: ast.AST) -> None:
        """Count a node and all below it as gone."""
        self.gone.update(id(child) for child in ast.walk(node))


@dataclass
class CallDraft:
    """One call on its way from xformers to SDPA; each rule fills in its part or refuses.

    Attributes:
        code: the code under which the finished site is listed.
        rank: 3 or 4, once proved.
        arguments: what becomes of each argument, by parameter name; one that is missing is dropped.
        suffix: what is put behind the call.
        edits: further edits that belong to this call and are made only with it.
        lost: expressions that the rewrite drops, besides the function itself.
    """

    file: FileDraft
    site: CallSite
    kind: SiteClass = SiteClass.EXACT
    code: str = ""
    message: str = ""
    rank: int = 0
    arguments: dict[str, ArgumentEdit] = field(default_factory=dict)
    suffix: str = ""
    assumptions: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    torch_floor: TorchVersion = (2, 0)
    edits: list[Edit] = field(default_factory=list)
    lost: list[ast.AST] = field(default_factory=list)
    kept: list[ast.AST] = field(default_factory=list)
    """Parts of `lost` whose text goes on in an edit."""
    settled: set[str] = field(default_factory=set)
    """Parameters that some rule has dealt with."""

    def argument(self, name: str) -> ast.expr | None:
        """The expression given for a parameter, if any."""
        return self.site.bound.arguments.get(name)

    def drop(self, name: str) -> None:
        """Leave an argument out."""
        node = self.argument(name)
        if node is not None:
            self.lost.append(node)

    def assume(self, sentence: str) -> None:
        """Rest the rewrite on something that the code does not show."""
        self.kind = SiteClass.ASSUMED
        if sentence not in self.assumptions:
            self.assumptions.append(sentence)

    def needs_torch(self, version: TorchVersion) -> None:
        """Raise the torch version that the result needs."""
        self.torch_floor = max(self.torch_floor, version)


class Settled(Exception):
    """A rule's word that a call is fully decided and no other rule need look."""
