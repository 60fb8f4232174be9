"""A call that is left keeps its text, its import and its `op=`; one that is not left gets what it needs.

`op=None`, a rank that nothing shows, every form of the import: either the call goes to the helper and runs without
xformers, or its file stays to the byte.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import SHAPE, Case, check, table

RUN = "import net\nprint(tuple(net.attend(q, k, v).shape))"
FORMS = {
    "the name": ("from xformers.ops import memory_efficient_attention", "memory_efficient_attention"),
    "the name as another": ("from xformers.ops import memory_efficient_attention as mea", "mea"),
    "the name of fmha": ("from xformers.ops.fmha import memory_efficient_attention", "memory_efficient_attention"),
    "the module": ("import xformers.ops", "xformers.ops.memory_efficient_attention"),
    "the module as another": ("import xformers.ops as xops", "xops.memory_efficient_attention"),
    "the module from its package": ("from xformers import ops", "ops.memory_efficient_attention"),
    "a star": ("from xformers.ops import *", "memory_efficient_attention"),
    "the private module": ("from xformers.ops import fmha", "fmha.memory_efficient_attention"),
}
UNKNOWN = "{line}\n\n\ndef attend(q, k, v):\n    return {name}(q, k, v, op=None)\n"
SHOWN = "{line}\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n    return {name}(q, k, v, op=None)\n"
INSIDE = "def attend(q, k, v):\n    {line}\n\n    return {name}(q, k, v, op=None)\n"
METHOD = """\
{line}


class Attention:
    op = None

    def forward(self, q, k, v, bias=None):
        return {name}(q, k, v, attn_bias=bias, op=self.op)


def attend(q, k, v):
    return Attention().forward(q, k, v)
"""
GUARDED = """\
try:
    {line}

    FAST = True
except ImportError:
    FAST = False


def attend(q, k, v):
    if FAST:
        return {name}(q, k, v, op=None)
    return q[:1]
"""
CONSTANT = """\
import xformers.ops as xops
from xformers.ops import MemoryEfficientAttentionFlashAttentionOp as FAST
from xformers.ops import memory_efficient_attention as mea

OPS = (FAST[0], None)


def attend(q, k, v):
    return mea(q, k, v, op=OPS)


def more(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v, op=OPS)
"""
IN_TWO_FUNCTIONS = """\
def one(q, k, v):
    from xformers.ops import memory_efficient_attention

    b, n, h, d = q.shape
    return memory_efficient_attention(q, k, v)


def attend(q, k, v):
    from xformers.ops import memory_efficient_attention

    return memory_efficient_attention(one(q, k, v), k, v, op=None)
"""
COMPUTED = """\
import xformers.ops as xops


def pick(q):
    print("picked")


def attend(q, k, v):
    return xops.memory_efficient_attention(q, k, v, op=pick(q))
"""
ALL_FORMS = {"unknown": UNKNOWN, "shown": SHOWN, "inside": INSIDE, "method": METHOD, "guarded": GUARDED}


def form(name: str, form: str, text: str = UNKNOWN, **more: object) -> Case:
    line, called = FORMS[form]
    return Case(
        name=name,
        files={"net.py": text.format(line=line, name=called)},
        run=RUN,
        present=SHAPE,
        absent=SHAPE,
        may_stay="net.py",
        unsaid=("XF162",),
        **more,  # type: ignore[arg-type]
    )


def left(name: str, text: str, said: str, line: str, *options: str) -> Case:
    """A case of a call that is left: it runs on xformers as before, its line and what it needs stay."""
    return Case(
        name=name,
        files={"net.py": text},
        run=RUN,
        present=SHAPE,
        options=options,
        said=(said,),
        has=(("net.py", line),),
    )


CASES = [
    *(form(f"{name}, rank unknown", name) for name in FORMS),
    form("the name, rank shown", "the name", SHOWN),
    form("the name, imported inside", "the name", INSIDE),
    form("the module as another, imported inside", "the module as another", INSIDE),
    form("the name, in a method with its own op", "the name", METHOD),
    form("the module as another, in a method with its own op", "the module as another", METHOD),
    form("the name as another, guarded", "the name as another", GUARDED),
    form("the module, guarded", "the module", GUARDED),
    form("the name, for any device", "the name", options=("--device", "any")),
    *(
        form(f"{name}, {kind}, style compat", name, ALL_FORMS[kind], options=("--style", "compat"))
        for name, kind in (
            ("the name", "unknown"),
            ("the name as another", "shown"),
            ("the module", "unknown"),
            ("the module as another", "guarded"),
            ("the private module", "method"),
        )
    ),
    Case(
        name="in two functions, one inline",
        files={"net.py": IN_TWO_FUNCTIONS},
        run=RUN,
        present=SHAPE,
        absent=SHAPE,
        may_stay="net.py",
    ),
    Case(
        name="an op that a constant holds",
        files={"net.py": CONSTANT},
        run=RUN + "\nprint(tuple(net.more(q, k, v).shape))",
        present=f"{SHAPE}\n{SHAPE}",
        absent=f"{SHAPE}\n{SHAPE}",
        may_stay="net.py",
    ),
    *(
        Case(
            name=f"{name}, no helper allowed",
            files={"net.py": UNKNOWN.format(line=FORMS[name][0], name=FORMS[name][1])},
            options=("--no-helper",),
            run=RUN,
            present=SHAPE,
            same=("net.py",),
            said=(r"net\.py:5:12: XF2\d\d left",),
        )
        for name in ("the name", "the name as another", "the module as another")
    ),
    left(
        "one of two calls is to be left, by a comment",
        "from xformers.ops import memory_efficient_attention as mea\n\n\ndef attend(q, k, v):\n"
        "    b, n, h, d = q.shape\n"
        "    q = mea(q, k, v)\n    return mea(q, k, v, op=None)  # xf2sdpa: ignore\n",
        "XF906 left",
        r"return mea\(q, k, v, op=None\)  # xf2sdpa: ignore",
    ),
    Case(
        name="an op that is computed",
        files={"net.py": COMPUTED},
        run=RUN,
        present=f"picked\n{SHAPE}",
        absent=f"picked\n{SHAPE}",
        may_stay="net.py",
    ),
    left(
        "a call in an f-string beside one that goes",
        "from xformers.ops import memory_efficient_attention as mea\n\n\ndef attend(q, k, v):\n"
        "    b, n, h, d = q.shape\n"
        "    assert f'{mea(q, k, v, op=None).shape}'\n    return mea(q, k, v, op=None)\n",
        "XF220 left",
        r"f'\{mea\(q, k, v, op=None\)\.shape\}'",
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_left_calls(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
