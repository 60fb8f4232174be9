"""Plans every decided call site of a project with its old and its new side; runs none of the project's code.

The rewrite's own engine decides on the old text. If the tree is rewritten already, the new side is taken from the text
on disk, hand edits included; else it is what the engine would write.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from pathlib import Path

from xf2sdpa.analysis.api import ATTENTION, is_ours
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.analysis.values import NONE, Mask, Tensor
from xf2sdpa.codes import OWN_FUNCTION
from xf2sdpa.edits.kinds import Within
from xf2sdpa.helper.text import FILE_NAME, assemble, exported
from xf2sdpa.model import SiteClass
from xf2sdpa.rulekit.draft import CallDraft
from xf2sdpa.rulekit.recorded import digest_of
from xf2sdpa.settings import Settings
from xf2sdpa.verify.model import SiteReport, Status
from xf2sdpa.verify.planning.atoms import NotShared, Sides, Splitter, substituted
from xf2sdpa.verify.planning.checked import checks_before
from xf2sdpa.verify.planning.mask_made import Made, mask_made
from xf2sdpa.verify.planning.old_text import OldTexts
from xf2sdpa.verify.planning.parts import Capture, Shadow, span_key
from xf2sdpa.verify.planning.plan import Plan, SitePlan
from xf2sdpa.verify.planning.surroundings import (
    _besides,
    _cancelled,
    _check_surroundings,
    _home,
    _is_undone,
    _outer,
    _strides_matter,
)
from xf2sdpa.verify.planning.texts import HELPER_STEM, FileTexts, file_texts, helper_of, options_of


def plan(texts: OldTexts, settings: Settings, *, with_program: bool = False) -> Plan:
    """Every decided site of a project, from the old texts of its files.

    Args:
        texts: the old text of each file that concerns xformers, and the text on disk where it differs.
        settings: as configured.
        with_program: whether a program will run, which provides the values that the new side reads from statements
            around the call; the new side then also makes its own mask, by the new text's expression.
    """
    found = Plan()
    drafts: list[FileTexts] = []
    for source, options in options_of(texts, settings):
        path = str(source.path)
        try:
            drafts.append(file_texts(path, source.text, texts.rewritten.get(source.path), options))
        except SyntaxError:
            continue  # reported by the rewrite; it contains no site
    made = assemble({api for draft in drafts for api in draft.file.compat_names.values()})
    for draft in drafts:
        if draft.on_disk:
            draft.helper = helper_of(draft)
            if draft.helper:
                found.helpers[draft.helper] = Path(draft.helper).read_text("utf-8")
        else:
            draft.helper = f"<{FILE_NAME}>"
            found.helpers[draft.helper] = made
        found.notes += _beyond(draft)
        found.sites += [_site(draft, call, with_program) for call in draft.calls if call.kind is not SiteClass.LEFT]
    return found


def _beyond(draft: FileTexts) -> Iterator[str]:
    """Notes on changes by hand outside of the calls: of these, verify runs the old text."""
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


# -- one site --------------------------------------------------------------------------------------


def _site(draft: FileTexts, call: CallDraft, with_program: bool) -> SitePlan:
    site = call.site
    twin = draft.alignment.expressions.get(id(site.node))
    report = SiteReport(
        id=_identity(draft, call),
        path=draft.path,
        line=site.node.lineno,
        kind=call.kind.value,
        before=source_of(site.node, draft.file.lines),
        after=source_of(twin, draft.new_lines) if twin is not None else "",
        function=digest_of(draft.file.names, site.node, draft.file.lines),
    )
    if twin is not None and _is_by_helper(twin, draft):
        report.kind = SiteClass.COMPAT.value  # `--style compat`, or by hand: what stands there counts
    result = SitePlan(report, rank=site.rank, bias=site.bias, mask=_mask(call), variant=site.bound.api)
    try:
        result.shadow = _shadow(draft, call, with_program)
    except NotShared as reason:
        report.status, report.reason = Status.NOT_SHADOWED, str(reason)
    return result


def _identity(draft: FileTexts, call: CallDraft) -> str:
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


def _shadow(draft: FileTexts, call: CallDraft, with_program: bool) -> Shadow:
    """The two sides of a site.

    Raises:
        NotShared: they cannot be run side by side.
    """
    if call.kind is SiteClass.REMOVED:
        raise NotShared("a capability probe: it was removed, and computes nothing that is used")
    if call.code == OWN_FUNCTION:
        raise NotShared("the project's own function takes over, and may do anything: compare the two in a test of it")
    twin = _twin(draft, call)
    if with_program:
        made = mask_made(call, draft.alignment, draft.new_names, frozenset(draft.helpers), twin)
        with contextlib.suppress(NotShared):
            if made is not None:
                return _two_sides(draft, call, twin, made)
    return _two_sides(draft, call, twin, None)


def _two_sides(draft: FileTexts, call: CallDraft, twin: ast.expr, made: Made | None) -> Shadow:
    node, names, place = call.site.node, draft.file.names, twin
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
    stands_as = {c.fresh: c.stands_as for c in cancelled.values()}
    before = checks_before(place, draft.new_names, sides.atoms, stands_as)
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
        autocast_off=any(isinstance(edit, Within) for edit in call.edits),
        checks=before.statements,
        assumed=before.assumed,
    )


def _twin(draft: FileTexts, call: CallDraft) -> ast.expr:
    """The expression in the call's place in the new text.

    Raises:
        NotShared: there is none, or the function around it was also changed by hand.
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


def _is_by_helper(twin: ast.expr, draft: FileTexts) -> bool:
    """Whether the new call is one of the helper's operator."""
    called = (draft.new_names.resolve(n.func) or "" for n in ast.walk(twin) if isinstance(n, ast.Call))
    return any(_is_helper(dotted, draft) and dotted.rpartition(".")[2].startswith(ATTENTION) for dotted in called)


def _is_helper(dotted: str, draft: FileTexts) -> bool:
    return any(dotted == path or dotted.startswith(f"{path}.") for path in draft.helpers)


def _check_helper(sides: Sides, draft: FileTexts) -> None:
    for name, dotted in sides.imports.items():
        if _is_helper(dotted, draft):
            if not draft.helper:
                raise NotShared(f"{dotted} is not found")
            api = dotted.rpartition(".")[2]
            if api != HELPER_STEM and not draft.on_disk and api not in exported():
                raise NotShared(f"the helper has no {api}")
        elif dotted.startswith("."):
            raise NotShared(f"{name} comes from another file of the project")
