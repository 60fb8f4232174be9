"""What can be verified of a project: every decided call site with its old and its new side. Runs nothing of it.

The rewrite's own engine decides on the old text. Where the tree is rewritten already, the new side is what stands on
disk, hand edits included; else it is what the engine would write.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.spans import source_of, split_lines
from xf2sdpa.analysis.values import NONE, Mask, Tensor, Value
from xf2sdpa.copyin import FILE_NAME, assemble, exported, is_untouched
from xf2sdpa.draft import CallDraft, FileDraft
from xf2sdpa.edits import AddImport, Rename, ReplaceStatement, Unwrap
from xf2sdpa.emit import heads_swap
from xf2sdpa.engine import Options, decide, rewrite_with
from xf2sdpa.flags.block import find, line_of
from xf2sdpa.model import SiteClass
from xf2sdpa.project import Wish, _jobs
from xf2sdpa.settings import Settings
from xf2sdpa.source import Source
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.planning.alignment import Alignment, align
from xf2sdpa.verify.planning.atoms import Cancelled, NotShared, Sides, Splitter, substituted
from xf2sdpa.verify.planning.mask_made import FRESH, Made, mask_made, rests_on_ours
from xf2sdpa.verify.planning.namespace import Helper, bind
from xf2sdpa.verify.planning.old_text import OldTexts
from xf2sdpa.verify.planning.parts import Atom, Beside, Capture, Shadow, span_key
from xf2sdpa.verify.planning.probe import Operator, Probe
from xf2sdpa.verify.planning.purity import is_pure

HELPER_STEM = FILE_NAME.removesuffix(".py")


@dataclass
class SitePlan:
    """One decided call site.

    Attributes:
        report: its line of the report, still without results.
        shadow: both sides; None where they cannot be run side by side, and the report says why.
        rank: dimensions of query, key and value, where the code shows them.
        bias: what the analysis knows of `attn_bias`; None where it knows nothing.
        mask: the same in words: `none`, `causal`, `tensor`, `tensor of rank 4`, `BlockDiagonalMask`, `unknown`, …
        variant: the operator's own name: `memory_efficient_attention`, `…_forward`, …
    """

    report: SiteReport
    shadow: Shadow | None = None
    rank: int | None = None
    bias: Value | None = None
    mask: str = "unknown"
    variant: str = "memory_efficient_attention"

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """What both sides are computed from."""
        return self.shadow.atoms if self.shadow else ()

    def probe(self, operator: Operator, helper: Helper | None) -> Probe:
        """The site as two functions of its atoms, for use without the program.

        Raises:
            ValueError: the site has no shadow.
        """
        if self.shadow is None:
            raise ValueError(f"{self.report.id}: {self.report.reason}")
        old = bind(self.shadow.old_lambda(), self.shadow.old_imports, None, f"<old side of {self.shadow.site}>")
        new = self.shadow.new_function(helper)
        return Probe(self.shadow.site, old, new, operator, self.shadow.strides_matter, self.shadow.roles)


@dataclass
class Plan:
    """What a run of verify works on.

    Attributes:
        sites: every decided site.
        helpers: source of each helper module, by the key that a `Shadow` names (its path).
        notes: what of a rewritten tree verify does not look at.
    """

    sites: list[SitePlan] = field(default_factory=list)
    helpers: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def helper(self, site: SitePlan) -> Helper | None:
        """The helper module of a site, to be imported when it is needed."""
        key = site.shadow.helper if site.shadow else ""
        return Helper(key, self.helpers[key]) if key else None

    def explain(self, report: Report) -> None:
        """Say of each site that differs where to look, if that is a helper module which a person edited."""
        keys = {site.report.id: site.shadow.helper for site in self.sites if site.shadow}
        for site in report.sites:
            key = keys.get(site.id, "")
            if site.status is Status.DIFFERS and key and not is_untouched(self.helpers[key]):
                site.reason = f"{os.path.relpath(key)}, which answers this call, is not as xf2sdpa wrote it: look there"


def plan(texts: OldTexts, settings: Settings, *, with_program: bool = False) -> Plan:
    """Every decided site of a project, from the old texts of its files.

    Args:
        texts: the old text of each file that matters, and what is on disk where that is another.
        settings: as configured.
        with_program: whether the program will be there to give what the new side reads of statements around the call:
            a mask that the function makes is then made by the new text's own expression too.
    """
    found = Plan()
    drafts: list[_File] = []
    for source, options in _options(texts, settings):
        path = str(source.path)
        try:
            drafts.append(_file(path, source.text, texts.rewritten.get(source.path), options))
        except SyntaxError:
            continue  # the rewrite reports it; there is no site in it
    made = assemble({api for draft in drafts for api in draft.file.compat_names.values()})
    for draft in drafts:
        if draft.on_disk:
            draft.helper = _helper_of(draft)
            if draft.helper:
                found.helpers[draft.helper] = Path(draft.helper).read_text("utf-8")
        else:
            draft.helper = f"<{FILE_NAME}>"
            found.helpers[draft.helper] = made
        found.notes += _beyond(draft)
        found.sites += [_site(draft, call, with_program) for call in draft.calls if call.kind is not SiteClass.LEFT]
    return found


def _beyond(draft: _File) -> Iterator[str]:
    """What was changed outside of the calls, and not by the rewrite: the program runs its old text."""
    if draft.engine is None:
        return
    names = draft.file.names
    for node in ast.walk(draft.file.tree):
        told = draft.alignment.failures.get(id(node))
        if told is not None and id(node) not in draft.engine.failures:
            yield f"{draft.path}: {getattr(node, 'name', 'the module')}: {told}; verify runs the old text of it"
    homes = {id(_home(list(names.ancestors(call.site.node)))) for call in draft.calls}
    for statement in draft.alignment.by_hand:
        if id(_home(list(names.ancestors(statement)))) not in homes:
            yield f"{draft.path}: line {statement.lineno} was edited by hand; verify runs the old text of it"


def _options(texts: OldTexts, settings: Settings) -> Iterator[tuple[Source, Options]]:
    """Each old text, and what the rewrite of the whole project would be told for it."""
    for job in _jobs(list(texts.sources.values()), settings, Wish()):
        told = (job.settings, job.only_exact, job.handed_on, job.compat, job.handed_over, job.reached)
        yield job.source, Options(*told, job.migrating, job.alone)


@dataclass
class _File:
    """One file: the rewrite's decisions on its old text, and the text that stands for the new one."""

    path: str
    file: FileDraft
    calls: list[CallDraft]
    new_lines: list[str]
    new_names: Names
    alignment: Alignment
    engine: Alignment | None
    """How the engine's own new text lies beside the old one, where `alignment` is that of another text on disk."""
    helper: str = ""
    """Key of the helper module that the new text imports."""

    @property
    def on_disk(self) -> bool:
        """Whether the new text is what stands on disk."""
        return self.engine is not None

    @property
    def helpers(self) -> dict[str, str]:
        """Dotted paths by which the new text reaches the helper, and the module each names."""
        return {path: path for path in _helper_paths(self.new_names)}


