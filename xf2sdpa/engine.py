"""From a text to its rewrite: analysis, rules, edits, and the self-check that every run makes.

Nothing here reads or writes a file; `xf2sdpa.project` does that for many.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.sites import CallSite, find_sites
from xf2sdpa.analysis.spans import source_of, span_of
from xf2sdpa.codes import CHECK_FAILED, IGNORED, NOT_EXACT, NOT_SELECTED, TOO_DEEP, UNPARSABLE
from xf2sdpa.draft import CallDraft, FileDraft, Refusal, Settled
from xf2sdpa.edits import ArgumentEdit, CallEdit, Edit
from xf2sdpa.emit import function_name
from xf2sdpa.layout import Layout
from xf2sdpa.model import FileResult, Finding, Note, Site, SiteClass, Span
from xf2sdpa.rule import all_rules
from xf2sdpa.selfcheck import CheckFailed, check
from xf2sdpa.settings import Settings

if TYPE_CHECKING:
    from xf2sdpa.codemod import Transcript

NEEDLE = re.compile("memory_efficient_attention|merge_attentions")
"""Every call site spells one of these, whatever the module is called."""
_IGNORE = re.compile(r"#\s*xf2sdpa:\s*ignore(?:\[([\w,\s]*)\])?", re.IGNORECASE)
_WHOLE_FILE = Span(1, 0, 1, 0)


def rewrite_text(
    text: str,
    path: str = "<string>",
    settings: Settings | None = None,
    *,
    only_exact: bool = False,
    handed_on: frozenset[str] = frozenset(),
) -> FileResult:
    """Rewrite one text; reads and writes no file.

    Args:
        text: Python source, with its own newlines.
        path: what to call it in sites and findings.
        settings: as configured; the defaults, if None.
        only_exact: leave sites that rest on an assumption.
        handed_on: names that other files import from this one, which must stay bound.

    Returns:
        The result; where the text cannot be worked on, it is unchanged and a finding with `is_error` says why.
    """
    result = FileResult(Path(path), text, text)
    if not NEEDLE.search(text):
        return result
    try:
        _rewrite(result, settings or Settings(), only_exact=only_exact, handed_on=handed_on)
    except SyntaxError as error:
        span = Span(error.lineno or 1, max((error.offset or 1) - 1, 0), error.lineno or 1, error.offset or 1)
        _fail(result, UNPARSABLE, f"does not parse: {error.msg}", "Mend the syntax, or exclude the file.", span)
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


def _rewrite(result: FileResult, settings: Settings, *, only_exact: bool, handed_on: frozenset[str]) -> None:
    draft, calls = decide(result.old, str(result.path), settings, only_exact=only_exact, handed_on=handed_on)
    transcript = None
    if draft.edits:
        result.new, transcript = _edited(draft, settings)
        try:
            second, _ = decide(result.new, str(result.path), settings, only_exact=only_exact, handed_on=handed_on)
        except SyntaxError as error:
            raise CheckFailed(f"the new text does not parse, line {error.lineno}") from error
        check(result.old, result.new, draft.edits, second.edits)
    result.sites = [_site(call, transcript) for call in calls]
    result.findings = draft.findings


def decide(
    text: str,
    path: str,
    settings: Settings,
    *,
    only_exact: bool = False,
    handed_on: frozenset[str] = frozenset(),
) -> tuple[FileDraft, list[CallDraft]]:
    """Let the rules look at a text: the file with all edits asked for, and the draft of each call.

    Raises:
        SyntaxError: the text is not Python.
        RecursionError: it nests too deep.
    """
    tree = _parse(text)
    names = Names(tree)
    file = FileDraft(path, text, tree, names, settings, find_sites(names), handed_on=handed_on)
    calls = [_decide_call(file, site, only_exact=only_exact) for site in file.sites]
    for rule in all_rules():
        if rule.finish is not None:
            rule.finish(file)
    return file, calls


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
        _respect_wishes(draft, only_exact=only_exact)
        _accept(draft, [_call_edit(draft)])
    except Settled:
        try:
            _respect_wishes(draft, only_exact=only_exact)
            _accept(draft, [])
        except Refusal as refusal:
            draft = _left(file, site, refusal.note)
    except Refusal as refusal:
        draft = _left(file, site, refusal.note)
    return draft


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
            if not listed or listed & codes:
                raise Refusal(IGNORED, "left alone, as the comment asks")
    if not _selected(draft.file.settings, draft.code):
        raise Refusal(NOT_SELECTED, f"left alone: {draft.code} is not selected")
    if only_exact and draft.kind is SiteClass.ASSUMED:
        raise Refusal(
            NOT_EXACT,
            f"left alone by --only exact: it assumes that {draft.assumptions[0]}",
            "Check it, and rewrite without --only.",
        )


def _selected(settings: Settings, code: str) -> bool:
    chosen = not settings.select or code.startswith(settings.select)
    return chosen and not (settings.ignore and code.startswith(settings.ignore))


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
    first = call.notes[0] if call.notes and not migrated else Note("", "")
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
        notes=tuple(call.notes) if migrated else (),
        before=source_of(node, call.file.lines),
        after=transcript.after.get(own, "") if transcript and migrated else "",
        torch_floor=call.torch_floor if migrated and call.kind is not SiteClass.REMOVED else None,
    )


def with_path(result: FileResult, path: Path) -> FileResult:
    """The same result under another path."""
    return replace(result, path=path)
