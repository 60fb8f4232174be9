"""Ranks and masks that only the callers show: whole projects, in which all calls pass the same, or one may not.

Each is executed before and after. Where the call is inline it stands behind a check, and what comes with other
dimensions after all raises; where a call cannot be followed, or passes something else, the helper decides.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import assert_equal, execute, fresh, installed, rewrite, tensors, tree, write

ATTEND = """\
import torch.nn.functional as F
from xformers.ops import memory_efficient_attention


def attend(query, key, value, mask=None):
    query = query * 0.5
    return memory_efficient_attention(query, key, value, attn_bias=mask)
"""
MODEL = """\
import torch
import torch.nn as nn
from ops import attend


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(24, 72)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 3, 8).unbind(2)
        return attend(q, k, v).reshape(b, n, c)
"""
MAIN = """\
import torch
from model import Net


def run(q, k, v):
    torch.manual_seed(0)
    return "fast", Net().to(q.dtype)(q.flatten(2) + k.flatten(2) * v.flatten(2))
"""
PROJECT = {"ops.py": ATTEND, "model.py": MODEL, "main.py": MAIN}
CALL = "attend(q, k, v)"
MASK = "torch.zeros(b, 3, n, n, dtype=x.dtype)"
MERGED = "*(t.transpose(1, 2).reshape(b * 3, n, 8) for t in (q, k, v))"
DEEP = "\n\n    def inner(self, one, two, three):\n        return attend(one, two, value=three)\n"


def model(call: str, more: str = "", ops: str = ATTEND) -> dict[str, str]:
    return PROJECT | {"model.py": MODEL.replace(CALL, call) + more, "ops.py": ops}


def besides(text: str) -> dict[str, str]:
    """The project with other text below its model."""
    return model(CALL, f"\n\n{text}\n")


OTHER = """\
from ops import attend


def use(x, b, n):
    y = x.view(b, n, 3, -1)
    return attend(y, y, y)
"""
METHOD = """\
from xformers.ops import memory_efficient_attention


class Ops:
    def attend(self, query, key, value, mask=None):
        query = query * 0.5
        return memory_efficient_attention(query, key, value, attn_bias=mask)
"""
IN_A_CLASS = MODEL.replace("from ops import attend", "from ops import Ops").replace(CALL, f"Ops().{CALL}")
DEEPER = (
    DEEP.replace("inner(", "first(").replace("attend(one, two, value=three)", "self.inner(one, two, three)")
    + DEEP.replace("attend(one, two, value=three)", "self.last(one, two, three)")
    + DEEP.replace("inner(", "last(")
)
TOLD = {
    "by place": PROJECT,
    "by keyword": model("attend(value=v, key=k, query=q)"),
    "two calls up": model("self.inner(q, k, v)", DEEP),
    "with casts and a variable": model("attend(q.to(x.dtype).contiguous(), k, v)"),
    "several calls": model("(attend(q, k, v) + attend(v, k, q))"),
    "from a file without xformers": PROJECT | {"other.py": OTHER},
    "a mask and None": model(f"(attend(q, k, v, {MASK}) + attend(q, k, v, None))"),
    "a mask that may be None": model(f"attend(q, k, v, {MASK} if n > 2 else None)"),
    "through a module": PROJECT
    | {"model.py": MODEL.replace("from ops import attend", "import ops").replace(CALL, f"ops.{CALL}")},
    "as a method": PROJECT | {"model.py": IN_A_CLASS, "ops.py": METHOD},
    "as a static method": PROJECT
    | {"model.py": IN_A_CLASS, "ops.py": METHOD.replace("    def", "    @staticmethod\n    def").replace("self, ", "")},
    "as a static method of the class": PROJECT
    | {
        "model.py": IN_A_CLASS.replace("Ops().", "Ops."),
        "ops.py": METHOD.replace("    def", "    @staticmethod\n    def").replace("self, ", ""),
    },
}
PARTIAL = """\
from functools import partial

fast = partial(attend, mask=None)


