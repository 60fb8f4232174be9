"""What recorded runs saw at a call: evidence as long as the function around it has not changed since."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence

from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.model import Seen
from xf2sdpa.rulekit.draft import CallDraft


def digest_of(names: Names, node: ast.AST, lines: Sequence[str]) -> str:
    """A digest of the text of the function, or module, around a node."""
    function = names.function(node)
    text = "".join(lines) if isinstance(function, ast.Module) else source_of(function, lines)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def seen_at(draft: CallDraft) -> Seen | None:
    """What was seen at a call, if its function is the one that ran."""
    found = recorded_at(draft)
    same = found is not None and found.function == digest_of(draft.file.names, draft.site.node, draft.file.lines)
    return found if same else None


def recorded_at(draft: CallDraft) -> Seen | None:
    """What was recorded at a call, whether its function has changed since or not."""
    return draft.file.seen.get(f"{draft.site.qualname}#{draft.site.ordinal}")
