"""From a file's edits to its new text, and from a decided call to its line of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xf2sdpa.analysis.spans import source_of, span_of
from xf2sdpa.edits.hidden import Hidden, nests_too_deep
from xf2sdpa.edits.layout import Layout
from xf2sdpa.edits.selfcheck import CheckFailed
from xf2sdpa.model import Note, Site, SiteClass
from xf2sdpa.rulekit.draft import CallDraft, FileDraft
from xf2sdpa.settings import Settings

if TYPE_CHECKING:
    from xf2sdpa.edits.errors import Transcript


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
    old_mac = "\r" in draft.text and "\n" not in draft.text  # line ends that LibCST does not keep
    body = hidden.text.replace("\r", "\n") if old_mac else hidden.text
    if nests_too_deep(body):
        raise RecursionError
    layout = Layout.of(draft.text, settings.wrap_at())
    try:
        module, transcript = apply_edits(cst.parse_module(body), draft.tree, draft.edits, layout)
    except cst.ParserSyntaxError as error:
        raise CheckFailed(f"LibCST cannot read the file, line {error.raw_line}") from error
    except PairingError as error:
        raise CheckFailed(str(error)) from error
    code = module.code.replace("\n", "\r") if old_mac else module.code
    return hidden.restored(code), transcript


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
