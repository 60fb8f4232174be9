"""The helper module is where its users can import it, holds what they import, and stays while anybody uses it.

Also where the tree is imported under a longer name, where a person's file uses it in some other form, where a file of
that name is somebody else's, and where the project has such a function of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import SHAPE, Case, check, table

NAME = (
    "from xformers.ops import memory_efficient_attention\n\n\ndef attend(q, k, v):\n"
    "    return memory_efficient_attention(q, k, v)\n"
)
GONE = "def attend(q, k, v):\n    return v\n"
COPY = "_attention_compat.py"
SHOW = "print(tuple({}.attend(q, k, v).shape))"


def placed(name: str, files: dict[str, str], run: str, printed: str = SHAPE, **more: object) -> Case:
    """After the rewrite every file can be imported as the project imports it."""
    return Case(name=name, files=files, run=run, present=printed, absent=printed, free=True, **more)  # type: ignore[arg-type]


def used(name: str, folder: str, line: str, prefix: str) -> Case:
    """The rewritten call is gone, a file that a person wrote uses the helper."""
    user = f"{line}\n\n\ndef attend(q, k, v):\n    return {prefix}memory_efficient_attention(q, k, v)\n"
    module = f"{folder}user".replace("/", ".")
    return Case(
        name=name,
        files={"pk/__init__.py": "", f"{folder}net.py": NAME},
        later={f"{folder}net.py": GONE, f"{folder}user.py": user},
        run=f"import {module} as m\n" + SHOW.format("m"),
        absent=SHAPE,
    )


MASKED = (
    "import xformers.ops as xops\n\n\ndef attend(q, k, v, causal=True):\n"
    "    return xops.memory_efficient_attention(q, k, v, attn_bias=xops.LowerTriangularMask() if causal else None)\n"
)
OWN_ARM = """\
import torch.nn.functional as F

try:
    from xformers.ops import memory_efficient_attention
except ImportError:

    def memory_efficient_attention(q, k, v):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def attend(q, k, v):
    return memory_efficient_attention(q, k, v)
"""
OWN_FILE = """\
import torch.nn.functional as F


