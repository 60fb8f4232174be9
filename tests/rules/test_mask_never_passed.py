"""A mask that nothing in the project passes: the call is inline behind a check, if the file's options say so.

Which parameters these are is asked of whole projects, in `tests/run/test_never_passed.py`.
"""

from __future__ import annotations

import re

import pytest

from tests.rules.common import attend, rule
from xf2sdpa.model import FileResult, Unreached
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

Known = dict[tuple[str, str], tuple[Unreached, ...]]
CALL = "xops.memory_efficient_attention(q, k, v, attn_bias={})"
KNOWN: Known = {("attend", "bias"): ()}


def rewritten(program: str, known: Known = KNOWN, **more: object) -> FileResult:
    result = rewrite_with(program, "model.py", Options(Settings(), never_passed=known, **more))  # type: ignore[arg-type]
    assert not result.failed, result.findings
    return result


def said_in(text: str) -> str:
    """A text whose strings stand in one line each."""
    return re.sub(r'"\s+"', "", text)


def test_the_check_stands_before_the_call() -> None:
    result = rewritten(attend(CALL.format("bias"), "# why", "y = 1"))
    assert "    y = 1\n    if bias is not None:\n        raise NotImplementedError(" in result.new
    (site,) = result.sites
    assert (site.kind.value, site.code) == ("assumed", "XF101")
    assert "nothing in this project passes bias to attend" in site.assumptions
    assert '"bias must be None here: nothing in this project passed one (xf2sdpa)"' in said_in(result.new)
    assert [note.code for note in site.notes] == ["XF307"]
    assert all(way in site.notes[0].advice for way in ("--style compat", "--only exact"))
    assert "attn_mask" not in result.new


def test_a_long_message_is_wrapped() -> None:
    name = "a_mask_with_a_name_that_is_long_enough_to_fill_the_line"
    program = attend(CALL.format(name), given=f"q, k, v, {name}")
    new = rewritten(program, {("attend", name): ()}).new
    assert f'raise NotImplementedError(\n            "{name} must be None here: ' in new


def unreached(line: int, function: str, *, for_list: bool) -> Unreached:
    return Unreached("model.py", line, function, "attend", "bias", for_list)


@pytest.mark.parametrize(
    ("calls", "assumed"),
    [
        (
            [(3, "a", True), (5, "a", True), (9, "b", False)],
            "model.py:3 and model.py:5 pass bias to attend only for a list of tensors, and nothing in this project "
            "gives one; model.py:9 passes bias to attend in b, which nothing in this project calls",
        ),
        (
            [(line, "f", False) for line in range(1, 5)],
            "model.py:1, model.py:2, model.py:3 and model.py:4 pass bias to attend in f, which nothing in this project "
            "calls",
        ),
        (
            [(line, f"f{line}", False) for line in range(1, 6)],
            "model.py:1, model.py:2, model.py:3 and 2 more pass bias to attend in f1, f2, f3 and 2 more, which "
            "nothing in this project calls",
        ),
    ],
)
def test_calls_that_pass_one_but_are_not_reached_are_named(calls: list[tuple[int, str, bool]], assumed: str) -> None:
    known = {("attend", "bias"): tuple(unreached(line, name, for_list=lists) for line, name, lists in calls)}
    result = rewritten(attend(CALL.format("bias")), known)
    assert assumed in result.sites[0].assumptions
    uncalled = {name for _, name, lists in calls if not lists}
    assert f"nothing in this project called {'it' if len(uncalled) == 1 else 'them'}" in said_in(result.new)
    assert max(map(len, result.new.splitlines())) <= 88  # of no configuration


@pytest.mark.parametrize(
    ("program", "known"),
    [
        (attend(CALL.format("bias")), {}),
        (attend(CALL.format("bias")), {("other", "bias"): ()}),
        (attend(CALL.format("bias")), {("attend", "c"): ()}),
        (attend(CALL.format("bias + 1")), KNOWN),
        (attend(CALL.format("bias"), "if c:", "    bias = c"), KNOWN),
        (attend("[" + CALL.format("bias") + " for _ in c]"), KNOWN),
        (attend("(lambda: " + CALL.format("bias") + ")()"), KNOWN),
        (attend("(c and " + CALL.format("bias") + ")"), KNOWN),
        (attend(CALL.format("bias"), "bias = 1 if (bias := c) else 2"), KNOWN),
    ],
)
def test_what_is_not_known_or_cannot_be_checked_is_left(program: str, known: Known) -> None:
    result = rewritten(program, known)
    assert "NotImplementedError" not in result.new
    assert result.sites[0].kind.value == "left"


def test_the_check_names_all_that_pass_one() -> None:
    calls = tuple(unreached(line, name, for_list=lists) for line, name, lists in [(3, "a", True), (9, "b", False)])
    new = rewritten(attend(CALL.format("bias")), {("attend", "bias"): calls}).new
    said = "".join(part.strip().strip('"') for part in new.splitlines()).replace("  ", " ")
    assert "gave one; b passes one, and nothing in this project called it (xf2sdpa)" in said


def test_only_exact_leaves_it() -> None:
    program = attend(CALL.format("bias"))
    assert rewritten(program, only_exact=True).new == program


def test_its_code_is_a_note() -> None:
    assert set(rule("mask_never_passed").codes) == {"XF307"}


def test_a_mask_that_may_be_given_as_it_is_needs_no_check() -> None:
    """On 3-D inputs, in a project without mask objects: what comes from outside is a tensor or None."""
    program = attend(f"{CALL.format('mask')}.flatten(1)", given="q, k, v, mask").replace("n, h, d =", "n, d =")
    result = rewritten(program, {("attend", "mask"): ()}, mask_objects=False)
    assert "attn_mask=None if mask is None else mask.unsqueeze(-3)" in result.new
    assert "NotImplementedError" not in result.new
