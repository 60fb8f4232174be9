"""Mask objects and the operator that is handed them come from one place, whatever stays: real masks, the real operator.

A call that stays with xformers refuses the helper's mask objects, so those of xformers stay in all files that may hand
them to it. A call that went to the helper takes xformers' own, from a file that is not rewritten.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import Case, absent, check, execute, present, table
from tests.projects.harness import rewrite, tree, write

ATTENTION = """\
from xformers.ops import memory_efficient_attention


class Attention:
    def __call__(self, q, k, v, attn_bias=None):
        return memory_efficient_attention(q, k, v, attn_bias=attn_bias){comment}
"""
LEFT = ATTENTION.format(comment="  # xf2sdpa: ignore")
FREE = ATTENTION.format(comment="")
BLOCK = """\
from attention import Attention
from xformers.ops import fmha


def attend(q, k, v):
    return Attention()(q, k, v, attn_bias=fmha.BlockDiagonalMask.from_seqlens([3, 2]))
"""
CACHED = """\
from attention import Attention
from xformers.ops.fmha import BlockDiagonalMask

CACHE = {}


def mask_of(lengths):
    if lengths not in CACHE:
        CACHE[lengths] = BlockDiagonalMask.from_seqlens(list(lengths))
    return CACHE[lengths]


def attend(q, k, v):
    return Attention()(q, k, v, mask_of((3, 2)))
"""
MASKS = """\
from xformers.ops import fmha


class Holder:
    def __init__(self):
        self.mask = fmha.BlockDiagonalMask.from_seqlens([3, 2])


def make():
    return Holder()
"""
THIRD = """\
from attention import Attention
from masks import make


def attend(q, k, v):
    return Attention()(q, k, v, attn_bias=make().mask)
"""
GUARD = """\
try:
    from xformers.ops import memory_efficient_attention

    FAST = True
except ImportError:
    FAST = False


class Attention:
    def __call__(self, q, k, v, attn_bias=None):
        if not FAST:
            assert attn_bias is None
            return q
        return memory_efficient_attention(q, k, v, attn_bias=attn_bias)  # xf2sdpa: ignore
"""
GUARDED_BLOCK = """\
from attention import Attention

try:
    from xformers.ops import fmha, index_select_cat

    FAST = True
except ImportError:
    FAST = False


def attend(q, k, v):
    if FAST:
        return Attention()(q, k, v, attn_bias=fmha.BlockDiagonalMask.from_seqlens([3, 2]))
    return q[:, :1]


def cat(sources, indices):
    return index_select_cat(sources, indices)
"""
ALIASED = """\
import functools

import xformers.ops as xops

run = functools.partial(xops.memory_efficient_attention, p=0.0)  # xf2sdpa: ignore


class Attention:
    def __call__(self, q, k, v, attn_bias=None):
        return run(q, k, v, attn_bias=attn_bias)
"""
FROM_ANOTHER = """\
from ops import memory_efficient_attention as attend_fast


class Attention:
    def __call__(self, q, k, v, attn_bias=None):
        return attend_fast(q, k, v, attn_bias)  # xf2sdpa: ignore
"""
ONE_FILE = """\
import xformers.ops as xops


def attend(q, k, v):
    mask = xops.fmha.BlockDiagonalMask.from_seqlens([3, 2])
    return xops.memory_efficient_attention(q, k, v, attn_bias=mask)  # xf2sdpa: ignore
"""
ANY = """\
import xformers.ops as xops


def call(q, k, v, bias):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)


def attend(q, k, v):
    return call(q, k, v, xops.fmha.BlockDiagonalMask.from_seqlens([3, 2]))
"""
PLAIN_LEFT = """\
import xformers.ops as xops


def other(q, k, v):
    return xops.memory_efficient_attention(q, k, v, attn_bias={bias})  # xf2sdpa: ignore
"""
ASKING = """\
from xformers.ops import fmha, memory_efficient_attention


class Attention:
    def __call__(self, q, k, v, attn_bias=None):
        if isinstance(attn_bias, fmha.BlockDiagonalMask):
            print("packed")
        return memory_efficient_attention(q, k, v, attn_bias=attn_bias)
"""
FLEX = """\
from torch.nn.attention.flex_attention import BlockMask
from xformers.ops import memory_efficient_attention


class Attention:
    def __call__(self, q, k, v, attn_bias=None):
        if isinstance(attn_bias, BlockMask):
            return q
        return memory_efficient_attention(q, k, v, attn_bias=attn_bias)
"""
LOCAL = """\
import xformers.ops as xops
from xformers.ops.fmha.common import Inputs


