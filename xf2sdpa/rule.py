"""What a rule is, and how the rules are found: every module in `xf2sdpa.rules` is one.

A rule module has a docstring (what it does, why, since which torch), `ORDER` (rules run by it), `CODES` (each code
with one line about it), `EXAMPLES`, and one or both of
`decide(draft: CallDraft)`, which fills in its part of one call or raises `Refusal`, and
`finish(file: FileDraft)`, which sees the whole file after all calls are decided.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from xf2sdpa import rules
from xf2sdpa.draft import CallDraft, FileDraft


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
    order: int
    page: str
    codes: dict[str, str]
    examples: tuple[Example, ...]
    decide: Callable[[CallDraft], None] | None
    finish: Callable[[FileDraft], None] | None


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order in which they run."""
    found = [
        _from_module(importlib.import_module(f"{rules.__name__}.{info.name}"))
        for info in pkgutil.iter_modules(rules.__path__)
    ]
    return tuple(sorted(found, key=lambda rule: (rule.order, rule.name)))


def _from_module(module: ModuleType) -> Rule:
    return Rule(
        name=module.__name__.rpartition(".")[2],
        order=module.ORDER,
        page=(module.__doc__ or "").strip(),
        codes=module.CODES,
        examples=getattr(module, "EXAMPLES", ()),
        decide=getattr(module, "decide", None),
        finish=getattr(module, "finish", None),
    )
