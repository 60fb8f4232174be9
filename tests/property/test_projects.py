"""Who calls an attention with a mask as its parameter, and what is passed: every pair, executed before and after.

A mask that the project passes counts as before, whatever the tool thought of the callers; and where all can be followed
and none is passed, the call is inline. Faults planted in the search for callers must be found by this.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests import oracle
from tests.projects.harness import assert_equal, execute, installed, write
from tests.property.projects import CALLERS, PASSED, Project, projects
from xf2sdpa.files.listing import list_files
from xf2sdpa.project import callers, contexts, index
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.rewrite_files import rewrite_files
from xf2sdpa.run.write import write_back
from xf2sdpa.settings import Settings

ALL = list(projects())


def disagreement(project: Project, check_dropped: bool = False) -> str:
    """What is wrong with a project's rewrite; empty if nothing is."""
    with tempfile.TemporaryDirectory() as place:
        root = write(Path(place), project.files)
        before = execute(root, installed)
        run = rewrite_files(list_files([root]), Settings(), RunOptions(flags=None, jobs=1))
        write_back(run)
        (site,) = (site for result in run.results for site in result.sites)
        if check_dropped:
            _drop_check(root / "attention.py")
        if project.must_be_inline and site.kind.value != "assumed":
            return f"not inline: {site.message}"
        try:
            assert_equal(before, execute(root, oracle.absent))
        except NotImplementedError as error:
            return f"raises: {error}"
        except AssertionError as error:
            return f"computes something else: {error}"
    return ""


def _drop_check(file: Path) -> None:
    lines = file.read_text().splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if "if attn_bias is not None" in line), None)
    if start is not None:
        end = next(i for i in range(start, len(lines)) if "memory_efficient" in lines[i] or "scaled_dot" in lines[i])
        file.write_text("".join(lines[:start] + lines[end:]))


@pytest.mark.parametrize("project", ALL, ids=[project.name for project in ALL])
def test_every_pair_keeps_its_meaning(project: Project) -> None:
    assert disagreement(project) == ""


def test_no_value_of_an_axis_is_without_a_project() -> None:
    assert {project.caller for project in ALL} == set(CALLERS)
    assert {project.passed for project in ALL} == set(PASSED)


@contextlib.contextmanager
def _patched(owner: Any, name: str, new: Callable[..., Any]) -> Iterator[None]:
    with mock.patch.object(owner, name, new):
        yield


def _by_keyword_only(call: Any, function: Any, parameter: str) -> Any:
    return next((k.value for k in call.node.keywords if k.arg == parameter), None)


def _by_place_only(call: Any, function: Any, parameter: str) -> Any:
    return call.node.args[1] if len(call.node.args) > 1 else None


OWN = callers.Callers._passes_none
FAULTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "masks by their place are not seen": (callers, "argument_of", _by_keyword_only),
    "masks by name are not seen": (callers, "argument_of", _by_place_only),
    "a parameter that is handed on counts as None": (
        callers.Callers, "_passes_none",
        lambda self, call, function, parameter, depth: ()
        if depth > 0 or getattr(callers.argument_of(call, function, parameter), "id", "") == "mask"
        else OWN(self, call, function, parameter, depth),
    ),
    "what it is handed to counts as harmless": (contexts.Contexts, "_as_argument", lambda *_: True),
    "names in strings are not searched": (index.Index, "check_not_looked_up", lambda *_, **__: None),
    "subclasses are not asked": (callers, "calls_of_super", lambda *_: iter(())),
    "loops are not followed": (contexts.Contexts, "_in_comprehension", lambda *_: True),
    "everything counts as never passed": (callers.Callers, "_passes_none", lambda *_: ()),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    with _patched(*FAULTS[fault]):
        assert any(disagreement(project) for project in ALL if project.mask)


def test_a_check_that_is_missing_is_found() -> None:
    with _patched(callers.Callers, "_passes_none", lambda *_: ()):
        found = (disagreement(project, check_dropped=True) for project in ALL if project.mask)
        assert any(text.startswith("computes something else") for text in found)
