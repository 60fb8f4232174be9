"""A handler that gives up, or only says so, goes with its try; one that does something for others stays.

A stand-in made for another library, an error raised on purpose before a later import, a note in a table that somebody
reads: where xformers is missing, these ran before the rewrite, and they are not about the migrated call.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import NET, SHAPE, Case, check, table

LIBRARIES = {
    "painter.py": "import xformers.ops\n\n\ndef paint(q, k, v):\n"
    "    return xformers.ops.memory_efficient_attention(q, k, v)\n",
    "brush.py": "kind = 'xformers'\n\n\ndef use_eager():\n    global kind\n    kind = 'eager'\n",
    "later.py": "import os\n\nKIND = os.environ.get('BRUSH_KIND', 'xformers')\n",
}
PUT = """\
    import sys
    import types

    root, ops = types.ModuleType("xformers"), types.ModuleType("xformers.ops")
    ops.memory_efficient_attention = lambda q, k, v, **more: "stand-in"
    root.ops = ops
    sys.modules.update({"xformers": root, "xformers.ops": ops})
"""
PAINT = "import setup_it, painter\ns = painter.paint(q, k, v)\nprint(s if isinstance(s, str) else tuple(s.shape))"
KIND = "import setup_it, brush\nprint(brush.kind)"


def other(name: str, text: str, run: str, present: str, missing: str) -> Case:
    """`setup_it.py` does something for another library where xformers is missing: as before."""
    return Case(
        name=name,
        files={"net.py": NET, "setup_it.py": text},
        libraries=LIBRARIES,
        run=run,
        present=present,
        before=missing,
        absent=missing,
    )


def needed(name: str, text: str, printed: str = "ImportError: install it", present: str | None = None) -> Case:
    """`verify()` raises on purpose where what stays with xformers is missing: as before, the file to the byte."""
    return Case(
        name=name,
        files={"net.py": NET, "ck.py": text},
        run="import ck\nck.verify()\nprint('passed')",
        before=printed,
        absent=printed,
        present=present,
        same=("ck.py",),
        said=(r"^ck\.py:\d+:\d+: XF4",),
    )


def gives_up(name: str, handler: str, head: str = "") -> Case:
    """The handler only gives up: the migrated call does without it."""
    text = f"{head}try:\n    import xformers.ops as xops\nexcept ImportError:\n{handler}\n\ndef attend(q, k, v):\n"
    return Case(
        name=name,
        files={"net.py": text + "    b, n, h, d = q.shape\n    return xops.memory_efficient_attention(q, k, v)\n"},
        run="import net\nprint(tuple(net.attend(q, k, v).shape))",
        present=SHAPE,
        absent=SHAPE,
        free=True,
    )


def also(name: str, text: str, printed: str) -> Case:
    """The frame does more than import: what it does is done in either surroundings, as it was with xformers."""
    return Case(
        name=name,
        files={"net.py": text},
        run="import net\nprint(net.attend(q, k, v), net.DONE)",
        present=printed,
        absent=printed,
        may_stay="net.py",
    )


RUN_IT = "\n\ndef run(x):\n    from xformers.{module} import {name}\n\n    return {name}(abs, x)\n"
ATTEND = """
def attend(q, k, v):
    b, n, h, d = q.shape
    return tuple(xops.memory_efficient_attention(q, k, v).shape)
