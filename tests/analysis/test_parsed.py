"""Trees that are made once: all nodes in their order, kept as long as they fit, and changed by nobody."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from xf2sdpa.analysis import parsed
from xf2sdpa.analysis.parsed import Parsed, all_nodes, forget, parse_once
from xf2sdpa.rewrite.engine import rewrite_text

HERE = Path(__file__).resolve().parents[2]
TEXTS = [path.read_text("utf-8") for path in sorted((HERE / "fixtures").rglob("*.py"))]


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    forget()
    yield
    forget()


def test_nodes_are_those_of_ast_walk_in_its_order() -> None:
    for text in TEXTS[::5]:
        tree = ast.parse(text)
        marks = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
        whole = [node for node in ast.walk(tree) if not isinstance(node, marks)]
        assert [id(node) for node in all_nodes(tree)] == [id(node) for node in whole]
        kinds = {type(node): Parsed(tree).of(type(node)) for node in whole}
        assert all(found == [node for node in whole if type(node) is kind] for kind, found in kinds.items())


def test_a_text_is_parsed_once() -> None:
    assert parse_once("x = 1\n") is parse_once("x = 1\n")
    assert parse_once("x = 1\n").tree is not parse_once("x = 2\n").tree


def test_what_does_not_parse_raises_every_time() -> None:
    for _ in range(2):
        with pytest.raises(SyntaxError):
            parse_once("x = (\n")


def test_what_does_not_fit_is_parsed_again_and_puts_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsed, "_room", [10])
    first = parse_once("x = 1\n")
    assert parse_once("y = 12345\n") is not parse_once("y = 12345\n")
    assert parse_once("x = 1\n") is first


def test_a_rewrite_changes_no_tree() -> None:
    inputs = [text.partition("\n# output")[0] + "\n" for text in TEXTS[::3]]
    for text in inputs:
        rewrite_text(text, compat="_attention_compat")
        assert ast.dump(parse_once(text).tree, include_attributes=True) == ast.dump(
            ast.parse(text), include_attributes=True
        )
