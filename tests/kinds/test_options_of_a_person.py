"""A flag of xformers that carries what a person chose as well: the option keeps its say.

Only the part that asks whether xformers is installed becomes True.

`--disable-xformers`, an environment variable, a device: each project is run with the option and without, with xformers
and without it, and takes the path that it took with xformers.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import Case, check, table

OPTIONS = """\
import builtins
import types

OFF = getattr(builtins, "OFF", False)
args = types.SimpleNamespace(disable_xformers=OFF, xformers=not OFF)
"""
GUARD = """\
try:
    import xformers
    import xformers.ops

    XFORMERS_AVAILABLE = True
except ImportError:
    XFORMERS_AVAILABLE = False
"""
UNDER = GUARD.replace("\n", "\n    ").rstrip(" ")
FURTHER = UNDER.replace("\n", "\n    ").rstrip(" ")
TRIED = "    try:\n        import xformers.ops as xops\n    except ImportError:\n        pass\n"
FIRST = "    import xformers\n"
EITHER = GUARD.replace("ImportError", "(ImportError, AssertionError)")
HEAD = "from options import args\n\n"
SETS = {
    "an if above": f"{HEAD}if args.disable_xformers:\n    XFORMERS_AVAILABLE = False\nelse:\n    {UNDER}",
    "an if around": f"{HEAD}XFORMERS_AVAILABLE = False\nif not args.disable_xformers:\n    {UNDER}",
    "an if around that passes": f"{HEAD}XFORMERS_AVAILABLE = False\nif args.xformers:\n    "
    + UNDER.replace("    XFORMERS_AVAILABLE = False\n", "    pass\n"),
    "an if behind": f"{HEAD}{GUARD}if args.disable_xformers:\n    XFORMERS_AVAILABLE = False\n",
    "an assignment behind": f"{HEAD}{GUARD}XFORMERS_AVAILABLE = XFORMERS_AVAILABLE and args.xformers\n",
    "an assignment in place": f"{HEAD}{GUARD}XFORMERS_AVAILABLE &= args.xformers\n",
    "a raise": HEAD + GUARD.replace(FIRST, f"    if args.disable_xformers:\n        raise ImportError('off')\n{FIRST}"),
    "an assertion": HEAD + EITHER.replace(FIRST, f"    assert args.xformers\n{FIRST}"),
    "a look-up": f"from importlib.util import find_spec\n\n{HEAD}"
    "XFORMERS_AVAILABLE = find_spec('xformers') is not None and not args.disable_xformers\n",
    "a choice": f"from importlib.util import find_spec\n\n{HEAD}"
    "XFORMERS_AVAILABLE = False if args.disable_xformers else find_spec('xformers') is not None\n",
    "a loop": f"{HEAD}XFORMERS_AVAILABLE = False\nfor wanted in [args.xformers]:\n    if wanted:\n        "
    + FURTHER,
    "a function that sets it": f"{HEAD}{GUARD}\n\ndef choose():\n    global XFORMERS_AVAILABLE\n"
    "    if args.disable_xformers:\n        XFORMERS_AVAILABLE = False\n\n\nchoose()\n",
    "a with": f"import contextlib\n\n{HEAD}XFORMERS_AVAILABLE = False\nwith contextlib.suppress(ImportError):\n"
    "    if args.disable_xformers:\n        raise ImportError\n"
    "    import xformers.ops\n\n    XFORMERS_AVAILABLE = True\n",
    "a match": f"{HEAD}match args.disable_xformers:\n    case True:\n        XFORMERS_AVAILABLE = False\n    "
    "case _:\n        "
    + FURTHER,
    "a function of an option": f"{HEAD}\n\ndef available():\n    if args.disable_xformers:\n        return False\n"
    "    try:\n        import xformers\n\n        return True\n    except ImportError:\n        return False\n\n\n"
    "XFORMERS_AVAILABLE = available()\n",
}  # fmt: skip
USES = {
    "a mode": """\
if XFORMERS_AVAILABLE:
    import xformers.ops

    MODE = "fast"
else:
    MODE = "slow"


def attend(q, k, v):
    if MODE == "slow":
        return "slow"
    b, n, h, d = q.shape
    xformers.ops.memory_efficient_attention(q, k, v)
    return "fast"
""",
    "a function of its own": """\
if XFORMERS_AVAILABLE:
    from xformers.ops import memory_efficient_attention
else:

    def memory_efficient_attention(q, k, v):
        return None


def attend(q, k, v):
    b, n, h, d = q.shape
    return "slow" if memory_efficient_attention(q, k, v) is None else "fast"
""",
    "an arm": """\
def attend(q, k, v):
    if not XFORMERS_AVAILABLE:
        return "slow"
    import xformers.ops

    b, n, h, d = q.shape
    xformers.ops.memory_efficient_attention(q, k, v)
    return "fast"
""",
    "an error": """\
def attend(q, k, v):
    import xformers.ops

    if not XFORMERS_AVAILABLE:
        raise RuntimeError("slow")
    b, n, h, d = q.shape
    xformers.ops.memory_efficient_attention(q, k, v)
    return "fast"
""",
}
RUN = """\
import builtins, sys

