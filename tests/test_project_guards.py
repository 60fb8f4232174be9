"""Whole projects, executed: on the stand-in for xformers before the rewrite, without xformers after it.

One question is asked of every form of guard: does the path that ran on xformers still run? A program in which the fast
path turns off without a word is the worst that the tool can do.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.guards import BARE, FULL, OFF, USE, Guard, cases, check, one_file

IN_ONE_FILE = [
    one_file(
        "try and except set the flag",
        """\
try:
    import xformers.ops as xops

    FAST = True
except ImportError:
    FAST = False
""",
    ),
    one_file(
        "a flag of any name",
        """\
try:
    from xformers.ops import memory_efficient_attention
    _can_go_quick = True
except ImportError:
    _can_go_quick = False
""",
        condition="_can_go_quick",
        call=BARE,
    ),
    one_file(
        "the flag is False before the try",
        """\
FAST = False
try:
    import xformers
    import xformers.ops

    FAST = True
except ImportError:
    pass
""",
        call=FULL,
    ),
    one_file(
        "the flag is True before the try",
        """\
FAST = True
try:
    import xformers.ops as xops
except ImportError:
    FAST = False
""",
    ),
    one_file(
        "the flag is set in the else",
        """\
try:
    import xformers.ops as xops
except ImportError as error:
    FAST = False
    print("no xformers:", error)
else:
    FAST = True
""",
    ),
    one_file(
        "bare except",
        """\
try:
    import xformers
    import xformers.ops
    FAST = True
except:
    FAST = False
""",
        call=FULL,
    ),
    one_file(
        "except Exception with a warning",
        """\
import warnings

try:
    from xformers import ops as xops
    FAST = True
    print("fast attention is there")
except Exception as error:
    warnings.warn(f"no fast attention: {error}")
    FAST = False
""",
    ),
    one_file(
        "two exceptions in two handlers",
        """\
try:
    import xformers.ops as xops
    FAST = True
except ModuleNotFoundError:
    FAST = False
except (ImportError, OSError):
    FAST = False
    print("xformers is broken")
""",
    ),
    one_file(
        "the flag counts the other way",
        """\
try:
    import xformers.ops as xops
    SLOW = False
except ImportError:
    SLOW = True
""",
        condition="not SLOW",
    ),
    one_file(
        "the flag names a backend",
        """\
try:
    import xformers.ops as xops
    BACKEND = "xformers"
except ImportError:
    BACKEND = "eager"
""",
        condition='BACKEND == "xformers"',
    ),
    one_file(
        "the flag is annotated",
        """\
FAST: bool
try:
    import xformers.ops as xops
    FAST: bool = True
except ImportError:
    FAST: bool = False
""",
    ),
    one_file(
        "two flags",
        """\
try:
    import xformers.ops as xops
    HAS_XFORMERS = True
    FAST = HAS_XFORMERS
except ImportError:
    HAS_XFORMERS = FAST = False
""",
    ),
    one_file(
        "None in the place of the module",
        """\
try:
    import xformers.ops as xops
except ImportError:
    xops = None
""",
        condition="xops is not None",
    ),
    one_file(
        "None in the place of the function",
        """\
try:
    from xformers.ops import memory_efficient_attention
except ImportError:
    memory_efficient_attention = None
""",
        condition="memory_efficient_attention is not None",
        call=BARE,
    ),
    one_file(
        "the truth of the function",
        """\
try:
    from xformers.ops import memory_efficient_attention as mea
except ImportError:
    mea = None
""",
        condition="mea",
        call="mea",
    ),
    one_file(
        "the truth of the package",
        """\
try:
    import xformers
    import xformers.ops
except ImportError:
    xformers = None
""",
        condition="xformers",
        call=FULL,
    ),
    one_file(
        "a flag from the fallback",
        """\
try:
    import xformers.ops as xops
except ImportError:
    xops = None
