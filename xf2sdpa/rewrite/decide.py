"""The rules' decisions on one text: what becomes of each call, and the edits that this takes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from xf2sdpa.analysis.effects import is_idle
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.sites import CallSite, find_sites
from xf2sdpa.analysis.spans import span_of
from xf2sdpa.codes import GUARDED, IGNORED, IN_HELPER, NOT_EXACT, NOT_SELECTED
from xf2sdpa.edits.kinds import AddImport, ArgumentEdit, CallEdit, Edit
from xf2sdpa.helper.text import exported
from xf2sdpa.model import Finding, Note, SiteClass
from xf2sdpa.rewrite.options import Options
from xf2sdpa.rewrite.registry import all_rules
from xf2sdpa.rewrite.wishes import respect_wishes
from xf2sdpa.rulekit.draft import CallDraft, FileDraft, Refusal, Settled
from xf2sdpa.rulekit.helper_names import helper_name, renamed_call
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.rule import Rule
from xf2sdpa.rulekit.spelling import function_name

_WISHES = frozenset({IGNORED, NOT_SELECTED, NOT_EXACT})
_NEVER = frozenset({"XF218", "XF219", "XF220", "XF222"})
"""Why a call must stay with xformers, helper or not."""


def decide(text: str, path: str, options: Options, *, probes_stay: bool = False) -> tuple[FileDraft, list[CallDraft]]:
    """Let the rules look at a text: the file with all edits asked for, and the draft of each call.

    Once more, with `probes_stay`, where a probe would go while another call of the file stays on xformers.

    Raises:
        SyntaxError: the text is not Python.
        RecursionError: it nests too deep.
    """
    tree = _parse(text)
    names = Names(tree, options.meanings)
    attributes = ClassAttributes(names)
    file = FileDraft(
        path,
        text,
        tree,
        attributes,
        options.settings,
        find_sites(attributes, alone=options.alone),
        handed_on=options.handed_on,
        compat=options.compat,
    )
    file.migrated = options.reached and options.compat is not None
    file.migrating, file.alone, file.probes_stay = options.migrating, options.alone, probes_stay
    calls = [_decide_call(file, site, only_exact=options.only_exact) for site in file.sites]
    for rule in all_rules():
        if rule.finish is not None:
            before = len(file.edits)
            rule.finish(file)
            file.findings += _done(file, rule, file.edits[before:])
    checked = [_checked(call) for call in calls]
    left = any(call.kind is SiteClass.LEFT for call in checked)
    if left and not probes_stay and any(call.code == "XF150" for call in checked):
        return decide(text, path, options, probes_stay=True)
    return file, checked


def _done(file: FileDraft, rule: Rule, edits: Sequence[Edit]) -> Iterator[Finding]:
    """What a rule did to a file besides its calls, at the first place: a file without a call is named for it."""
    code = next((code for code in rule.codes if code.startswith("XF1")), None)
    nodes = [edit.node for edit in edits if not isinstance(edit, AddImport)]
    nodes = nodes or [edit.after for edit in edits if isinstance(edit, AddImport) and edit.after is not None]
    first = min(nodes, key=lambda node: node.lineno, default=None)
    if code is not None and first is not None:
        yield Finding(file.path, span_of(first, file.lines), code, rule.codes[code])


def _checked(call: CallDraft) -> CallDraft:
    """A call for the helper whose name still comes from xformers, as its guard cannot be resolved, is left."""
    function, names = call.site.node.func, call.file.names
    if call.kind is not SiteClass.COMPAT or not isinstance(function, ast.Name):
        return call
    scope = names.scope_at[id(call.site.node)]
    imported = names.could_be(function.id, scope) or scope.owner(function.id) is None  # else it is an alias
    if imported and function.id not in call.file.compat_names:
        advice = "Take the import out of its guard, or make the guard set nothing but a flag."
        note = Note(GUARDED, f"{call.message}; and the guard around the import does more than set a flag", advice)
        return _left(call.file, call.site, note)
    return call


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except ValueError as error:  # a NUL byte
        raise SyntaxError(str(error)) from error


def _decide_call(file: FileDraft, site: CallSite, *, only_exact: bool) -> CallDraft:
    draft = CallDraft(file, site)
    try:
        for rule in all_rules():
            if rule.decide is not None:
                rule.decide(draft)
        if file.settings.style == "compat":
            raise Refusal(IN_HELPER, "as --style compat asks")
        respect_wishes(draft, only_exact=only_exact)
        _accept(draft, [_call_edit(draft)])
    except Settled:
        draft = _settled(draft, only_exact=only_exact)
    except Refusal as refusal:
        draft = _by_helper(file, site, refusal.note, only_exact=only_exact)
    return draft


def _settled(draft: CallDraft, *, only_exact: bool) -> CallDraft:
    try:
        respect_wishes(draft, only_exact=only_exact)
    except Refusal as refusal:
        return _as_wished(draft.file, draft.site, refusal.note)
    _accept(draft, [])
    return draft


def _by_helper(file: FileDraft, site: CallSite, note: Note, *, only_exact: bool) -> CallDraft:
    """Hand a call that cannot be written inline to the helper module, if there may be one; else leave it."""
    if note.code in _WISHES | _NEVER:
        return _as_wished(file, site, note)
    if file.compat is None or site.bound.api not in exported() or bars_helper(file):
        return _left(file, site, note)
    draft = CallDraft(file, site, kind=SiteClass.COMPAT, code=IN_HELPER, message=note.message, notes=[note])
    try:
        respect_wishes(draft, only_exact=only_exact)
    except Refusal as refusal:
        return _left(file, site, refusal.note)
    op = draft.argument("op")
    if op is not None and is_idle(op):
        draft.drop("op")
        function = helper_name(file, site.node.func, site.bound.api)
        _accept(draft, [renamed_call(site.node, function, without=op)])
    file.migrated = True
    return draft


def _as_wished(file: FileDraft, site: CallSite, note: Note) -> CallDraft:
    """A call that is left because the user asked for it: no part of it changes."""
    file.leave(site.node)
    return _left(file, site, note)


def _left(file: FileDraft, site: CallSite, note: Note) -> CallDraft:
    return CallDraft(file, site, kind=SiteClass.LEFT, code=note.code, message=note.message, notes=[note])


def _call_edit(draft: CallDraft) -> CallEdit:
    bound = draft.site.bound
    arguments: dict[int, ArgumentEdit] = {id(bound.arguments[name]): edit for name, edit in draft.arguments.items()}
    return CallEdit(bound.node, function_name(draft.file, bound.node), arguments, draft.suffix)


def _accept(draft: CallDraft, edits: list[Edit]) -> None:
    """Make a decided call's edits part of the file's."""
    file = draft.file
    file.migrated = True
    file.edits += [edit for edit in (*edits, *draft.edits) if edit not in file.edits]
    for node in (draft.site.node.func, *draft.lost):
        file.take_away(node)
    for node in draft.kept:
        file.give_back(node)