for builtins.OFF in (False, True):
    for name in ("options", "flags", "net"):
        sys.modules.pop(name, None)
    import net

    try:
        print(net.attend(q, k, v))
    except RuntimeError as error:
        print(error)
"""
HIDDEN = RUN.replace('("options"', '("xformers", "xformers.ops", "options"').replace(
    "print(error)", "print(error)\n    sys.modules.pop('xformers', None)"
)


def option(name: str, files: dict[str, str]) -> Case:
    return Case(
        name=name,
        files={"options.py": OPTIONS, **files},
        run=RUN,
        present="fast\nslow",
        absent="fast\nslow",
        unless_said=r"^net.py:\d+:\d+: XF(40\d|2\d\d) ",
    )


CASES = [
    *(
        option(f"{how}, {what}", {"net.py": f"{sets}\n\n{use}"})
        for how, sets in SETS.items()
        for what, use in USES.items()
    ),
    *(
        option(
            f"{how}, {what}, in two files",
            {"flags.py": sets, "net.py": f"from flags import XFORMERS_AVAILABLE\n\n{use}"},
        )
        for how, sets in SETS.items()
        for what, use in USES.items()
    ),
    *(
        Case(
            name=f"a module as a flag, {name}{more}",
            files={
                "options.py": OPTIONS,
                "net.py": f"{HEAD}{sets}\n\ndef attend(q, k, v{more}):\n{shape}    if {asked}:\n        return 'slow'\n"
                f"    xops.memory_efficient_attention(q, k, v{given})\n    return 'fast'\n",
            },
            run=RUN,
            present="fast\nslow",
            said=(r"^net.py:\d+:\d+: XF401 ",),
        )
        for name, sets, asked in (
            ("None", f"xops = None\nif not args.disable_xformers:\n{TRIED}", "xops is None"),
            ("its truth", f"xops = None\nif not args.disable_xformers:\n{TRIED}", "not xops"),
            ("a variable", f"WANTED = args.xformers\nxops = None\nif WANTED:\n{TRIED}", "xops is None"),
            ("globals", "if not args.disable_xformers:\n    import xformers.ops as xops\n", "'xops' not in globals()"),
        )
        for more, given, shape in (("", "", "    b, n, h, d = q.shape\n"), (", bias=None", ", attn_bias=bias", ""))
        if name != "globals" or not more
    ),
    *(
        Case(
            name=f"a question that is none, {name}",
            files={"net.py": f"{sets}\n\n{USES['a mode'].replace('XFORMERS_AVAILABLE', asked)}"},
            run="import net\nprint(net.attend(q, k, v))",
            present="slow",
            absent="slow",
        )
        for name, sets, asked in (
            ("a lambda", "has_xformers = lambda: False\n", "has_xformers()"),
            (
                "a partial",
                "import functools\n\nhas_xformers = functools.partial(lambda on: on, False)\n",
                "has_xformers()",
            ),
            (
                "a method",
                "class A:\n    def has_xformers(self):\n        return False\n\n\na = A()\n",
                "a.has_xformers()",
            ),
            (
                "decorated",
                "def never(function):\n    return lambda: False\n\n\n@never\ndef is_xformers_available():\n"
                "    import xformers\n\n    return True\n",
                "is_xformers_available()",
            ),
            (
                "defined again",
                "def is_xformers_available():\n    import xformers\n\n    return True\n\n\n"
                "is_xformers_available = bool\n",
                "is_xformers_available()",
            ),
            (
                "for something else, too",
                "from importlib.util import find_spec\n\n\ndef is_xformers_available():\n"
                "    return find_spec('xformers') is not None and find_spec('no_such_thing') is not None\n",
                "is_xformers_available()",
            ),
            (
                "by another import, too",
                "def is_xformers_available():\n    try:\n        import xformers\n        import no_such_thing\n\n"
                "        return True\n    except ImportError:\n        return False\n",
                "is_xformers_available()",
            ),
            (
                "for another package",
                "from importlib.util import find_spec\n\n"
                "XFORMERS_TRITON_AVAILABLE = find_spec('no_such_thing') is not None\n",
                "XFORMERS_TRITON_AVAILABLE",
            ),
        )
    ),
    *(
        Case(
            name=f"hidden, {name}",
            files={
                "options.py": OPTIONS,
                "net.py": f"import sys\nfrom unittest import mock\n\n{HEAD}if args.disable_xformers:\n    {hides}\n"
                f"{GUARD}\n\n{USES['an arm']}",
            },
            run=HIDDEN,
            present="fast\nslow",
            said=(r"^net.py:\d+:\d+: XF401 ", r"^net.py:\d+:\d+: XF409 "),
        )
        for name, hides in (
            ("by a store", "sys.modules['xformers'] = None"),
            ("by a default", "sys.modules.setdefault('xformers', None)"),
            ("by an update", "sys.modules.update({'xformers': None})"),
            ("by a patch", "mock.patch.dict(sys.modules, {'xformers': None}).start()"),
            ("by a patch of a name", "mock.patch.dict('sys.modules', {'xformers': None}).start()"),
        )
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_options_of_a_person(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