FAST = xops is not None
""",
    ),
    one_file(
        "the names in globals",
        """\
try:
    import xformers.ops as xops
except ImportError:
    print("no xformers")
""",
        condition='"xops" in globals()',
    ),
    one_file(
        "the package under another name",
        """\
try:
    import xformers as xf
    import xformers.ops
    FAST = True
except ImportError:
    FAST = False
""",
        call="xf.ops.memory_efficient_attention",
    ),
    one_file(
        "find_spec in a flag",
        """\
import importlib.util

FAST = importlib.util.find_spec("xformers") is not None
if FAST:
    import xformers.ops as xops
""",
    ),
    one_file(
        "find_spec by its own name",
        """\
from importlib.util import find_spec

FAST = bool(find_spec("xformers"))
if FAST:
    import xformers.ops as xops
""",
    ),
    one_file(
        "find_spec as a condition",
        """\
import importlib.util

if importlib.util.find_spec("xformers"):
    import xformers.ops as xops

    FAST = True
else:
    FAST = False
""",
    ),
    one_file(
        "find_spec of a submodule, the other way round",
        """\
from importlib import util

if util.find_spec("xformers.ops") is None:
    FAST = False
else:
    from xformers.ops import memory_efficient_attention
    FAST = True
""",
        call=BARE,
    ),
    one_file(
        "find_spec and the version",
        """\
import importlib.metadata
import importlib.util

FAST = importlib.util.find_spec("xformers") is not None
try:
    VERSION = importlib.metadata.version("xformers")
except importlib.metadata.PackageNotFoundError:
    FAST = False
if FAST:
    import xformers.ops as xops
""",
    ),
    one_file(
        "the version in a try",
        """\
import importlib.metadata as importlib_metadata

try:
    _xformers_version = importlib_metadata.version("xformers")
    FAST = True
except importlib_metadata.PackageNotFoundError:
    FAST = False

if FAST:
    import xformers.ops as xops
""",
    ),
    one_file(
        "the version inside the guard",
        """\
import importlib.metadata

try:
    import xformers.ops as xops
    importlib.metadata.version("xformers")
    FAST = True
except (ImportError, importlib.metadata.PackageNotFoundError):
    FAST = False
""",
    ),
    one_file(
        "the version is compared",
        """\
from importlib.metadata import PackageNotFoundError, version

try:
    FAST = tuple(int(part) for part in version("xformers").split(".")[:2]) >= (0, 0)
except PackageNotFoundError:
    FAST = False
if FAST:
    from xformers.ops import memory_efficient_attention
""",
        call=BARE,
    ),
    one_file(
        "the version of the module",
        """\
try:
    import xformers
    import xformers.ops

    FAST = not xformers.__version__.startswith("0.0.1.")
except ImportError:
    FAST = False
""",
        call=FULL,
    ),
    one_file(
        "a broken version gives a warning",
        """\
FAST = True
try:
    import xformers
    import xformers.ops
    VERSION = xformers.__version__
    if VERSION.startswith("0.0.18"):
        print("this version of xformers has a bug with large tensors")
except ImportError:
    FAST = False
""",
        call=FULL,
    ),
    one_file(
        "the modules that are loaded",
        """\
import sys

try:
    import xformers.ops as xops
except ImportError:
    pass
FAST = "xformers" in sys.modules
""",
    ),
    one_file(
        "with another library's import",
        """\
try:
    import json

    import xformers.ops as xops
    FAST = True
except ImportError:
    FAST = False
LIBRARY = json
""",
    ),
    one_file(
        "with another library that is missing",
        """\
try:
    import no_such_library
    import xformers.ops as xops
    FAST = True
except ImportError:
    FAST = False
""",
        path="eager",
    ),
    one_file(
        "after another library that is missing, in the same guard",
        """\
try:
    import xformers.ops as xops
    import no_such_library
    FAST = True
except ImportError:
    FAST = False