def _file(path: str, old: str, disk: str | None, options: Options) -> _File:
    file, calls = decide(old, path, options)
    sites = [call.site.node for call in calls]
    made = rewrite_with(old, path, options).new
    loose = functools.partial(rests_on_ours, names=file.names)
    flags = _flags(file.tree, old)

    def aligned(text: str, loose: Callable[[ast.Assign], bool] = lambda _: False) -> tuple[ast.Module, Alignment]:
        tree = ast.parse(text)
        return tree, align(file.tree, tree, file.edits, sites, loose, flags=flags | _flags(tree, text))

    engine = aligned(made)[1] if disk is not None else None
    text = made if disk is None else disk
    tree, alignment = aligned(text, loose)
    return _File(path, file, calls, split_lines(text), Names(tree), alignment, engine)


def _flags(tree: ast.Module, text: str) -> frozenset[int]:
    """The statements of our own block of flags, by `id`; none of a block that a person edited."""
    block = find(text)
    if block is None or not block.untouched:
        return frozenset()
    first = line_of(text)
    last = first + len(split_lines(text[block.start : block.end])) - 1
    return frozenset(id(statement) for statement in tree.body if first <= statement.lineno <= last)


def _helper_paths(names: Names) -> Iterator[str]:
    for statement in names.imports:
        if isinstance(statement, ast.ImportFrom):
            base = "." * statement.level + (statement.module or "")
            if base.rpartition(".")[2] == HELPER_STEM:
                yield base
            elif any(alias.name == HELPER_STEM for alias in statement.names):
                yield f"{base}{'' if base.endswith('.') else '.'}{HELPER_STEM}"
        else:
            yield from (alias.name for alias in statement.names if alias.name.rpartition(".")[2] == HELPER_STEM)


def _helper_of(draft: _File) -> str:
    """The helper module on disk that a file imports."""
    for dotted in draft.helpers:
        level = len(dotted) - len(dotted.lstrip("."))
        parts = dotted.lstrip(".").split(".")
        folders = list(Path(draft.path).absolute().parents)
        folders = folders[level - 1 : level] if level else folders
        for folder in folders:
            path = folder.joinpath(*parts).with_suffix(".py")
            if path.exists():
                return str(path)
    return ""


# -- one site --------------------------------------------------------------------------------------


