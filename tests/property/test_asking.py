"""Projects that ask whether xformers is there take the same branch after the rewrite; planted faults are found.

The long form, by hand: `XF2SDPA_LONG=400 python -m pytest tests/property/test_asking.py`.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.property.asked import Ran, Result, complaints, ran_before, rewritten
from tests.property.asking import CELLS, PROJECTS, SHORT, Project, cells
from tests.property.asking_faults import FAULTS, OF_GUARD, Fault

COUNT = max(SHORT, int(os.environ.get("XF2SDPA_LONG", "0")))
"""How many projects are run: the short form has every option, with a call and without."""


@dataclass(frozen=True)
class Case:
    """A project, how it ran before, and what the rewrite made of it."""

    before: Mapping[str, Ran]
    result: Result


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> functools.partial[Case]:
    @functools.cache
    def case(project: Project) -> Case:
        folder = tmp_path_factory.mktemp("project")
        return Case(ran_before(project, folder), rewritten(project, folder / "new"))

    return functools.partial(case)


HANDED_ON = "who takes the operator by name finds that of the helper, so that `attend is not None` holds from now on"
"""Or, by a star, they take it from the helper themselves, and the name is gone where it was."""


def param(project: Project) -> object:
    """A project, marked where it is known to come out so; only the long form meets such."""
    operator = project.imports.name in ("from, the operator", "from, renamed")
    known = operator and project.guard.name == "None" and project.files.name in ("by name", "package", "star")
    return pytest.param(project, id=str(project), marks=[pytest.mark.xfail(reason=HANDED_ON)] if known else [])


@pytest.mark.parametrize("project", [param(project) for project in PROJECTS[:COUNT]])
def test_the_same_branch_is_taken(project: Project, cases: functools.partial[Case], tmp_path: Path) -> None:
    case = cases(project)
    found = complaints(project, case.before, case.result, tmp_path)
    assert not found, "\n".join([*found, *(f"# {name}\n{text}" for name, text in case.result.texts.items())])


def test_no_cell_of_the_table_is_empty() -> None:
    assert set().union(*map(cells, PROJECTS[:SHORT])) == CELLS
    assert len(set(PROJECTS)) == len(PROJECTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_fault_is_found(fault: Fault, cases: functools.partial[Case], tmp_path: Path) -> None:
    """By a project of the short form that is right without it, or by one with the guard that the fault is of."""
    shown = 0
    guarded = (p for p in PROJECTS[SHORT:] if p.guard.name == OF_GUARD.get(fault) and p.call == "no call")
    candidates = [*PROJECTS[:SHORT], *itertools.islice(guarded, 2)]
    for number, project in enumerate(candidates):
        case = cases(project)
        texts = fault(project, case.result)
        if texts is None:
            continue
        shown += 1
        if complaints(project, case.before, Result(texts, case.result.migrated), tmp_path / str(number)):
            return
    pytest.fail(f"not found in {shown} projects")