""",
        path="eager",
    ),
    one_file(
        "with the setting of something else",
        """\
LEVEL = 0
try:
    import xformers.ops as xops
    FAST = True
    LEVEL = 3
except ImportError:
    FAST = False
""",
        condition="FAST and LEVEL == 3",
    ),
    one_file(
        "a guard in a guard",
        """\
try:
    import xformers.ops as xops
    FAST = True
except ImportError:
    try:
        import mslk.attention.fmha as xops
        FAST = True
    except ImportError:
        FAST = False
""",
    ),
    one_file(
        "contextlib.suppress",
        """\
import contextlib

FAST = False
with contextlib.suppress(ImportError):
    import xformers.ops as xops
    FAST = True
""",
    ),
    one_file(
        "a function that tries",
        """\
def has_xformers():
    try:
        import xformers
        return True
    except ImportError:
        return False


if has_xformers():
    import xformers.ops as xops
""",
        condition="has_xformers()",
    ),
    one_file(
        "a function that asks find_spec",
        """\
import importlib.util


def is_xformers_available():
    return importlib.util.find_spec("xformers") is not None


if is_xformers_available():
    import xformers
    import xformers.ops
else:
    xformers = None
""",
        condition="xformers is not None",
        call=FULL,
    ),
    one_file(
        "a probe of a kernel",
        """\
import torch

try:
    import xformers.ops as xops
    probe = torch.randn(1, 2, 3, 8)
    xops.memory_efficient_attention(probe, probe, probe)
    FAST = True
except Exception:
    FAST = False
""",
    ),
    one_file(
        "a fallback function",
        """\
try:
    from xformers.ops import memory_efficient_attention
    FAST = True
except ImportError:
    FAST = False

    def memory_efficient_attention(q, k, v, attn_bias=None):
        return eager(q, k, v)
""",
        call=BARE,
    ),
    one_file(
        "a fallback from another file",
        """\
FAST = True
try:
    from xformers.ops import memory_efficient_attention
except ImportError:
    from eager import eager as memory_efficient_attention
""",
        call=BARE,
    ),
    one_file(
        "a try around more",
        """\
try:
    import xformers.ops as xops
    FAST = True
    BLOCK = 2 ** 4
    def describe():
        return "xformers"
except ImportError:
    FAST = False
""",
    ),
]

IN_ONE_FILE += [
    one_file(
        "the flag is the module's truth",
        """\
try:
    import xformers.ops as xops
except Exception:
    xops = None
FAST = bool(xops)
""",
    ),
    one_file(
        "a conditional expression",
        """\
try:
    import xformers.ops as xops
    HAS = True
except ImportError:
    HAS = False
BACKEND = "xformers" if HAS else "eager"
""",
        condition='BACKEND == "xformers"',
    ),
    one_file(
        "a set of backends",
        """\
BACKENDS = {"eager"}
try:
    import xformers.ops as xops
    BACKENDS.add("xformers")
except ImportError:
    pass
""",
        condition='"xformers" in BACKENDS',
    ),
    one_file(
        "a dict of flags",
        """\
HAVE = {}
try:
    import xformers.ops as xops
    HAVE["xformers"] = True
except ImportError:
    HAVE["xformers"] = False
""",
        condition='HAVE["xformers"]',
    ),
    one_file(
        "two guards in one file",
        """\
try:
    import xformers
    HAS_XFORMERS = True
except ImportError:
    HAS_XFORMERS = False
try:
    from xformers.ops import memory_efficient_attention
    FAST = HAS_XFORMERS
except ImportError:
    FAST = False
    memory_efficient_attention = None
""",
        call=BARE,
    ),
    one_file(
        "another guard of another library behind it",
        """\
try:
    import xformers.ops as xops
    FAST = True
except ImportError:
    FAST = False
try:
    import no_such_library
    FASTER = True
except ImportError:
    FASTER = False
