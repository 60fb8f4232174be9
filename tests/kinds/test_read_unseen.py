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

SPIED = """\
try:
    import xformers.ops as xops

    FAST = True
except ImportError:
    FAST = False


def attend(q, k, v):
    assert FAST, "off"
    b, n, h, d = q.shape
    return tuple(xops.memory_efficient_attention(q, k, v).shape)
"""


def spied(name: str, other: str, **files: str) -> Case:
    """A flag that a test lowers from outside, in `other`: then the project says that its fast path is off."""
    return Case(
        name=f"a flag lowered from outside, {name}",
        files={"net.py": SPIED, "other.py": other, **{f"{file}.py": text for file, text in files.items()}},
        run="import net\nimport other\nprint(net.attend(q, k, v))",
        present="AssertionError: off",
        absent="AssertionError: off",
        free=True,
    )


SPIES = [
    spied("by setattr", "import net\n\nsetattr(net, 'FAST', False)\n"),
    spied("by setattr of sys.modules", "import sys\n\nsetattr(sys.modules['net'], 'FAST', False)\n"),
    spied("by sys.modules", "import sys\n\nsys.modules['net'].FAST = False\n"),
    spied("by a variable", "import sys\n\nhere = sys.modules['net']\nhere.FAST = False\n"),
    spied("by import_module", "import importlib\n\nhere = importlib.import_module('net')\nhere.FAST = 0\n"),
    spied("by the dictionary", "import net\n\nnet.__dict__['FAST'] = False\n"),
    spied("by an update of the dictionary", "import net\n\nvars(net).update(FAST=False)\n"),
    spied("by the globals of a function", "from net import attend\n\nattend.__globals__['FAST'] = False\n"),
    spied("in a loop", "import net\n\nfor name in ('FAST', 'other'):\n    setattr(net, name, False)\n"),
    spied(
        "by a function that is given the module",
        "import net\n\n\ndef lower(module):\n    module.FAST = False\n\n\nlower(net)\n",
    ),
    spied(
        "by a fixture",
        "import spies\n\n\ndef lower(module, patch):\n    patch.setattr(module, 'FAST', False)\n\n\n"
        "lower(spies.net(), spies.Patch())\n",
        spies="def net():\n    import net as found\n\n    return found\n\n\nclass Patch:\n"
        "    def setattr(self, *given):\n        setattr(*given)\n",
    ),
    spied(
        "by keywords",
        "import net\n\n\ndef lower(target, name, value):\n    setattr(target, name, value)\n\n\n"
        "lower(target=net, name='FAST', value=False)\n",
    ),
    spied(
        "by patch.dict",
        "from unittest import mock\n\nimport net\n\nmock.patch.dict(net.__dict__, {'FAST': False}).start()\n",
    ),
    spied(
        "by patch.dict and a keyword",
        "from unittest import mock\n\nmock.patch.dict('net.__dict__', FAST=False).start()\n",
    ),
    spied("by patch.multiple", "from unittest import mock\n\nmock.patch.multiple('net', FAST=False).start()\n"),
    spied(
        "by del",
        "import sys\n\nsys.modules['net'].FAST = 1\ndel sys.modules['net'].FAST\nsys.modules['net'].FAST = 0\n",
    ),
]


def found(name: str, head: str, asked: str, *, there: str = "ModuleSpec", gone: str = "") -> Case:
    """A look-up whose result is an object: it stays one, with a finding, unless only its truth is asked."""
    return Case(
        name=f"a spec, {name}",
        files={"net.py": f"from importlib.util import find_spec\n\n{head}\n\n{USE}"},
        run=f"import net\nprint(type({asked}).__name__)\n",
        present=there,
        absent=gone or None,
        said=() if gone else (r"^net.py:\d+:\d+: XF40[13] ",),
    )


SPECS = [
    found(
        "by a walrus that a function returns",
        f"if (spec := find_spec('xformers')):\n    {XOPS.splitlines()[1]}\n\n\ndef show():\n    return spec\n",
        "net.show()",
    ),
    found("in a public variable", f"{XOPS}\nxformers_spec = find_spec('xformers')\n", "net.xformers_spec"),
    found(
        "that a public function returns",
        f"{XOPS}\n\ndef look_up():\n    return find_spec('xformers')\n",
        "net.look_up()",
    ),
    found(
        "that a function returns which is called like a question",
        f"{XOPS}\n\ndef has_xformers():\n    return find_spec('xformers') is not None\n",
        "net.has_xformers()",
        there="bool",
        gone="bool",
    ),
    found(
        "in a private variable that is asked",
        f"{XOPS}\n_spec = find_spec('xformers')\n\n\ndef fast():\n    return 'fast' if _spec else 'slow'\n",
        "net.fast()",
        there="str",
        gone="str",
    ),
    found(
        "in a list",
        f"{XOPS}\n_specs = [find_spec('xformers')]\n\n\ndef first():\n    return _specs[0]\n",
        "net.first()",
    ),
    found(
        "in an attribute",
        f"{XOPS}\n\nclass A:\n    spec = find_spec('xformers')\n",
        "net.A.spec",
    ),
    found(
        "by `or`",
        f"{XOPS}\nspec = find_spec('xformers') or find_spec('torch')\n",
        "net.spec",
    ),
    found(
        "by `and`",
        f"{XOPS}\nspec = find_spec('torch') and find_spec('xformers')\n",
        "net.spec",
    ),
    found(
        "as a default",
        f"{XOPS}\n\ndef show(spec=find_spec('xformers')):\n    return spec\n",
        "net.show()",
    ),
    found("printed by a lambda", f"{XOPS}\nshow = lambda: find_spec('xformers')\n", "net.show()"),
    found("in a choice", f"{XOPS}\nspec = find_spec('xformers') if find_spec('torch') else None\n", "net.spec"),
]
CASES = [*RELEASES, *BY_NAME, *SPIES, *SPECS]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_read_unseen(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
