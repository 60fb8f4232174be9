"""Forms of the guard that many people write are carried out, whole: nothing is refused, left over or half done.

The call in the `else` of its own import, a handler that keeps the error for later, one that also calls something,
definitions in the arms. Each runs as before without xformers, in the default way, for any device, and by the helper.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import SHAPE, Case, check, table

CALL = "xops.memory_efficient_attention(q, k, v)"
SLOW = "q[:1]"
WAYS = {"": (), ", for any device": ("--device", "any"), ", style compat": ("--style", "compat")}
LATER = """\
try:
    import xformers.ops as xops
except {error} as {name}:
    xops = None
    REASON = {keep}


def attend(q, k, v):
    b, n, h, d = q.shape
    if xops is None:
        raise RuntimeError(REASON)
    return xops.memory_efficient_attention(q, k, v)
"""
FORMS = {
    "the call in the else": "def attend(q, k, v):\n    b, n, h, d = q.shape\n    try:\n"
    f"        import xformers.ops as xops\n    except ImportError:\n        return {SLOW}\n"
    f"    else:\n        return {CALL}\n",
    "the call in the else, assigned": "def attend(q, k, v):\n    b, n, h, d = q.shape\n    try:\n"
    f"        import xformers.ops as xops\n    except ImportError:\n        out = {SLOW}\n"
    f"    else:\n        out = {CALL}\n    return out\n",
    "the call in the else, and a finally": "SEEN = []\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n    try:\n"
    f"        import xformers.ops as xops\n    except ImportError:\n        out = {SLOW}\n"
    f"    else:\n        out = {CALL}\n    finally:\n        SEEN.append(n)\n    return out\n",
    "the call in the try": "def attend(q, k, v):\n    b, n, h, d = q.shape\n    try:\n"
    f"        import xformers.ops as xops\n\n        return {CALL}\n    except ImportError:\n"
    f"        return {SLOW}\n",
    "a function in each arm": "try:\n    import xformers.ops as xops\nexcept ImportError:\n\n    def attend(q, k, v):\n"
    f"        return {SLOW}\n\nelse:\n\n    def attend(q, k, v):\n        b, n, h, d = q.shape\n"
    f"        return {CALL}\n",
    "a function in the try": "try:\n    import xformers.ops as xops\n\n    def attend(q, k, v):\n"
    f"        b, n, h, d = q.shape\n        return {CALL}\n\nexcept ImportError:\n\n"
    f"    def attend(q, k, v):\n        return {SLOW}\n",
    "a class in the try": "try:\n    import xformers.ops as xops\n\n    class Fast:\n"
    "        def forward(self, q, k, v):\n            b, n, h, d = q.shape\n"
    f"            return {CALL}\n\nexcept ImportError:\n    Fast = None\n\n\n"
    f"def attend(q, k, v):\n    return Fast().forward(q, k, v) if Fast is not None else {SLOW}\n",
    "the error kept as text": LATER.format(error="ImportError", name="error", keep="str(error)"),
    "the error kept": LATER.format(error="(ImportError, OSError)", name="e", keep="e").replace(
        "RuntimeError(REASON)", "RuntimeError('no xformers') from REASON"
    ),
    "the error kept, None before": "ERROR = None\ntry:\n    import xformers.ops as xops\nexcept Exception as error:\n"
    "    ERROR = error\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
    f"    if ERROR is not None:\n        raise ERROR\n    return {CALL}\n",
    "the trace kept": "import traceback\n\ntry:\n    import xformers.ops as xops\n\n    TRACE = ''\n"
    "except Exception:\n    TRACE = traceback.format_exc()\n\n\ndef attend(q, k, v):\n"
    f"    b, n, h, d = q.shape\n    if TRACE:\n        print(TRACE)\n        return {SLOW}\n"
    f"    return {CALL}\n",
    "a handler that warns and sets the flag": "import warnings\n\ntry:\n    import xformers.ops as xops\n\n"
    "    FAST = True\n"
    f"except ImportError as error:\n    warnings.warn(f'no xformers: {{error}}')\n"
    "    FAST = False\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
    f"    return {CALL} if FAST else {SLOW}\n",
    "a handler that calls a function of the file": "NOTES = []\n\n\ndef note(text):\n    NOTES.append(text)\n\n\ntry:\n"
    "    import xformers.ops as xops\n\n    FAST = True\nexcept ImportError:\n    note('slow')\n"
    "    FAST = False\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
    f"    return {CALL} if FAST else {SLOW}\n",
    "a handler that calls something and gives None": "import gc\n\ntry:\n    import xformers.ops as xops\n"
    "except ImportError:\n    gc.collect()\n"
    "    xops = None\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
    f"    return {CALL} if xops is not None else {SLOW}\n",
    "a handler that imports the fallback": "try:\n    import xformers.ops as xops\n\n    FAST = True\n"
    "except ImportError:\n"
    "    import math\n\n    SCALE = math.pi\n    FAST = False\n\n\ndef attend(q, k, v):\n"
    f"    b, n, h, d = q.shape\n    return {CALL} if FAST else {SLOW} * SCALE\n",
    "a flag before, a handler that calls": "NOTES = []\nFAST = False\ntry:\n    import xformers.ops as xops\n\n"
    "    FAST = True\n"
    "except ImportError:\n    NOTES.append('slow')\n\n\ndef attend(q, k, v):\n"
    f"    b, n, h, d = q.shape\n    return {CALL} if FAST else {SLOW}\n",
    "the package and its module, a handler that calls": "import gc\n\ntry:\n    import xformers\n"
    "    import xformers.ops as xops\n\n    FAST = True\n"
    "except ImportError:\n    gc.collect()\n    FAST = False\n\n\ndef attend(q, k, v):\n"
    f"    b, n, h, d = q.shape\n    return {CALL} if FAST else {SLOW}\n",
    "the operator or None, a handler that calls": "import gc\n\ntry:\n"
    "    from xformers.ops import memory_efficient_attention as mea\n"
    "except ImportError:\n    gc.collect()\n    mea = None\n\n\ndef attend(q, k, v):\n"
    f"    b, n, h, d = q.shape\n    return mea(q, k, v) if mea is not None else {SLOW}\n",
    "in a function, a handler that calls": "import gc\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n    try:\n"
    "        import xformers.ops as xops\n\n        fast = True\n    except ImportError:\n"
    f"        gc.collect()\n        fast = False\n    return {CALL} if fast else {SLOW}\n",
    "in a constructor, a handler that calls": "import gc\n\n\nclass Attention:\n    def __init__(self):\n        try:\n"
    "            import xformers.ops  # noqa: F401\n\n            self.fast = True\n"
    "        except ImportError:\n            gc.collect()\n            self.fast = False\n\n"
    "    def forward(self, q, k, v):\n        import xformers.ops as xops\n\n"
    f"        b, n, h, d = q.shape\n        return {CALL} if self.fast else {SLOW}\n\n\n"
    "def attend(q, k, v):\n    return Attention().forward(q, k, v)\n",
    "a handler that sets a setting of torch": "import torch\n\ntry:\n    import xformers.ops as xops\n"
    "except ImportError:\n"
    "    torch.set_printoptions(precision=4)\n    xops = None\n\n\ndef attend(q, k, v):\n"
    f"    b, n, h, d = q.shape\n    if xops is not None:\n        return {CALL}\n"
    f"    return {SLOW}\n",
    "two handlers": "try:\n    import xformers.ops as xops\nexcept ModuleNotFoundError:\n    xops = None\n"
    "except Exception as error:\n    print('broken', error)\n    xops = None\n\n\n"
    f"def attend(q, k, v):\n    b, n, h, d = q.shape\n    return {CALL} if xops else {SLOW}\n",
}
SOME = ("the call in the else", "the error kept as text", "a handler that calls a function of the file")


def form(name: str, way: str) -> Case:
    return Case(
        name=name + way,
        files={"net.py": FORMS[name]},
        options=WAYS[way],
        run="import net\nprint(tuple(net.attend(q, k, v).shape))",
        present=SHAPE,
        absent=SHAPE,
        free=True,
        lacks=(("net.py", r"\bif (False|True)\b|\bif not True\b"),),
        unsaid=("XF905", ": XF... left "),
    )


CASES = [form(name, "") for name in FORMS] + [form(name, way) for way in WAYS if way for name in SOME]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_common_forms(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