"""
CASES = [
    other("a stand-in", f"try:\n    import xformers.ops\nexcept ImportError:\n{PUT}", PAINT, SHAPE, "stand-in"),
    other(
        "a stand-in, made by a function",
        f"def put_in():\n{PUT}\n\ntry:\n    import xformers.ops  # noqa: F401\nexcept ImportError:\n    put_in()\n",
        PAINT,
        SHAPE,
        "stand-in",
    ),
    other(
        "a stand-in, where find_spec finds nothing",
        f"import importlib.util\n\nif importlib.util.find_spec('xformers') is None:\n{PUT}",
        PAINT,
        SHAPE,
        "stand-in",
    ),
    other(
        "a stand-in from a file of its own",
        "try:\n    import xformers\nexcept ModuleNotFoundError:\n    import sys\n    import types\n\n"
        "    root = sys.modules['xformers'] = types.ModuleType('xformers')\n"
        "    root.ops = types.ModuleType('xformers.ops')\n"
        "    sys.modules['xformers.ops'] = root.ops\n"
        "    root.ops.memory_efficient_attention = lambda q, k, v: 'stand-in'\n",
        PAINT,
        SHAPE,
        "stand-in",
    ),
    other(
        "another library is told",
        "import brush\n\ntry:\n    import xformers\nexcept ImportError:\n    brush.use_eager()\n",
        KIND,
        "xformers",
        "eager",
    ),
    other(
        "an attribute of another library",
        "import brush\n\ntry:\n    import xformers\nexcept ImportError:\n"
        "    print('slower', end=' ')\n    brush.kind = 'eager'\n",
        KIND,
        "xformers",
        "slower eager",
    ),
    other(
        "another library is told, in a function",
        "import brush\n\n\ndef choose():\n    try:\n        import xformers  # noqa: F401\n"
        "    except ImportError:\n"
        "        brush.use_eager()\n        return\n\n\nchoose()\n",
        KIND,
        "xformers",
        "eager",
    ),
    other(
        "an environment variable that another library reads",
        "import os\n\ntry:\n    import xformers\nexcept ImportError:\n    os.environ['BRUSH_KIND'] = 'eager'\n",
        "import os\nos.environ.pop('BRUSH_KIND', None)\nimport setup_it, later\nprint(later.KIND)\n"
        "os.environ.pop('BRUSH_KIND', None)",
        "xformers",
        "eager",
    ),
    needed(
        "an error before a later import",
        "def verify():\n    try:\n        from xformers.sparse import SparseCSRTensor  # noqa: F401\n"
        "    except ImportError:\n"
        '        raise ImportError("install it")\n' + RUN_IT.format(module="sparse", name="SparseCSRTensor"),
    ),
    needed(
        "an error before a later import, of the package",
        "def verify():\n    try:\n        import xformers  # noqa: F401\n    except ImportError as error:\n"
        '        raise ImportError("install it") from error\n' + RUN_IT.format(module="sparse", name="SparseCSRTensor"),
        present="passed",
    ),
    needed(
        "an error where find_spec finds nothing",
        "import importlib.util\n\n\ndef verify():\n    if importlib.util.find_spec('xformers') is None:\n"
        '        raise ImportError("install it")\n' + RUN_IT.format(module="sparse", name="SparseCSRTensor"),
        present="passed",
    ),
    needed(
        "an exit before a later import",
        "import sys\n\n\ndef verify():\n    try:\n        import xformers  # noqa: F401\n    except ImportError:\n"
        '        sys.exit("install it")\n' + RUN_IT.format(module="sparse", name="SparseCSRTensor"),
        printed="SystemExit: install it",
        present="passed",
    ),
    needed(
        "an assertion before a later import",
        "def available():\n    try:\n        import xformers  # noqa: F401\n    except ImportError:\n"
        "        return False\n    return True\n\n\n"
        'def verify():\n    assert available(), "install it"\n'
        + RUN_IT.format(module="sparse", name="SparseCSRTensor"),
        printed="AssertionError: install it",
        present="passed",
    ),
    gives_up("passes", "    pass\n"),
    gives_up("says so", "    print('xformers is missing')\n"),
    gives_up("logs a warning", "    logging.warning('no xformers')\n", "import logging\n\n"),
    gives_up("raises", "    raise ImportError('pip install xformers')\n"),
    gives_up("exits", "    sys.exit('pip install xformers')\n", "import sys\n\n"),
    also(
        "a finally that does something",
        "DONE = []\ntry:\n    import xformers.ops as xops\nexcept ImportError:\n    xops = None\n"
        "finally:\n    DONE.append('tried')\n\n" + ATTEND,
        f"{SHAPE} ['tried']",
    ),
    also(
        "an else that does something",
        "DONE = []\ntry:\n    import xformers.ops as xops\nexcept ImportError:\n    xops = None\n"
        "else:\n    DONE.append('fast')\n\n" + ATTEND,
        f"{SHAPE} ['fast']",
    ),
    also(
        "a handler for what else stands in the try",
        "DONE = []\ntry:\n    import xformers.ops as xops\n\n    DONE.append(int('x'))\n"
        "except ImportError:\n    xops = None\n"
        "except ValueError:\n    DONE.append('no number')\n\n" + ATTEND,
        f"{SHAPE} ['no number']",
    ),
    also(
        "a handler for a library that is missing as well",
        "DONE = []\ntry:\n    import xformers.ops as xops\n    import no_such_library\n"
        "except ImportError:\n    DONE.append('no library')\n\n" + ATTEND,
        f"{SHAPE} ['no library']",
    ),
    also(
        "a handler for another error of the import",
        "DONE = []\ntry:\n    import xformers.ops as xops\nexcept ImportError:\n    xops = None\n"
        "except OSError as error:\n"
        "    DONE.append(str(error))\n\n" + ATTEND,
        f"{SHAPE} []",
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_handlers_that_do_something(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
