"""What the rewrite makes idle goes with it: the whole new text is what a careful person would have written.

No `if True:`, no `and True`, no arm that nobody reaches beside one that does the same, no flag that nobody reads, no
empty try, no attribute that only fed `op=`, no message about a package that is not needed, no `.contiguous()` where the
user of the result does not look at strides, no import in the middle of a file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import FREE, NET, Case, check, table

OLD = "xops.memory_efficient_attention(q, k, v)"
SDPA = "F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)"
SLOW = "eager(q, k, v)"
WIDE = ("--line-length", "240")
EAGER = "from eager import eager\n"
SPEC = "importlib.util.find_spec('xformers')"


def tidy(name: str, old: str, new: str, **more: str) -> Case:
    """A file, and what it must become; `CALL` stands for the call in both."""
    return Case(
        name=name,
        files={
            "net.py": old.replace("CALL", OLD),
            "eager.py": "def eager(q, k, v):\n    return q\n",
            **{f"{n}.py": t for n, t in more.items()},
        },
        options=WIDE,
        becomes={"net.py": new.replace("CALL", SDPA)},
    )


HEAD = "def attend(q, k, v, fast=True):\n    b, n, h, d = q.shape\n"
FLAT = ".reshape(b, n, h * d)"


def arms(name: str, old: str, new: str, head: str = "import importlib.util\n") -> Case:
    """The body of a function below its first line, before and after."""
    return tidy(
        name,
        f"{head and head + chr(10)}import torch\nimport torch.nn.functional as F\n\n{EAGER}\n\n{HEAD}{old}",
        f"import torch\nimport torch.nn.functional as F\n\n{EAGER}\n\n{HEAD}{new}",
    )


LOG = "def log(x):\n    print(os.name, x)\n"
HELPER = "from _attention_compat import memory_efficient_attention\n"
HELPED = "def attend(q, k, v):\n    return xops.memory_efficient_attention(q, k, v)\n"
HELPED_NEW = HELPED.replace("xops.", "")
USE = "        import xformers.ops as xops\n\n"
CASES = [
    arms(
        "an arm that is always taken, the other does the same",
        f"    if {SPEC} is not None:\n{USE}        out = CALL{FLAT}\n    else:\n"
        f"        out = {SDPA}{FLAT}\n    return out\n",
        f"    out = CALL{FLAT}\n    return out\n",
    ),
    arms(
        "an arm that is always taken, and returns",
        f"    if {SPEC} is not None:\n{USE}        return CALL{FLAT}\n    return {SDPA}{FLAT}\n",
        f"    return CALL{FLAT}\n",
    ),
    arms(
        "an arm that is never taken",
        f"    if {SPEC} is None:\n        raise ImportError('pip install xformers')\n"
        f"    import xformers.ops as xops\n\n    return CALL{FLAT}\n",
        f"    return CALL{FLAT}\n",
    ),
    arms(
        "and with the answer",
        f"    if fast is True and {SPEC} is not None:\n{USE}        return CALL{FLAT}\n    return {SLOW}\n",
        f"    if fast is True:\n        return CALL{FLAT}\n    return {SLOW}\n",
    ),
    arms(
        "the answer and with something",
        f"    if {SPEC} is not None and fast:\n{USE}        return CALL{FLAT}\n    return {SLOW}\n",
        f"    if fast:\n        return CALL{FLAT}\n    return {SLOW}\n",
    ),
    arms(
        "or with the negation",
        f"    if not fast or {SPEC} is None:\n        return {SLOW}\n"
        f"    import xformers.ops as xops\n\n    return CALL{FLAT}\n",
        f"    if not fast:\n        return {SLOW}\n    return CALL{FLAT}\n",
    ),
    arms(
        "a conditional expression",
        f"    import xformers.ops as xops\n\n    return CALL{FLAT} if {SPEC} else {SDPA}{FLAT}\n",
        f"    return CALL{FLAT}\n",
    ),
    arms(
        "an elif that is always taken",
        f"    if not fast:\n        out = {SLOW}\n    elif {SPEC}:\n{USE}        out = CALL{FLAT}\n"
        f"    else:\n        out = {SDPA}{FLAT}\n    return out\n",
        f"    if not fast:\n        out = {SLOW}\n    else:\n        out = CALL{FLAT}\n    return out\n",
    ),
    arms(
        "an arm that only imported",
        "    if fast:\n        import xformers.ops as xops\n    else:\n        print('slow')\n"
        f"    return CALL{FLAT} if fast else {SLOW}\n",
        f"    if not fast:\n        print('slow')\n    return CALL{FLAT} if fast else {SLOW}\n",
        head="",
    ),
    arms(
        "an if that only imported",
        f"    if fast:\n        import xformers.ops as xops\n    return CALL{FLAT} if fast else {SLOW}\n",
        f"    return CALL{FLAT} if fast else {SLOW}\n",
        head="",
    ),
    arms(
        "a try around the import alone",
        "    try:\n        import xformers.ops as xops\n    except ImportError:\n"
        f"        print('no xformers')\n        raise\n    return CALL{FLAT}\n",
        f"    return CALL{FLAT}\n",
        head="",
    ),
    tidy(
        "a private flag that nobody reads",
        "import torch\nimport torch.nn.functional as F\n\ntry:\n    import xformers.ops as xops\n\n"
        f"    _FAST = True\nexcept ImportError:\n    _FAST = False\n\n\n{HEAD}    return CALL{FLAT}\n",
        f"import torch\nimport torch.nn.functional as F\n\n\n{HEAD}    return CALL{FLAT}\n",
    ),
    tidy(
        "a flag that only an assertion reads",
        "import torch\nimport torch.nn.functional as F\n\ntry:\n    import xformers.ops as xops\n\n"
        f"    _FAST = True\nexcept ImportError:\n    _FAST = False\n\n\n{HEAD}"
        f"    assert _FAST, 'please install xformers'\n    return CALL{FLAT}\n",
        f"import torch\nimport torch.nn.functional as F\n\n\n{HEAD}    return CALL{FLAT}\n",
    ),
    tidy(
        "a flag with a second condition",
        f"import importlib.util\n\nimport torch\nimport torch.nn.functional as F\n\n{EAGER}\n"
        f"FAST = {SPEC} is not None and torch.cuda.is_available()\nif FAST:\n"
        "    import xformers.ops as xops\n\n\n"
        f"{HEAD}    return CALL{FLAT} if FAST else {SLOW}\n",
        f"import torch\nimport torch.nn.functional as F\n\n{EAGER}\n"
        f"FAST = torch.cuda.is_available()\n\n\n{HEAD}    return CALL{FLAT} if FAST else {SLOW}\n",
    ),
    tidy(
        "a comment above the guard",
        "import torch\nimport torch.nn.functional as F\n\n"
        "# xformers is optional: pip install xformers\ntry:\n    import xformers.ops as xops\n"
        f"except ImportError:\n    pass\n\n\n{HEAD}    return CALL{FLAT}\n",
        f"import torch\nimport torch.nn.functional as F\n\n\n{HEAD}    return CALL{FLAT}\n",
    ),
    tidy(
        "an attribute that only fed op=",
        "import torch.nn as nn\nimport torch.nn.functional as F\nimport xformers.ops as xops\n\n\n"
        "class Attention(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.heads = 4\n        self.attention_op = None\n\n"
        "    def forward(self, q, k, v):\n        b, n, h, d = q.shape\n"
        f"        return {OLD[:-1]}, op=self.attention_op){FLAT}\n",
        "import torch.nn as nn\nimport torch.nn.functional as F\n\n\nclass Attention(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.heads = 4\n\n    def forward(self, q, k, v):\n        b, n, h, d = q.shape\n"
        f"        return CALL{FLAT}\n",
    ),
    tidy(
        "an import in a suppress",
        "import contextlib\n\nimport torch.nn.functional as F\n\n"
        "with contextlib.suppress(ImportError):\n    import xformers.ops as xops\n\n\n"
        f"{HEAD}    return CALL{FLAT}\n",
        f"import torch.nn.functional as F\n\n\n{HEAD}    return CALL{FLAT}\n",
    ),
    tidy(
        "a file that begins with the function",
        f"{HEAD}    import xformers.ops as xops\n\n    return CALL{FLAT}\n",
        f"import torch.nn.functional as F\n\n\n{HEAD}    return CALL{FLAT}\n",
    ),
    tidy(
        "the helper's import, after a guard in the middle",
        f"import os\n\nimport torch\n\n\n{LOG}\n\ntry:\n    import xformers.ops as xops\n"
        f"except ImportError:\n    log('missing')\n\n\n{HELPED}",
        f"import os\n\nimport torch\n{HELPER}\n\n{LOG}\n\n{HELPED_NEW}",
    ),
    tidy(
        "the helper's import, after a question in the middle",
        f"import importlib.util\nimport os\n\nimport torch\n\n\n{LOG}\n\nif {SPEC}:\n"
        f"    import xformers.ops as xops\n\n\n{HELPED}",
        f"import os\n\nimport torch\n{HELPER}\n\n{LOG}\n\n{HELPED_NEW}",
    ),
    tidy(
        "a guard in the middle around the helper's import",
        f"import os\n\nimport torch\n\n\n{LOG}\n\ntry:\n    import xformers.ops as xops\n\n"
        "    _FAST = True\nexcept ImportError:\n    _FAST = False\n    log('missing')\n\n\n"
        + HELPED.replace("    return", "    if not _FAST:\n        raise ImportError('no xformers')\n    return"),
        f"import os\n\nimport torch\n{HELPER}\n\n{LOG}\n\n{HELPED_NEW}",
    ),
    tidy(
        "None that is asked for",
        "import torch\nimport torch.nn.functional as F\n\ntry:\n    import xformers.ops as xops\n"
        f"except Exception as error:\n    print(error)\n    xops = None\n\n\n{HEAD}"
        f"    if xops is None:\n        raise RuntimeError('xformers is needed')\n    return CALL{FLAT}\n",
        f"import torch\nimport torch.nn.functional as F\n\n\n{HEAD}    return CALL{FLAT}\n",
    ),
    *(
        tidy(
            f"a 3-D result that is {how}",
            "import torch\nimport torch.nn.functional as F\nimport xformers.ops as xops\n\n\n"
            f"def attend(q, k, v, x):\n    b, n, d = q.shape\n    y = {OLD}\n    return {use}\n",
            "import torch\nimport torch.nn.functional as F\n\n\ndef attend(q, k, v, x):\n    b, n, d = q.shape\n"
            "    y = F.scaled_dot_product_attention(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)).squeeze(1)\n"
            f"    return {use}\n",
        )
        for how, use in (
            ("added", "x + y"),
            ("concatenated", "torch.cat([x, y], dim=1)"),
            ("reshaped", "y.reshape(b, n * d)"),
            ("multiplied in place of another", "x * y.sigmoid()"),
        )
    ),
    Case(
        name="something raises where xformers is missing",
        files={
            "net.py": NET,
            "requirements.txt": "xformers\n",
            "main.py": "import importlib\n\nNEEDED = ('torch', 'xformers')\n\n\ndef main():\n"
            "    for name in NEEDED:\n        importlib.import_module(name)\n",
        },
        said=(r"^main\.py:\d+:\d+: XF4",),
        unsaid=(FREE,),
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_debris(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
