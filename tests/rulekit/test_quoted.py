"""Names of the helper in quoted annotations, and strings that are none."""

from __future__ import annotations

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

HEAD = """\
import typing
from typing import ForwardRef, Literal, NewType, Optional, TypeVar, Union, cast

import xformers.ops as xops
from xformers.ops import fmha

MASK = xops.LowerTriangularMask()
"""


def rewritten(line: str) -> str:
    """What becomes of a line."""
    result = rewrite_text(f"{HEAD}{line}\n", compat="_attention_compat")
    assert not result.failed, result.findings
    new = result.new.partition("MASK = LowerTriangularMask()\n")[2].rstrip("\n")
    assert ("import AttentionBias, LowerTriangularMask" in result.new) == ("'AttentionBias" in new or "[Att" in new)
    return new


@pytest.mark.parametrize("place", ["def f(x: {}): pass", "def f() -> {}: pass", "x: {} = None", "def f(*x: {}): pass"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'xops.AttentionBias'", "'AttentionBias'"),
        ("'Optional[xops.AttentionBias]'", "'Optional[AttentionBias]'"),
        ("Optional['xops.AttentionBias']", "Optional['AttentionBias']"),
        ("Union['xops.AttentionBias', 'int']", "Union['AttentionBias', 'int']"),
        ("'list[xops.AttentionBias]'", "'list[AttentionBias]'"),
        ("list['xops.AttentionBias']", "list['AttentionBias']"),
        ("'xops.AttentionBias | None'", "'AttentionBias | None'"),
        ("'Union[\"xops.AttentionBias\", int]'", "\"Union['AttentionBias', int]\""),
        ("'Literal[\"xops.AttentionBias\"]'", "'Literal[\"xops.AttentionBias\"]'"),
        ("'xops.SparseCSRTensor'", "'xops.SparseCSRTensor'"),
        ("'not python ('", "'not python ('"),
        ("'xops'", "'xops'"),
    ],
)
def test_an_annotation(place: str, old: str, new: str) -> None:
    assert rewritten(place.format(old)) == place.format(new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cast('xops.AttentionBias', y)", "cast('AttentionBias', y)"),
        ("cast(y, 'xops.AttentionBias')", "cast(y, 'xops.AttentionBias')"),
        ("TypeVar('xops.A', 'xops.AttentionBias')", "TypeVar('xops.A', 'AttentionBias')"),
        ("TypeVar('T', bound='xops.AttentionBias')", "TypeVar('T', bound='AttentionBias')"),
        ("NewType('T', 'xops.AttentionBias')", "NewType('T', 'AttentionBias')"),
        ("ForwardRef('xops.AttentionBias')", "ForwardRef('AttentionBias')"),
        ("typing.Union['xops.AttentionBias', int]", "typing.Union['AttentionBias', int]"),
        ("print('xops.AttentionBias')", "print('xops.AttentionBias')"),
        ("other['xops.AttentionBias']", "other['xops.AttentionBias']"),
        ("Literal['xops.AttentionBias']", "Literal['xops.AttentionBias']"),
        ("b'xops.AttentionBias'", "b'xops.AttentionBias'"),
    ],
)
def test_a_string_in_a_value(old: str, new: str) -> None:
    assert rewritten(f"z = {old}") == f"z = {new}"


def test_an_alias_of_a_type() -> None:
    assert rewritten("A: typing.TypeAlias = 'xops.AttentionBias'") == "A: typing.TypeAlias = 'AttentionBias'"
    assert rewritten("A: str = 'xops.AttentionBias'") == "A: str = 'xops.AttentionBias'"


def test_what_literal_holds_is_a_value() -> None:
    line = "def f(x: Literal['xops.AttentionBias']): pass"
    assert rewritten(line) == line
