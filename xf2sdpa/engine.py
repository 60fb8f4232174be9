"""From a text to its rewrite: analysis, rules, edits, and the self-check that every run makes.

Nothing here reads or writes a file; `xf2sdpa.project` does that for many.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.sites import CallSite, find_sites
from xf2sdpa.analysis.spans import source_of, span_of
from xf2sdpa.codes import (
    CHECK_FAILED,
    GUARDED,
    IGNORED,
    IN_HELPER,
    NOT_EXACT,
    NOT_SELECTED,
    RUN_CODES,
    TOO_DEEP,
    UNPARSABLE,
)
from xf2sdpa.copyin import exported
from xf2sdpa.draft import CallDraft, FileDraft, Refusal, Settled
from xf2sdpa.edits import AddImport, ArgumentEdit, CallEdit, Edit
from xf2sdpa.emit import function_name
from xf2sdpa.layout import Layout
from xf2sdpa.model import FileResult, Finding, Note, Site, SiteClass, Span
from xf2sdpa.rule import Rule, all_rules
from xf2sdpa.rules.comparison import bars_helper
from xf2sdpa.rules.compat_names import helper_name, renamed_call
from xf2sdpa.rules.op import is_idle
from xf2sdpa.selfcheck import CheckFailed, check
from xf2sdpa.settings import Settings

if TYPE_CHECKING:
    from xf2sdpa.codemod import Transcript

NEEDLE = re.compile("memory_efficient_attention|merge_attentions")
"""Every call site spells one of these, whatever the module is called."""
WIDE_NEEDLE = re.compile("xformers|mslk|memory_efficient_attention")
_WISHES = frozenset({IGNORED, NOT_SELECTED, NOT_EXACT})
_NEVER = frozenset({"XF218", "XF219", "XF220", "XF222"})
"""Why a call must stay with xformers, helper or not."""
_IGNORE = re.compile(r"#\s*xf2sdpa:\s*ignore(?:\[([\w,\s]*)\])?", re.IGNORECASE)
_WHOLE_FILE = Span(1, 0, 1, 0)


def rewrite_text(
    text: str,
    path: str = "<string>",
    settings: Settings | None = None,
    *,
    only_exact: bool = False,
    handed_on: frozenset[str] = frozenset(),
    compat: str | None = None,
) -> FileResult:
    """Rewrite one text; reads and writes no file.

    Args:
        text: Python source, with its own newlines.
        path: what to call it in sites and findings.
        settings: as configured; the defaults, if None.
        only_exact: leave sites that rest on an assumption.
        handed_on: names that other files import from this one, which must stay bound.
        compat: the module that this file imports the helper by, `._attention_compat`; None to do without a helper.

    Returns:
        The result; where the text cannot be worked on, it is unchanged and a finding with `is_error` says why.
    """
    return rewrite_with(text, path, Options(settings or Settings(), only_exact, handed_on, compat))


@dataclass(frozen=True)
class Options:
    """What one file is rewritten with; see `rewrite_text`."""

    settings: Settings
    only_exact: bool = False
    handed_on: frozenset[str] = frozenset()
    compat: str | None = None
    handed_over: Mapping[str, str] = field(default_factory=dict)
    """What names of other files stand for: `shared.xops` → `xformers.ops`."""
    reached: bool = False
    """Whether files with call sites import something from this one: its flags then count as theirs."""
    migrating: bool = False
    """Whether the project has call sites at all."""
    alone: bool = False
    """Whether the file is loaded by itself, without others of its project."""


def rewrite_with(text: str, path: str, options: Options) -> FileResult:
    """`rewrite_text`, with its options in one piece."""
    result = FileResult(Path(path), text, text)
    # The helper decides at run time, which is not what --only exact asks for.
    if options.only_exact or not options.settings.selects(IN_HELPER):
        options = replace(options, compat=None)
    if not (NEEDLE if options.compat is None else WIDE_NEEDLE).search(text):
        return result
    try:
        _rewrite(result, options)
    except SyntaxError as error:
        span = Span(error.lineno or 1, max((error.offset or 1) - 1, 0), error.lineno or 1, error.offset or 1)
        _fail(result, UNPARSABLE, f"does not parse: {error.msg}", RUN_CODES[UNPARSABLE].way_out, span)
    except (RecursionError, MemoryError):
        _fail(result, TOO_DEEP, "nests too deep to be analysed", "Split the expression, or exclude the file.")
    except CheckFailed as failure:
        _fail(
            result,
            CHECK_FAILED,
            f"the rewrite failed its self-check: {failure}",
            "Please report this; the file is as it was.",
        )
    return result


def _fail(result: FileResult, code: str, message: str, advice: str, span: Span = _WHOLE_FILE) -> None:
    """Put the file back as it was and say why."""
    result.new = result.old
    result.sites.clear()
    result.findings[:] = [Finding(str(result.path), span, code, message, advice, is_error=True)]


def _rewrite(result: FileResult, options: Options) -> None:
    path = str(result.path)
    draft, calls = decide(result.old, path, options)
    transcript = None
    if draft.edits:
        result.new, transcript = _edited(draft, options.settings)
        try:
            second, _ = decide(result.new, path, options)
        except SyntaxError as error:
            raise CheckFailed(f"the new text does not parse, line {error.lineno}") from error
        check(result.old, result.new, draft.edits, second.edits)
    result.sites = [_site(call, transcript) for call in calls]
    result.findings = draft.findings
    result.compat_names = frozenset(draft.compat_names.values())


def decide(text: str, path: str, options: Options, *, probes_stay: bool = False) -> tuple[FileDraft, list[CallDraft]]:
    """Let the rules look at a text: the file with all edits asked for, and the draft of each call.

    Once more, with `probes_stay`, where a probe would go while another call of the file stays on xformers.

    Raises:
        SyntaxError: the text is not Python.
        RecursionError: it nests too deep.
    """
    tree = _parse(text)
    names = Names(tree, options.handed_over)
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
        _respect_wishes(draft, only_exact=only_exact)
        _accept(draft, [_call_edit(draft)])
    except Settled:
        draft = _settled(draft, only_exact=only_exact)
    except Refusal as refusal:
        draft = _by_helper(file, site, refusal.note, only_exact=only_exact)
    return draft


def _settled(draft: CallDraft, *, only_exact: bool) -> CallDraft:
    try:
        _respect_wishes(draft, only_exact=only_exact)
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
        _respect_wishes(draft, only_exact=only_exact)
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


def _respect_wishes(draft: CallDraft, *, only_exact: bool) -> None:
    """Leave what the user asked to leave: by comment, by rule selection, by `--only exact`."""
    codes = {draft.code, *(note.code for note in draft.notes)}
    node, lines = draft.site.node, draft.file.lines
    for line in lines[node.lineno - 1 : node.end_lineno]:
        match = _IGNORE.search(line)
        if match is not None:
            listed = {code.strip().upper() for code in (match[1] or "").split(",") if code.strip()}
            if not listed or any(code.startswith(tuple(listed)) for code in codes):
                raise Refusal(IGNORED, "left alone, as the comment asks")
            message = f"the comment here ignores {', '.join(sorted(listed))}: this is {draft.code}"
            draft.file.findings.append(Finding(draft.file.path, span_of(node, lines), IGNORED, message))
    if not draft.file.settings.selects(draft.code):
        raise Refusal(NOT_SELECTED, f"left alone: {draft.code} is not selected")
    if only_exact and draft.kind is SiteClass.ASSUMED:
        raise Refusal(
            NOT_EXACT,
            f"left alone by --only exact: it assumes that {draft.assumptions[0]}",
            "Check it, and rewrite without --only.",
        )


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


def _edited(draft: FileDraft, settings: Settings) -> tuple[str, Transcript]:
    import libcst as cst  # noqa: PLC0415 - heavy, and only changed files need it

    from xf2sdpa.codemod import PairingError, apply_edits  # noqa: PLC0415

    body, blank = _split_end(draft.text)
    layout = Layout.of(draft.text, settings.wrap_at())
    try:
        module, transcript = apply_edits(cst.parse_module(body), draft.tree, draft.edits, layout)
    except cst.ParserSyntaxError as error:
        raise CheckFailed(f"LibCST cannot read the file, line {error.raw_line}") from error
    except PairingError as error:
        raise CheckFailed(str(error)) from error
    return module.code + blank, transcript


def _split_end(text: str) -> tuple[str, str]:
    """The text up to its last code, and blank lines behind it: LibCST drops white space there."""
    body = text.rstrip(" \t\r\n\f")
    rest = text[len(body) :]
    first = re.match(r"[ \t]*(?:\r\n|\r|\n)?", rest)
    cut = len(body) + (first.end() if first else 0)
    return text[:cut], text[cut:]


def _site(call: CallDraft, transcript: Transcript | None) -> Site:
    node = call.site.node
    own = id(node)
    migrated = call.kind is not SiteClass.LEFT
    first = call.notes[0] if call.notes and call.kind in (SiteClass.LEFT, SiteClass.COMPAT) else Note("", "")
    return Site(
        path=call.file.path,
        qualname=call.site.qualname,
        ordinal=call.site.ordinal,
        span=span_of(node, call.file.lines),
        kind=call.kind,
        code=call.code,
        message=call.message,
        advice=first.advice,
        assumptions=tuple(call.assumptions),
        notes=tuple(call.notes) if migrated and call.kind is not SiteClass.COMPAT else (),
        before=source_of(node, call.file.lines),
        after=transcript.after.get(own, "") if transcript and migrated else "",
        torch_floor=call.torch_floor if migrated and call.kind is not SiteClass.REMOVED else None,
    )
