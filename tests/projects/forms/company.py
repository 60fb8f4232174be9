"""What else stands in a guard, or instead of one: other libraries, other settings, fallbacks, a probe."""

from __future__ import annotations

from tests.projects.guards import BARE, FULL, one_file

FORMS = [
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