def inputs(q, k, v):
    bias = None
    return Inputs(q, k, v, bias)


def other(q, k, v):
    bias = xops.LowerTriangularMask()
    print(bias.materialize((2, 2)))
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)  # xf2sdpa: ignore
"""
INLINE = """\
import xformers.ops as xops


def causal(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v, attn_bias=xops.LowerTriangularMask())
"""
ENV = "from xformers.ops import fmha as packed\n"
THEIRS, THROUGH_ENV = "from xformers.ops import fmha", "from env import packed as fmha  # of xformers"
RUN = "import block\nout = block.attend(q[:1], k[:1], v[:1])\nprint(round(out.double().abs().sum().item(), 6))"
SUM = "86.838293"
XFORMERS, HELPER = r"^\s*from xformers|^\s*import xformers", "_attention_compat import"
SAID = "XF413"


def stays(name: str, files: dict[str, str], *options: str) -> Case:
    """Masks that stay: the program runs where xformers is, as before."""
    return Case(
        name=name, files=files, options=options, run=RUN, present=SUM, said=(SAID,), unsaid=("XF160.*Mask", "XF402")
    )


STAYING = [
    stays("an ignored call, a mask of another file", {"attention.py": LEFT, "block.py": BLOCK}),
    stays("through a cache", {"attention.py": LEFT, "block.py": CACHED}),
    stays(
        "through an attribute of a third file's object", {"attention.py": LEFT, "masks.py": MASKS, "block.py": THIRD}
    ),
    stays("under guards", {"attention.py": GUARD, "block.py": GUARDED_BLOCK}),
    stays("the operator by another name", {"attention.py": ALIASED, "block.py": BLOCK}),
    stays("the call's file is excluded", {"attention.py": FREE, "block.py": BLOCK}, "--exclude", "attention.py"),
    stays("a variable of the same function", {"block.py": ONE_FILE}),
    stays(
        "a parameter that is said to be a tensor",
        {
            "attention.py": LEFT.replace("attn_bias=None", "attn_bias: Optional[torch.Tensor] = None").replace(
                "from", "from typing import Optional\n\nimport torch\nfrom", 1
            ),
            "block.py": BLOCK,
        },
    ),
    stays(
        "a class that a package hands on",
        {
            "attention.py": LEFT,
            "masks/__init__.py": "from xformers.ops.fmha import BlockDiagonalMask\n",
            "block.py": BLOCK.replace("from xformers.ops import fmha", "from masks import BlockDiagonalMask").replace(
                "fmha.", ""
            ),
        },
    ),
    stays(
        "a module that another file hands on",
        {
            "attention.py": LEFT,
            "env.py": ENV,
            "block.py": BLOCK.replace(THEIRS, THROUGH_ENV),
        },
    ),
    stays(
        "looked up by its name",
        {
            "attention.py": LEFT.replace(
                "from xformers.ops import memory_efficient_attention", "import xformers.ops as xops"
            ).replace("memory_efficient_attention(", 'getattr(xops, "memory_efficient_attention")('),
            "block.py": BLOCK,
        },
    ),
    stays("one that stays of two calls", {"attention.py": LEFT, "block.py": BLOCK, "any.py": ANY}),
    stays(
        "the operator of another file that is excluded",
        {
            "ops.py": "from xformers.ops import memory_efficient_attention\n",
            "attention.py": FROM_ANOTHER,
            "block.py": BLOCK,
        },
        "--exclude",
        "ops.py",
    ),
]
MOVING = [
    Case(
        name="a question for a class of torch's, beside masks that stay in their function",
        files={"attention.py": FLEX, "block.py": BLOCK, "other.py": LOCAL},
        run=RUN,
        present=SUM,
        absent=SUM,
        has=(("other.py", "import xformers"),),
        unsaid=(SAID,),
    ),
    Case(
        name="a question for the class of a mask, beside masks that stay in their function",
        files={"attention.py": ASKING, "block.py": BLOCK, "other.py": LOCAL},
        run=RUN,
        present=f"packed\n{SUM}",
        absent=f"packed\n{SUM}",
        unsaid=(SAID,),
    ),
    Case(
        name="the operator of another file",  # which takes it from the helper
        files={
            "ops.py": "from xformers.ops import memory_efficient_attention\n",
            "attention.py": FROM_ANOTHER,
            "block.py": BLOCK,
        },
        run=RUN,
        present=SUM,
        absent=SUM,
    ),
    Case(
        name="a mask that a comment leaves",
        files={
            "attention.py": FREE,
            "block.py": BLOCK.replace("from_seqlens([3, 2]))", "from_seqlens([3, 2]))  # xf2sdpa: ignore"),
        },
        run=RUN,
        present=SUM,
        same=("block.py",),
        has=(("attention.py", HELPER),),
        unsaid=("XF905",),
    ),
    Case(
        name="everything goes",
        files={"attention.py": FREE, "block.py": CACHED},
        run=RUN,
        present=SUM,
        absent=SUM,
        free=True,
        unsaid=(SAID,),
    ),
    Case(
        name="what stays takes no mask",
        files={"attention.py": FREE, "block.py": BLOCK, "other.py": PLAIN_LEFT.format(bias="None")},
        run=RUN,
        present=SUM,
        absent=SUM,
        unsaid=(SAID,),
    ),
    Case(
        name="what stays makes its own mask",
        files={
            "attention.py": FREE,
            "block.py": BLOCK,
            "other.py": PLAIN_LEFT.format(bias="xops.LowerTriangularMask()"),
        },
        run=RUN + "\nimport sys\nif 'xformers' in sys.modules:\n    import other\n    other.other(q, k, v)",
        present=SUM,
        absent=SUM,
        unsaid=(SAID,),
    ),
    Case(
        name="a causal mask that is written inline",
        files={"attention.py": LEFT, "block.py": BLOCK, "causal.py": INLINE},
        run=RUN,
        present=SUM,
        has=(("causal.py", "is_causal=True"),),
        lacks=(("causal.py", "xformers"),),
        said=(SAID,),
    ),
    Case(
        name="the masks' file is excluded",
        files={"attention.py": FREE, "block.py": CACHED},
        options=("--exclude", "block.py"),
        run=RUN,
        present=SUM,
        same=("block.py",),
        has=(("attention.py", HELPER),),
        unsaid=(SAID,),
    ),
    Case(
        name="the masks' file is excluded, and a call asks for their class",
        files={"attention.py": ASKING, "block.py": CACHED},
        options=("--exclude", "block.py"),
        run=RUN,
        present=f"packed\n{SUM}",
        same=("block.py",),
        said=(SAID,),
    ),
    Case(
        name="a second run keeps the classes in the copy",
        files={"attention.py": FREE, "block.py": CACHED},
        later={"block.py": CACHED},
        options=("--exclude", "block.py"),
        run=RUN,
        present=SUM,
        same=("block.py",),
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table([*STAYING, *MOVING], RED))
def test_masks_come_from_where_the_call_does(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


ALONE = [
    pytest.param({"attention.py": FREE, "block.py": BLOCK}, ("block.py",), id="the masks alone"),
    pytest.param({"attention.py": FREE, "block.py": BLOCK}, ("attention.py",), id="the call alone"),
    pytest.param({"attention.py": FREE, "masks.py": MASKS, "block.py": THIRD}, ("masks.py",), id="a third file alone"),
    pytest.param({"attention.py": ASKING, "block.py": CACHED}, ("attention.py",), id="the question alone"),
    pytest.param({"attention.py": FREE, "block.py": BLOCK}, ("--ignore", "XF161", "."), id="no helper for calls"),
    pytest.param({"attention.py": FREE, "block.py": BLOCK}, ("--select", "XF1", "."), id="all that is done"),
    pytest.param({"attention.py": FREE, "block.py": BLOCK}, ("--select", "XF140", "."), id="imports alone"),
]


@pytest.mark.parametrize(("files", "arguments"), ALONE)
def test_some_files_alone(
    files: dict[str, str], arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write(tmp_path / "home", {**files, "pyproject.toml": ""})
    case = Case(name="", files=files, run=RUN)
    before = execute(case, tmp_path, present)
    assert "Error" not in before
    monkeypatch.chdir(home)
    rewrite(*arguments)
    shown = "\n".join(f"# {name}\n{text}" for name, text in tree(home).items() if "compat" not in name)
    assert execute(case, tmp_path, present) == before, shown
    rewrite(".")
    assert execute(case, tmp_path, present) == before
    assert execute(case, tmp_path, absent) == before, "a run over all files moves all of it"


@pytest.mark.parametrize("line", [THEIRS, THROUGH_ENV])
def test_an_edited_helper_that_lacks_the_operator(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"attention.py": FREE, "block.py": BLOCK.replace(THEIRS, line), "env.py": ENV}
    home = write(tmp_path / "home", files)
    case = Case(name="", files=files, run=RUN)
    before = execute(case, tmp_path, present)
    write(home, {"_attention_compat.py": "class BlockDiagonalMask:\n    pass\n"})
    monkeypatch.chdir(home)
    assert SAID in rewrite(".").output
    assert execute(case, tmp_path, present) == before
