"""The rules' decisions on one text: what becomes of each call, and the edits that this takes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from xf2sdpa.analysis.api import is_mask_class
from xf2sdpa.analysis.effects import is_idle
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.analysis.sites import CallSite, find_sites
from xf2sdpa.analysis.spans import source_of, span_of
from xf2sdpa.analysis.values import may_be_object
from xf2sdpa.codes import GUARDED, IGNORED, IN_HELPER, WISHES
from xf2sdpa.edits.kinds import AddImport, ArgumentEdit, CallEdit
from xf2sdpa.helper.text import exported
from xf2sdpa.model import Finding, FindingKind, Note, SiteClass
from xf2sdpa.rewrite.options import Options
from xf2sdpa.rewrite.registry import all_rules
from xf2sdpa.rewrite.wishes import is_allowed, respect_wishes
from xf2sdpa.rulekit.autocast_off import autocast_off
from xf2sdpa.rulekit.draft import CallDraft, FileDraft, Refusal, Request, Settled
from xf2sdpa.rulekit.helper_names import guarded_name, helper_name, is_with_helper, renamed_call
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.spelling import function_name

_NEVER = frozenset({"XF218", "XF219", "XF220", "XF222", "XF224"})
"""Why a call must stay with xformers, helper or not."""
_LONGEST = 60
"""Of the code that a finding quotes."""


def decide(text: str, path: str, options: Options) -> tuple[FileDraft, list[CallDraft]]:
    """Let the rules look at a text: the file with all edits asked for, and the draft of each call.

    Where it shows only at the end that a call must be left (its import cannot change, its edit would touch another
    one that is left), all is decided anew with that call left from the start. So no edit rests on a call that is left,
    and none that is left is handed a mask object of the helper.

    Raises:
        SyntaxError: the text is not Python.
        RecursionError: it nests too deep.
    """
    known_left: dict[int, Note] = {}
    probes_stay = False
    while True:
        file, calls = _look(text, path, options, known_left, probes_stay=probes_stay)
        further = {index: note for index, call in enumerate(calls) if (note := _left_late(call)) is not None}
        left = bool(further) or any(call.kind is SiteClass.LEFT for call in calls)
        if left and not probes_stay and any(call.code == "XF150" for call in calls):
            probes_stay = True
        elif further:
            known_left |= further
        elif not options.masks_stay and (why := _keeps_masks(file, calls)):
            options = replace(options, masks_stay=why)
        else:
            return file, calls


def _look(
    text: str, path: str, options: Options, known_left: Mapping[int, Note], *, probes_stay: bool
) -> tuple[FileDraft, list[CallDraft]]:
    """One look of all rules at a text, with some calls left in any case, by their index."""
    file = _opened(text, path, options, probes_stay=probes_stay)
    calls = []
    for index, site in enumerate(file.sites):
        note = known_left.get(index)
        call = _left_or_with_helper(file, site, note) if note else _decide_call(file, site, options)
        calls.append(call)
    for call in calls:
        if call.kind is SiteClass.LEFT:
            file.leave(call.site.node)
    for call in calls:
        _accept(call)
    for rule in all_rules():
        if rule.finish is not None:
            before = len(file.requests)
            rule.finish(file)
            file.findings += _done(file, file.requests[before:], rule.codes)
    return file, calls


def _opened(text: str, path: str, options: Options, *, probes_stay: bool) -> FileDraft:
    tree = _parse(text)
    handed_on = options.handed_on | options.replaced
    told = options.meanings, options.own_modules, options.subclasses, handed_on
    attributes = ClassAttributes(Names(tree, *told, starred=options.starred), options.others)
    return FileDraft(
        path,
        text,
        tree,
        attributes,
        options.settings,
        find_sites(attributes, loaded_alone=options.loaded_alone, told=options.passed),
        handed_on=handed_on,
        replaced=options.replaced,
        elsewhere=options.elsewhere,
        asking=options.asking,
        compat=options.compat,
        migrated=options.reached and options.compat is not None,
        migrating=options.migrating,
        loaded_alone=options.loaded_alone,
        own_library=options.own_library,
        own_switches=options.own_switches,
        inherited=options.inherited,
        diffusers=options.diffusers,
        own_functions=options.own_functions,
        never_passed=options.never_passed,
        seen=options.seen,
        plain_masks=options.plain_masks,
        mask_objects=options.mask_objects,
        masks_stay=options.masks_stay,
        probes_stay=probes_stay,
    )


def _parse(text: str) -> ast.Module:
    try:
        return parse_once(text).tree
    except ValueError as error:  # pragma: no cover - a NUL byte: newer releases of Python raise SyntaxError for it
        raise SyntaxError(str(error)) from error


def _done(file: FileDraft, requests: list[Request], codes: Mapping[str, str]) -> Iterator[Finding]:
    """What a rule did to a file besides its calls: each edit, at its place, with the code it was made to."""
    for request in requests:
        edit = request.edit
        if not isinstance(edit, AddImport):
            message = f"{_quoted(source_of(edit.node, file.lines))} ({codes[request.code]})"
            yield Finding(file.path, span_of(edit.node, file.lines), request.code, message, kind=FindingKind.DONE)


def _quoted(source: str) -> str:
    """The beginning of a piece of code, on one line."""
    first, *rest = source.strip().splitlines()
    if first == "try:" and rest:  # which says nothing
        first, *rest = f"{first} {rest[0].strip()}", *rest[1:]
    cut = first if len(first) <= _LONGEST else first[: _LONGEST - 1]
    return cut if cut == first and not rest else f"{cut} …"


# -- one call ----------------------------------------------------------------------------------------


def _decide_call(file: FileDraft, site: CallSite, options: Options) -> CallDraft:
    """A call decided; one that the helper answers since an earlier run is inline now, or stays as it is."""
    draft = _by_the_rules(file, site, only_exact=options.only_exact)
    inline = draft.kind in (SiteClass.EXACT, SiteClass.ASSUMED)
    return draft if inline or not is_with_helper(file, site.node) else _with_helper(file, site)


def _left_or_with_helper(file: FileDraft, site: CallSite, note: Note) -> CallDraft:
    return _with_helper(file, site) if is_with_helper(file, site.node) else _left(file, site, note)


def _with_helper(file: FileDraft, site: CallSite) -> CallDraft:
    return CallDraft(file, site, kind=SiteClass.COMPAT, code=IN_HELPER, stays=True)


def _by_the_rules(file: FileDraft, site: CallSite, *, only_exact: bool) -> CallDraft:
    draft = CallDraft(file, site)
    try:
        for rule in all_rules():
            if rule.decide is not None:
                rule.decide(draft)
        if file.settings.style == "compat":
            raise Refusal(IN_HELPER, "as --style compat asks")
        respect_wishes(draft, only_exact=only_exact)
        draft.edits.insert(0, _call_edit(draft))
        if draft.full_precision is not None:
            draft.edits.append(autocast_off(draft, draft.full_precision))
    except Settled:
        draft = _settled(draft, only_exact=only_exact)
    except Refusal as refusal:
        draft = _by_helper(file, site, refusal.note, only_exact=only_exact)
    return draft


def _settled(draft: CallDraft, *, only_exact: bool) -> CallDraft:
    try:
        respect_wishes(draft, only_exact=only_exact)
    except Refusal as refusal:
        return _left(draft.file, draft.site, refusal.note)
    return draft


def _by_helper(file: FileDraft, site: CallSite, note: Note, *, only_exact: bool) -> CallDraft:
    """Hand a call that cannot be written inline to the helper module, if there may be one; else leave it."""
    if note.code in WISHES | _NEVER or site.bound.fails:
        return _left(file, site, note)
    if file.compat is None or site.bound.api not in exported() or bars_helper(file):
        return _left(file, site, note)
    draft = CallDraft(file, site, kind=SiteClass.COMPAT, code=IN_HELPER, message=note.message, notes=[note])
    try:
        respect_wishes(draft, only_exact=only_exact)
    except Refusal as refusal:
        return _left(file, site, refusal.note)
    draft.needs_torch((2, 1))  # for `scale`
    op = draft.argument("op")
    if op is not None and is_idle(op):
        draft.drop("op")
        function = helper_name(file, site.node.func, site.bound.api)
        if isinstance(site.node.func, ast.Name):
            draft.kept.append(site.node.func)  # the call goes on by the name that its import binds
        draft.edits.append(renamed_call(site.node, function, without=op))
    return draft


def _left(file: FileDraft, site: CallSite, note: Note) -> CallDraft:
    if note.code not in WISHES and is_allowed(file, site, note.code):
        note = Note(IGNORED, f"left alone, as the comment asks: {note.message}")
    return CallDraft(file, site, kind=SiteClass.LEFT, code=note.code, message=note.message, notes=[note])


def _call_edit(draft: CallDraft) -> CallEdit:
    bound = draft.site.bound
    arguments: dict[int, ArgumentEdit] = {id(bound.arguments[name]): edit for name, edit in draft.arguments.items()}
    name = guarded_name if draft.guarded else function_name
    return CallEdit(bound.node, name(draft.file, bound.node), arguments, draft.suffix)


def _accept(call: CallDraft) -> None:
    """Make a decided call's edits part of the file's."""
    file = call.file
    if call.kind is SiteClass.LEFT or call.stays:
        return
    file.migrated = True
    for edit in call.edits:
        call.objection = call.objection or file.objection(edit, call.code)
        if edit not in file.edits:
            file.requests.append(Request(edit))
    if call.edits:
        for node in (call.site.node.func, *call.lost):
            file.take_away(node)
        for node in call.kept:
            file.give_back(node)


def _keeps_masks(file: FileDraft, calls: Sequence[CallDraft]) -> str:
    """Why the file's mask objects stay with xformers: a call that is left may be handed one; empty if none may."""
    if not any(map(is_mask_class, file.compat_names.values())):
        return ""
    for site in (call.site for call in calls if call.kind is SiteClass.LEFT):
        mask = site.bound.arguments.get("attn_bias")
        if mask is not None and not isinstance(mask, ast.Call) and may_be_object(site.bias):
            return f"`{_quoted(source_of(site.node, file.lines))}` stays, and may be handed a mask object"
    return ""


def _left_late(call: CallDraft) -> Note | None:
    """Why a call that was decided must be left after all, if it must.

    One of its edits may not be made; or it is for the helper, but its name still comes from xformers, as the guard
    around the import cannot be resolved or the user wants the import as it is.
    """
    if call.objection is not None or call.kind is not SiteClass.COMPAT or call.stays:
        return call.objection
    function, file = call.site.node.func, call.file
    if isinstance(function, ast.Name):
        scope = file.names.scope_at[id(call.site.node)]
        imported = file.names.could_be(function.id, scope) or scope.owner(function.id) is None  # else it is an alias
        ours = imported and function.id not in file.compat_names
    else:
        ours = not file.is_gone(function)
    if not ours:
        return None
    advice = "Take away the comment or the option that keeps the import, or take the import out of its guard."
    return Note(GUARDED, f"{call.message}; and the import that brings its name has to stay", advice)