""",
        condition="FAST and not FASTER",
    ),
    one_file(
        "one try for two libraries, each with its flag",
        """\
FAST = OTHER = False
try:
    import xformers.ops as xops
    FAST = True
    import no_such_library
    OTHER = True
except ImportError:
    pass
""",
        condition="FAST and not OTHER",
    ),
    one_file(
        "an assertion on the version",
        """\
try:
    import xformers
    import xformers.ops
    assert xformers.__version__ != "0.0.1", "too old"
    FAST = True
except (ImportError, AssertionError):
    FAST = False
""",
        call=FULL,
    ),
    one_file(
        "the graphics card is asked too",
        """\
import torch

try:
    import xformers.ops as xops
    FAST = not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] >= 7
except ImportError:
    FAST = False
""",
    ),
    one_file(
        "a finally",
        """\
TRIED = False
try:
    import xformers.ops as xops
    FAST = True
except ImportError:
    FAST = False
finally:
    TRIED = True
""",
        condition="FAST and TRIED",
    ),
    one_file(
        "the error is kept",
        """\
error_of_import = None
try:
    import xformers.ops as xops
except ImportError as error:
    error_of_import = error
""",
        condition="error_of_import is None",
    ),
    one_file(
        "a guard that raises",
        """\
try:
    import xformers.ops as xops
except ImportError:
    raise ImportError("pip install xformers") from None
""",
        condition="True",
    ),
    one_file(
        "an import without a guard",
        """\
import xformers
import xformers.ops
""",
        condition="True",
        call=FULL,
    ),
]

IN_ONE_FILE += [
    one_file(
        "another release had a defect",
        """\
try:
    import xformers
    import xformers.ops
    FAST = True
except Exception:
    FAST = False
BROKEN = False
try:
    release = xformers.__version__
    BROKEN = release.startswith("0.0.2") and not release.startswith("0.0.20")
except Exception:
    pass
""",
        condition="FAST and not BROKEN",
        call=FULL,
    ),
    one_file(
        "the parsed release is compared",
        """\
from importlib.metadata import version

try:
    import xformers.ops as xops
except ImportError:
    xops = None
FAST = xops is not None and not version("xformers").startswith("0.0.1")
""",
    ),
    one_file(
        "an option has a say beside the guard",
        """\
import os

USE_XFORMERS = os.environ.get("NO_XFORMERS") is None
if USE_XFORMERS:
    import xformers.ops as xops

    FAST = True
else:
    FAST = False
""",
        switch=("NO_XFORMERS", "1"),
    ),
]

IN_FUNCTIONS = [
    Guard(
        "a parameter that is called like the package",
        {
            "main.py": """\
from eager import eager


def choose(xformers):
    if xformers:
        try:
            import xformers.ops
        except ImportError:
            raise ImportError("xformers is not installed")
        return True
    return False


def run(q, k, v, bias=None):
    import xformers.ops as xops

    b, n, h, d = q.shape
    if choose(True):
        return "fast", CALL[xops.memory_efficient_attention]
    return "eager", eager(q, k, v)
"""
        },
    ),
    Guard(
        "a guard in the function",
        {
            "main.py": """\
from eager import eager


def run(q, k, v, bias=None):
    b, n, h, d = q.shape
    try:
        import xformers.ops as xops
    except ImportError:
        return "eager", eager(q, k, v)
    return "fast", CALL[xops.memory_efficient_attention]
"""
        },
    ),
    Guard(
        "the call in the guard",
        {
            "main.py": """\
from eager import eager


def run(q, k, v, bias=None):
    b, n, h, d = q.shape
    try:
        from xformers.ops import memory_efficient_attention

        return "fast", CALL[memory_efficient_attention]
    except ImportError:
        return "eager", eager(q, k, v)
"""
        },
    ),
    Guard(
        "an import in the function",
        {
            "main.py": """\
