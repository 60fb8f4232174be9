"""A switch of the environment beside the guard: on it must stay on, off it must stay off."""

from __future__ import annotations

from tests.projects.guards import BARE, OFF, USE, Guard, one_file

FORMS = [
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
    one_file(
        "switched off, something else is done",
        """\
import os

NOTES = []
try:
    if os.environ.get("XFORMERS_DISABLED"):
        raise ImportError
    import xformers.ops as xops

    AVAILABLE = True
except ImportError:
    AVAILABLE = False
    noted = NOTES.append("off")
""",
        condition="AVAILABLE or not NOTES",
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
