"""The helper module in a project: what it holds, what happens to one that is there, and how files call its names."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from click.testing import CliRunner

from tests import oracle
from tests.projects.harness import (
    COPY,
    assert_equal,
    execute,
    fresh,
    imports_of_xformers,
    installed,
    rewrite,
    tensors,
    tree,
    write,
)
from xf2sdpa import compat
from xf2sdpa.cli import cli
from xf2sdpa.helper import text as copyin

CALLS_HELPER = """\
import xformers.ops as xops


def run(q, k, v, bias=None):
    return "fast", xops.memory_efficient_attention(q, k, v, attn_bias=bias)
"""
BLOCKS = """\
from xformers.ops import fmha


def run(q, k, v):
    mask = fmha.BlockDiagonalMask.from_seqlens([q.shape[1]] * q.shape[0])
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    return "fast", fmha.memory_efficient_attention(q, k, v, attn_bias=mask)
"""
INLINE = """\
import xformers.ops as xops


def run(q, k, v):
    b, n, h, d = q.shape
    return "fast", xops.memory_efficient_attention(q, k, v)
"""


def defined(path: Path) -> set[str]:
    """The names that a helper module defines at top level."""
    return set().union(*(copyin._bound(node) for node in ast.parse(path.read_text("utf-8")).body))


def same_without_xformers(root: Path, *options: str) -> str:
    """Rewrite a project and compare it with what it was; the report."""
    before = execute(root, installed)
    assert before.xformers_calls, "the example does not call xformers"
    report = rewrite(root, *options).output
    try:
        after = execute(root, oracle.absent)
    except Exception as error:
        shown = "\n".join(f"# {name}\n{text}" for name, text in tree(root).items() if not name.endswith(COPY))
        pytest.fail(f"{type(error).__name__}: {error}\n{report}\n{shown}")
    assert after.sdpa_calls
    assert_equal(before, after)
    assert not imports_of_xformers(root), report
    return report


# -- what a copy is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(copyin.exported()))
def test_a_copy_for_any_one_name_stands_alone(name: str) -> None:
    text = copyin.assemble([name])
    module = types.ModuleType("copy_of_one")
    with mock.patch.dict(sys.modules, {"copy_of_one": module}):  # dataclasses look their module up
        exec(compile(text, "copy.py", "exec"), vars(module))
    assert hasattr(module, name)
    assert "xf2sdpa" not in {part for node in ast.walk(ast.parse(text)) for part in [getattr(node, "module", "")]}
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imported:  # the standard library and torch, nothing else
        module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        assert module.partition(".")[0] in {"torch", *sys.stdlib_module_names}


def test_a_copy_holds_only_what_is_needed() -> None:
    texts = {name: copyin.assemble([name]) for name in ("index_select_cat", "SwiGLU", "memory_efficient_attention")}
    everything = copyin.assemble(copyin.exported())
    assert len(texts["index_select_cat"].splitlines()) < 30
    assert "class SwiGLU" not in texts["memory_efficient_attention"]
    assert "memory_efficient_attention" not in texts["SwiGLU"]
    assert all(len(text) < len(everything) / 2 for name, text in texts.items() if name != "memory_efficient_attention")
    smallest = len(texts["memory_efficient_attention"])
    assert smallest < len(copyin.assemble(["memory_efficient_attention", "BlockDiagonalMask"])) < len(everything)


def test_a_copy_does_not_depend_on_the_order_of_its_names() -> None:
    names = ["SwiGLU", "BlockDiagonalMask", "memory_efficient_attention"]
    assert copyin.assemble(names) == copyin.assemble(reversed(names))


def test_a_name_that_no_copy_can_hold() -> None:
    with pytest.raises(KeyError, match="Inputs"):
        copyin.assemble(["SwiGLU", "Inputs"])
    assert not {"install", "uninstall"} & copyin.exported()


def test_the_head_says_what_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    text = (tmp_path / COPY).read_text("utf-8")
    head = ast.get_docstring(ast.parse(text)) or ""
    for said in ("xf2sdpa", "xformers.ops", "edit it", "delete it", "MIT"):
        assert said in head
    assert copyin.is_untouched(text)
    assert copyin.is_copy(text)
    assert copyin.is_untouched(text.replace("\n", "\r\n"))  # as git may check it out
    edited = text.replace("def memory_efficient_attention(", "def memory_efficient_attention( ")
    assert copyin.is_copy(edited)
    assert not copyin.is_untouched(edited)


# -- what happens to one that is there --------------------------------------------------------------------


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": BLOCKS})
    same_without_xformers(tmp_path)
    once = tree(tmp_path)
    assert COPY in once
    report = rewrite(tmp_path).output
    assert tree(tmp_path) == once
    assert "New" not in report
    assert "rewritten" not in report
    rewrite(tmp_path, "--check")


def test_a_copy_grows_with_its_users(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    assert "SwiGLU" not in defined(tmp_path / COPY)
    write(tmp_path, {"more.py": "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"})
    rewrite(tmp_path)
    assert {"SwiGLU", "memory_efficient_attention"} <= defined(tmp_path / COPY)
    assert tree(tmp_path)["more.py"].startswith("from _attention_compat import SwiGLU\n")
    assert copyin.is_untouched((tmp_path / COPY).read_text("utf-8"))


def test_a_copy_goes_with_its_last_user(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER, "more.py": "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"})
    rewrite(tmp_path)
    assert "SwiGLU" in defined(tmp_path / COPY)
    (tmp_path / "more.py").unlink()
    rewrite(tmp_path)
    assert execute(tmp_path, oracle.absent).sdpa_calls
    write(tmp_path, {"main.py": "def run(q, k, v):\n    return 'eager', q\n"})
    report = rewrite(tmp_path).output
    assert not (tmp_path / COPY).exists()
    assert f"Deleted {tmp_path / COPY}" in report


FLAT = {
    "tests/unit/test_a.py": """\
