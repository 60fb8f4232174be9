"""The pages of `explain`: one for every code, each with its title, reason, example and way out."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.run.commands import call
from xf2sdpa import codes
from xf2sdpa.flags import table
from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite import pages
from xf2sdpa.rewrite.registry import all_rules

WORDS = Path(__file__).parent / "words.txt"
TESTS = sorted(Path(__file__).parents[1].rglob("test_*.py"))


def test_explain_without_a_code_lists_them_all() -> None:
    listed = call("explain")
    assert listed.exit_code == 0
    assert [line.partition("  ")[0] for line in listed.output.splitlines()] == list(pages.all_codes())


@pytest.mark.parametrize("code", pages.all_codes())
def test_explain(code: str) -> None:
    result = call("explain", code)
    assert result.exit_code == 0
    assert result.output.startswith(code)
    assert len(result.output.splitlines()) > 2
    assert call("explain", code.lower()).output == result.output


@pytest.mark.parametrize("code", pages.retired_codes())
def test_a_retired_code_says_so(code: str) -> None:
    result = call("explain", code)
    assert result.exit_code == 0
    assert result.output.startswith(f"{code}: retired (")
    assert f"Nothing is reported under {code} any more" in " ".join(result.output.split())
    assert code not in pages.all_codes()


def test_every_code_is_named_by_a_test() -> None:
    """Those of most rules stand in the sentences that their cases bring out; the others are of runs and projects."""
    said = WORDS.read_text("utf-8") + "".join(file.read_text("utf-8") for file in TESTS)
    assert [code for code in pages.all_codes() if code not in said] == []


@pytest.mark.parametrize("code", pages.all_codes())
def test_a_page_has_a_title_a_reason_an_example_and_a_way_out(code: str) -> None:
    title, *parts = call("explain", code).output.split("\n\n")
    assert title == f"{code}: {pages.all_codes()[code]}"
    if code in table.CODES:  # the table of flags
        assert "torch.set_float32_matmul_precision" in parts[-1] or "`--flags h200`" in parts[1]
        return
    assert len(parts[0]) > 20
    assert any(part.startswith(("example:\n    ", "before:\n    ", "left as it is:\n    ")) for part in parts)
    assert sum(part.startswith("Way out: ") for part in parts) == 1


def test_every_code_is_of_a_known_family() -> None:
    assert {code[:3] for code in pages.all_codes()} == set(codes.FAMILIES)


def test_what_does_not_parse_may_be_for_a_newer_python() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    page = " ".join(call("explain", "XF901").output.split())
    assert f"This is Python {version}: for the syntax of a newer one, run xf2sdpa with that Python." in page


def test_explain_lists_the_codes_that_begin_so() -> None:
    listed = call("explain", "xf40").output.splitlines()
    assert [line[:5] for line in listed] == [code for code in pages.all_codes() if code.startswith("XF40")]
    assert len(call("explain", "XF").output.splitlines()) == len(pages.all_codes())


def test_explain_shows_one_flag() -> None:
    shown = call("explain", "tf32").output
    assert shown.startswith('tf32: torch.set_float32_matmul_precision("high")\n    float32 matrix products')
    assert "cudnn.benchmark" not in shown
    assert call("explain", "H200").output == call("explain", "flags").output


@pytest.mark.parametrize("kind", [kind.value for kind in SiteClass])
def test_explain_shows_a_class(kind: str) -> None:
    shown = call("explain", kind).output
    assert shown.startswith(f"{kind}: ")
    assert "What to do: " in shown
    titles = {line[:7].strip(): line[8:].strip() for line in call("explain", "classes").output.splitlines()}
    assert shown.splitlines()[0] == f"{kind}: {titles[kind]}"


def test_a_misspelt_command_is_told_the_nearest() -> None:
    result = call("rewrit")
    assert result.exit_code == 2
    assert "No such command 'rewrit'. Did you mean 'rewrite'?" in result.output
    assert "Did you mean" not in call("zebra").output
    assert "No such command '.'. Did you mean 'xf2sdpa rewrite .'?" in call(".").output


@pytest.mark.parametrize(
    ("word", "meant"), [("exac", "exact"), ("tf23", "tf32"), ("XF217", "XF2"), ("flag", "flags"), ("zebra", "")]
)
def test_explain_suggests(word: str, meant: str) -> None:
    result = call("explain", word)
    assert result.exit_code == 2
    assert (f"there is no page about {word}; did you mean {meant}" in result.output) == bool(meant)


def test_codes_belong_to_one_rule_each() -> None:
    owners = [code for rule in all_rules() for code in rule.codes] + list(codes.RUN_CODES)
    assert sorted(owners) == sorted(set(owners))
    assert all(re.fullmatch(r"XF\d{3}", code) for code in owners)
