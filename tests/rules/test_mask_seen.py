"""What a recorded run saw at a call counts, behind a check, as long as the function is the one that ran."""

from __future__ import annotations

import ast

import pytest

from tests.rules.common import attend, examples_hold, rule
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.spans import split_lines
from xf2sdpa.model import FileResult, Seen
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.rulekit.recorded import digest_of
from xf2sdpa.settings import Settings

MASKED = attend("xops.memory_efficient_attention(q, k, v, attn_bias=bias)")
BARE = attend("xops.memory_efficient_attention(q, k, v)").replace("    b, n, h, d = q.shape\n", "")


NO_PLACE = BARE.replace("return ", "return (lambda: ", 1).rstrip("\n") + ")()\n"
"""A call that no check can stand before."""
KNOWN_TO_BE_FLAT = BARE.replace("    return ", "    q = q.view(2, 3)\n    return ", 1)
"""What the function itself shows goes before what was recorded."""


def digest(program: str) -> str:
    names = Names(ast.parse(program))
    return digest_of(names, names.calls[0], split_lines(program))


def rewritten(program: str, rank: int | None = 4, masked: bool = False, function: str | None = None) -> FileResult:
    seen = {"attend#0": Seen(digest(program) if function is None else function, rank, masked)}
    result = rewrite_with(program, "model.py", Options(Settings(), seen=seen))
    assert not result.failed, result.findings
    return result


def test_a_mask_that_never_came_is_left_out_behind_a_check() -> None:
    result = rewritten(MASKED)
    (site,) = result.sites
    assert site.kind.value == "assumed"
    assert "no bias comes here, as none did in the recorded run" in site.assumptions
    assert "    if bias is not None:\n        raise NotImplementedError(" in result.new


@pytest.mark.parametrize(("rank", "code"), [(4, "XF101"), (3, "XF102")])
def test_a_rank_that_always_came_is_taken_behind_a_check(rank: int, code: str) -> None:
    result = rewritten(BARE, rank)
    (site,) = result.sites
    assert (site.kind.value, site.code) == ("assumed", code)
    assert f"    if q.ndim != {rank}:\n        raise NotImplementedError(" in result.new


@pytest.mark.parametrize(
    ("program", "rank", "masked"),
    [
        (MASKED, 4, True),
        (BARE, None, False),
        (BARE, 5, False),
        (BARE, 2, False),
        (NO_PLACE, 4, False),
        (BARE.replace("return ", "return (q := c) is q or "), 4, False),
        (BARE.replace("return ", "return [q := c, ").rstrip("\n") + "][1]\n", 4, False),
        (MASKED.replace("attn_bias=bias", "attn_bias=bias * 1"), 4, False),
        (BARE.replace("attention(q, k", "attention(q * 1, k"), 4, False),
        (KNOWN_TO_BE_FLAT, 4, False),
    ],
)
def test_what_was_not_seen_alike_proves_nothing(program: str, rank: int | None, masked: bool) -> None:
    assert rewritten(program, rank, masked).sites[0].kind.value == "left"


def test_one_check_is_enough() -> None:
    """Where the whole project shows the same, what was recorded adds nothing."""
    seen = {"attend#0": Seen(digest(MASKED), 4, False)}
    options = Options(Settings(), seen=seen, never_passed={("attend", "bias"): ()})
    new = rewrite_with(MASKED, "model.py", options).new
    assert new.count("raise NotImplementedError(") == 1
    assert "nothing in this project passed one" in new


def test_a_run_of_another_text_is_told_with_what_to_do() -> None:
    (finding,) = (f for f in rewritten(BARE, function="another").findings if f.code == "XF311")
    assert finding.message == "the recorded run is of another text of this function, and does not count"
    assert finding.advice == "Record it again: `xf2sdpa verify --json FILE -- …`."


def test_of_a_call_that_was_not_recorded_nothing_is_told() -> None:
    seen = {"other#0": Seen("another", 4, False)}
    result = rewrite_with(BARE, "model.py", Options(Settings(), seen=seen))
    assert "XF311" not in [finding.code for finding in result.findings]


def test_the_checks_say_that_a_run_was_recorded() -> None:
    assert "bias must be None here: none came in the recorded run (xf2sdpa)" in rewritten(MASKED).new
    bare = rewritten(BARE)
    assert "q must have 4 dimensions here, as in the recorded run (xf2sdpa)" in bare.new
    assert "q has 4 dimensions here, as it had in the recorded run" in bare.sites[0].assumptions


@pytest.mark.parametrize("program", [MASKED, BARE])
def test_a_function_that_has_changed_since_is_refused(program: str) -> None:
    result = rewritten(program, function=digest(program.replace("attention(q", "attention( q")))
    assert result.sites[0].kind.value == "left"
    assert "XF311" in [finding.code for finding in result.findings]


def test_a_proof_goes_before_what_was_seen() -> None:
    assert rewritten(MASKED, rank=3).sites[0].code == "XF101"
    assert ".ndim" not in rewritten(MASKED, rank=3).new


def test_only_exact_leaves_it() -> None:
    options = Options(Settings(), only_exact=True, seen={"attend#0": Seen(digest(MASKED), 4, False)})
    assert rewrite_with(MASKED, "model.py", options).new == MASKED


def test_its_code_is_told() -> None:
    assert set(rule("mask_seen").codes) == {"XF311"}


def test_the_examples_hold() -> None:
    examples_hold("mask_seen")
