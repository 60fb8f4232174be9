"""A name that other code still looks at must go on saying what it said.

Where xformers itself is bound to a name, or to None, other files compare it, test it or take an attribute of it, also
through a star, a package or the name of the module. Where a mask is made in one file and handed to xformers' own
operator in another, it must be one that xformers takes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import SHAPE, Case, check, table

NONE = "try:\n    import xformers\n    import xformers.ops\nexcept ImportError:\n    xformers = None\n"
XOPS = "try:\n    import xformers.ops as xops\nexcept ImportError:\n    xops = None\n"
RUN = "import net\nprint(net.attend(q, k, v))"
CALL = "xformers.ops.memory_efficient_attention(q, k, v)"


def ask(
    name: str, condition: str, head: str, *, call: str = CALL, base: str = NONE, noted: bool = False, **files: str
) -> Case:
    """`net.py` takes a binding from `base.py` and asks it: the fast path stays, or (`noted`) the report names it."""
    text = f"""\
{head}

def attend(q, k, v):
    b, n, h, d = q.shape
    if {condition}:
        return "fast", tuple({call}.shape)
    return "slow"
"""
    return Case(
        name=name,
        files={"base.py": base, "net.py": text, **{f"{path.replace('__', '/', 1)}.py": t for path, t in files.items()}},
        run=RUN,
        present=f"('fast', {SHAPE})",
        absent=f"('fast', {SHAPE})",
        unless_said=r"^\w+\.py:\d+:\d+: XF40[138] " if noted else "",
    )


LOOK_UP = """\
import importlib.util
from importlib.metadata import PackageNotFoundError, version

{body}

def attend(q, k, v):
    import xformers.ops as xops

    b, n, h, d = q.shape
    return ("fast", tuple(xops.memory_efficient_attention(q, k, v).shape)) if HAVE else "slow"
