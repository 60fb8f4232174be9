"""Every sentence that the cases of `tests/rules` bring out, word by word: kind, message and advice.

They stand in `words.txt`, for the eye too. `XF2SDPA_UPDATE_FIXTURES=1 python -m pytest tests/rewrite/test_words.py`
writes what came out; read the diff.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.common import Case, rewritten
from xf2sdpa.model import FileResult

HERE = Path(__file__).parent
STORED = HERE / "words.txt"


FILES = [file.stem for file in sorted((HERE.parent / "rules").glob("test_*.py"))]


def cases(name: str) -> Iterator[Case]:
    """Every case of every table of a file there."""
    module = importlib.import_module(f"tests.rules.{name}")
    for table in vars(module).values():
        if isinstance(table, dict):
            yield from (case for case in table.values() if isinstance(case, Case))


def sentences(result: FileResult) -> Iterator[str]:
    """What a result says, a line each."""
    for site in result.sites:
        yield f"{site.code} {site.kind.value}: {site.message} | {site.advice}"
        yield from (f"{site.code} assuming that {assumption}" for assumption in site.assumptions)
        yield from (f"{note.code} note: {note.message} | {note.advice}" for note in site.notes)
    for finding in result.findings:
        yield f"{finding.code} {finding.kind.value}: {finding.message} | {finding.advice}"


@functools.cache
def said_in(name: str) -> frozenset[str]:
    """What the cases of a file bring out."""
    return frozenset(" ".join(line.split()) for case in cases(name) for line in sentences(rewritten(case)))


@pytest.mark.parametrize("name", FILES)
def test_what_is_said_was_said_before(name: str) -> None:
    assert said_in(name) <= {*STORED.read_text("utf-8").splitlines()} or os.environ.get("XF2SDPA_UPDATE_FIXTURES")


def test_what_was_said_is_said() -> None:
    said = sorted(frozenset().union(*map(said_in, FILES)))
    if os.environ.get("XF2SDPA_UPDATE_FIXTURES"):
        STORED.write_text("".join(f"{line}\n" for line in said), "utf-8")
    assert said == STORED.read_text("utf-8").splitlines()