from xformers.ops import LowerTriangularMask, memory_efficient_attention


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=LowerTriangularMask().add_bias(bias))
""",
    "tests/gpu/test_b.py": """\
from xformers.ops import fmha, memory_efficient_attention


def attend(q, k, v):
    return memory_efficient_attention(q, k, v, attn_bias=fmha.BlockDiagonalMask.from_seqlens([2, 2]))
""",
}
"""Two folders that are no packages: pytest imports the files of both in one process, by their bare names."""


def test_copies_of_one_top_level_name_are_alike(tmp_path: Path) -> None:
    write(tmp_path, FLAT)
    rewrite(tmp_path)
    copies = [tmp_path / "tests" / folder / COPY for folder in ("unit", "gpu")]
    assert {"LowerTriangularMask", "BlockDiagonalMask"} <= defined(copies[0])
    assert copies[0].read_bytes() == copies[1].read_bytes()
    after = tree(tmp_path)
    report = rewrite(tmp_path).output
    assert tree(tmp_path) == after, report


def test_a_copy_from_an_earlier_run_grows_with_others_of_its_top_level_name(tmp_path: Path) -> None:
    first, later = FLAT
    write(tmp_path, {first: FLAT[first]})
    rewrite(tmp_path)
    assert "BlockDiagonalMask" not in defined(tmp_path / first.replace("test_a.py", COPY))
    write(tmp_path, {later: FLAT[later]})
    report = rewrite(tmp_path).output
    copies = [tmp_path / "tests" / folder / COPY for folder in ("unit", "gpu")]
    assert {"LowerTriangularMask", "BlockDiagonalMask"} <= defined(copies[0])
    assert copies[0].read_bytes() == copies[1].read_bytes()
    assert f"Updated {copies[0]}" in report


def test_copies_of_different_packages_hold_what_each_needs(tmp_path: Path) -> None:
    one, other = FLAT.values()
    init = "from .layers import attend\n"
    write(tmp_path, {"one/unit/__init__.py": init, "one/unit/layers.py": one})
    write(tmp_path, {"two/gpu/__init__.py": init, "two/gpu/layers.py": other})
    rewrite(tmp_path)
    assert "BlockDiagonalMask" not in defined(tmp_path / "one/unit" / COPY)
    assert "BlockDiagonalMask" in defined(tmp_path / "two/gpu" / COPY)


def test_an_outdated_copy_is_renewed(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    new = (tmp_path / COPY).read_text("utf-8")
    body = new.partition(copyin._MARK)[2].partition("\n")[2].replace("attend", "heed")
    old = copyin._HEADER.format(version="0.0.1", mark=copyin._MARK, digest=copyin._digest(body)) + body
    (tmp_path / COPY).write_text(old)
    assert copyin.is_untouched(old)
    rewrite(tmp_path)
    assert (tmp_path / COPY).read_text("utf-8") == new


def test_a_copy_edited_by_hand_stays_and_the_report_says_what_it_lacks(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    edited = (tmp_path / COPY).read_text("utf-8") + "\n\nOURS = 1\n"
    (tmp_path / COPY).write_text(edited)
    write(tmp_path, {"more.py": "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"})
    report = rewrite(tmp_path).output
    assert (tmp_path / COPY).read_text("utf-8") == edited
    assert f"{tmp_path / COPY} was edited, so it stays; it lacks SwiGLU." in report
    assert f"{tmp_path / 'more.py'}:1:1: XF412 " in report
    assert (tmp_path / "more.py").read_text() == "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"


@pytest.mark.parametrize("text", ["def broken(:\n", "def other():\n    return 1\n", "from elsewhere import *\n"])
def test_nothing_goes_to_a_module_that_lacks_the_name(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER, COPY: text})
    rewrite(tmp_path)
    assert (tmp_path / "main.py").read_text() == CALLS_HELPER
    assert (tmp_path / COPY).read_text() == text


@pytest.mark.parametrize(
    "text", ["from elsewhere import {}\n", "try:\n    from a import {}\nexcept ImportError:\n    {} = 1\n"]
)
def test_a_module_may_take_the_name_from_elsewhere(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER, COPY: text.replace("{}", "memory_efficient_attention")})
    rewrite(tmp_path)
    assert "from _attention_compat import memory_efficient_attention" in (tmp_path / "main.py").read_text()


def test_a_copy_edited_by_hand_that_suffices_is_used_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    edited = (tmp_path / COPY).read_text("utf-8").replace("from __future__", "# ours now\nfrom __future__")
    (tmp_path / COPY).write_text(edited)
    write(tmp_path, {"main.py": CALLS_HELPER})
    report = same_without_xformers(tmp_path)
    assert (tmp_path / COPY).read_text("utf-8") == edited
    assert "lacks" not in report


def test_a_copy_edited_by_hand_stays_without_users(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    edited = (tmp_path / COPY).read_text("utf-8") + "\n\nOURS = 1\n"
    write(tmp_path, {COPY: edited, "main.py": "def run(q, k, v):\n    return 'eager', q\n"})
    rewrite(tmp_path)
    assert (tmp_path / COPY).read_text("utf-8") == edited


def test_a_file_of_that_name_that_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    theirs = "'''A module of the project that happens to have the name.'''\n\nVALUE = 1\n"
    write(tmp_path, {"main.py": CALLS_HELPER, COPY: theirs})
    report = rewrite(tmp_path).output
    assert (tmp_path / COPY).read_text("utf-8") == theirs
    assert "memory_efficient_attention" in report.partition(COPY)[2]


def test_a_copy_that_a_part_of_the_project_does_not_show_keeps_its_names(tmp_path: Path) -> None:
    write(
        tmp_path, {"pkg/__init__.py": "", "pkg/a.py": CALLS_HELPER, "pkg/sub/__init__.py": "", "pkg/sub/b.py": BLOCKS}
    )
    rewrite(tmp_path)
    held = defined(tmp_path / "pkg" / COPY)
    write(tmp_path, {"pkg/a.py": CALLS_HELPER})
    rewrite(tmp_path / "pkg" / "a.py")  # one file only: the others still need theirs
    assert held <= defined(tmp_path / "pkg" / COPY)


# -- runs that must make none -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--check"], 1),
        (["--diff"], 1),
        (["--no-helper"], 0),
        (["--only", "exact"], 0),
        (["--select", "XF101"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_is_made(options: list[str], status: int, tmp_path: Path) -> None:
    before = tree(write(tmp_path, {"main.py": CALLS_HELPER}))
    report = rewrite(tmp_path, *options, status=status).output
    assert tree(tmp_path) == before
    assert ("Would make" in report) == (options[0] in ("--check", "--diff"))


def test_no_helper_rewrites_what_needs_none(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": INLINE, "other.py": CALLS_HELPER})
    before = execute(tmp_path, installed)
    rewrite(tmp_path, "--no-helper")
    assert_equal(before, execute(tmp_path, oracle.absent))
    assert tree(tmp_path)["other.py"] == CALLS_HELPER
    assert not (tmp_path / COPY).exists()


def test_what_can_be_inline_makes_none(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": INLINE})
    same_without_xformers(tmp_path)
    assert not (tmp_path / COPY).exists()


def test_style_compat_sends_every_call_there(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": INLINE})
    same_without_xformers(tmp_path, "--style", "compat")
    assert (tmp_path / COPY).exists()
    assert "scaled_dot_product_attention" not in tree(tmp_path)["main.py"]


def test_standard_input_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["rewrite", "-"], input=CALLS_HELPER)
    assert result.stdout == CALLS_HELPER
    assert not list(tmp_path.iterdir())


# -- how files come to use the names ----------------------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """A project that uses names of xformers in some way; `run` is in main.py."""

    name: str
    files: dict[str, str] = field(default_factory=dict)


def use(name: str, main: str, **others: str) -> Use:
    return Use(name, {"main.py": main} | {f"{module}.py": text for module, text in others.items()})


USES = [
    use("called and taken from the helper", CALLS_HELPER),
    use(
        "under another name",
        """\
