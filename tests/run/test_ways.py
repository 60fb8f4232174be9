"""Every way of knowing what a function does not show, in whole projects: what must be refused, what must be accepted.

What is accepted is executed before and after, and a second run changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import assert_equal, execute, installed, rewrite, tree, write
from tests.projects.ways import Files, Way, callers, lists, never_passed, proved, unused

WAYS = {
    "ranks from all callers": callers.RANKS,
    "what all callers pass": callers.MASKS,
    "masks that are never passed": never_passed.WAY,
    "classes that nobody makes": unused.CLASSES,
    "private methods": unused.METHODS,
    "lists that never come": lists.WAY,
    "tables of libraries": proved.TABLES,
    "branches that assert": proved.ASSERTIONS,
    "recorded runs": proved.RECORDED,
}
FEWEST = 3
ACCEPTED = [(name, case) for name, way in WAYS.items() for case in way.accepted]
REFUSED = [(name, case) for name, way in WAYS.items() for case in way.refused]


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_no_cell_is_missing(way: Way) -> None:
    assert len(way.accepted) >= FEWEST
    assert len(way.refused) >= FEWEST


def rewritten(root: Path, way: Way) -> str:
    """The text with the call after a rewrite."""
    seen = ["--seen", root / "run.json"] if way.seen else []
    rewrite(root, "--flags", "off", *seen)
    return tree(root)[way.home]


def laid_out(root: Path, files: Files) -> Path:
    """The project on disk, the report of a run with the paths of this place."""
    write(root, files)
    if "run.json" in files:
        report = json.loads(files["run.json"])
        for site in report["sites"]:
            site["path"] = str(root / site["path"])
        (root / "run.json").write_text(json.dumps(report), encoding="utf-8")
    return root


@pytest.mark.parametrize(("name", "case"), ACCEPTED)
def test_it_is_accepted(name: str, case: str, tmp_path: Path) -> None:
    way = WAYS[name]
    root = laid_out(tmp_path, way.accepted[case])
    before = execute(root, installed)
    new = rewritten(root, way)
    assert "scaled_dot_product_attention(" in new
    assert "memory_efficient_attention" not in new
    after = execute(root, oracle.absent)
    assert_equal(before, after)
    assert after.sdpa_calls
    assert rewritten(root, way) == new


@pytest.mark.parametrize(("name", "case"), REFUSED)
def test_it_is_refused(name: str, case: str, tmp_path: Path) -> None:
    way = WAYS[name]
    root = laid_out(tmp_path, way.refused[case])
    new = rewritten(root, way)
    assert "memory_efficient_attention(q" in new
    assert "scaled_dot_product_attention(" not in new


def test_a_question_whose_error_is_swallowed_states_nothing(tmp_path: Path) -> None:
    """`with suppress(ValueError): a, b, c, d = q.shape` lets three dimensions pass: they must not be turned over."""
    lines = ("import contextlib", "with contextlib.suppress(ValueError):", "    a, b, c, d = q.shape")
    root = laid_out(tmp_path, proved.table(*lines))
    new = rewritten(root, proved.ASSERTIONS)
    assert "    if q.ndim != 4:\n        raise NotImplementedError(" in new