"""


def look_up(name: str, body: str) -> Case:
    """Two questions after one another, of which one may not be answered without the other."""
    return Case(
        name=name,
        files={"net.py": LOOK_UP.format(body=body)},
        run=RUN,
        present=f"('fast', {SHAPE})",
        absent=f"('fast', {SHAPE})",
        may_stay="net.py",
    )


MASKS = (
    "from xformers.ops.fmha.attn_bias import BlockDiagonalMask\n\n\ndef make(lengths):\n"
    "    return BlockDiagonalMask.from_seqlens(lengths)\n"
)
MASKS_AND_CALL = (
    MASKS + "\n\ndef attend(q, k, v):\n    from xformers.ops import memory_efficient_attention\n\n"
    "    return memory_efficient_attention(q[:1], k[:1], v[:1], attn_bias=make([2, 3]))\n"
)


def handed(name: str, user: str, masks: str = MASKS, printed: str = "torch.Size([1, 5, 3, 8])") -> Case:
    """A mask of `masks.py` goes to what stays with xformers: on xformers it runs as before."""
    return Case(
        name=name,
        files={"masks.py": masks, "user.py": user},
        run="import user\nprint(user.use(q.detach(), k.detach(), v.detach()))",
        present=printed,
    )


CASES = [
    ask("a star, compared with None", "xformers is not None", "from base import *\n"),
    ask("a star, tested", "xformers", "from base import *\n"),
    ask("a star, in a file that has its own call inside", "not (xformers is None)", "from base import *\n"),
    ask("by the module", "base.xformers is not None", "import base\n", call=f"base.{CALL}"),
    ask("by the module as another", "b0.xformers", "import base as b0\n", call=f"b0.{CALL}"),
    ask("by name", "xformers is not None", "from base import xformers\n"),
    ask(
        "by name as another", "xf != None", "from base import xformers as xf\n", call=CALL.replace("xformers", "xf", 1)
    ),
    ask("by getattr", "getattr(base, 'xformers', None) is not None", "import base\n", call=f"base.{CALL}", noted=True),
    ask(
        "by hasattr of ops",
        "hasattr(base.xops, 'fmha')",
        "import base\n",
        base=XOPS,
        call="base.xops.memory_efficient_attention(q, k, v)",
        noted=True,
    ),
    ask(
        "a star of ops",
        "xops is not None",
        "from base import *\n",
        base=XOPS,
        call="xops.memory_efficient_attention(q, k, v)",
    ),
    ask(
        "through a package",
        "pk.xops is not None",
        "import pk\n",
        base="",
        call="pk.xops.memory_efficient_attention(q, k, v)",
        pk____init__="from pk.base import *\n",
        pk__base=XOPS,
    ),
    ask(
        "through __all__",
        "xops is not None",
        "from base import *\n",
        base=XOPS + "\n__all__ = ['xops']\n",
        call="xops.memory_efficient_attention(q, k, v)",
    ),
    ask(
        "the operator or None, through a star",
        "memory_efficient_attention is not None",
        "from base import *\n",
        base="try:\n    from xformers.ops import memory_efficient_attention\nexcept ImportError:\n"
        "    memory_efficient_attention = None\n",
        call="memory_efficient_attention(q, k, v)",
    ),
    ask(
        "the operator or None, in a dictionary",
        "OPS['fast'] is not None",
        "from base import OPS\n",
        base="try:\n    from xformers.ops import memory_efficient_attention\nexcept ImportError:\n"
        "    memory_efficient_attention = None\n"
        "OPS = {'fast': memory_efficient_attention}\n",
        call="OPS['fast'](q, k, v)",
    ),
    ask(
        "asked by NameError",
        "there()",
        "import base\n\n\ndef there():\n    try:\n        base.xops\n    except AttributeError:\n"
        "        return False\n    return True\n\n",
        base="import contextlib\n\nwith contextlib.suppress(ImportError):\n    import xformers.ops as xops\n",
        call="base.xops.memory_efficient_attention(q, k, v)",
        noted=True,
    ),
    ask(
        "asked by the names of the module",
        "'xops' in dir(base)",
        "import base\n",
        base="try:\n    import xformers.ops as xops\nexcept ImportError:\n    pass\n",
        call="base.xops.memory_efficient_attention(q, k, v)",
        noted=True,
    ),
    look_up(
        "find_spec, then the release, which switches it off",
        "HAVE = importlib.util.find_spec('xformers') is not None\ntry:\n    RELEASE = version('xformers')\n"
        "except PackageNotFoundError:\n    HAVE = False\n",
    ),
    look_up(
        "find_spec, then the release under it",
        "HAVE = importlib.util.find_spec('xformers') is not None\nif HAVE:\n    try:\n"
        "        RELEASE = version('xformers')\n"
        "        print('', end='')\n    except PackageNotFoundError:\n        HAVE = False\n",
    ),
    look_up(
        "find_spec and the release in one try",
        "RELEASE = None\ntry:\n    HAVE = bool(importlib.util.find_spec('xformers'))\n"
        "    RELEASE = version('xformers')\n"
        "except PackageNotFoundError:\n    pass\nHAVE = HAVE and RELEASE is not None\n",
    ),
    look_up(
        "find_spec, the release in a function",
        "HAVE = importlib.util.find_spec('xformers') is not None\n\n\ndef release():\n    try:\n"
        "        return version('xformers')\n"
        "    except PackageNotFoundError:\n        return None\n\n\nHAVE = HAVE and release() is not None\n",
    ),
    handed(
        "a mask for the operator's parts",
        "from masks import make\nfrom xformers.ops import fmha\n\n\ndef use(q, k, v):\n"
        "    return fmha.memory_efficient_attention_partial(q[:1], k[:1], v[:1], attn_bias=make([2, 3]))[0].shape\n",
    ),
    handed(
        "a mask for the operator's backward",
        "from masks import make\nimport xformers.ops as xops\n\n\ndef use(q, k, v):\n"
        "    q, k, v = q[:1], k[:1], v[:1]\n"
        "    mask = make([2, 3])\n"
        "    out, lse = xops.memory_efficient_attention_forward_requires_grad(q, k, v, mask)\n"
        "    return xops.memory_efficient_attention_backward(out, out, lse, q, k, v, mask)[0].shape\n",
    ),
    handed(
        "a mask of a file that has a call",
        "from masks import attend, make\nfrom xformers.ops import fmha\n\n\ndef use(q, k, v):\n"
        "    attend(q, k, v)\n"
        "    return fmha.memory_efficient_attention_partial(q[:1], k[:1], v[:1], attn_bias=make([2, 3]))[0].shape\n",
        MASKS_AND_CALL,
    ),
    handed(
        "a mask for a call that is to be left",
        "from masks import make\nimport xformers.ops as xops\n\n\ndef use(q, k, v):\n"
        "    q, k, v = q[:1], k[:1], v[:1]\n"
        "    return xops.memory_efficient_attention(q, k, v, attn_bias=make([2, 3])).shape  # xf2sdpa: ignore\n",
    ),
    handed(
        "a mask that is asked for its class",
        "from masks import make\nfrom xformers.ops import fmha\n\n\ndef use(q, k, v):\n    mask = make([2, 3])\n"
        "    if not isinstance(mask, fmha.attn_bias.BlockDiagonalMask):\n        return 'another class'\n"
        "    return fmha.memory_efficient_attention_partial(q[:1], k[:1], v[:1], attn_bias=mask)[0].shape\n",
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_bindings_that_survive(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
