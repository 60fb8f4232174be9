"""What decides whether ANOTHER library uses xformers is not the project's to answer.

The library imports xformers itself. Told to use it where it is missing, it fails, or worse, is told so by nobody. So
such a question, guard or probe gives the same answers after the rewrite as before, with xformers and without it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import NET, SHAPE, Case, check, table

LIBRARIES = {
    "painter/__init__.py": "from painter.unet import UNet\n",
    "painter/checks.py": "def is_xformers_available():\n    return None\n\n\nfast = None\n",
    "painter/unet.py": """\
class Attention:
    _use_memory_efficient_attention_xformers = False


class UNet:
    def __init__(self, attention="eager"):
        self.state = attention

    def enable_xformers_memory_efficient_attention(self):
        import xformers  # noqa: F401

        self.state = "xformers"

    def set_use_memory_efficient_attention_xformers(self, on):
        self.state = "xformers" if on else "eager"
""",
}
WITH, WITHOUT = "xformers", "eager"
SPEC = (
    "import importlib.util\n\n\ndef is_xformers_available():\n"
    "    return importlib.util.find_spec('xformers') is not None\n"
)
FLAG = "try:\n    import xformers\n\n    HAS = True\nexcept ImportError:\n    HAS = False\n"
OWN = """
def attend(q, k, v):
    import xformers.ops as xops

    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v)
