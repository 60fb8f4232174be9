"""How the rules are found, and that each has its tests."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from pathlib import Path

import pytest

import xf2sdpa.rules
from xf2sdpa.rewrite.registry import _ordered, all_rules

TESTS = Path(__file__).parents[1] / "rules"


def test_every_module_of_the_room_is_a_rule() -> None:
    modules = {info.name for info in pkgutil.iter_modules(xf2sdpa.rules.__path__)}
    assert {rule.name for rule in all_rules()} == modules


def test_rules_come_stage_after_stage_and_after_those_that_they_name() -> None:
    rules = all_rules()
    assert [rule.stage for rule in rules] == sorted(rule.stage for rule in rules)
    place = {rule.name: index for index, rule in enumerate(rules)}
    stage = {rule.name: rule.stage for rule in rules}
    for rule in rules:
        assert all(place[name] < place[rule.name] and stage[name] is rule.stage for name in rule.after), rule.name
    assert any(rule.after for rule in rules)


def ordered(**after: tuple[str, ...]) -> list[str]:
    """Made-up rules of one stage, in the order in which they look; each is given with those that it names."""
    some = all_rules()[0]
    return [rule.name for rule in _ordered([replace(some, name=name, after=names) for name, names in after.items()])]


def test_the_order_of_a_stage() -> None:
    assert ordered(b=(), a=(), c=()) == ["a", "b", "c"]
    assert ordered(a=("c",), b=(), c=("b",)) == ["b", "c", "a"]


@pytest.mark.parametrize("after", [{"a": ("b",), "b": ("a",)}, {"a": ("a",)}, {"a": ("of another stage",)}])
def test_an_order_that_there_is_not_is_told(after: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="no order for"):
        ordered(**after)


def test_every_rule_has_its_tests_and_no_tests_are_of_another() -> None:
    rules, tested = {r.name for r in all_rules()}, {path.stem.removeprefix("test_") for path in TESTS.glob("test_*.py")}
    assert rules <= tested
    others = [name for name in tested - rules if not any(name.startswith(f"{rule}_") for rule in rules)]
    assert others == [], "tests of a rule in two files are called alike at their beginning"


def test_every_rule_decides_or_finishes() -> None:
    assert all(rule.decide is not None or rule.finish is not None for rule in all_rules())