from xformers.ops import memory_efficient_attention as attend


def run(q, k, v, bias=None):
    return "fast", attend(q, k, v, bias)
""",
    ),
    use(
        "two names, one renamed, in brackets",
        """\
from xformers.ops.fmha import (
    BlockDiagonalMask as Packed,
    memory_efficient_attention,  # the operator
)


def run(q, k, v):
    mask = Packed.from_seqlens([q.shape[1]] * q.shape[0])
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    return "fast", memory_efficient_attention(q, k, v, attn_bias=mask)
""",
    ),
    use(
        "the name is a local variable",
        """\
import xformers.ops as xops


def run(q, k, v, bias=None):
    memory_efficient_attention = "fast"
    return memory_efficient_attention, xops.memory_efficient_attention(q, k, v, attn_bias=bias)
""",
    ),
    use(
        "the name is a function of the file",
        """\
import xformers.ops as xops


def memory_efficient_attention(q, k, v, bias=None):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    return "fast", memory_efficient_attention(q, k, v)
""",
    ),
    use(
        "the name is a class of the file",
        """\
import xformers.ops as xops
from xformers.ops import fmha


class BlockDiagonalMask:
    @staticmethod
    def of(x):
        return fmha.BlockDiagonalMask.from_seqlens([x.shape[1]] * x.shape[0])


