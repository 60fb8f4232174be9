"""What a rule works on: the draft of one call, and the draft of one file."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.imports import ImportNode, bound_name, scope_of
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.scopes import Scope
from xf2sdpa.analysis.sites import CallSite
from xf2sdpa.analysis.spans import span_of, split_lines
from xf2sdpa.codes import IGNORED, NOT_SELECTED
from xf2sdpa.edits.kinds import (
    AddImport,
    ArgumentEdit,
    CallEdit,
    Edit,
    NodeEdit,
    RemoveAliases,
    Rename,
    Replaceable,
    ReplaceExpression,
    ReplaceStatement,
    Unwrap,
)
from xf2sdpa.model import Assumption, Finding, FindingKind, Note, Seen, SiteClass, TorchVersion, Unreached, Way
from xf2sdpa.rulekit.ignore_comments import IgnoreComments
from xf2sdpa.settings import Settings


class Refusal(Exception):
    """A rule's word that a call cannot be rewritten, with the reason and what would help."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.note = Note(code, message, advice)


@dataclass(frozen=True)
class Request:
    """An edit that a rule asked for, and the code under which it stands in the report; none for a part of a call's."""

    edit: Edit
    code: str = ""


@dataclass(eq=False)
class FileDraft:
    """One file on its way: what is known of it, what rules asked for so far, and what they ask about it.

    A call or an import that is left has no edit: `ask` refuses what would touch it, as it refuses what the user chose
    not to have done.

    Attributes:
        compat: how this file imports the helper module (`._attention_compat`); None if there is to be none.
        compat_names: what it needs from there, by the name it is bound to.
        handed_on: names that other files of the project import from this one.
        replaced: variables of the file, imports and flags, that other files put something else in the place of.
        elsewhere: names of ours, private flags, and attributes given as `op=`, that other files have behind a dot or as
            strings.
        asking: functions of other files that are given a package's name, by dotted path; True for those that only say
            whether it is there.
        migrated: whether some call of this file is rewritten or removed.
        probes_stay: whether other calls of this file stay on xformers, which a probe in it then must go on trying out.
        loaded_alone: whether the file is loaded by itself, so that it can have no helper.
        migrating: whether the project that the file belongs to has calls.
        own_library: whether the project holds the library with the switches to xformers, so that they are its own.
        own_switches: whether a class of the project has code behind such a switch.
        own_functions: the text of functions that it imports from its own project under the operator's name.
        never_passed: its functions by qualified name, each with a parameter that nothing in the project passes, and the
            calls that would, but that nothing reaches.
        seen: what recorded runs saw at its calls, by the function's qualified name, `#` and the call's number in it.
        plain_masks: why masked calls need no guard here, as in `rewrite/options`.
        mask_objects: whether something in the project may make a mask object.
        masks_stay: what keeps mask objects with xformers, as a clause; empty where the helper's may take their place.
    """

    path: str
    text: str
    tree: ast.Module
    attributes: ClassAttributes
    settings: Settings
    sites: list[CallSite]
    requests: list[Request] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    handed_on: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()
    asking: Mapping[str, bool] = field(default_factory=dict)
    off_limits: bool | None = None
    """Whether nothing in the file may be rewritten; None until somebody asks."""
    migrated: bool = False
    migrating: bool = False
    probes_stay: bool = False
    loaded_alone: bool = False
    own_library: bool = False
    own_switches: bool = False
    inherited: frozenset[str] = frozenset()
    """Methods of that library's that this file's classes have from a file of its own project."""
    diffusers: tuple[int, int] | None = None
    """The newest release of diffusers that the project admits, if it says so."""
    own_functions: Mapping[str, str] = field(default_factory=dict)
    never_passed: Mapping[tuple[str, str], tuple[Unreached, ...]] = field(default_factory=dict)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    plain_masks: str | None = None
    mask_objects: bool = True
    masks_stay: str = ""
    compat: str | None = None
    compat_names: dict[str, str] = field(default_factory=dict)
    bound_in_place: set[str] = field(default_factory=set)
    """Those of `compat_names` that an import standing elsewhere in the file was turned into."""
    bound_at_top: dict[str, int] = field(default_factory=dict)
    """Names that an import at the top of the file, which nothing guards, brings from the helper, and its line."""
    gathered: dict[str, str] = field(default_factory=dict)
    """What the unguarded imports at the top of the file bring from the helper: the first of them will bring it all."""
    answers: dict[int, bool] = field(default_factory=dict)
    """Questions about the installed xformers that are settled, by `id` of the expression."""
    _gone: set[int] = field(default_factory=set)
    _left: set[int] = field(default_factory=set)

    @property
    def names(self) -> Names:
        """The scopes of the file."""
        return self.attributes.names

    @property
    def edits(self) -> list[Edit]:
        """All edits asked for."""
        return [request.edit for request in self.requests]

    @functools.cached_property
    def lines(self) -> list[str]:
        """The lines of the text, as `ast` counts them."""
        return split_lines(self.text)

    @functools.cached_property
    def comments(self) -> IgnoreComments:
        """What comments ask to leave as it is."""
        return IgnoreComments(self.tree, self.lines)

    @property
    def may_lose_imports(self) -> bool:
        """Whether guards and imports are to be settled: not where a missing helper is what the user asked for."""
        return self.compat is not None or self.loaded_alone

    # -- what rules ask for ----------------------------------------------------------------------

    def drop(self, statement: ast.stmt, code: str) -> bool:
        """Ask for a statement to go; whether it will."""
        return self.replace(statement, "", code)

    def replace(self, node: ast.stmt | Replaceable, text: str, code: str, keeping: Iterable[ast.AST] = ()) -> bool:
        """Ask for other text in the place of a statement or an expression; whether it will stand there.

        Args:
            node: what is replaced; it counts as gone.
            text: the new text.
            code: what the edit is reported under.
            keeping: parts of the node whose text goes on in the new one; they count as there.
        """
        edit = ReplaceStatement(node, text) if isinstance(node, ast.stmt) else ReplaceExpression(node, text)
        if not self.ask(edit, code):
            return False
        self.take_away(node)
        for part in keeping:
            self.give_back(part)
        return True

    def drop_names(self, statement: ImportNode, bound: Collection[str], code: str) -> bool:
        """Ask for names of an import to go, and for the import with the last of them; whether they will."""
        edit, told = RemoveAliases(statement, frozenset(bound)), None
        for index, request in enumerate(self.requests):
            if isinstance(request.edit, RemoveAliases) and request.edit.node is statement:
                edit, told = RemoveAliases(statement, edit.bound | request.edit.bound), index
        if told is not None and self.objection(edit, code) is None:
            self.requests[told] = Request(edit, self.requests[told].code)
        elif not self.ask(edit, code):
            return False
        if len(edit.bound) == len({alias.asname or alias.name for alias in statement.names}):
            self.take_away(statement)
        return True

    def add_import(self, line: str, after: ast.stmt | None) -> None:
        """Ask for one more import at the top of the file, unless it is asked for already."""
        if not any(isinstance(edit, AddImport) and edit.text == line for edit in self.edits):
            self.requests.append(Request(AddImport(line, after)))

    def ask(self, edit: NodeEdit, code: str) -> bool:
        """Ask for any edit; whether it will be made."""
        if self.objection(edit, code) is not None:
            return False
        if edit not in self.edits:
            self.requests.append(Request(edit, code))
        return True

    def objection(self, edit: NodeEdit, code: str) -> Note | None:
        """Why an edit must not be made: the user chose so, or it would touch what is left."""
        if not self.settings.selects(code):
            return Note(NOT_SELECTED, f"left alone: {code} is not selected")
        if self.comments.forbid(edit.node, code):
            return Note(IGNORED, "left alone, as the comment asks")
        if isinstance(edit.node, ast.expr) and any(
            isinstance(p, ast.JoinedStr) for p in self.names.ancestors(edit.node)
        ):
            return Note(IGNORED, "left alone, as it stands inside an f-string")  # where in its text, no tree says
        if self._left and self._touches_what_is_left(edit):
            return Note(IGNORED, "left alone, as it belongs to a call that is left")
        return None

    def _touches_what_is_left(self, edit: NodeEdit) -> bool:
        # What edits a call in place keeps its arguments, a call that is left among them.
        inside = [edit.node] if isinstance(edit, CallEdit | Unwrap | Rename) else list(ast.walk(edit.node))
        if any(id(part) in self._left for part in inside):
            return True
        imports = (part for part in inside if isinstance(part, ast.Import | ast.ImportFrom))
        return any(self.is_needed_as_it_is(s, bound_name(s, alias)) for s in imports for alias in s.names)

    def report(
        self, node: ast.expr | ast.stmt, code: str, message: str, advice: str = "", kind: FindingKind = FindingKind.NOTE
    ) -> None:
        """Tell something about a place, unless the user asked not to be told."""
        if not self.settings.ignores(code) and not self.comments.forbid(node, code):
            self.findings.append(Finding(self.path, span_of(node, self.lines), code, message, advice, kind))

    # -- what rules ask about --------------------------------------------------------------------

    def is_gone(self, node: ast.AST) -> bool:
        """Whether an edit takes a node away; a name that stands there is read no longer."""
        return id(node) in self._gone

    def anything_gone(self) -> bool:
        """Whether some edit takes something away."""
        return bool(self._gone)

    def is_left(self, node: ast.AST) -> bool:
        """Whether a node belongs to a call that is left."""
        return id(node) in self._left

    def readers(self, name: str, scope: Scope) -> list[ast.Name]:
        """Where a variable of a scope is read and that will still be there."""
        return [load for load in loads_of(self.names, name, scope) if id(load) not in self._gone]

    def is_read(self, name: str, statement: ast.stmt, besides: Collection[int] = ()) -> bool:
        """Whether something still reads a name that a statement binds: another file, or this one.

        Args:
            name: the variable.
            statement: where it is bound.
            besides: `id`s of readings that do not count.
        """
        readers = self.readers(name, scope_of(self.names, statement))
        return name in self.handed_on or any(id(load) not in besides for load in readers)

    def is_needed_as_it_is(self, statement: ast.stmt, name: str) -> bool:
        """Whether a call that is left reads a name that a statement binds."""
        if not self._left:
            return False
        return any(id(load) in self._left for load in loads_of(self.names, name, scope_of(self.names, statement)))

    # -- the book of what goes and what stays ----------------------------------------------------

    def leave(self, node: ast.AST) -> None:
        """Count a node and all below it as left: no rule may touch it, nor the imports that it reads."""
        self._left.update(_parts(node))

    def take_away(self, node: ast.AST, besides: Iterable[ast.AST] = ()) -> None:
        """Count a node and all below it as gone, but not what is below some other ones."""
        self._gone.update(set(_parts(node)).difference(*map(_parts, besides)))

    def give_back(self, node: ast.AST) -> None:
        """Count a node and all below it as there after all: its text goes on elsewhere."""
        self._gone.difference_update(_parts(node))

    def pending(self) -> dict[str, str]:
        """The names of the helper for which no import has been found a place yet."""
        return {name: api for name, api in self.compat_names.items() if name not in self.bound_in_place}

    def bind_at_top(self, names: Iterable[str], statement: ast.stmt) -> None:
        """Note that names are imported from the helper where an unguarded statement of the module stood."""
        for name in names:
            self.bound_at_top.setdefault(name, statement.lineno)


