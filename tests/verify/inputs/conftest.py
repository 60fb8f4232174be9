"""The classes of xformers' masks, or their stand-in, and sites of a program."""

from __future__ import annotations

import textwrap

import pytest

from xf2sdpa.judging.old_path import find_old_path
from xf2sdpa.settings import Settings
from xf2sdpa.verify.planning.old_text import collect
from xf2sdpa.verify.planning.sites import plan

HEAD = """
import torch
import xformers.ops as xops
from xformers.ops import LowerTriangularMask, fmha, memory_efficient_attention
"""


@pytest.fixture(autouse=True, scope="module")
def _old_path():
    with find_old_path().install():
        yield


@pytest.fixture
def site(tmp_path):
    def planned(program: str):
        file = tmp_path / "model.py"
        file.write_text(HEAD + textwrap.dedent(program))
        made = plan(collect([str(file)]), Settings())
        return made.sites[0], made.helper(made.sites[0])

    return planned
