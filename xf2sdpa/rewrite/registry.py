"""How the rules are found: every module in `xf2sdpa.rules` is one; there is no list to keep."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType

from xf2sdpa import rules
from xf2sdpa.rulekit.rule import Rule


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