def run(q, k, v):
    mask = BlockDiagonalMask.of(q)
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    return "fast", xops.memory_efficient_attention(q, k, v, attn_bias=mask)
""",
    ),
    use(
        "the other name is taken too",
        """\
import xformers.ops as xops

compat_memory_efficient_attention = "fast"


def memory_efficient_attention(q, k, v, bias=None):
    return compat_memory_efficient_attention, xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    return memory_efficient_attention(q, k, v)
""",
    ),
    use(
        "a parameter has the name",
        """\
import xformers.ops as xops


def attend(q, k, v, memory_efficient_attention, bias=None):
    if memory_efficient_attention:
        return xops.memory_efficient_attention(q, k, v, attn_bias=bias)
    return q


def run(q, k, v):
    return "fast", attend(q, k, v, memory_efficient_attention=True)
""",
    ),
    use(
        "a method has the name",
        """\
import xformers.ops as xops


class Attention:
    def memory_efficient_attention(self, q, k, v, bias=None):
        return xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    return "fast", Attention().memory_efficient_attention(q, k, v)
""",
    ),
    use(
        "another import has the name",
        """\
import xformers.ops as xops
from other import memory_efficient_attention


def run(q, k, v, bias=None):
    return memory_efficient_attention(q), xops.memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        other="def memory_efficient_attention(x):\n    return 'fast'\n",
    ),
    use(
        "in annotations",
        """\
from typing import Optional, Union

import torch
import xformers.ops as xops
from xformers.ops import AttentionBias
from xformers.ops.fmha.attn_bias import BlockDiagonalMask

Bias = Optional[Union[BlockDiagonalMask, AttentionBias, torch.Tensor, str]]


def attend(q, k, v, mask: Bias = None, other: "Optional[xops.AttentionBias]" = None) -> torch.Tensor:
    bias: Optional[AttentionBias] = mask
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    import typing

    assert typing.get_type_hints(attend)["mask"] == Bias
    assert typing.get_type_hints(attend)["other"] is not None
    return "fast", attend(q, k, v)
""",
    ),
    use(
        "in isinstance",
        """\
import xformers.ops as xops
from xformers.ops import fmha


def attend(q, k, v, mask):
    if isinstance(mask, fmha.attn_bias.BlockDiagonalMask):
        return "packed", xops.memory_efficient_attention(q, k, v, attn_bias=mask)
    if isinstance(mask, (xops.LowerTriangularMask, xops.AttentionBias)):
        return "causal", xops.memory_efficient_attention(q, k, v, attn_bias=mask)
    return "none", xops.memory_efficient_attention(q, k, v)


def run(q, k, v):
    return attend(q, k, v, xops.LowerTriangularMask())
""",
    ),
    use(
        "in default arguments",
        """\
import xformers.ops as xops


def attend(q, k, v, mask=xops.LowerTriangularMask(), operator=xops.memory_efficient_attention):
    return operator(q, k, v, attn_bias=mask)


def run(q, k, v):
    return "fast", attend(q, k, v)
""",
    ),
    use(
        "in a class body",
        """\
import xformers.ops as xops
from xformers.ops import fmha


class Attention:
    mask = xops.LowerTriangularMask()
    Packed = fmha.BlockDiagonalMask
    operator = staticmethod(xops.memory_efficient_attention)

    def forward(self, q, k, v):
        return self.operator(q, k, v, attn_bias=self.mask)


def run(q, k, v):
    assert Attention.Packed.from_seqlens([2, 3]).materialize((5, 5)).shape == (5, 5)
    return "fast", Attention().forward(q, k, v)
""",
    ),
    use(
        "as a base class",
        """\
import xformers.ops as xops
from xformers.ops import AttentionBias, LowerTriangularMask


class Causal(LowerTriangularMask):
    name = "fast"


def run(q, k, v):
    mask = Causal()
    assert isinstance(mask, AttentionBias)
    return mask.name, xops.memory_efficient_attention(q, k, v, attn_bias=mask)
""",
    ),
    use(
        "in a decorator",
        """\
import functools

import xformers.ops as xops

known = {}


def named(value):
    def decorate(function):
        known[value] = function
        return function

    return decorate


@named(xops.LowerTriangularMask)
@functools.wraps(xops.memory_efficient_attention)
def attend(q, k, v, bias):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    return "fast", known[xops.LowerTriangularMask](q, k, v, xops.LowerTriangularMask())
""",
    ),
    use(
        "in __all__",
        """\
import shared


def run(q, k, v):
    assert set(shared.__all__) <= set(vars(shared))
    return "fast", shared.memory_efficient_attention(q, k, v, shared.LowerTriangularMask())
""",
        shared="""\
from xformers.ops import LowerTriangularMask, memory_efficient_attention

__all__ = ["LowerTriangularMask", "memory_efficient_attention"]
""",
    ),
    use(
        "masks in a dict",
        """\
import xformers.ops as xops
from xformers.ops import fmha

cache = {}


def mask_for(lengths):
    key = tuple(lengths)
    if key not in cache:
        cache[key] = fmha.BlockDiagonalMask.from_seqlens(lengths)
        cache[key]._batch_sizes = [len(lengths)]
    return cache[key]


def run(q, k, v):
    lengths = [q.shape[1]] * q.shape[0]
    assert mask_for(lengths) is mask_for(lengths)
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    out = xops.memory_efficient_attention(q, k, v, attn_bias=mask_for(lengths))
    return "fast", mask_for(lengths).split(out)[0]
""",
    ),
    use(
        "masks in the object",
        """\
import xformers.ops as xops
from xformers.ops.fmha.attn_bias import BlockDiagonalCausalMask, BlockDiagonalMask


class Attention:
    def __init__(self):
        self.masks = [None, BlockDiagonalMask, BlockDiagonalCausalMask]
        self.mask = None

    def prepare(self, x):
        if self.mask is None:
            self.mask = self.masks[1].from_seqlens([x.shape[1]] * x.shape[0]).make_causal()
        assert type(self.mask) is self.masks[2]

    def forward(self, q, k, v):
        self.prepare(q)
        q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
        return xops.memory_efficient_attention(q, k, v, attn_bias=self.mask)


def run(q, k, v):
    return "fast", Attention().forward(q, k, v)
""",
    ),
    use(
        "a mask from another file",
        """\
import xformers.ops as xops
from masks import packed


def run(q, k, v):
    mask, (q, k, v) = packed(q, k, v)
    return "fast", xops.memory_efficient_attention(q, k, v, attn_bias=mask)
""",
        masks="""\
import torch
from xformers.ops.fmha import BlockDiagonalMask


def packed(*tensors):
    mask, _ = BlockDiagonalMask.from_tensor_list([tensors[0]])
    return mask, [BlockDiagonalMask.from_tensor_list([x])[1] for x in tensors]
""",
    ),
    use(
        "the operator as a value",
        """\
import functools

import xformers.ops as xops

OPERATORS = {"fast": xops.memory_efficient_attention, "slow": None}
partial = functools.partial(xops.memory_efficient_attention, p=0.0)


def timed(function, *args, **kwargs):
    return function(*args, **kwargs)


def run(q, k, v):
    first = OPERATORS["fast"](q, k, v)
    return "fast", first + partial(q, k, v) + timed(xops.memory_efficient_attention, q, k, v, attn_bias=None)
""",
    ),
    use(
        "the operator assigned, and called in another file",
        """\
import ops
from ops import attend as same


def run(q, k, v):
    b, n, h, d = q.shape
    return "fast", ops.attend(q, k, v) + same(q, k, v)
""",
        ops="""\
import xformers.ops

attend = xformers.ops.memory_efficient_attention
""",
    ),
    use(
        "the operator imported from where it was imported",
        """\
from ops import LowerTriangularMask, attend, memory_efficient_attention


def run(q, k, v):
    b, n, h, d = q.shape
    return "fast", memory_efficient_attention(q, k, v, LowerTriangularMask()) + attend(q, k, v)
""",
        ops="""\
from xformers.ops import LowerTriangularMask, memory_efficient_attention


def attend(q, k, v):
    b, n, h, d = q.shape
    return memory_efficient_attention(q, k, v)
""",
    ),
    use(
        "a module taken from where it was imported",
        """\
from ops import xops


def run(q, k, v):
    b, n, h, d = q.shape
    return "fast", xops.memory_efficient_attention(q, k, v)
""",
        ops="import xformers.ops as xops\n",
    ),
    use(
        "a star",
        """\
from xformers.ops import *


def run(q, k, v, bias=None):
    return "fast", memory_efficient_attention(q, k, v, attn_bias=bias)
""",
    ),
    use(
        "an op by name",
        """\
import xformers.ops as xops
from xformers.ops import MemoryEfficientAttentionFlashAttentionOp


class Attention:
    def __init__(self, attention_op=MemoryEfficientAttentionFlashAttentionOp):
        self.attention_op = attention_op

    def forward(self, q, k, v, bias=None):
        return xops.memory_efficient_attention(q, k, v, attn_bias=bias, op=self.attention_op)


def run(q, k, v):
    return "fast", Attention().forward(q, k, v)
""",
    ),
    use(
        "other operators",
        """\
import torch
from xformers.ops import SwiGLU, memory_efficient_attention, unbind


def run(q, k, v, bias=None):
    torch.manual_seed(0)
    layer = SwiGLU(q.shape[-1], 16).double()
    first, _ = unbind(torch.stack([q, q]), 0)
    return "fast", layer(memory_efficient_attention(first, k, v, attn_bias=bias))
""",
    ),
    use(
        "from mslk",
        """\
from mslk.attention import fmha
from mslk.attention.fmha.attn_bias import BlockDiagonalMask


def run(q, k, v):
    mask = BlockDiagonalMask.from_seqlens([q.shape[1]] * q.shape[0])
    q, k, v = (x.reshape(1, -1, *x.shape[2:]) for x in (q, k, v))
    return "fast", fmha.memory_efficient_attention(q, k, v, attn_bias=mask)
""",
    ),
]


@pytest.mark.parametrize("project", USES, ids=[use.name for use in USES])
def test_uses(project: Use, tmp_path: Path) -> None:
    write(tmp_path, project.files)
    same_without_xformers(tmp_path)
    once = tree(tmp_path)
    rewrite(tmp_path)
    assert tree(tmp_path) == once


def test_every_name_of_a_file_still_means_something(tmp_path: Path) -> None:
    """Type hints, defaults and `__all__` are looked at by no call; a name that is lost there is lost all the same."""
    for project in USES:
        root = write(tmp_path / project.name.replace(" ", "_"), project.files)
        rewrite(root)
        with fresh(root, oracle.absent):
            assert torch.isfinite(importlib.import_module("main").run(*tensors())[1]).all()


# -- standing in for xformers -----------------------------------------------------------------------------


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
