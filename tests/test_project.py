"""Whole projects, executed: on the stand-in for xformers before the rewrite, without xformers after it.

The first half is one question asked of every form of guard: does the path that ran on xformers still run?
A program in which the fast path turns off without a word is the worst that the tool can do.
"""

from __future__ import annotations

import ast
import builtins
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import oracle
from tests.projects.harness import (
    COPY,
    EAGER,
    assert_equal,
    execute,
    imports_of_xformers,
    installed,
    rewrite,
    tree,
    write,
)

CALL = re.compile(r"CALL\[([\w.]+)\]")
STYLES = {"inline": r"\1(q, k, v)", "helper": r"\1(q, k, v, attn_bias=bias)"}
"""How `CALL[name]` is spelled: a call that can be written inline, and one that needs the helper module."""


@dataclass(frozen=True)
class Guard:
    """One way to ask whether xformers is there.

    Attributes:
        name: what the case is called.
        files: the project, `CALL[x]` standing for a call of x.
        switch: an environment variable that turns the fast path off, and the value that does.
        unset: environment variables that must not be set otherwise.
        path: the path that runs with xformers, and must run without it after the rewrite.
    """

    name: str
    files: dict[str, str]
    switch: tuple[str, str] | None = None
    path: str = "fast"

    def project(self, folder: Path, style: str) -> Path:
        files = {"eager.py": EAGER} | {n: CALL.sub(STYLES[style], text) for n, text in self.files.items()}
        return write(folder, files)


USE = """

def run(q, k, v, bias=None):
    b, n, h, d = q.shape
    if {condition}:
        return "fast", CALL[{call}]
    return "eager", eager(q, k, v)
"""


def one_file(
    name: str,
    guard: str,
    *,
    condition: str = "FAST",
    call: str = "xops.memory_efficient_attention",
    switch: tuple[str, str] | None = None,
    path: str = "fast",
    more: dict[str, str] | None = None,
) -> Guard:
    text = f"from eager import eager\n\n{guard}{USE.format(condition=condition, call=call)}"
    return Guard(name, {"main.py": text, **(more or {})}, switch, path)


BARE = "memory_efficient_attention"
FULL = "xformers.ops.memory_efficient_attention"
OFF = ("XFORMERS_DISABLED", "1")

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
        "import_module",
        """\
import importlib

try:
    xops = importlib.import_module("xformers.ops")
    FAST = True
except ImportError:
    FAST = False
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

IN_FUNCTIONS = [
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
        "a guard in the class body",
        {
            "main.py": """\
from eager import eager


class Attention:
    try:
        import xformers.ops as xops

        fast = True
    except ImportError:
        fast = False

    def forward(self, q, k, v, bias=None):
        b, n, h, d = q.shape
        if self.fast:
            return "fast", CALL[self.xops.memory_efficient_attention]
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

READER = """\
from eager import eager
{imports}
"""

