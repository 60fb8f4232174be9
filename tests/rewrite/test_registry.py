"""How the rules are found, and that each has its tests."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import xf2sdpa.rules
from xf2sdpa.rewrite.registry import all_rules

TESTS = Path(__file__).parents[1] / "rules"


def test_every_module_of_the_room_is_a_rule() -> None:
    modules = {info.name for info in pkgutil.iter_modules(xf2sdpa.rules.__path__)}
    assert {rule.name for rule in all_rules()} == modules


def test_rules_come_in_their_order() -> None:
    orders = [rule.order for rule in all_rules()]
    assert orders == sorted(orders)


def test_every_rule_has_its_tests_and_no_tests_are_of_another() -> None:
    assert {path.stem.removeprefix("test_") for path in TESTS.glob("test_*.py")} == {r.name for r in all_rules()}


def test_every_rule_decides_or_finishes() -> None:
    assert all(rule.decide is not None or rule.finish is not None for rule in all_rules())
