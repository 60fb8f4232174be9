"""Questions to the installation: `find_spec`, versions, loaded modules, and functions that ask."""

from __future__ import annotations

from tests.projects.guards import BARE, FULL, one_file

FORMS = [
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
]
