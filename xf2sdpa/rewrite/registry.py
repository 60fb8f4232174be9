"""How the rules are found: every module in `xf2sdpa.rules` is one; there is no list to keep."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from xf2sdpa import rules
from xf2sdpa.rulekit.rule import Rule
from xf2sdpa.rulekit.stages import Stage


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order in which they look.

    Raises:
        ValueError: a rule is to look after one that there is not, or two after each other.
    """
    found = [
        _from_module(importlib.import_module(f"{rules.__name__}.{info.name}"))
        for info in pkgutil.iter_modules(rules.__path__)
    ]
    return tuple(rule for stage in Stage for rule in _ordered([rule for rule in found if rule.stage is stage]))


def _ordered(waiting: list[Rule]) -> Iterator[Rule]:
    """The rules of one stage, each after those that it names; by name where nothing else decides."""
    waiting = sorted(waiting, key=lambda rule: rule.name)
    done: set[str] = set()
    while waiting:
        ready = next((rule for rule in waiting if done.issuperset(rule.after)), None)
        if ready is None:
            raise ValueError(f"no order for {', '.join(rule.name for rule in waiting)}: look at their AFTER")
        waiting.remove(ready)
        done.add(ready.name)
        yield ready


def _from_module(module: ModuleType) -> Rule:
    return Rule(
        name=module.__name__.rpartition(".")[2],
        stage=module.STAGE,
        after=getattr(module, "AFTER", ()),
        page=(module.__doc__ or "").strip(),
        codes=module.CODES,
        retired=getattr(module, "RETIRED", {}),
        notes=getattr(module, "NOTES", ()),
        examples=getattr(module, "EXAMPLES", ()),
        decide=getattr(module, "decide", None),
        finish=getattr(module, "finish", None),
    )