def _parts(node: ast.AST) -> Iterator[int]:
    """The `id`s of a node and all below it; not of `Load()`, `Add()` and the like, which a whole tree shares."""
    shared = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
    return (id(part) for part in ast.walk(node) if not isinstance(part, shared))


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
    assumptions: list[Assumption] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    torch_floor: TorchVersion = (2, 0)
    edits: list[NodeEdit] = field(default_factory=list)
    lost: list[ast.AST] = field(default_factory=list)
    guarded: bool = False
    """Whether SDPA comes from the helper, which keeps off cuDNN where its gradient may be NaN."""
    full_precision: str | None = None
    """The variable whose device autocast is switched off for around the call; None if it is not."""
    read: set[str] = field(default_factory=set)
    """Variables that the new text reads besides the arguments."""
    kept: list[ast.AST] = field(default_factory=list)
    """Parts of `lost` whose text goes on in an edit."""
    settled: set[str] = field(default_factory=set)
    """Parameters that some rule has dealt with."""
    parts: set[str] = field(default_factory=set)
    """Codes of what is done along with the call, which the user may not want."""
    stays: bool = False
    """Whether the call is the helper's since an earlier run, and goes on so: nothing is done, and nothing told."""
    objection: Note | None = None
    """Why one of the edits may not be made, so that the call is left after all."""

    def argument(self, name: str) -> ast.expr | None:
        """The expression given for a parameter, if any."""
        return self.site.bound.arguments.get(name)

    def drop(self, name: str) -> None:
        """Leave an argument out."""
        self.lost.append(self.site.bound.arguments[name])

    def assume(self, sentence: str, way: Way = Way.FUNCTION) -> None:
        """Rest the rewrite on something that the code does not show; a sentence may bring its own way of knowing."""
        self.kind = SiteClass.ASSUMED
        if sentence not in self.assumptions:
            self.assumptions.append(sentence if isinstance(sentence, Assumption) else Assumption(sentence, way))

    def needs_torch(self, version: TorchVersion) -> None:
        """Raise the torch version that the result needs."""
        self.torch_floor = max(self.torch_floor, version)


class Settled(Exception):
    """A rule's word that a call is fully decided and no other rule need look."""
