"""What README shows, how long it is, and its figures."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.docs.pages import ROOT, blocks, fits
from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite.engine import rewrite_text
from xf2sdpa.verify.report import json as verify_json
from xf2sdpa.verify.report import text as verify_text

README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks/results"
MOST_WORDS = 900


def test_it_is_short() -> None:
    assert len(README.read_text("utf-8").split()) <= MOST_WORDS


def test_the_before_and_after_are_real() -> None:
    before, after = (block.text for block in blocks(README) if block.language == "py")
    result = rewrite_text(before)
    assert result.new == after
    assert [site.kind for site in result.sites] == [SiteClass.EXACT]


def test_it_names_every_class() -> None:
    text = README.read_text("utf-8")
    assert all(f"| `{kind.value}` |" in text for kind in SiteClass)


def test_the_report_of_verify_is_the_stored_one() -> None:
    (block,) = (block for block in blocks(README) if "from" in block.wishes)
    stored = verify_json.load((RESULTS / block.wishes["from"]).read_text("utf-8"))
    told = "\n".join(verify_text.lines(stored))
    assert fits(click.unstyle(told), block.text)


@pytest.mark.parametrize("place", ["action.yml", "LICENSE", "CONTRIBUTING.md"])
def test_what_it_points_to_is_there(place: str) -> None:
    assert Path(ROOT / place).is_file()
