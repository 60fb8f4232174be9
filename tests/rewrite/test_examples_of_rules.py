"""The examples that the rules' pages show."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.rewrite.engine import rewrite_text
from xf2sdpa.rewrite.registry import all_rules
from xf2sdpa.rulekit.rule import Example

EXAMPLES = [
    pytest.param(example, id=f"{rule.name}-{number}")
    for rule in all_rules()
    for number, example in enumerate(rule.examples)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_rules_hold(example: Example) -> None:
    helper = "_attention_compat" if example.helper else None
    result = rewrite_text(example.before, compat=helper)
    assert not result.failed, result.findings
    assert result.new == (example.after or example.before)
    ast.parse(result.new)
    assert rewrite_text(result.new, compat=helper).new == result.new


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_every_rule_has_a_page_and_an_example(rule: object) -> None:
    assert rule.page  # type: ignore[attr-defined]
    assert rule.examples, "an EXAMPLES table is what `explain` shows"  # type: ignore[attr-defined]