def memory_efficient_attention(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
"""
OWN_ARM_BESIDE = """\
try:
    from xformers.ops import memory_efficient_attention
except ImportError:
    from own import memory_efficient_attention


def attend(q, k, v):
    return memory_efficient_attention(q, k, v)
"""
THREE = """\
def one(q, k, v):
    from xformers.ops import memory_efficient_attention

    return memory_efficient_attention(q, k, v)


def two(q, k, v):
    from xformers.ops import memory_efficient_attention

    return memory_efficient_attention(q, k, v)


def attend(q, k, v):
    from xformers.ops import memory_efficient_attention

    return memory_efficient_attention(one(q, k, v), two(q, k, v), v)
"""
DEEP = {"src/models/mllm/__init__.py": "", "src/models/mllm/m.py": NAME}
CASES = [
    placed(
        "a tree imported from its root, a package only in the depth",
        {**DEEP, "src/models/mllm/utils.py": "X = 1\n", "src/models/tok.py": "from src.models.mllm.utils import X\n"},
        "import src.models.tok\nimport importlib\nm = importlib.import_module('src.models.mllm.m')\n"
        + SHOW.format("m"),
    ),
    placed(
        "such a tree, imported from a script",
        {**DEEP, "main.py": "from src.models.mllm.m import attend\n"},
        "import main\n" + SHOW.format("main"),
    ),
    placed(
        "such a tree, imported relatively inside",
        {
            **DEEP,
            "src/models/mllm/n.py": "from .m import attend\n",
            "main.py": "import src.models.mllm.n as n\n\nattend = n.attend\n",
        },
        "import main\n" + SHOW.format("main"),
    ),
    placed(
        "two packages in a tree without packages",
        {
            "src/a/__init__.py": "",
            "src/a/m.py": NAME,
            "src/b/__init__.py": "",
            "src/b/m.py": NAME,
            "main.py": "import src.a.m, src.b.m\n",
        },
        "import main, src.a.m, src.b.m\n" + SHOW.format("src.a.m") + "\n" + SHOW.format("src.b.m"),
        f"{SHAPE}\n{SHAPE}",
    ),
    placed(
        "a layout with src",
        {"src/pk/__init__.py": "", "src/pk/m.py": NAME, "tests/test_m.py": "from pk.m import attend\n"},
        "import sys\nsys.path.insert(0, 'src')\nimport pk.m\n" + SHOW.format("pk.m"),
    ),
    placed(
        "two scripts in two folders",
        {"a/train.py": NAME, "b/eval.py": NAME},
        "import runpy, sys\nfor name in ('a/train.py', 'b/eval.py'):\n    sys.path.insert(0, name[0])\n"
        "    print(tuple(runpy.run_path(name)['attend'](q, k, v).shape))\n    del sys.path[0]\n"
        "    sys.modules.pop('_attention_compat', None)",
        f"{SHAPE}\n{SHAPE}",
    ),
    placed(
        "one copy for two packages of a package",
        {"pk/__init__.py": "", "pk/a/__init__.py": "", "pk/b/__init__.py": "", "pk/a/m.py": NAME, "pk/b/m.py": NAME},
        "import pk.a.m, pk.b.m\n" + SHOW.format("pk.a.m") + "\n" + SHOW.format("pk.b.m"),
        f"{SHAPE}\n{SHAPE}",
        gone=(f"pk/a/{COPY}", f"pk/b/{COPY}"),
    ),
    placed(
        "one copy for a package and a script beside it",
        {
            "pk/__init__.py": "",
            "pk/m.py": NAME,
            "main.py": NAME.replace("attend", "other") + "\n\nfrom pk.m import attend\n",
        },
        "import main\n" + SHOW.format("main") + "\nprint(tuple(main.other(q, k, v).shape))",
        f"{SHAPE}\n{SHAPE}",
        gone=(COPY,),
    ),
    *(
        used(f"still used: {line}", folder, line, prefix)
        for folder, line, prefix in (
            ("", "from _attention_compat import memory_efficient_attention", ""),
            ("", "import _attention_compat as c", "c."),
            ("", "import _attention_compat", "_attention_compat."),
            ("", "from _attention_compat import *", ""),
            ("pk/", "from . import _attention_compat", "_attention_compat."),
            ("pk/", "from . import _attention_compat as c", "c."),
            ("pk/", "from ._attention_compat import *", ""),
            ("pk/", "from pk import _attention_compat", "_attention_compat."),
            ("pk/", "import pk._attention_compat as c", "c."),
            ("pk/", "import importlib\n\nc = importlib.import_module('pk._attention_compat')", "c."),
        )
    ),
    Case(
        name="a helper that a person has edited, without the name",
        files={COPY: "def other():\n    return 1\n", "net.py": NAME, "use.py": "from _attention_compat import other\n"},
        run="import net, use\nprint(use.other())\n" + SHOW.format("net"),
        absent=f"1\n{SHAPE}",
        present=f"1\n{SHAPE}",
        may_stay="net.py",
        same=(COPY,),
    ),
    Case(
        name="a helper of an earlier run lacks what is new",
        files={"net.py": NAME},
        later={"more.py": MASKED},
        run="import net, more\n" + SHOW.format("net") + "\n" + SHOW.format("more"),
        absent=f"{SHAPE}\n{SHAPE}",
        free=True,
    ),
    Case(
        name="the same import three times in a file",
        files={"net.py": THREE},
        run="import net\n" + SHOW.format("net"),
        present=SHAPE,
        absent=SHAPE,
        free=True,
        lacks=(("net.py", r"(?s)_attention_compat import.*_attention_compat import"),),
    ),
    Case(
        name="an own function takes over",
        files={"net.py": OWN_ARM},
        run="import net\n" + SHOW.format("net"),
        present=SHAPE,
        absent=SHAPE,
        gone=(COPY,),
        free=True,
    ),
    Case(
        name="an own function of another file takes over",
        files={"net.py": OWN_ARM_BESIDE, "own.py": OWN_FILE},
        run="import net\n" + SHOW.format("net"),
        present=SHAPE,
        absent=SHAPE,
        gone=(COPY,),
        free=True,
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_helper_copies(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
