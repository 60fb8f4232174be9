"""What the user asked to leave: by a comment, by choosing codes, by `--only exact`."""

from __future__ import annotations

import re

from xf2sdpa.analysis.spans import span_of
from xf2sdpa.codes import IGNORED, NOT_EXACT, NOT_SELECTED
from xf2sdpa.model import Finding, SiteClass
from xf2sdpa.rulekit.draft import CallDraft, Refusal

_IGNORE = re.compile(r"#\s*xf2sdpa:\s*ignore(?:\[([\w,\s]*)\])?", re.IGNORECASE)


def respect_wishes(draft: CallDraft, *, only_exact: bool) -> None:
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
