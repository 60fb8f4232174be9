"""What the report says of the whole project is true: what still needs xformers, what can be dropped, what was done.

"Nothing here needs xformers any more" is read by somebody who then uninstalls it, "Lines to drop" by somebody who drops
them, "No call" by somebody who looks no further.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kinds.kinds import FREE, NET, Case, check, table

NONE = "No call of xformers"
PINS = "torch>=2.1\nxformers==0.0.28\n"


def notebook(*lines: str) -> str:
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": list(lines),
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


BOOK = notebook(
    "import torch\n",
    "import xformers.ops as xops\n",
    "q = torch.ones(1, 4, 2, 8)\n",
    "xops.memory_efficient_attention(q, q, q)\n",
)


def pins(name: str, path: str, text: str, dropped: tuple[int, ...], kept: tuple[int, ...]) -> Case:
    """The lines of a file of requirements that are told to be dropped, and some that are not requirements."""
    return Case(
        name=name,
        files={"net.py": NET, path: text},
        said=tuple(rf"{path}:{line}:" for line in dropped),
        unsaid=tuple(rf"Lines (?:dropped|to drop):\n(?:    .*\n)*    {path}:{line}:" for line in kept),
    )


def still(name: str, files: dict[str, str], named: str, status: int = 0) -> Case:
    """Something that needs xformers still: it is named, and nobody says that nothing does."""
    return Case(
        name=name,
        files={"net.py": NET, "requirements.txt": PINS, **files},
        status=status,
        said=(named,),
        unsaid=(FREE,),
    )


def no_call(name: str, text: str) -> Case:
    """A file without a call of its own, which all the same rests on xformers."""
    return Case(name=name, files={"proc.py": text}, said=(r"^proc\.py:\d",), unsaid=(NONE, FREE))


def replaced(name: str, line: str, head: str = "") -> Case:
    """The operator is replaced, and called below: the reason is that, not the rank."""
    text = (
        f"import functools\n\nimport xformers.ops as xops\n\n{head}\ndef main(x):\n    {line}\n"
        "    return xops.memory_efficient_attention(x, x, x)\n"
    )
    return Case(
        name=name, files={"job.py": text}, said=(r"^job\.py:\d+:\d+: XF216 ",), unsaid=("XF201",), same=("job.py",)
    )


def done(name: str, text: str, kind: str, *options: str) -> Case:
    """One call, and what the report must count it as."""
    return Case(
        name=name,
        files={"net.py": text},
        options=options,
        said=(rf"^1 call site: 1 {kind}, 0 left",),
        unsaid=(": XF.* left ",),
    )


ENTRY = """\
[project]
name = "pk"
version = "1"
dependencies = ["torch", "xformers>=0.0.20"]

[project.optional-dependencies]
fast = ["xformers"]
xformers = ["einops"]

[project.entry-points."pk.backends"]
xformers = "net:attend"

[project.entry-points]
"pk.more" = { xformers = "net:attend" }

[project.scripts]
xformers = "net:main"
xformers-bench = "net:main"

[project.urls]
xformers = "https://example.org/xformers"

[tool.pytest.ini_options]
markers = ["xformers: needs a GPU"]

[[tool.mypy.overrides]]
module = ["xformers.*"]
"""
POETRY = """\
[tool.poetry]
name = "pk"

[tool.poetry.dependencies]
xformers = { version = "^0.0.28", optional = true }

[tool.poetry.extras]
fast = ["xformers"]

[tool.poetry.plugins."pk.backends"]
xformers = "net:attend"

[tool.poetry.scripts]
xformers = "net:main"
"""
GROUPS = """\
[project]
name = "pk"
version = "1"

[dependency-groups]
fast = ["xformers>=0.0.20"]

[tool.uv.sources]
xformers = { index = "pytorch" }

[tool.pk.options]
backends = ["xformers", "sdpa"]
xformers = "on"
"""
CFG = """\
[metadata]
name = pk

[options]
install_requires =
    torch
    xformers