"""


def switch(name: str, body: str, *, head: str = "", files: dict[str, str] | None = None, keep: bool = True) -> Case:
    """`make()` gives a UNet of another library; which state it is in must stay what it was."""
    text = (
        f"{head}{'' if not head else chr(10)}from painter import UNet\n\n\ndef make():\n"
        f"    unet = UNet()\n{body}    return unet\n"
    )
    return Case(
        name=name,
        files={"net.py": NET, "make.py": text, **(files or {})},
        libraries=LIBRARIES,
        run="import make\nprint(make.make().state)",
        present=WITH,
        before=WITHOUT,
        absent=WITHOUT,
        same=("make.py",) if keep else (),
    )


CASES = [
    switch(
        "a flag of its object in the try",
        "    try:\n        import xformers  # noqa: F401\n\n        unet.state = 'xformers'\n"
        "    except ImportError:\n"
        "        print('', end='')\n",
    ),
    switch(
        "its method in the try",
        "    try:\n        import xformers.ops  # noqa: F401\n\n"
        "        unet.enable_xformers_memory_efficient_attention()\n"
        "    except ImportError:\n        pass\n",
    ),
    switch(
        "its method in the else",
        "    try:\n        import xformers  # noqa: F401\n    except ImportError:\n"
        "        print('', end='')\n    else:\n"
        "        unet.set_use_memory_efficient_attention_xformers(True)\n",
    ),
    switch(
        "find_spec in the condition",
        "    if importlib.util.find_spec('xformers') is not None:\n"
        "        unet.enable_xformers_memory_efficient_attention()\n",
        head="import importlib.util\n",
    ),
    switch(
        "find_spec as the argument",
        "    unet.set_use_memory_efficient_attention_xformers(find_spec('xformers') is not None)\n",
        head="from importlib.util import find_spec\n",
    ),
    switch(
        "the release in the condition",
        "    try:\n        recent = version('xformers') >= '0.0.17'\n"
        "    except PackageNotFoundError:\n        recent = False\n"
        "    if recent:\n        unet.enable_xformers_memory_efficient_attention()\n",
        head="from importlib.metadata import PackageNotFoundError, version\n",
    ),
    switch("a flag of the file", "    if HAS:\n        unet.enable_xformers_memory_efficient_attention()\n", head=FLAG),
    switch("a flag as the argument", "    unet.set_use_memory_efficient_attention_xformers(HAS)\n", head=FLAG),
    switch(
        "a flag of the file, early return",
        "    if not HAS:\n        return unet\n    unet.enable_xformers_memory_efficient_attention()\n",
        head=FLAG,
    ),
    switch(
        "a flag of another file",
        "    if HAS:\n        unet.state = 'xformers'\n",
        head="from flags import HAS\n",
        files={"flags.py": FLAG},
    ),
    switch(
        "a function of another file",
        "    if is_xformers_available():\n        unet.enable_xformers_memory_efficient_attention()\n",
        head="from checks import is_xformers_available\n",
        files={"checks.py": SPEC},
    ),
    switch(
        "a flag that own calls read as well",
        "    unet.set_use_memory_efficient_attention_xformers(HAS)\n",
        head="from flags import HAS\n",
        files={
            "flags.py": FLAG,
            "own.py": "from flags import HAS\n\nif HAS:\n    import xformers.ops as xops\n\n\n"
            "def attend(q, k, v):\n"
            "    b, n, h, d = q.shape\n    return xops.memory_efficient_attention(q, k, v) if HAS else q\n",
        },
    ),
    switch(
        "an argument of its constructor",
        "    unet = UNet(attention='xformers' if importlib.util.find_spec('xformers') else 'eager')\n",
        head="import importlib.util\n",
    ),
    switch(
        "a dictionary of its options",
        "    options = {'attention': 'eager'}\n    if is_xformers_available():\n"
        "        options['attention'] = 'xformers'\n"
        "    unet = UNet(**options)\n",
        head=SPEC,
    ),
    switch(
        "suppressed",
        "    with contextlib.suppress(ImportError):\n        import xformers  # noqa: F401\n\n"
        "        unet.state = 'xformers'\n",
        head="import contextlib\n",
    ),
    switch(
        "in a file with a call of its own",
        "    try:\n        import xformers  # noqa: F401\n\n"
        "        unet.enable_xformers_memory_efficient_attention()\n"
        "    except ImportError:\n        pass\n",
        head=OWN.lstrip() + "\n",
        keep=False,
    ),
    Case(
        name="the question itself is handed over",
        files={
            "net.py": NET,
            "checks.py": SPEC,
            "setup_painter.py": "import painter.checks\n\nfrom checks import is_xformers_available\n\n"
            "painter.checks.is_xformers_available = is_xformers_available\n",
        },
        libraries=LIBRARIES,
        run="import setup_painter, painter.checks\nprint(painter.checks.is_xformers_available())",
        present="True",
        before="False",
        absent="False",
        same=("checks.py", "setup_painter.py"),
    ),
    Case(
        name="its flag is assigned",
        files={
            "net.py": NET,
            "setup_painter.py": "import painter.checks\n\ntry:\n    import xformers  # noqa: F401\n\n"
            "    painter.checks.fast = True\nexcept ImportError:\n    painter.checks.fast = False\n",
        },
        libraries=LIBRARIES,
        run="import setup_painter, painter.checks\nprint(painter.checks.fast)",
        present="True",
        before="False",
        absent="False",
        same=("setup_painter.py",),
    ),
    Case(
        name="a probe decides a flag of its class",
        files={
            "block.py": "import torch\nimport xformers.ops\nfrom painter.unet import Attention\n\n\nclass Block:\n"
            "    def __init__(self):\n        self.inner = Attention()\n\n    def switch(self, on):\n"
            "        if on:\n"
            "            try:\n                xformers.ops.memory_efficient_attention(\n"
            "                    torch.randn(1, 2, 40), torch.randn(1, 2, 40), torch.randn(1, 2, 40)\n"
            "                )\n"
            "            except Exception as error:\n                raise error\n"
            "        self.inner._use_memory_efficient_attention_xformers = on\n"
        },
        libraries=LIBRARIES,
        run="import block\nb = block.Block()\nb.switch(True)\nprint(b.inner._use_memory_efficient_attention_xformers)",
        present="True",
        same=("block.py",),
        said=(r"^block\.py:\d+:\d+: XF219 ",),
    ),
    Case(
        name="a probe, then its method",
        files={
            "block.py": "import torch\nfrom painter import UNet\n"
            "from xformers.ops import memory_efficient_attention\n\n\n"
            "def make():\n    unet = UNet()\n    try:\n        x = torch.randn(1, 2, 40)\n"
            "        memory_efficient_attention(x, x, x)\n"
            "        unet.enable_xformers_memory_efficient_attention()\n"
            "    except Exception:\n        print('', end='')\n    return unet\n"
        },
        libraries=LIBRARIES,
        run="import block\nprint(block.make().state)",
        present=WITH,
        same=("block.py",),
        said=(r"^block\.py:\d+:\d+: XF219 ",),
    ),
    Case(
        name="an own class has such a switch",
        files={
            "make.py": "import importlib.util\n\n\nclass UNet:\n    use_xformers = False\n\n"
            "    def forward(self, q, k, v):\n"
            "        b, n, h, d = q.shape\n        if self.use_xformers:\n            import xformers.ops\n\n"
            "            return xformers.ops.memory_efficient_attention(q, k, v)\n"
            "        return q[:1]\n\n\ndef make():\n"
            "    unet = UNet()\n    if importlib.util.find_spec('xformers') is not None:\n"
            "        unet.use_xformers = True\n"
            "    return unet\n"
        },
        run="import make\nprint(tuple(make.make().forward(q, k, v).shape))",
        present=SHAPE,
        absent=SHAPE,
        free=True,
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_other_libraries_switches(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
