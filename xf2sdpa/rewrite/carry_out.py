"""From a file's edits to its new text, and from a decided call to its line of the report."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from xf2sdpa.analysis.spans import source_of, span_of, split_lines
from xf2sdpa.edits.hidden import Hidden, nests_too_deep
from xf2sdpa.edits.layout import Layout
from xf2sdpa.edits.selfcheck import CheckFailed
from xf2sdpa.model import Note, Site, SiteClass
from xf2sdpa.rulekit.draft import CallDraft, FileDraft
from xf2sdpa.settings import Settings

if TYPE_CHECKING:
    from xf2sdpa.edits.errors import Transcript

_LONE = re.compile(r"\r(?!\n)")


def edited_text(draft: FileDraft, settings: Settings) -> tuple[str, Transcript]:
    """The text with a file's edits carried out, and what each edited call became.

    Raises:
        CheckFailed: LibCST cannot read the text, or does not see the program that `ast` sees.
        RecursionError: a statement that changes nests too deep for LibCST.
    """
    import libcst as cst  # noqa: PLC0415 - heavy, and only changed files need it

    from xf2sdpa.edits.errors import PairingError  # noqa: PLC0415
    from xf2sdpa.edits.statements import apply_edits  # noqa: PLC0415

    hidden = Hidden(draft.text, draft.tree, draft.edits)
    lone = _LONE.search(hidden.text) is not None  # line ends that LibCST does not keep
    body = _LONE.sub("\n", hidden.text)
    if nests_too_deep(body):
        raise RecursionError
    layout = Layout.of(draft.text, settings.wrap_at()).after(draft.edits)
    try:
        module, transcript = apply_edits(cst.parse_module(body), draft.tree, draft.edits, layout)
    except cst.ParserSyntaxError as error:  # pragma: no cover - no text is known that only ast reads
        raise CheckFailed(f"LibCST cannot read the file, line {error.raw_line}") from error
    except PairingError as error:
        raise CheckFailed(str(error)) from error
    code = _with_ends_of(hidden.text, module.code) if lone else module.code
    return hidden.restored(code), transcript


def _with_ends_of(old: str, new: str) -> str:
    """The new text with the line ends of the old one.

    A line that was kept or edited ends as it did, an added one as the first line of the file does.
    """
    (before, bare_before), (after, bare_after) = map(_lines_and_ends, (old, new))
    ends = [before[0][1] if end else "" for _, end in after]
    steps = difflib.SequenceMatcher(None, bare_before, bare_after, autojunk=False).get_opcodes()
    for _, start, stop, first, last in steps:
        for number in range(first, last) if start < stop else ():
            place = stop - 1 if number == last - 1 else min(start + number - first, stop - 1)
            ends[number] = before[place][1] if ends[number] and before[place][1] else ends[number]
    for number, line in enumerate(bare_after):
        if number and not line and (ends[number - 1], ends[number]) == ("\r", "\n"):  # together they are one end
            ends[number] = "\r"
    return "".join(line + end for line, end in zip(bare_after, ends, strict=True))


def _lines_and_ends(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The lines of a text, each with its end, and alone."""
    bare = [line.rstrip("\r\n") for line in split_lines(text)]
    return [(line, whole[len(line) :]) for line, whole in zip(bare, split_lines(text), strict=True)], bare


def site_of(call: CallDraft, transcript: Transcript | None) -> Site:
    """A decided call as it stands in the report."""
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