IN_TWO_FILES = [
    Guard(
        "a flag read in another file",
        {
            "attention.py": """\
try:
    import xformers.ops as xops

    XFORMERS_IS_AVAILBLE = True
except ImportError:
    XFORMERS_IS_AVAILBLE = False


def attend(q, k, v, bias=None):
    b, n, h, d = q.shape
    return CALL[xops.memory_efficient_attention]
""",
            "main.py": """\
from attention import XFORMERS_IS_AVAILBLE, attend
from eager import eager


def run(q, k, v):
    return ("fast", attend(q, k, v)) if XFORMERS_IS_AVAILBLE else ("eager", eager(q, k, v))
""",
        },
    ),
    Guard(
        "a flag of a file without a call",
        {
            "capabilities.py": """\
try:
    import xformers

    AVAILABLE = True
except ImportError:
    AVAILABLE = False
""",
            "main.py": """\
from capabilities import AVAILABLE
from eager import eager

if AVAILABLE:
    import xformers.ops as xops
"""
            + USE.format(condition="AVAILABLE", call="xops.memory_efficient_attention"),
        },
    ),
    Guard(
        "a flag without a call, by its module",
        {
            "capabilities.py": """\
try:
    import xformers.ops

    quick = True
except ImportError:
    quick = False
""",
            "main.py": """\
import capabilities
from eager import eager

if capabilities.quick:
    from xformers.ops import memory_efficient_attention
"""
            + USE.format(condition="capabilities.quick", call=BARE),
        },
    ),
    Guard(
        "a function of another file",
        {
            "utils/__init__.py": "from .import_utils import is_xformers_available\n",
            "utils/import_utils.py": """\
import importlib.metadata as importlib_metadata
import importlib.util

_xformers_available = importlib.util.find_spec("xformers") is not None
try:
    _xformers_version = importlib_metadata.version("xformers")
    if _xformers_version.startswith("0.0.1."):
        raise ValueError("this version is too old")
except importlib_metadata.PackageNotFoundError:
    _xformers_available = False


def is_xformers_available():
    return _xformers_available
""",
            "main.py": """\
from eager import eager
from utils import is_xformers_available

if is_xformers_available():
    import xformers
    import xformers.ops
else:
    xformers = None
"""
            + USE.format(condition="xformers is not None", call=FULL),
        },
    ),
    Guard(
        "a function of another file that tries",
        {
            "checks.py": """\
def fast_attention_works():
    try:
        import xformers.ops
    except ImportError:
        return False
    return True
""",
            "main.py": """\
from checks import fast_attention_works
from eager import eager

FAST = fast_attention_works()
if FAST:
    import xformers.ops as xops
"""
            + USE.format(condition="FAST", call="xops.memory_efficient_attention"),
        },
    ),
    Guard(
        "a function of another file, called where it matters",
        {
            "checks.py": """\
import importlib.util


def has_fast_attention():
    return importlib.util.find_spec("xformers") is not None
""",
            "fast.py": """\
def attend(q, k, v, bias=None):
    import xformers.ops as xops

    b, n, h, d = q.shape
    return CALL[xops.memory_efficient_attention]
""",
            "main.py": """\
from checks import has_fast_attention
from eager import eager


def run(q, k, v):
    if has_fast_attention():
        from fast import attend

        return "fast", attend(q, k, v)
    return "eager", eager(q, k, v)
""",
        },
    ),
    Guard(
        "a flag handed on twice",
        {
            "pkg/__init__.py": "",
            "pkg/one.py": """\
try:
    from xformers.ops import memory_efficient_attention
    FAST = True
except ImportError:
    FAST = False
    memory_efficient_attention = None
""",
            "pkg/two.py": "from .one import FAST, memory_efficient_attention\n",
            "main.py": "from eager import eager\nfrom pkg.two import FAST, memory_efficient_attention\n"
            + USE.format(condition="FAST", call=BARE),
        },
    ),
    Guard(
        "the module handed on",
        {
            "shared.py": """\
try:
    import xformers.ops as xops
except ImportError:
    xops = None
""",
            "main.py": "from eager import eager\nfrom shared import xops\n"
            + USE.format(condition="xops is not None", call="xops.memory_efficient_attention"),
        },
    ),
    Guard(
        "a flag taken with a star",
        {
            "shared.py": """\
try:
    import xformers.ops as xops
    FAST = True
except ImportError:
    FAST = False
""",
            "main.py": "from eager import eager\nfrom shared import *\n"
            + USE.format(condition="FAST", call="xops.memory_efficient_attention"),
        },
    ),
    Guard(
        "a switch board of options",
        {
            "options.py": """\
XFORMERS_IS_AVAILABLE = False
XFORMERS_WANTED = True
try:
    import xformers
    import xformers.ops

    XFORMERS_IS_AVAILABLE = True
    try:
        XFORMERS_VERSION = xformers.version.__version__
        print("xformers version:", XFORMERS_VERSION)
        if XFORMERS_VERSION.startswith("0.0.18"):
            XFORMERS_WANTED = False
    except AttributeError:
        pass
except ImportError:
    XFORMERS_IS_AVAILABLE = False


def xformers_enabled():
    return XFORMERS_IS_AVAILABLE and XFORMERS_WANTED
""",
            "main.py": """\
import options
from eager import eager

if options.xformers_enabled():
    import xformers
    import xformers.ops


def fast(q, k, v, bias=None):
    b, n, h, d = q.shape
    return "fast", CALL[xformers.ops.memory_efficient_attention]


def slow(q, k, v):
    return "eager", eager(q, k, v)


run = slow
if options.xformers_enabled():
    run = fast
""",
        },
    ),
]