[options.entry_points]
pk.backends =
    xformers = net:attend

[tool:pytest]
markers =
    xformers: needs a GPU
"""
REQUIREMENTS = """\
# xformers is only for the GPU
torch
xformers==0.0.28  # fast
xformers-stubs
-e ./xformers_tools
"""
OP = (
    "import xformers.ops as xops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
    "    return xops.memory_efficient_attention(q, k, v, op=None)\n"
)
NAME = (
    "from xformers.ops import memory_efficient_attention\n\n\ndef attend(q, k, v):\n"
    "{}    return memory_efficient_attention(q, k, v{})\n"
)
PARTIAL = """\
def main(x):
    import functools
    import xformers.ops as xops

    xops.memory_efficient_attention = functools.partial(xops.memory_efficient_attention, op=None)
    import painter

    return xops.memory_efficient_attention(x, x, x), painter
"""
CASES = [
    still(
        "a notebook whose shell line runs it", {"train.ipynb": notebook("!python -m xformers.info")}, r"train\.ipynb"
    ),
    still(
        "a notebook in a folder, in a cell that writes a file",
        {"docs/show.ipynb": notebook("%%writefile a.py\n", "from xformers.ops import fmha\n")},
        r"show\.ipynb",
    ),
    still("a file of Python 2 that imports it", {"old.py": "import xformers.ops\nprint 'x'\n"}, r"old\.py", 2),
    still(
        "a file that is left out",
        {"pyproject.toml": '[tool.xf2sdpa]\nexclude = ["extra"]\n', "extra/a.py": NET},
        "1 call site",
    ),
    still(
        "a raise where it is missing",
        {
            "main.py": "import importlib.util\n\n\ndef main():\n    names = ['torch', 'xformers']\n"
            "    gone = [n for n in names if importlib.util.find_spec(n) is None]\n    if gone:\n"
            "        raise RuntimeError(gone)\n"
        },
        r"main\.py:\d",
    ),
    Case(
        name="a notebook alone",
        files={"train.ipynb": BOOK},
        said=(r"train\.ipynb",),
        unsaid=(NONE, FREE),
    ),
    Case(
        name="a notebook that only speaks of it",
        files={"net.py": NET, "requirements.txt": PINS, "show.ipynb": notebook("print('no xformers here')\n")},
        said=(FREE,),
    ),
    pins("entry points of pyproject.toml", "pyproject.toml", ENTRY, (4, 7), (8, 11, 14, 17, 18, 21, 24, 27)),
    pins("plugins of poetry", "pyproject.toml", POETRY, (5, 8), (11, 14)),
    pins("groups and tables of tools", "pyproject.toml", GROUPS, (6,), (12, 13)),
    pins("entry points of setup.cfg", "setup.cfg", CFG, (7,), (11, 15)),
    pins("comments and other names", "requirements.txt", REQUIREMENTS, (3,), (1, 4, 5)),
    pins(
        "an entry point of setup.py",
        "setup.py",
        "from setuptools import setup\n\nsetup(\n    name='pk',\n    install_requires=['torch', 'xformers'],\n"
        "    entry_points={\n        'pk.backends': [\n            'xformers = net:attend',\n"
        "        ],\n    },\n    keywords=['xformers'],\n)\n",
        (5,),
        (8, 11),
    ),
    no_call(
        "a class that calls what it inherits",
        "from painter.attention import CrossAttention\n\n\nclass Mine(CrossAttention):\n"
        "    def forward(self, q, k, v):\n"
        "        if self._use_memory_efficient_attention_xformers:\n"
        "            return self._memory_efficient_attention_xformers(q, k, v)\n"
        "        return self._attention(q, k, v)\n",
    ),
    no_call(
        "a script that switches it on",
        "from painter import UNet\n\n\ndef main():\n    unet = UNet()\n"
        "    unet.enable_xformers_memory_efficient_attention()\n    return unet\n",
    ),
    no_call(
        "a script that switches it on if it can",
        "from painter.utils.import_utils import is_xformers_available\n\n\ndef main(unet):\n"
        "    if is_xformers_available():\n"
        "        unet.enable_xformers_memory_efficient_attention()\n    else:\n"
        "        raise ValueError('xformers is not available')\n",
    ),
    no_call(
        "a script that sets the flag",
        "def main(model):\n    for block in model.modules():\n"
        "        if hasattr(block, 'set_use_memory_efficient_attention_xformers'):\n"
        "            block.set_use_memory_efficient_attention_xformers(True)\n",
    ),
    no_call(
        "a processor of another library",
        "from painter.processors import XFormersAttnProcessor\n\n\ndef main(unet):\n"
        "    unet.set_attn_processor(XFormersAttnProcessor())\n",
    ),
    replaced(
        "replaced by a partial",
        "xops.memory_efficient_attention = functools.partial(xops.memory_efficient_attention, op=None)",
    ),
    Case(
        name="replaced by a partial, in a function",
        files={"job.py": PARTIAL},
        said=(r"^job\.py:5:\d+: XF216 ",),
        unsaid=("XF201",),
        same=("job.py",),
    ),
    replaced("replaced by one's own", "xops.memory_efficient_attention = mine", "def mine(q, k, v):\n    return q\n\n"),
    replaced(
        "replaced by a wrapped one",
        "xops.memory_efficient_attention = functools.wraps(xops.memory_efficient_attention)(lambda *a: a)",
    ),
    replaced("replaced by setattr", "setattr(xops, 'memory_efficient_attention', functools.partial(print))"),
    *(
        Case(
            name=f"a guard that only warns, {name}",
            files={"app.py": f"import sys\n\n{text}\n\ndef main():\n    return 'done'\n"},
            run="import app\nprint(app.main())",
            present="done",
            absent=printed,
            same=("app.py",),
            said=(r"^xformers can be uninstalled: yes", r"^app\.py:\d+:\d+: XF401 note "),
        )
        for name, text, printed in (
            ("by print", "try:\n    import xformers\nexcept ImportError:\n    print('slow')\n", "slow\ndone"),
            ("by nothing", "try:\n    import xformers\nexcept ImportError:\n    pass\n", "done"),
            (
                "under a release of torch",
                "if sys.version_info < (2, 0):\n    try:\n        import xformers\n    except ImportError:\n"
                "        print('slow', file=sys.stderr)\n",
                "done",
            ),
            (
                "with an else",
                "try:\n    import xformers\nexcept ImportError:\n    print('slow')\nelse:\n    print('', end='')\n",
                "slow\ndone",
            ),
        )
    ),
    *(
        Case(
            name=f"a guard that does more than warn: {name}",
            files={"app.py": text},
            said=(r"^xformers can be uninstalled: no",),
        )
        for name, text in (
            ("it stops", "try:\n    import xformers\nexcept ImportError:\n    raise SystemExit('no')\n"),
            ("it sets a flag", "try:\n    import xformers\nexcept ImportError:\n    SLOW = True\n"),
            (
                "it leaves",
                "def f():\n    try:\n        import xformers\n    except ImportError:\n        return\n    print(1)\n",
            ),
            ("it guards more", "try:\n    import xformers\n    import triton\nexcept ImportError:\n    print('no')\n"),
            (
                "it binds a name",
                "try:\n    import xformers\nexcept ImportError:\n    print('no')\nprint('xformers' in globals())\n",
            ),
        )
    ),
    done("op=None with a shape", OP, "(assumed|exact)"),
    done("a name, op=None", NAME.format("", ", op=None"), "compat"),
    done("a name, op=None, with a shape", NAME.format("    b, n, h, d = q.shape\n", ", op=None"), "(assumed|exact)"),
    done(
        "a name, with a shape, all to the helper",
        NAME.format("    b, n, h, d = q.shape\n", ", op=None"),
        "compat",
        "--style",
        "compat",
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_verdicts(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
