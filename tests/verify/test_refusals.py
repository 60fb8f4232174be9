"""Checks that the new text makes of what a rewrite assumed: verify runs what they admit, and tells what they refuse.

And masks that a copy of the helper module has no part for: they are not made up.
"""

from __future__ import annotations

import io
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verify.plans import ROOT, only, planned, verify
from xf2sdpa.helper.pruning import TENSORS, Uses
from xf2sdpa.helper.text import assemble
from xf2sdpa.verify import inputs, run
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.options import Options
from xf2sdpa.verify.report import text, words

MASK = """
from xformers.ops import memory_efficient_attention


def attend(q, k, v, bias=None):
    b, m, h, d = q.shape
    return memory_efficient_attention(q, k, v, attn_bias=bias).reshape(b, m, h * d)


def program(q, k, v):
    return attend(q, k, v)
"""
MASK_NEW = """
import torch


def attend(q, k, v, bias=None):
    b, m, h, d = q.shape
    {}
    return torch.nn.functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).reshape(b, m, h * d)


def program(q, k, v):
    return attend(q, k, v)
"""
CHECK = 'if {}:\n        raise {}("bias must be None here: nothing in this project passed one (xf2sdpa)")'
RANK = """
import torch
from xformers.ops import memory_efficient_attention


def attend(q, k, v):
    if torch.is_grad_enabled():
        b, n, h, d = q.shape
        return (q @ k.transpose(-1, -2)) @ v
    return memory_efficient_attention(q, k, v).flatten(2)
"""
SHAPES = (inputs.Shape("even", 2, 9, 9, 3, 8), inputs.Shape("unequal", 2, 6, 11, 3, 8, "BHMK"))


def ran(old: str, disk: str | None = None) -> tuple[Report, SiteReport]:
    """The report on made-up inputs of a program of one site, and that site's part."""
    plan = planned(old, None if disk is None else textwrap.dedent(disk))
    only(plan)
    report = run.run(plan, Options(device="cpu", exact=False), shapes=SHAPES, log=io.StringIO())
    return report, report.sites[0]


@pytest.mark.parametrize("disk", [None, MASK_NEW.format(CHECK.format("bias is not None", "NotImplementedError"))])
def test_a_mask_that_the_new_text_refuses_is_no_difference(disk: str | None) -> None:
    report, site = ran(MASK, disk)
    assert site.status is Status.AGREES, list(words.failing(site))
    refused = {case.mask for case in site.cases if case.refused}
    assert refused == {"causal"}
    assert {case.mask for case in site.cases if case.compared} == {"none"}
    assert report.compared == report.refused == 3
    assert words.verdict(next(case for case in site.cases if case.refused))[0] == "refused, as assumed"


def test_it_is_told() -> None:
    report, site = ran(MASK)
    assert "3 refused, as assumed" in words.finding(site)
    assert "3 refused, as assumed" in words.outcome(report)[0]
    told = "\n".join(text.lines(report, verbose=1, width=200))
    assert "bias must be None here: nothing in this project passed one" in told


MAIN = """
import torch
from model import attend
from xformers.ops import LowerTriangularMask

q = torch.randn(1, 4, 2, 8)
attend(q, q, q, LowerTriangularMask())
"""
CHANGED = {
    "the check is gone": "pass",
    "it refuses what is assumed to come": CHECK.format("bias is None", "NotImplementedError"),
    "it refuses everything": CHECK.format("q is not None", "NotImplementedError"),
    "it raises something else": CHECK.format("bias is not None", "ValueError"),
}


@pytest.mark.parametrize("check", CHANGED.values(), ids=list(CHANGED))
def test_a_check_that_was_edited_by_hand_is_a_difference(check: str) -> None:
    _, site = ran(MASK, MASK_NEW.format(check))
    assert site.status is Status.DIFFERS


def test_a_rank_that_the_new_text_refuses_is_no_difference() -> None:
    _, site = ran(RANK)
    assert site.status is Status.AGREES, list(words.failing(site))
    assert any(case.refused for case in site.cases)
    assert all(case.shape.count("×") == (4 if case.refused else 6) for case in site.cases)


def test_a_program_that_passes_what_is_refused_is_told_so(tmp_path: Path) -> None:
    """What a program really passes is no made-up input: the rewritten program would stop there."""
    (tmp_path / "model.py").write_text(MASK, "utf-8")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "main.py").write_text(MAIN, "utf-8")
    _, report = verify(tmp_path, "model.py", "--", sys.executable, "elsewhere/main.py", PYTHONPATH=f"{tmp_path}:{ROOT}")
    (site,) = report["sites"]
    assert site["status"] == "differs"
    assert "bias must be None here" in str(site["cases"])


HANDED_ON = MASK.replace("from xformers.ops import", "from _attention_compat import")


@pytest.fixture
def by_helper(tmp_path: Path) -> Callable[..., tuple[Report, SiteReport]]:
    """The report on a project whose calls all went to a copy of the helper that holds some names and uses."""

    def of(names: set[str], uses: set[str]) -> tuple[Report, SiteReport]:
        text = assemble({"memory_efficient_attention", *names}, Uses(frozenset(uses)))
        (tmp_path / "_attention_compat.py").write_text(text, "utf-8")
        plan = planned(MASK, HANDED_ON, path=tmp_path / "model.py")
        report = run.run(plan, Options(device="cpu", exact=False), shapes=SHAPES, log=io.StringIO())
        return report, report.sites[0]

    return of


def test_masks_that_the_helper_lacks_are_not_tried_and_it_says_which(
    by_helper: Callable[..., tuple[Report, SiteReport]],
) -> None:
    report, site = by_helper({"BlockDiagonalMask"}, set())
    assert site.status is Status.AGREES, list(words.failing(site))
    assert site.kind == "compat"
    assert {case.mask for case in site.cases} == {"none", "BlockDiagonalMask"}
    (note,) = (note for note in report.notes if "no part for" in note)
    assert all(kind in note for kind in ("causal", "tensor", "BlockDiagonalCausalMask"))
    assert "BlockDiagonalMask," not in note


def test_masks_that_it_holds_are_tried(by_helper: Callable[..., tuple[Report, SiteReport]]) -> None:
    report, site = by_helper({"LowerTriangularMask"}, {TENSORS})
    assert site.status is Status.AGREES, list(words.failing(site))
    assert {case.mask for case in site.cases} == {"none", "causal", "tensor", "tensor, a row closed"}
    assert any("no part for" in note and "BlockDiagonalMask" in note for note in report.notes)
