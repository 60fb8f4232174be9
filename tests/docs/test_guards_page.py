"""docs/guards.md: each row of the table is run, where xformers is present and where it is absent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kinds.kinds import Case, check

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guards.md"
HEAD = """\
import importlib.metadata
import importlib.util
import os
import subprocess

from packaging import version

try:
    import xformers.ops as xops
except ImportError:
    xops = None
"""
CALL = """

def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v)
"""
BLOCK = re.compile(r"(try|except .*|if .*|def .*|else): (?!\d)(.+)")


def rows() -> list[tuple[str, str, str]]:
    """What the code asks, what it becomes, and the code of each row."""
    cells = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    return [(program(asked), becomes.strip("`"), code[1:6]) for asked, becomes, code, _ in cells]


def program(cell: str) -> str:
    """The code of a cell, a block's statements on lines of their own."""
    lines = []
    for line in re.findall(r"`([^`]+)`", cell):
        block = BLOCK.fullmatch(line)
        lines += [f"{block[1]}:", *(f"    {part}" for part in block[2].split("; "))] if block else [line]
    return "\n".join(lines) + "\n"


def case_of(asked: str, becomes: str, code: str) -> Case:
    name, _, value = becomes.partition(" = ")
    computed = "print(tuple(net.attend(q, k, v).shape))"
    shape = "(2, 5, 3, 8)"
    run = f"import net\n{computed}" + (f"\nprint(net.{name})" if value else "")
    printed = f"{shape}\nTrue" if value else shape
    pattern = re.escape(becomes if value else asked)
    return Case(
        name=asked,
        files={"net.py": HEAD + asked + CALL},
        options=("--verbose",),
        run=run if becomes != "stays" or "subprocess" not in asked else "",
        present=printed if becomes != "stays" else None,
        absent=printed if becomes != "stays" else None,
        has=(("net.py", pattern if value or becomes == "stays" else "scaled_dot_product_attention"),),
        lacks=(("net.py", r"please install"), *((("net.py", r"import xformers"),) if becomes != "stays" else ())),
        said=(rf"net\.py:\d+:\d+: {code} ",),
    )


@pytest.mark.parametrize(("asked", "becomes", "code"), rows(), ids=[row[0].splitlines()[0][:60] for row in rows()])
def test_the_row_is_true(asked: str, becomes: str, code: str, tmp_path: Path) -> None:
    check(case_of(asked, becomes, code), tmp_path)


def test_the_table_is_read_and_the_page_is_short() -> None:
    assert len(rows()) >= 10
    assert {becomes for _, becomes, _ in rows()} > {"stays", "goes"}
    assert len(PAGE.read_text("utf-8").split()) <= 600
