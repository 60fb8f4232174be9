"""Whole projects, executed: on the stand-in for xformers before the rewrite, without xformers after it.

One question is asked of every form of guard: does the path that ran on xformers still run? A program in which the fast
path turns off without a word is the worst that the tool can do.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects import forms
from tests.projects.guards import Guard, cases, check


@pytest.mark.parametrize(("guard", "style"), cases(*forms.ALL))
def test_the_path_stays(guard: Guard, style: str, tmp_path: Path) -> None:
    check(guard, style, tmp_path)