GUARDS = [*IN_ONE_FILE, *IN_FUNCTIONS, *SWITCHED, *IN_TWO_FILES]


WRONG: dict[str, str] = {
    "the truth of the package": "the call is rewritten, the guard that sets xformers = None stays",
    "the names in globals": "the import goes, and with it the name that the condition looks for",
    "the version is compared": "the look-up of the version stays, and sets the flag False",
    "the version of the module": "the guard stays, and sets the flag False",
    "an assertion on the version": "the guard stays, and sets the flag False",
    "the flag is the module's truth": "the guard stays, and sets xops = None",
    "a broken version gives a warning": "the guard stays, and sets the flag False",
    "import_module": "not seen, and nothing is said",
    "a guard in the class body": "not seen, and nothing is said",
    "a switch of a training script": "version('xformers') stays and raises",
    "with the truth of a fallback": "the guard stays, and sets xops = None",
    "the module handed on": "not seen, and nothing is said",
    "a flag taken with a star": "not seen, and nothing is said",
    "a switch board of options": "the guard in the other file stays, and sets the flag False",
}
"""By the name of a guard, what the product does wrong with it; delete the line with the fix."""


def known(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, reason=reason)


def guard_cases() -> list[object]:
    cases = []
    for guard in GUARDS:
        for style in STYLES:
            reason = WRONG.get(guard.name)
            marks = [known(reason)] if reason else []
            cases.append(pytest.param(guard, style, id=f"{guard.name}, {style}", marks=marks))
    return cases


@pytest.mark.parametrize(("guard", "style"), guard_cases())
def test_the_path_stays(guard: Guard, style: str, tmp_path: Path) -> None:
    root = guard.project(tmp_path, style)
    switch = guard.switch or ("XFORMERS_DISABLED", "1")
    before = execute(root, oracle.installed, cleared=switch[:1])
    assert (before.path, before.xformers_calls > 0) == (guard.path, guard.path == "fast"), "the example is wrong"
    switched = guard.switch and execute(root, oracle.installed, environment=dict([guard.switch]))
    if switched:
        assert (switched.path, switched.xformers_calls) == ("eager", 0), "the example is wrong"
    report = rewrite(root)
    shown = "\n".join(
        [report.output, *(f"# {name}\n{text}" for name, text in tree(root).items() if name != "eager.py")]
    )
    try:
        after = execute(root, oracle.absent, cleared=switch[:1])
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}\n{shown}")
    assert after.path == before.path, shown
    assert (after.sdpa_calls > 0) == (guard.path == "fast"), shown
    assert_equal(before, after)
    if switched:
        off = execute(root, oracle.absent, environment=dict([guard.switch]))
        assert (off.path, off.sdpa_calls) == ("eager", 0), shown
        assert_equal(switched, off)
    assert not imports_of_xformers(root), shown


# -- nested-tensor training ----------------------------------------------------------------------------

NESTED = Path(__file__).parent / "projects" / "nested_dino"
TRAIN = """\
import os
import sys
import warnings

import torch

from tests.oracle import absent
from tests.projects.harness import installed

warnings.simplefilter("ignore")
place, surroundings, output = sys.argv[1:]
torch.set_num_threads(1)
sys.path.insert(0, place)
sys.dont_write_bytecode = True
results = {}
for switch in (None, "1"):
    os.environ.pop("XFORMERS_DISABLED", None)
    if switch:
        os.environ["XFORMERS_DISABLED"] = switch
    with {"installed": installed, "absent": absent}[surroundings]() as calls:
        from nested_dino.train import run

        result = results[switch] = run()
        result["calls"] = getattr(calls, "count", 0)
        for name in ("attention", "block", "swiglu"):
            result["flag of " + name] = sys.modules["nested_dino." + name].XFORMERS_AVAILABLE
        try:
            import xformers
        except ImportError:
            result["xformers"] = "absent"
        else:
            result["xformers"] = "there"
    for name in [name for name in sys.modules if name.partition(".")[0] == "nested_dino"]:
        del sys.modules[name]
torch.save(results, output)
"""