def use(x):
    return fast(x, x, x)"""
KEPT = """\
class Other:
    def __init__(self, f=attend):
        self.f = f

    def use(self, x):
        return self.f(x, x, x)"""
TABLE = "TABLE = {'fast': attend}\n\n\ndef use(x, kind):\n    return TABLE[kind](x, x, x)"
BY_NAME = "import ops\n\n\ndef use(x, kind):\n    return getattr(ops, {})(x, x, x)"
CAUSAL = "import xformers.ops as xops\n" + MODEL.replace("k, v)", "k, v, xops.LowerTriangularMask())")
REFUSED: dict[str, Mapping[str, str]] = {
    "another rank": besides("def use(x):\n    b, n, d = x.shape\n    return attend(x, x, x)"),
    "a call below a return": besides("def use(x):\n    return x\n    attend(x, x, x)"),
    "a rank that nobody knows": besides("def use(x):\n    return attend(x, x, x)"),
    "a rank that nobody knows, in another file": PROJECT
    | {"other.py": "import ops\n\n\ndef use(x):\n    return ops.attend(x, x, x)\n"},
    "* at the call": model(f"attend({MERGED}).view(b, 3, n, 8).transpose(1, 2)"),
    "** at the call": besides("def use(q, parts):\n    return attend(q.view(1, 2, 3, 4), **parts)"),
    "handed on": besides("def use(f, x):\n    return f(x, attend)"),
    "kept in a table": besides(TABLE),
    "partial": besides(PARTIAL),
    "checkpoint": besides("def use(x):\n    return torch.utils.checkpoint.checkpoint(attend, x, x, x)"),
    "a default of something": besides(KEPT),
    "its name in a string": besides(BY_NAME.format("'attend'")),
    "a name that is built": besides(BY_NAME.format("f'att{kind}'")),
    "settings that name it": PROJECT | {"conf.yaml": "attention: ops.attend\n"},
    "hubconf": PROJECT | {"hubconf.py": "from ops import attend\n"},
    "a decorator": model(CALL, ops="import registry\n" + ATTEND.replace("def attend", "@registry.add\ndef attend")),
    "nothing calls it": model("q"),
    "three calls up": model("self.first(q, k, v)", DEEPER),
    "a mask object": PROJECT | {"model.py": CAUSAL},
    "masks of two ranks": model(f"(attend(q, k, v, {MASK}) + attend(q, k, v, torch.zeros(n, n, dtype=x.dtype)))"),
}


@pytest.mark.parametrize("files", TOLD.values(), ids=list(TOLD))
def test_all_callers_pass_the_same(files: Mapping[str, str], tmp_path: Path) -> None:
    root = write(tmp_path, files)
    before = execute(root, installed)
    output = rewrite(root, "--flags", "off").output
    new = tree(root)["ops.py"]
    assert "every call in this project passes 4 dimensions to" in output
    assert "if query.ndim != 4:\n" in new
    assert "memory_efficient_attention" not in new
    assert_equal(before, execute(root, oracle.absent))
    once = tree(root)
    rewrite(root, "--flags", "off")
    assert tree(root) == once
    with fresh(root, oracle.absent):
        ops = importlib.import_module("ops")
        attend = ops.Ops().attend if hasattr(ops, "Ops") else ops.attend
        x = tensors()[0].detach()
        attend(x, x, x)
        with pytest.raises(NotImplementedError, match="query must have 4 dimensions here, as all callers passed"):
            attend(x[0], x[0], x[0])


@pytest.mark.parametrize("files", REFUSED.values(), ids=list(REFUSED))
def test_a_call_may_pass_something_else(files: Mapping[str, str], tmp_path: Path) -> None:
    root = write(tmp_path, files)
    rewrite(root, "--flags", "off")
    assert "return memory_efficient_attention(query, key, value, attn_bias=mask)" in tree(root)["ops.py"]


def test_a_mask_of_another_rank_raises(tmp_path: Path) -> None:
    root = write(tmp_path, TOLD["a mask and None"])
    rewrite(root, "--flags", "off")
    assert "if mask is not None and mask.ndim != 4:\n" in tree(root)["ops.py"]
    with fresh(root, oracle.absent):
        x = tensors()[0].detach()
        attend = importlib.import_module("ops").attend
        attend(x, x, x, x.new_zeros(2, 3, 5, 5))
        with pytest.raises(NotImplementedError, match="mask must have 4 dimensions here, as all callers passed"):
            attend(x, x, x, x.new_zeros(3, 5, 5))


def test_an_upcast_of_the_only_caller_is_seen(tmp_path: Path) -> None:
    """In the same file: autocast must not lower what the caller has cast to float32."""
    model_here = MODEL.replace("from ops import attend\n", "").replace("q, k, v)", "q.float(), k.float(), v.float())")
    here = f"{ATTEND}\n\n{model_here}".replace(", mask=None", "").replace(", attn_bias=mask", "")
    files = {"ops.py": here, "main.py": MAIN.replace("from model", "from ops")}
    root = write(tmp_path, files)
    rewrite(root, "--flags", "off")
    assert "with torch.autocast(query.device.type, enabled=False):" in tree(root)["ops.py"]


def test_only_exact_leaves_it(tmp_path: Path) -> None:
    root = write(tmp_path, PROJECT)
    rewrite(root, "--flags", "off", "--only", "exact")
    assert tree(root) == PROJECT


@pytest.mark.parametrize(
    "place",
    [
        "return (lambda: memory_efficient_attention(query, key, value, attn_bias=mask))()",
        "return [memory_efficient_attention(query, key, value, attn_bias=mask) for _ in '1'][0]",
        "return memory_efficient_attention(query * 1, key * 1, value * 1, attn_bias=mask)",
    ],
)
def test_without_a_place_for_the_check_it_is_the_helpers(place: str, tmp_path: Path) -> None:
    old = "return memory_efficient_attention(query, key, value, attn_bias=mask)"
    root = write(tmp_path, model(CALL, ops=ATTEND.replace(old, place)))
    output = rewrite(root, "--flags", "off").output
    told = "helper module: the dimensions are assumed, and no check of them can stand before the call"
    assert told in " ".join(output.split()) or "lambda" in place
    assert place in tree(root)["ops.py"]


def test_without_a_place_for_the_check_of_a_mask_it_is_the_helpers(tmp_path: Path) -> None:
    """The mask is no variable that a check could name."""
    place = "return memory_efficient_attention(query, key, value, attn_bias=mask * 1)"
    ops = ATTEND.replace("return memory_efficient_attention(query, key, value, attn_bias=mask)", place)
    root = write(tmp_path, model(f"attend(q, k, v, {MASK})", ops=ops))
    before = execute(root, installed)
    output = rewrite(root, "--flags", "off").output
    assert "XF161 compat  by the helper module: only the callers show the mask's dimensions, and no check can" in output
    assert place in tree(root)["ops.py"]
    assert_equal(before, execute(root, oracle.absent))
