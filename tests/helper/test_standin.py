"""The helper module in the place of xformers itself, for code that nobody can edit."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests import oracle
from tests.projects.harness import (
    assert_equal,
    execute,
    fresh,
    installed,
    write,
)
from xf2sdpa import compat

THIRD_PARTY = {
    "third_party/__init__.py": "from .layers import attend, packed\n",
    "third_party/layers.py": """\
import xformers
from xformers.ops import fmha, memory_efficient_attention
from xformers.ops.fmha.attn_bias import BlockDiagonalMask

VERSION = xformers.__version__


def attend(q, k, v):
    return memory_efficient_attention(q, k, v)


def packed(q, k, v):
    mask = BlockDiagonalMask.from_seqlens([q.shape[1]] * q.shape[0])
    assert isinstance(mask, fmha.attn_bias.AttentionBias)
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    return fmha.memory_efficient_attention(q, k, v, attn_bias=mask).reshape(-1, *out_shape(q))


def out_shape(q):
    return q.shape[2:]
""",
    "main.py": """\
import third_party


def run(q, k, v):
    return "fast", third_party.attend(q, k, v).sum() + third_party.packed(q, k, v).square().sum()
""",
}


class Without:
    """A finder that does not find xformers, as where it is not installed."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in oracle.ROOTS else self.finder.find_spec(name, path, target)

    def find_distributions(self, *args: Any) -> Any:
        return self.finder.find_distributions(*args) if hasattr(self.finder, "find_distributions") else ()


@pytest.fixture
def not_installed() -> Iterator[None]:
    """Surroundings without xformers in which nothing raises before somebody imports it."""
    others = {name: module for name, module in sys.modules.items() if name.partition(".")[0] not in oracle.ROOTS}
    with (
        mock.patch.object(sys, "meta_path", [Without(finder) for finder in sys.meta_path]),
        mock.patch.dict(sys.modules, others, clear=True),
    ):
        yield


def test_standing_in_lets_code_run_that_nobody_can_edit(tmp_path: Path) -> None:
    write(tmp_path, THIRD_PARTY)
    before = execute(tmp_path, installed)
    assert before.xformers_calls == 2
    with oracle.absent():
        blocked = {name: sys.modules.pop(name) for name in oracle.ROOTS}
        assert compat.install(force=True)
        try:
            after = execute(tmp_path, contextlib.nullcontext)
        finally:
            compat.uninstall()
        assert not [name for name in sys.modules if name.partition(".")[0] == "xformers"]
        sys.modules.update(blocked)
    assert after.sdpa_calls
    assert_equal(before, after)


def test_standing_in_by_one_line_and_undone_by_another(tmp_path: Path, not_installed: None) -> None:
    write(tmp_path, THIRD_PARTY)
    with fresh(tmp_path, contextlib.nullcontext), pytest.raises(ModuleNotFoundError, match="xformers"):
        importlib.import_module("third_party")
    assert compat.install()
    try:
        assert execute(tmp_path, contextlib.nullcontext).sdpa_calls
        assert importlib.util.find_spec("xformers.ops") is not None
        assert compat.install()  # twice is as good as once
        with pytest.raises(ImportError):
            exec("from xformers.ops import rope_padded")
    finally:
        compat.uninstall()
    compat.uninstall()  # and so here
    assert importlib.util.find_spec("xformers") is None
    with fresh(tmp_path, contextlib.nullcontext), pytest.raises(ModuleNotFoundError, match="xformers"):
        importlib.import_module("third_party")


def test_standing_in_does_not_displace_the_real_one() -> None:
    with oracle.installed():
        real = sys.modules["xformers.ops"]
        with pytest.warns(UserWarning, match="force=True"):
            assert not compat.install()
        assert sys.modules["xformers.ops"] is real
