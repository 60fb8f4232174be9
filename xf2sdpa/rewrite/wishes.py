"""What the user asked to leave: by a comment, by choosing codes, by `--only exact`."""

from __future__ import annotations

from xf2sdpa.analysis.sites import CallSite
from xf2sdpa.codes import IGNORED, NOT_EXACT, NOT_SELECTED
from xf2sdpa.model import SiteClass
from xf2sdpa.rulekit.draft import CallDraft, FileDraft, Refusal


def respect_wishes(draft: CallDraft, *, only_exact: bool) -> None:
    """Leave what the user asked to leave.

    Raises:
        Refusal: the call is to be left.
    """
    file, node = draft.file, draft.site.node
    codes = {draft.code, *draft.parts, *(note.code for note in draft.notes)}
    for listed in file.comments.listed_in(node):
        if not listed or any(code.startswith(tuple(listed)) for code in codes):
            raise Refusal(IGNORED, "left alone, as the comment asks")
        file.report(node, IGNORED, f"the comment here ignores {', '.join(sorted(listed))}: this is {draft.code}")
    if not file.settings.selects(draft.code):
        raise Refusal(NOT_SELECTED, f"left alone: {draft.code} is not selected")
    if unwanted := sorted(filter(file.settings.ignores, draft.parts)):
        raise Refusal(NOT_SELECTED, f"left alone: {unwanted[0]} is ignored, and belongs to this call")
    draft.notes[:] = [note for note in draft.notes if not file.settings.ignores(note.code)]
    if only_exact and draft.kind is SiteClass.ASSUMED:
        raise Refusal(
            NOT_EXACT,
            f"left alone by --only exact: it assumes that {draft.assumptions[0]}",
            "Check it, and rewrite without --only.",
        )


def is_allowed(file: FileDraft, site: CallSite, code: str) -> bool:
    """Whether a comment asks to leave a call that stays anyway: `--strict` then does not count it."""
    return any(not listed or code.startswith(tuple(listed)) for listed in file.comments.listed_in(site.node))