def train(place: Path, surroundings: str) -> dict[str | None, dict[str, Any]]:
    """Run the training below `place` in a process of its own; by the value of XFORMERS_DISABLED."""
    output = place / "results.pt"
    command = [sys.executable, "-c", TRAIN, str(place), surroundings, str(output)]
    repository = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(output)


@pytest.fixture(scope="module")
def trained(nested: Path) -> list[dict[str | None, dict[str, Any]]]:
    return [train(nested / "before", "installed"), train(nested / "after", "absent")]


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package before (`before/nested_dino`) and after (`after/nested_dino`)."""
    root = tmp_path_factory.mktemp("nested")
    for name in ("before", "after"):
        shutil.copytree(NESTED, root / name / "nested_dino", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "-v", str(root / "after")]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (root / "report.txt").write_text(done.stdout)
    return root


def assert_same_training(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for name in before.keys() - {"calls", "xformers"}:
        old, new = before[name], after[name]
        if not isinstance(old, torch.Tensor):
            assert new == old, name
            continue
        assert (new.shape, new.dtype) == (old.shape, torch.float64), name
        assert torch.isfinite(old).all(), name
        assert (new - old).abs().max() <= 1e-9, name


def test_nested_training_is_the_same_without_xformers(trained: list[dict[str | None, dict[str, Any]]]) -> None:
    before, after = (results[None] for results in trained)
    assert (before["path"], before["xformers"], after["xformers"]) == ("fast", "there", "absent")
    assert before["calls"] == 4  # two blocks, two steps
    assert before["masks"] > 1
    assert len([name for name in before if "gradient" in name or "." in name]) > 30
    assert_same_training(before, after)


def test_nested_training_stays_eager_when_switched_off(trained: list[dict[str | None, dict[str, Any]]]) -> None:
    before, after = (results["1"] for results in trained)
    assert (before["path"], before["calls"], before["masks"]) == ("eager", 0, 0)
    assert_same_training(before, after)


def test_nested_training_needs_xformers_no_more(nested: Path) -> None:
    assert imports_of_xformers(nested / "before")
    assert not imports_of_xformers(nested / "after")
    report = (nested / "report.txt").read_text()
    assert "1 call site: 1 compat, 0 left." in report
    assert "XF401" not in report
    assert "XF402" not in report


def test_nested_training_has_one_helper_with_what_it_uses(nested: Path) -> None:
    copies = [name for name in tree(nested / "after") if name.endswith(COPY)]
    assert copies == [f"nested_dino/{COPY}"]
    text = (nested / "after" / copies[0]).read_text()
    defined = {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    needed = {"memory_efficient_attention", "BlockDiagonalMask", "SwiGLU", "index_select_cat", "scaled_index_add"}
    assert needed <= defined
    assert not {"RMSNorm", "LowerTriangularMaskWithTensorBias", "BlockDiagonalPaddedKeysMask"} & defined
    after = tree(nested / "after" / "nested_dino")
    assert all("from ._attention_compat import" in after[f"{name}.py"] for name in ("attention", "block", "swiglu"))


def test_nested_training_is_finished_after_one_run(nested: Path) -> None:
    before = tree(nested / "after")
    rewrite(nested / "after")
    assert tree(nested / "after") == before


# -- what is left for a person -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """A file that uses what torch has no equivalent for.

    Attributes:
        name: what the case is called.
        text: the file.
        said: parts of the finding (in one line of the report, from the file) that says what is left and why.
        keeps: what the new text must still hold; None if the file must come out as it went in.
    """

    name: str
    text: str
    said: tuple[str, ...]
    keeps: tuple[str, ...] | None = None


LEFT = [
    Left(
        "inputs and contexts of the private API",
        """\
