"""What a rule is.

A rule module has a docstring (what it does, why, since which torch), `STAGE` (when it looks), `AFTER` (rules of the
same stage that must have looked before it; none, if it has no `AFTER`), `CODES` (each code that it reports under, with
one line about it), `NOTES` (those of them that only go with another code), `RETIRED` (those that it reported under
once), `EXAMPLES`, and one or both of
`decide(draft: CallDraft)`, which fills in its part of one call or raises `Refusal`, and
`finish(file: FileDraft)`, which sees the whole file after all calls are decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xf2sdpa.rulekit.draft import CallDraft, FileDraft
from xf2sdpa.rulekit.stages import Stage


@dataclass(frozen=True)
class Example:
    """A piece of code before and after; `after` empty where it stays as it is.

    `helper` where it needs the helper module, imported as `_attention_compat`.
    """

    before: str
    after: str = ""
    helper: bool = False


@dataclass(frozen=True)
class Rule:
    """One rule, as its module tells."""

    name: str
    stage: Stage
    after: tuple[str, ...]
    page: str
    codes: dict[str, str]
    retired: dict[str, str]
    notes: tuple[str, ...]
    examples: tuple[Example, ...]
    decide: Callable[[CallDraft], None] | None
    finish: Callable[[FileDraft], None] | None