def _site(draft: _File, call: CallDraft, with_program: bool) -> SitePlan:
    site = call.site
    twin = draft.alignment.expressions.get(id(site.node))
    report = SiteReport(
        id=_identity(draft, call),
        path=draft.path,
        line=site.node.lineno,
        kind=call.kind.value,
        before=source_of(site.node, draft.file.lines),
        after=source_of(twin, draft.new_lines) if twin is not None else "",
    )
    result = SitePlan(report, rank=site.rank, bias=site.bias, mask=_mask(call), variant=site.bound.api)
    try:
        result.shadow = _shadow(draft, call, with_program)
    except NotShared as reason:
        report.status, report.reason = Status.NOT_SHADOWED, str(reason)
    return result


def _identity(draft: _File, call: CallDraft) -> str:
    return f"{draft.path}::{call.site.qualname}#{call.site.ordinal}"


def _mask(call: CallDraft) -> str:
    bias = call.site.bias
    if call.argument("attn_bias") is None or bias == NONE:
        return "none"
    if isinstance(bias, Mask):
        return "causal" if bias.name == "LowerTriangularMask" else bias.name
    if isinstance(bias, Tensor):
        return f"tensor of rank {bias.rank.known}" if bias.rank.known is not None else "tensor"
    return "unknown"


def _shadow(draft: _File, call: CallDraft, with_program: bool) -> Shadow:
    """Both sides of a site.

    Raises:
        NotShared: they cannot be run side by side.
    """
    if call.kind is SiteClass.REMOVED:
        raise NotShared("a capability probe: it was removed, and computes nothing that is used")
    twin = _twin(draft, call)
    if with_program:
        made = mask_made(call, draft.alignment, draft.new_names, frozenset(draft.helpers), twin)
        with contextlib.suppress(NotShared):
            if made is not None:
                return _two_sides(draft, call, twin, made)
    return _two_sides(draft, call, twin, None)


def _two_sides(draft: _File, call: CallDraft, twin: ast.expr, made: Made | None) -> Shadow:
    node, names = call.site.node, draft.file.names
    besides, fresh = _besides(draft, call)
    _check_surroundings(draft, call, made.statement if made else None)
    captures = []
    if made is not None:
        twin, besides, captures = made.target, [*besides, *made.besides], made.captures
        fresh |= made.names
    cancelled = _cancelled(call)
    splitter = Splitter(call.site, names, draft.new_names, twin, frozenset(draft.helpers), cancelled, fresh)
    sides = splitter.split()
    _check_helper(sides, draft)
    outer = _outer(call)
    old = substituted(outer, {id(node): sides.old}) if outer is not node else sides.old
    new, notes = ast.unparse(sides.new), []
    if _is_undone(call) and outer is node:
        new = f"({new}).transpose(1, 2)"
        notes.append("a transpose behind the call was cancelled; it is applied to the new result to compare")
    read = {atom.source for atom in sides.atoms}
    return Shadow(
        site=_identity(draft, call),
        node=span_key(outer),
        operator=span_key(node.func),
        atoms=sides.atoms,
        old=ast.unparse(old),
        new=new,
        imports=sides.imports,
        old_imports=sides.old_imports,
        helper=draft.helper if any(_is_helper(dotted, draft) for dotted in sides.imports.values()) else "",
        strides_matter=_strides_matter(draft, call),
        besides=tuple(beside for beside in besides if beside.name in read),
        captures=(*captures, *(Capture(span_key(c.inner), c.fresh) for c in cancelled.values())),
        notes=tuple(notes),
    )


def _twin(draft: _File, call: CallDraft) -> ast.expr:
    """What stands in the call's place in the new text.

    Raises:
        NotShared: nothing does, or the function around it was changed otherwise too.
    """
    names, node = draft.file.names, call.site.node
    around = list(names.ancestors(node))
    for parent in around:
        function = isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef)
        if id(parent) in draft.alignment.failures and (function or parent is _home(around)):
            raise NotShared(draft.alignment.failures[id(parent)])
    twin = draft.alignment.expressions.get(id(node))
    if twin is None:
        inside = any(id(parent) in draft.alignment.expressions for parent in around)
        raise NotShared("it stands in the arguments of another site" if inside else "it is not in the new text")
    if is_ours(draft.new_names.resolve(twin.func)) if isinstance(twin, ast.Call) else False:
        raise NotShared("the new text still calls xformers here")
    return twin