def run(q, k, v, bias=None):
    import xformers
    import xformers.ops

    b, n, h, d = q.shape
    return "fast", CALL[xformers.ops.memory_efficient_attention]
"""
        },
    ),
    Guard(
        "a flag of the object",
        {
            "main.py": """\
from eager import eager


class Attention:
    def __init__(self):
        self.fast = True
        try:
            from xformers.ops import memory_efficient_attention

            self.attend = memory_efficient_attention
        except ImportError:
            self.fast = False

    def forward(self, q, k, v, bias=None):
        b, n, h, d = q.shape
        if self.fast:
            return "fast", self.attend(q, k, v)
        return "eager", eager(q, k, v)


def run(q, k, v):
    return Attention().forward(q, k, v)
"""
        },
    ),
    Guard(
        "a global of a function",
        {
            "main.py": """\
from eager import eager

FAST = False
xops = None


def prepare():
    global FAST, xops
    try:
        import xformers.ops as xops

        FAST = True
    except ImportError:
        FAST = False


prepare()


def run(q, k, v, bias=None):
    b, n, h, d = q.shape
    if FAST:
        return "fast", CALL[xops.memory_efficient_attention]
    return "eager", eager(q, k, v)
"""
        },
    ),
    Guard(
        "a switch of a training script",
        {
            "main.py": """\
from importlib.metadata import version
from importlib.util import find_spec

from eager import eager


def is_xformers_available():
    return find_spec("xformers") is not None


class Model:
    fast = False

    def use_fast(self):
        self.fast = True

    def forward(self, q, k, v, bias=None):
        b, n, h, d = q.shape
        if self.fast:
            import xformers.ops

            return "fast", CALL[xformers.ops.memory_efficient_attention]
        return "eager", eager(q, k, v)


def run(q, k, v, wanted=True):
    model = Model()
    if wanted:
        if is_xformers_available():
            import xformers

            if version("xformers") == "0.0.16":
                print("xformers 0.0.16 cannot be used for training on some GPUs")
            model.use_fast()
        else:
            raise ValueError("xformers is not available. Make sure it is installed correctly")
    return model.forward(q, k, v)
"""
        },
    ),
    Guard(
        "methods chosen when the module is read",
        {
            "main.py": """\
from eager import eager

try:
    import xformers.ops as xops
    FAST = True
except ImportError:
    FAST = False


class Plain:
    name = "eager"

    def attend(self, q, k, v, bias=None):
        return eager(q, k, v)


class Quick(Plain):
    name = "fast"

    def attend(self, q, k, v, bias=None):
        b, n, h, d = q.shape
        if not FAST:
            return super().attend(q, k, v)
        return CALL[xops.memory_efficient_attention]


Attention = Quick if FAST else Plain


def run(q, k, v):
    attention = Attention()
    return attention.name, attention.attend(q, k, v)
"""
        },
    ),
]

SWITCHED = [
    one_file(
        "enabled, else raise",
        """\
import os

XFORMERS_ENABLED = os.environ.get("XFORMERS_DISABLED") is None
try:
    if XFORMERS_ENABLED:
        from xformers.ops import memory_efficient_attention, unbind

        XFORMERS_AVAILABLE = True
        print("xFormers is available")
    else:
        print("xFormers is disabled")
        raise ImportError
except ImportError:
    XFORMERS_AVAILABLE = False
    print("xFormers is not available")
""",
        condition="XFORMERS_AVAILABLE",
        call=BARE,
        switch=OFF,
    ),
    one_file(
        "disabled, then raise",
        """\
import os

DISABLED = os.environ.get("XFORMERS_DISABLED", "0") == "1"
try:
    if DISABLED:
        raise ImportError("switched off")
    from xformers.ops import memory_efficient_attention

    AVAILABLE = True
except ImportError:
    AVAILABLE = False
""",
        condition="AVAILABLE",
        call=BARE,
        switch=OFF,
    ),
    one_file(
        "disabled raises, else imports",
        """\
import os

