"""Every fixture: the text that comes out, the classes of its sites, and, where it defines `run`, its numbers.

`tests/cases.py` says how a fixture is written. For each of them:

* the new text is the expected one, parses, and is not changed by a second pass;
* the sites have the classes that the head expects;
* `run` gives the same before (on `tests/oracle.py`) and after: in float64 with the gradients of all tensors,
  and in float32 under autocast with the same dtype; each with the inputs stored as written, heads first and
  sequence first. A result that was contiguous must be so afterwards, for somebody may `.view` it.

After the migration xformers cannot be imported. Only if the new text still imports it (a site left, a guard
that stays) can it be, and attention then raises when called, unless a site was left on purpose.
Under autocast only cases whose sites are all exact must agree: an assumed site may rest on there being none.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
import sys
import types
from collections import Counter
from typing import Any

import pytest
import torch

from tests import idioms, oracle
from tests.cases import Case, all_cases, givens
from tests.equivalence import IN_FLOAT64, UNDER_AUTOCAST, Condition, Surroundings, differences, load
from xf2sdpa.helper.text import MODULE_NAME, assemble
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

engine = pytest.importorskip("xf2sdpa.rewrite.engine")

CASES = all_cases()
UPDATE = os.environ.get("XF2SDPA_UPDATE_FIXTURES") == "1"
STILL_IMPORTS = re.compile(r"^\s*(import|from) +(xformers|mslk)\b", re.MULTILINE)
BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def settings_of(case: Case) -> Any:
    """The engine's settings for the case, None for its own choice."""
    return Settings(**case.settings) if case.settings else None


def rewritten(case: Case, text: str) -> Any:
    compat = MODULE_NAME if case.helper else None
    options = Options(settings_of(case) or Settings(), compat=compat, mask_objects=case.mask_objects)
    return engine.rewrite_with(text, f"{case.name}.py", options)


def helper_of(result: Any) -> types.ModuleType:
    """The helper module with what a result needs of it."""
    module = types.ModuleType(MODULE_NAME)
    exec(compile(assemble(result.compat_names), f"{MODULE_NAME}.py", "exec"), vars(module))
    return module


def shown(old: str, new: str) -> str:
    lines = [text.splitlines(keepends=True) for text in (old, new)]
    diff = difflib.unified_diff(*lines, "expected", "got")
    return "".join(line if line.endswith("\n") else f"{line}\n(no newline at the end)\n" for line in diff)


def update(case: Case, new: str) -> None:
    """Write what came out into the fixture; for a person to read in `git diff` afterwards."""
    text = case.path.read_bytes().decode()
    head = text[: text.index(case.old)]
    newline = "\r\n" if "\r\n" in case.old else "\n"
    ending = "" if case.old.endswith("\n") else newline
    separator = f"# output{newline}"
    output = separator + new + ending if new != case.old else ""
    case.path.write_bytes((head + case.old + ending + output).encode())


@BY_NAME
def test_text(case: Case) -> None:
    result = rewritten(case, case.old)
    if UPDATE and result.new != case.new:
        update(case, result.new)
        pytest.skip("fixture updated: read the diff")
    assert not result.failed, result.findings
    assert result.new == case.new, "\n" + shown(case.new, result.new)
    ast.parse(result.new)


@BY_NAME
def test_sites(case: Case) -> None:
    sites = rewritten(case, case.old).sites
    counted = Counter(site.kind.value for site in sites)
    told = "\n".join(f"{site.kind.value} {site.code} {site.message}" for site in sites)
    assert dict(counted) == {kind: expected.count for kind, expected in case.expect.items()}, told
    for kind, expected in case.expect.items():
        codes = {site.code for site in sites if site.kind.value == kind}
        assert expected.codes <= codes, told


@BY_NAME
def test_second_pass_changes_nothing(case: Case) -> None:
    once = rewritten(case, case.old).new
    again = rewritten(case, once)
    assert again.new == once, "\n" + shown(once, again.new)
    assert {site.kind.value for site in again.sites} <= {"left"}


def surroundings_after(case: Case) -> Surroundings:
    if "left" in case.expect:
        return oracle.installed
    return oracle.poisoned if STILL_IMPORTS.search(case.new) else oracle.absent


def conditions_for(case: Case) -> tuple[Condition, ...]:
    return IN_FLOAT64 + UNDER_AUTOCAST if set(case.expect) <= {"exact", "removed"} else IN_FLOAT64


@pytest.mark.parametrize("case", [case for case in CASES if "def run(" in case.old], ids=lambda case: case.name)
def test_numbers(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    with oracle.installed():
        namespace = load(case.old)
    result = rewritten(case, case.old)
    new = result.new
    needed = max((site.torch_floor for site in result.sites if site.torch_floor), default=(2, 1))
    if torch.__version__ < needed:
        pytest.skip(f"needs torch {needed[0]}.{needed[1]}, as its report says")
    if result.compat_names:
        monkeypatch.setitem(sys.modules, MODULE_NAME, helper_of(result))
    for given in givens(namespace):
        conditions, surroundings = conditions_for(case), surroundings_after(case)
        found = differences(case.old, new, given, conditions, surroundings, layout=case.layout)
        assert not found, "\n".join([str(given), *found])


def test_every_idiom_has_a_fixture(capsys: pytest.CaptureFixture[str]) -> None:
    assert idioms.main([]) == 0, capsys.readouterr().out