def _home(around: Sequence[ast.AST]) -> ast.AST:
    """The nearest function, class or module."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    return next(parent for parent in around if isinstance(parent, kinds))


def _check_surroundings(draft: _File, call: CallDraft, made: ast.stmt | None) -> None:
    """Other edits in the same function must be as the rewrite made them: the shadow does not run them."""
    if draft.engine is None:
        return
    home = _home(list(draft.file.names.ancestors(call.site.node)))
    inside = {id(part) for part in ast.walk(home)}
    own = {id(other.site.node) for other in draft.calls} | {id(e.node) for e in _replaced(call)}
    own |= {id(part) for part in ast.walk(made)} if made is not None else set()
    for statement in draft.alignment.by_hand:
        if id(statement) in inside and statement is not made:
            raise NotShared(f"line {statement.lineno} was edited by hand, and is not part of the call")
    for edit in draft.file.edits:
        if isinstance(edit, AddImport | Rename) or id(edit.node) not in inside or id(edit.node) in own:
            continue
        if _outcome(draft.alignment, edit.node) != _outcome(draft.engine, edit.node):
            raise NotShared(f"line {edit.node.lineno} was edited by hand, and is not part of the call")


def _outcome(alignment: Alignment, node: ast.AST) -> list[str]:
    found: list[ast.AST] = [*alignment.statements.get(id(node), [])]
    found += [alignment.expressions[id(node)]] if id(node) in alignment.expressions else []
    return [ast.dump(part) for part in found]


def _replaced(call: CallDraft) -> list[ReplaceStatement]:
    """Statements of the call that became other statements."""
    return [edit for edit in call.edits if isinstance(edit, ReplaceStatement) and edit.text]


def _besides(draft: _File, call: CallDraft) -> tuple[list[Beside], dict[str, str]]:
    """The new statements that the call rests on, to be computed beside the old ones."""
    found, fresh = [], {}
    for edit in _replaced(call):
        for statement in draft.alignment.statements.get(id(edit.node), []):
            if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
                raise NotShared(f"line {statement.lineno} of the new text is no plain assignment")
            if not is_pure(statement.value, draft.new_names):
                raise NotShared(f"{ast.unparse(statement.value)} may have an effect, and cannot run twice")
            name = FRESH.format(statement.targets[0].id.strip("_"), edit.node.lineno)
            fresh[statement.targets[0].id] = name
            found.append(Beside(span_key(edit.node), name, ast.unparse(statement.value)))
    return found, fresh


def _cancelled(call: CallDraft) -> dict[str, Cancelled]:
    """The transposes before the call that the rewrite took away, by parameter."""
    names = call.file.names
    found = {}
    for edit in call.edits:
        definition: ast.AST | None = None
        if isinstance(edit, ReplaceStatement) and not edit.text:
            definition = edit.node
        elif isinstance(edit, Unwrap):
            definition = names.parents.get(id(edit.node))
        if not isinstance(definition, ast.Assign) or not isinstance(definition.targets[0], ast.Name):
            continue
        swap = heads_swap(definition.value, names)
        target = definition.targets[0].id
        before = (definition.lineno, definition.col_offset) < (call.site.node.lineno, call.site.node.col_offset)
        for role in ("query", "key", "value"):
            argument = call.argument(role)
            if swap and before and isinstance(argument, ast.Name) and argument.id == target:
                inner = swap[0]
                stands_as = inner.id if isinstance(edit, ReplaceStatement) and isinstance(inner, ast.Name) else target
                fresh = FRESH.format(target.strip("_"), definition.lineno)
                found[role] = Cancelled(definition.value, inner, fresh, stands_as)
    return found


def _outer(call: CallDraft) -> ast.expr:
    """The call, or the transpose right around it that the rewrite cancelled."""
    for edit in call.edits:
        if isinstance(edit, Unwrap) and getattr(edit.node.func, "value", None) is call.site.node:
            return edit.node
    return call.site.node


def _is_undone(call: CallDraft) -> bool:
    """Whether the new result is heads-first, since a transpose further down was cancelled."""
    return call.kind in (SiteClass.EXACT, SiteClass.ASSUMED) and call.rank == 4 and not call.suffix


def _strides_matter(draft: _File, call: CallDraft) -> bool:
    """Whether somebody may `.view` the result: unless the rewrite saw that nobody does, or changed those who did."""
    if call.kind is SiteClass.COMPAT or call.suffix.endswith(".contiguous()"):
        return True
    for edit in call.edits:
        if isinstance(edit, Rename):
            new = draft.alignment.expressions.get(id(edit.node))
            if not isinstance(new, ast.Attribute) or new.attr != edit.name:
                return True
    return False


def _is_helper(dotted: str, draft: _File) -> bool:
    return any(dotted == path or dotted.startswith(f"{path}.") for path in draft.helpers)


def _check_helper(sides: Sides, draft: _File) -> None:
    for name, dotted in sides.imports.items():
        if _is_helper(dotted, draft):
            if not draft.helper:
                raise NotShared(f"{dotted} is not found")
            api = dotted.rpartition(".")[2]
            if api != HELPER_STEM and not draft.on_disk and api not in exported():
                raise NotShared(f"the helper has no {api}")
        elif dotted.startswith("."):
            raise NotShared(f"{name} comes from another file of the project")
