"""What a plain search for readers does not see: names read by strings, by other programs, rebound by a star, spied on.

A variable that held the release of xformers, the spec that a look-up found, a flag that is looked up by its name: each
is run before and after, with xformers and without.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import NET, SHAPE, Case, check, table

USE = NET.partition("\n\n\n")[2]
"""The file's one call, without its import."""
XOPS = "import xformers\nimport xformers.ops as xops\n"
GUARD = """\
try:
    import xformers
    import xformers.ops as xops

    RELEASE = xformers.__version__
except ImportError:
    RELEASE = None
"""
ATTEND = "print(tuple(net.attend(q, k, v).shape))\n"


def release(name: str, body: str, run: str, there: str, *, gone: str = "", said: tuple[str, ...] = ()) -> Case:
    """A file that keeps the release of xformers: what is read of it by `run` goes on being there, or is named.

    Args:
        name: what the case is called.
        body: the file without its call.
        run: what reads the variable.
        there: what that prints with xformers.
        gone: what it prints once xformers is gone; nothing where xformers must stay, with a finding.
        said: patterns of the report.
    """
    return Case(
        name=name,
        files={"net.py": f"{body}\n\n{USE}"},
        run=f"import net\n{run}\n{ATTEND}",
        absent=f"{gone}\n{SHAPE}".strip() if gone else None,
        said=said or (() if gone else (r"^net.py:\d+:\d+: XF401 ",)),
        present=None if gone else f"{there}\n{SHAPE}",
    )


SAID = "print(net.RELEASE)"
RELEASES = [
    release("the release, with a value for none", GUARD, SAID, "0.0.35", gone="None"),
    release(
        "the release, with a text for none",
        GUARD.replace("= None", "= 'no xformers'"),
        SAID,
        "0.0.35",
        gone="no xformers",
    ),
    release(
        "the release, with a default above",
        f"RELEASE = ''\n{GUARD.replace('RELEASE = None', 'pass')}",
        "print(repr(net.RELEASE))",
        "'0.0.35'",
        gone="''",
    ),
    release(
        "the release, in a guard that does more",
        GUARD.replace("\nexcept", "\n    print('more')\n    import sys\n\n    sys.modules['more'] = sys\nexcept"),
        SAID,
        "more\n0.0.35",
        gone="None",
    ),
    release(
        "the release, looked up",
        "from importlib.metadata import PackageNotFoundError, version\n\nimport xformers.ops as xops\n\n"
        "try:\n    RELEASE = version('xformers')\nexcept PackageNotFoundError:\n    RELEASE = 'N/A'\n",
        SAID,
        "0.0.35",
        gone="N/A",
    ),
    release(
        "the release, with nothing for none",
        f"{XOPS}\nRELEASE = xformers.__version__\n",
        "print(hasattr(net, 'RELEASE'))",
        "True",
        gone="False",
        said=(r"^net.py:4:1: XF155 note +RELEASE, which held xformers' release, goes",),
    ),
    release("a private release", f"{XOPS}\n_RELEASE = xformers.__version__\n", "", "", gone=" "),
    release(
        "the release, in a class",
        f"{XOPS}\n\nclass Info:\n    release = xformers.__version__\n",
        "print(net.Info.release)",
        "0.0.35",
    ),
    release(
        "the release, listed",
        f"{XOPS}\n__all__ = ['attend', 'RELEASE']\nRELEASE = xformers.__version__\n",
        "from net import *\nprint(RELEASE)",
        "0.0.35",
    ),
    release(
        "the release, by its name",
        f"import sys\n\n{XOPS}\nRELEASE = xformers.__version__\n\n\ndef show():\n"
        "    return getattr(sys.modules[__name__], 'RELEASE')\n",
        "print(net.show())",
        "0.0.35",
    ),
    release(
        "the release, by its name in a dictionary",
        f"{XOPS}\n_RELEASE = xformers.__version__\n\n\ndef show():\n    return globals()['_RELEASE']\n",
        "print(net.show())",
        "0.0.35",
    ),
]

PRIVATE = """\
import sys

try:
    import xformers.ops as xops

    _HAVE_XFORMERS = True
except ImportError:
    _HAVE_XFORMERS = False


def fast():
    return {}
"""


def by_name(name: str, asked: str, **files: str) -> Case:
    """A private flag that is read by its name: it goes on saying that the fast path is there."""
    return Case(
        name=f"a flag, {name}",
        files={"net.py": f"{PRIVATE.format(asked)}\n\n{USE}", **{f"{file}.py": text for file, text in files.items()}},
        run=f"import net\nprint({'other' if files else 'net'}.fast())\n".replace("import net", "import net, other")
        if files
        else "import net\nprint(net.fast())\n",
        present="True",
        absent="True",
        free=True,
    )


BY_NAME = [
    by_name("in globals", "globals()['_HAVE_XFORMERS']"),
    by_name("by get of globals", "globals().get('_HAVE_XFORMERS')"),
    by_name("in the module's dictionary", "sys.modules[__name__].__dict__['_HAVE_XFORMERS']"),
    by_name("by get of the module's dictionary", "sys.modules[__name__].__dict__.get('_HAVE_XFORMERS')"),
    by_name("in vars", "vars(sys.modules[__name__])['_HAVE_XFORMERS']"),
    by_name("in vars without an argument", "FOUND['_HAVE_XFORMERS']\n\n\nFOUND = vars()"),
    by_name("in locals", "FOUND['_HAVE_XFORMERS']\n\n\nFOUND = dict(locals())"),
    by_name("by a name that is put together", "globals()['_HAVE_' + 'xformers'.upper()]"),
    by_name("by an f-string", "globals()[f'_HAVE_{sys.argv and \"XFORMERS\"}']"),
    by_name("by a variable", "[globals()[f'_HAVE_{n}'] for n in ('XFORMERS',)][0]"),
    by_name("by getattr and a name that is put together", "getattr(sys.modules[__name__], '_HAVE_' + 'XFORMERS')"),
    by_name("by eval", "eval('_HAVE_' + 'XFORMERS')"),
    by_name("among all", "[v for n, v in globals().items() if n.startswith('_HAVE')][0]"),
    by_name("among dir", "any(n == '_HAVE_XFORMERS' for n in dir(sys.modules[__name__]))"),
    by_name(
        "by operator", "OF(sys.modules[__name__])\n\n\nimport operator\n\nOF = operator.attrgetter('_HAVE_XFORMERS')"
    ),
    by_name("elsewhere", "1", other="import net\n\n\ndef fast():\n    return net.__dict__['_HAVE_XFORMERS']\n"),
    by_name(
        "elsewhere, computed",
        "1",
        other="import net\n\n\ndef fast():\n    return getattr(net, '_HAVE_' + 'XFORMERS')\n",
    ),
    by_name("elsewhere, vars", "1", other="import net\n\n\ndef fast():\n    return vars(net)['_HAVE_' + 'XFORMERS']\n"),
    by_name(
        "elsewhere, by sys.modules",
        "1",
        other="import sys\n\nimport net\n\n\ndef fast():\n    return sys.modules['net']._HAVE_XFORMERS\n",
    ),
    by_name(
        "elsewhere, by import_module",
        "1",
        other="import importlib\n\n\ndef fast():\n    return importlib.import_module('net')._HAVE_XFORMERS\n",
    ),
    by_name(
        "elsewhere, through a class",
        "1",
        other="import net\n\n\nclass Has:\n    where = net\n\n\ndef fast():\n    return Has.where._HAVE_XFORMERS\n",
    ),
]
CASES = [*RELEASES, *BY_NAME]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_read_unseen(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