try:
    if "XFORMERS_DISABLED" in os.environ:
        raise ImportError
    else:
        import xformers.ops as xops
    AVAILABLE = True
except ImportError:
    AVAILABLE = False
""",
        condition="AVAILABLE",
        switch=OFF,
    ),
    one_file(
        "the truth of a string",
        """\
import os

try:
    if os.environ.get("XFORMERS_DISABLED"):
        raise ImportError
    import xformers.ops as xops
    AVAILABLE = True
except ImportError:
    AVAILABLE = False
""",
        condition="AVAILABLE",
        switch=OFF,
    ),
    one_file(
        "a switch around the guard",
        """\
import os

AVAILABLE = False
if not os.getenv("XFORMERS_DISABLED"):
    try:
        import xformers.ops as xops

        AVAILABLE = True
    except ImportError:
        AVAILABLE = False
""",
        condition="AVAILABLE",
        switch=OFF,
    ),
    one_file(
        "a switch and a guard in one condition",
        """\
import importlib.util
import os

AVAILABLE = not os.getenv("XFORMERS_DISABLED") and importlib.util.find_spec("xformers") is not None
if AVAILABLE:
    import xformers.ops as xops
""",
        condition="AVAILABLE",
        switch=OFF,
    ),
    one_file(
        "a switch beside the flag",
        """\
import os

USE = os.environ.get("USE_XFORMERS", "1") == "1"
try:
    import xformers.ops as xops
    AVAILABLE = True
except ImportError:
    AVAILABLE = False
""",
        condition="USE and AVAILABLE",
        switch=("USE_XFORMERS", "0"),
    ),
    one_file(
        "the switch stands in the condition",
        """\
import os

try:
    if os.environ.get("XFORMERS_DISABLED", "").lower() not in ("1", "true"):
        import xformers.ops as xops
        AVAILABLE = True
    else:
        AVAILABLE = False
except ImportError:
    AVAILABLE = False
""",
        condition="AVAILABLE",
        switch=OFF,
    ),
    one_file(
        "a backend by name",
        """\
import os

BACKEND = os.environ.get("ATTN_BACKEND", "xformers")
if BACKEND == "xformers":
    import xformers.ops as xops
elif BACKEND == "eager":
    pass
else:
    raise ValueError(f"unknown backend {BACKEND}")
""",
        condition='BACKEND == "xformers"',
        switch=("ATTN_BACKEND", "eager"),
    ),
    one_file(
        "with a fallback to None",
        """\
import os

try:
    if os.environ.get("XFORMERS_DISABLED") is not None:
        raise ImportError
    from xformers.ops import memory_efficient_attention
except ImportError:
    memory_efficient_attention = None
""",
        condition="memory_efficient_attention is not None",
        call=BARE,
        switch=OFF,
    ),
    one_file(
        "with the truth of a fallback",
        """\
import os

try:
    if os.environ.get("XFORMERS_DISABLED") is not None:
        raise ImportError
    import xformers.ops as xops
except ImportError:
    xops = None
""",
        condition="xops is not None",
        switch=OFF,
    ),
    Guard(
        "a switch in another file",
        {
            "config.py": """\
import os

XFORMERS_ENABLED = os.environ.get("XFORMERS_DISABLED") is None
""",
            "main.py": """\
from config import XFORMERS_ENABLED
from eager import eager

try:
    if not XFORMERS_ENABLED:
        raise ImportError
    import xformers.ops as xops
    FAST = True
except ImportError:
    FAST = False
"""
            + USE.format(condition="FAST", call="xops.memory_efficient_attention"),
        },
        switch=OFF,
    ),
]


@pytest.mark.parametrize(("guard", "style"), cases(*IN_ONE_FILE, *IN_FUNCTIONS, *SWITCHED))
def test_the_path_stays(guard: Guard, style: str, tmp_path: Path) -> None:
    check(guard, style, tmp_path)
