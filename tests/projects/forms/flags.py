"""A `try` around the import, and what it leaves behind to be asked: a flag, a fallback of None, a name."""

from __future__ import annotations

from tests.projects.guards import BARE, FULL, one_file

FORMS = [
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
]
