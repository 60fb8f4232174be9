"""What becomes of a frame around an import that nothing reads any more: a `try`, an `if`, a `with`, a function."""

from __future__ import annotations

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

HEAD = "from xformers.ops import memory_efficient_attention\n\n\n"
USE = """

def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            """\
def there():
    try:
        import xformers.ops
        return True
    except ImportError:
        return False
""",
            """\
def there():
    return True
""",
        ),
        (
            """\
def there():
    try:
        import xformers.ops
        return f()
    except ImportError:
        return False
""",
            """\
def there():
    try:
        return f()
    except ImportError:
        return False
""",
        ),
        (
            """\
def there():
    try:
        import xformers.ops
        pass
    except ImportError:
        return False
    else:
        return True
""",
            """\
def there():
    return True
""",
        ),
        (
            """\
try:
    import xformers.ops
except ImportError:
    print("slow")
else:
    # why
    register("a",
        1)
""",
            """\
# why
register("a",
    1)
""",
        ),
        (
            '''\
try:
    import xformers.ops
except ImportError:
    fall_back()
else:
    x = """a
    b"""
''',
            '''\
x = """a
    b"""
''',
        ),
        (
            """\
try:
    import xformers.ops
except ImportError:
    print("slow")
else:
    @x
    # on y
    def y(): pass
    # below y
""",
            """\
@x
# on y
def y(): pass
# below y
""",
        ),
        (
            """\
try:
    import xformers.ops
except ImportError:
    print("slow")
else: a(); b()  # both
""",
            """\
a(); b()  # both
""",
        ),
        (
            """\
try:
    import xformers.ops
except ImportError:
    fall_back()
else:
    a = find_spec("xformers")
""",
            """\
a = True
""",
        ),
        (
            """\
try:
    import xformers.ops
except ImportError:
    print("slow")
finally:
    done()
""",
            """\
done()
""",
        ),
        (
            """\
try:
    import xformers.ops
    import json
except ImportError:
    json = None
""",
            """\
try:
    import json
except ImportError:
    json = None
""",
        ),
        (
            """\
try:
    import xformers.ops
    import json
except ImportError:
    other = None
""",
            """\
try:
    import json
except ImportError:
    other = None
""",
        ),
        (
            """\
try:
    import xformers.ops, json
except ImportError:
    print("slow")
""",
            """\
try:
    import json
except ImportError:
    print("slow")
""",
        ),
        (
            """\
try:
    import json
    import xformers.ops
except ImportError:
    print("a")
""",
            """\
try:
    import json
except ImportError:
    print("a")
""",
        ),
        (
            """\
if FLAG:
    import xformers.ops
""",
            "",
        ),
        (
            """\
if FLAG:
    import xformers.ops
else:
    print("slow")
""",
            """\
if not FLAG:
    print("slow")
""",
        ),
        (
            """\
if FLAG:
    import xformers.ops
elif OTHER:
    import xformers.ops
""",
            """\
if FLAG:
    pass
elif OTHER:
    pass
""",
        ),
        (
            """\
if FLAG:
    import xformers.ops
    print("a")
""",
            """\
if FLAG:
    print("a")
""",
        ),
        (
            """\
if has_xformers:
    import xformers.ops
x = has_xformers
""",
            """\
x = has_xformers
""",
        ),
        (
            """\
with suppress(ImportError):
    import xformers.ops
""",
            "",
        ),
        (
            """\
with suppress(ImportError):
    import xformers.ops
    f()
""",
            """\
with suppress(ImportError):
    f()
""",
        ),
        (
            """\
xops = None
try:
    import xformers.ops as xops
except ImportError:
    print("slow")
""",
            "",
        ),
        (
            """\
xops = None
try:
    import xformers.ops as xops
except ImportError:
    fall_back()
__all__ = ["xops"]
""",
            """\
xops = None
try:
    import xformers.ops as xops
except ImportError:
    fall_back()
__all__ = ["xops"]
""",
        ),
        (
            """\
def f():
    import xformers.ops
    from xformers.ops import LowerTriangularMask
    return LowerTriangularMask()
""",
            """\
def f():
    from _attention_compat import LowerTriangularMask
    return LowerTriangularMask()
""",
        ),
        (
            """\
from .utils import is_xformers_installed
if is_xformers_installed():
    import xformers.ops
""",
            "",
        ),
        (
            """\
from .utils import is_xformers_installed
if is_xformers_installed():
    import xformers.ops
x = is_xformers_installed
""",
            """\
from .utils import is_xformers_installed
x = is_xformers_installed
""",
        ),
        (
            """\
from .utils import something
if something(xformers):
    import xformers.ops
""",
            """\
from .utils import something
if something(xformers):
    import xformers.ops
""",
        ),
    ],
)
def test_a_frame(old: str, new: str) -> None:
    assert left_of(old) == new.strip("\n")


TRIED = "try:\n    import xformers.ops{}\nexcept ImportError:\n    {}\n"


@pytest.mark.parametrize(
    "old",
    [
        TRIED.format("", "fall_back()"),
        TRIED.format(", json", "fall_back()"),
        TRIED.format("", "fall_back()") + 'else:\n    # why\n    register("a",\n        1)\n',
        TRIED.format("", "fall_back()") + "else: a(); b()\n",
        TRIED.format("", "fall_back()") + "finally:\n    done()\n",
        TRIED.format("", 'print("slow")') + "else:\n    painter.fast = True\n",
        TRIED.format("", "painter.slow = True"),
        "if FLAG:\n    import xformers.ops\nelse:\n    fall_back()\n",
        "xops = None\n" + TRIED.format(" as xops", "fall_back()"),
    ],
)
def test_a_frame_that_acts_on_others_stays_whole(old: str) -> None:
    """What else it does where xformers is missing, or on what is not the project's, it goes on doing."""
    assert left_of(old) == old.strip("\n")


def left_of(old: str) -> str:
    """What becomes of a frame between an import and a call that go to the helper."""
    result = rewrite_text(f"{HEAD}{old}{USE}", compat="_attention_compat")
    assert not result.failed, result.findings
    assert result.new.startswith(HEAD.rstrip().replace("xformers.ops", "_attention_compat"))
    assert result.new.endswith(USE)
    return result.new.removesuffix(USE).partition("\n")[2].strip("\n")