from xformers.ops.fmha import Context, Inputs, _memory_efficient_attention_backward, memory_efficient_attention


def attend(q, k, v, bias=None):
    return memory_efficient_attention(q, k, v, attn_bias=bias)


def backward(grad, q, k, v, out, lse):
    return _memory_efficient_attention_backward(Context(lse=lse, out=out), Inputs(q, k, v), grad, op=None)
""",
        ("_memory_efficient_attention_backward",),
        ("_memory_efficient_attention_backward(Context(lse=lse, out=out), Inputs(q, k, v), grad, op=None)",),
    ),
    Left(
        "the forward of the private API",
        """\
from xformers.ops.fmha import Inputs, _memory_efficient_attention_forward_requires_grad


def attend(q, k, v):
    return _memory_efficient_attention_forward_requires_grad(Inputs(query=q, key=k, value=v), op=None)
""",
        ("_memory_efficient_attention_forward_requires_grad",),
    ),
    Left(
        "backward by hand",
        """\
import xformers.ops as xops


def backward(grad, out, lse, q, k, v):
    return xops.memory_efficient_attention_backward(grad, out, lse, q, k, v)
""",
        ("memory_efficient_attention_backward", "XF208"),
    ),
    Left(
        "parts of a softmax",
        """\
from xformers.ops import fmha


def attend(q, k, v):
    parts = [fmha.memory_efficient_attention_partial(q, *pair) for pair in zip(k.split(4, 1), v.split(4, 1))]
    return fmha.merge_attentions([out for out, _ in parts], [lse for _, lse in parts])
""",
        ("memory_efficient_attention_partial", "XF208"),
    ),
    Left(
        "paged masks",
        """\
from xformers.ops import fmha
from xformers.ops.fmha.attn_bias import PagedBlockDiagonalPaddedKeysMask


def attend(q, k, v, lengths, tables):
    mask = PagedBlockDiagonalPaddedKeysMask.from_seqlens([1] * len(lengths), lengths, tables, page_size=256)
    return fmha.memory_efficient_attention_forward(q, k, v, attn_bias=mask)
""",
        ("PagedBlockDiagonalPaddedKeysMask",),
        ("PagedBlockDiagonalPaddedKeysMask.from_seqlens(",),
    ),
    Left(
        "gappy masks",
        """\
from xformers.ops import fmha


def mask_of(lengths, starts):
    return fmha.attn_bias.BlockDiagonalGappyKeysMask.from_seqlens([1] * len(lengths), starts, lengths)
""",
        ("BlockDiagonalGappyKeysMask",),
    ),
    Left(
        "components",
        """\
from xformers.components import MultiHeadDispatch
from xformers.components.attention import ScaledDotProduct


def layer(dim):
    return MultiHeadDispatch(dim_model=dim, num_heads=4, attention=ScaledDotProduct())
""",
        ("xformers.components",),
    ),
    Left(
        "the profiler",
        """\
import xformers.profiler


def profiled(model, x):
    with xformers.profiler.profile(output_dir="out", module=model):
        return model(x)
""",
        ("xformers.profiler",),
    ),
    Left(
        "sparse",
        """\
from xformers.sparse import SparseCSRTensor


def sparse(x):
    return SparseCSRTensor.from_dense(x)
""",
        ("SparseCSRTensor",),
    ),
    Left(
        "checkpoint",
        """\
from xformers.checkpoint import checkpoint, get_optimal_checkpoint_policy


def run(function, x):
    return checkpoint(function, x, policy_fn=get_optimal_checkpoint_policy(function, x, memory_budget=0.5))
""",
        ("xformers.checkpoint",),
    ),
    Left(
        "rope_padded",
        """\
from xformers.ops import rope_padded


def rotate(q, k, v, cache_k, cache_v, mask):
    return rope_padded(q, k, v, cache_k, cache_v, mask)
""",
        ("rope_padded",),
    ),
    Left(
        "the operator is replaced",
        """\
import xformers
import xformers.ops

original = xformers.ops.memory_efficient_attention


