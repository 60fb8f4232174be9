"""Which guards are only guards: what they stand for is written down, and any other keeps its frame."""

from __future__ import annotations

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

THEIRS = "from xformers.ops import memory_efficient_attention"
OURS = "from _attention_compat import memory_efficient_attention"
USE = """

def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias) if FAST else q
"""


def guard_in(text: str) -> str:
    """What becomes of a guard; the import of xformers in it is written IMPORT, that of the helper OURS."""
    result = rewrite_text(text.replace("IMPORT", THEIRS) + USE, compat="_attention_compat")
    assert not result.failed, result.findings
    assert result.new.endswith(USE)
    return result.new.removesuffix(USE).rstrip("\n").replace(OURS, "OURS") + "\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            """\
if use_xformers:
    IMPORT
else:
    memory_efficient_attention = None
""",
            """\
OURS
""",
        ),
        (
            """\
FAST = 1
if use_xformers:
    IMPORT
""",
            """\
FAST = 1
OURS
""",
        ),
        (
            """\
HAS_XFORMERS = probe()
if HAS_XFORMERS:
    IMPORT
    FAST = True
else:
    FAST = False
""",
            """\
HAS_XFORMERS = probe()
OURS

FAST = True
""",
        ),
        (
            """\
if find_spec('xformers') is not None:
    IMPORT
    FAST = True
else:
    FAST = False
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
if find_spec('xformers'):
    IMPORT
    FAST = True
else:
    FAST = False
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
with suppress(ImportError):
    IMPORT
    FAST = True
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
try:
    IMPORT
    version('xformers')
    FAST = True
except ImportError:
    FAST = False
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
try:
    IMPORT
    v = version('xformers')
    FAST = True
except ImportError:
    FAST = False
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
import xformers
try:
    IMPORT
    if xformers.__version__ >= '0.0.17':
        FAST = True
    else:
        FAST = False
except ImportError:
    FAST = False
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
try:
    IMPORT
    FAST = True
except ImportError:
    FAST = None
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
try:
    try:
        IMPORT
    except AttributeError:
        pass
    FAST = True
except ImportError:
    FAST = False
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
try:
    IMPORT
except ImportError:
    FAST = False
else:
    FAST = True
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
try:
    IMPORT
    FAST = True
except ImportError as e:
    FAST = False
    print(e)
except OSError:
    FAST = False
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
try:
    import xformers.ops
    IMPORT
    FAST = True
except ImportError:
    FAST = False
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
try:
    IMPORT
    FAST = True
except ImportError:
    FAST = False
    raise ImportError('a')
""",
            """\
OURS

FAST = True
""",
        ),
        (
            """\
try:
    if not OFF:
        IMPORT
        FAST = True
    else:
        raise ImportError
except ImportError:
    FAST = False
""",
            """\
OURS

FAST = not OFF
""",
        ),
        (
            """\
try:
    if OFF > 1:
        print('no')
        raise ImportError
    IMPORT
    FAST = True
except ImportError:
    FAST = False
""",
            """\
OURS

FAST = not (OFF > 1)
""",
        ),
    ],
)
def test_a_guard_becomes_what_it_stands_for(old: str, new: str) -> None:
    assert guard_in(old) == new


@pytest.mark.parametrize(
    "old",
    [
        """\
if use_xformers:
    IMPORT
    FAST = True
else:
    FAST = False
""",
        """\
if xformers_enabled():
    IMPORT
    FAST = True
""",
        """\
HAS_XFORMERS = args.fast
if HAS_XFORMERS:
    IMPORT
    FAST = True
else:
    FAST = False
""",
        """\
if other:
    IMPORT
    FAST = True
""",
        """\
FAST = False
with suppress(ImportError):
    if ON:
        IMPORT
        FAST = True
    else:
        raise ImportError
""",
        """\
try:
    if A:
        IMPORT
        FAST = True
    else:
        raise ImportError
    if B:
        x = 1
    else:
        raise ImportError
except ImportError:
    FAST = False
""",
        """\
try:
    IMPORT
    FAST, x = True, 1
except ImportError:
    FAST = False
""",
        """\
class X: pass
x = X()
try:
    IMPORT
    x.y = 1
    FAST = True
except ImportError:
    FAST = False
""",
        """\
try:
    IMPORT
    FAST = True
    NAME = 'x' + y
except ImportError:
    FAST = False
""",
        """\
try:
    IMPORT
    FAST = True
    OP = memory_efficient_attention
except ImportError:
    FAST = False
""",
        """\
try:
    IMPORT
    from xformers.ops import SparseCSRTensor
    FAST = True
except ImportError:
    FAST = False
x = SparseCSRTensor
""",
        """\
try:
    if OFF:
        f()
        raise ImportError
    IMPORT
    FAST = True
except ImportError:
    FAST = False
""",
        """\
class Off(Exception): pass
try:
    if OFF:
        raise ImportError
    IMPORT
    FAST = True
except Off:
    FAST = None
except ImportError:
    FAST = False
""",
        """\
import math
FAST = False
with suppress(ImportError, AttributeError):
    IMPORT
    SCALE = math.pi
    FAST = True
""",
    ],
)
def test_what_does_more_keeps_its_frame(old: str) -> None:
    assert guard_in(old) == old.replace("IMPORT", "OURS")


def test_what_does_more_loses_its_frame_where_nothing_can_fail() -> None:
    inside = "    try:\n        IMPORT\n        FAST = True\n    except ImportError:\n        FAST = False\n"
    assert guard_in(f"class A:\n{inside}") == "class A:\n    FAST = True\n"
    asked = "if find_spec('xformers') is None:\n    FAST = False\nelse:\n    IMPORT\n    FAST = True\n"
    assert guard_in(asked) == "OURS\nFAST = True\n"


def test_a_setting_goes_on_where_nothing_catches_what_it_may_raise() -> None:
    old = "import math\nFAST = False\nwith suppress(ImportError):\n    IMPORT\n    SCALE = math.pi\n    FAST = True\n"
    assert guard_in(old) == "import math\nOURS\nSCALE = math.pi\nFAST = True\n"


@pytest.mark.parametrize(
    ("value", "new"),
    [
        ("'off'", "OURS\n\nFAST = not OFF\n"),
        ("count()", "if not OFF:\n    OURS\n    FAST = True\nelse:\n    FAST = False\n    why = count()\n"),
    ],
)
def test_what_nobody_reads_goes_with_its_handler_if_it_does_nothing(value: str, new: str) -> None:
    guard = "try:\n    if OFF:\n        raise ImportError\n    IMPORT\n    FAST = True\n"
    handler = f"except ImportError:\n    FAST = False\n    why = {value}\n"
    assert guard_in(f"OFF = other()\n{guard}{handler}") == f"OFF = other()\n{new}"


@pytest.mark.parametrize("body", ["x.y = 1", "x[0] = 1", "x.y += 1", "x.kind = 'xformers'", "x.enable_xformers()"])
def test_what_acts_on_something_of_others_stays_whole(body: str) -> None:
    """What another library does where xformers is, or is not, must not change."""
    old = f"import x\ntry:\n    IMPORT\n    {body}\n    FAST = True\nexcept ImportError:\n    FAST = False\n"
    assert guard_in(old) == old.replace("IMPORT", THEIRS)