def patched(q, k, v, attn_bias=None, p=0.0, scale=None, *, op=None):
    return original(q.contiguous(), k, v, attn_bias, p, scale, op=op)


xformers.ops.memory_efficient_attention = patched
""",
        ("XF216", "in the place of xformers'"),
    ),
    Left(
        "torch's own table of operators",
        """\
import torch


def forward(q, k, v):
    return torch.ops.xformers_flash.flash_fwd(q, k, v, None, None, None, None, 1, 1, 0.0, 1.0, False, -1, -1, False)
""",
        ("torch.ops.xformers",),
    ),
    Left(
        "a custom operator of torch around the operator",
        """\
import torch
import xformers.ops


@torch.library.custom_op("mine::attend", mutates_args=())
def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.ops.xformers.efficient_attention_forward_cutlass(q, k, v)[0]
""",
        ("torch.ops.xformers",),
    ),
    Left(
        "a name made while the program runs",
        """\
import xformers.ops as xops


def run(q, k, v, suffix="attention"):
    return getattr(xops, "memory_efficient_" + suffix)(q, k, v)
""",
        ("XF401", "xformers"),
    ),
]
WRONG_LEFT: dict[str, str] = {
    "torch's own table of operators": "no finding",
    "a custom operator of torch around the operator": "no finding",
    "a name made while the program runs": "the import stays without a finding",
}
"""By the name of a case, what the product does wrong with it; delete the line with the fix."""


def left_cases() -> list[object]:
    return [
        pytest.param(case, id=case.name, marks=[known(WRONG_LEFT[case.name])] if case.name in WRONG_LEFT else [])
        for case in LEFT
    ]


@pytest.mark.parametrize("case", left_cases())
def test_left_for_a_person(case: Left, tmp_path: Path) -> None:
    write(tmp_path, {"main.py": case.text})
    report = rewrite(tmp_path).output
    text = (tmp_path / "main.py").read_text()
    shown = f"{report}\n{text}"
    findings = [line for line in report.splitlines() if line.startswith(f"{tmp_path / 'main.py'}:")]
    assert any(all(part in line for part in case.said) for line in findings), shown
    if case.keeps is None:
        assert text == case.text, shown
        assert not (tmp_path / COPY).exists(), shown
        return
    for part in case.keeps:
        assert part in text, shown
    unbound = undefined_names(text)
    assert not unbound, f"{unbound}\n{shown}"


def undefined_names(text: str) -> set[str]:
    """Names that a module reads and nothing in it binds."""
    nodes = list(ast.walk(ast.parse(text)))
    bound = {name.asname or name.name.partition(".")[0] for node in nodes for name in getattr(node, "names", ())
             if isinstance(name, ast.alias)}  # fmt: skip
    bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return read - bound - set(dir(builtins))


def test_a_file_that_mixes_both_still_runs_where_xformers_is(tmp_path: Path) -> None:
    """Half of the file has no equivalent: what it needs of xformers stays, and the masks still fit their calls."""
    text = """\
import torch
from xformers.ops import fmha
from xformers.ops.fmha import Inputs


def attend(q, k, v):
    b, n, h, d = q.shape
    mask = fmha.attn_bias.BlockDiagonalMask.from_seqlens([n] * b)
    flat = [x.reshape(1, -1, h, d) for x in (q, k, v)]
    return fmha.memory_efficient_attention(*flat, attn_bias=mask).view(b, n, h, d)


def checked(q, k, v):
    Inputs(q, k, v, fmha.attn_bias.LowerTriangularMask()).validate_inputs()
    out, lse = fmha.memory_efficient_attention_partial(q.detach(), k.detach(), v.detach())
    return fmha.memory_efficient_attention(q, k, v) + 0 * out


def run(q, k, v):
    return "fast", attend(q, k, v) + checked(q, k, v)
"""
    write(tmp_path, {"main.py": text})
    before = execute(tmp_path, installed)
    report = rewrite(tmp_path).output
    assert "memory_efficient_attention_partial has no equivalent" in report
    assert "Inputs" in report
    assert_equal(before, execute(tmp_path, installed))
    assert imports_of_xformers(tmp_path)
