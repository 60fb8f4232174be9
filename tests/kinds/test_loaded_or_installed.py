"""`sys.modules` says what this process has loaded, not what is installed.

After the rewrite nothing of the project loads xformers: a check that nothing did must pass, and a stand-in that is put
there for another library must still be put there. Only where the question is how an import went, it is about the path.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import NET, SHAPE, Case, check, table


def clean(name: str, body: str, *, head: str = "import sys\n", printed: str = "clean", **files: str) -> Case:
    """`check()` of an exporter says that xformers was not loaded, on xformers and without it, before and after."""
    return Case(
        name=name,
        files={
            "net.py": NET,
            "export.py": f"{head}\n\ndef check():\n{body}",
            **{f"{n}.py": t for n, t in files.items()},
        },
        run="import export\nprint(export.check())",
        present=printed,
        before=printed,
        absent=printed,
    )


IN = "xformers.ops.memory_efficient_attention(q, k, v)"
PUT = """\
import sys
import types


def put_in():
    {question}
        return
    root, ops = types.ModuleType("xformers"), types.ModuleType("xformers.ops")
    ops.memory_efficient_attention = lambda q, k, v, attn_bias=None: "stand-in"
    root.ops = ops
    sys.modules["xformers"], sys.modules["xformers.ops"] = root, ops
"""


def stand_in(name: str, text: str) -> Case:
    """A stand-in for another library where xformers was not loaded: it is made as before."""
    return Case(
        name=name,
        files={"net.py": NET, "stand_in.py": text},
        libraries={"painter.py": f"import xformers.ops\n\n\ndef paint(q, k, v):\n    return {IN}\n"},
        run="import stand_in\nstand_in.put_in()\nimport painter\nprint(painter.paint(q, k, v))",
        before="stand-in",
        absent="stand-in",
        present="stand-in",
    )


def path(name: str, text: str) -> Case:
    """Here the question is how the import went: the path that ran must run."""
    return Case(
        name=name,
        files={"net.py": text},
        run="import net\nprint(net.attend(q, k, v))",
        present=f"('fast', {SHAPE})",
        absent=f"('fast', {SHAPE})",
        may_stay="net.py",
    )


USE = """

def attend(q, k, v):
    b, n, h, d = q.shape
    return ("fast", tuple(xformers.ops.memory_efficient_attention(q, k, v).shape)) if FAST else "slow"
"""
CASES = [
    clean("an assertion", '    assert "xformers" not in sys.modules, "loaded"\n    return "clean"\n'),
    clean(
        "a condition", '    if "xformers" in sys.modules:\n        raise RuntimeError("loaded")\n    return "clean"\n'
    ),
    clean("the negation", '    return "clean" if not ("xformers" in sys.modules) else "loaded"\n'),
    clean("a submodule", '    return "loaded" if "xformers.ops" in sys.modules else "clean"\n'),
    clean(
        "any name that starts so",
        '    return "loaded" if any(m.split(".")[0] == "xformers" for m in sys.modules) else "clean"\n',
    ),
    clean("the keys", '    return "loaded" if "xformers" in sys.modules.keys() else "clean"\n'),
    clean("get", '    return "loaded" if sys.modules.get("xformers") is not None else "clean"\n'),
    clean(
        "modules by name",
        '    return "loaded" if "xformers" in modules else "clean"\n',
        head="from sys import modules\n",
    ),
    clean(
        "sys as another",
        '    return "loaded" if "xformers" in system.modules else "clean"\n',
        head="import sys as system\n",
    ),
    clean("a set", '    return sorted({"xformers", "sys"} & set(sys.modules))\n', printed="['sys']"),
    clean(
        "a loop over names",
        '    return [name for name in ("sys", "xformers") if name in sys.modules]\n',
        printed="['sys']",
    ),
    clean(
        "a constant holds the name",
        '    return "loaded" if NAME in sys.modules else "clean"\n',
        head='import sys\n\nNAME = "xformers"\n',
    ),
    clean(
        "a flag of another file",
        '    return "loaded" if LOADED else "clean"\n',
        head="from state import LOADED\n",
        state='import sys\n\nLOADED = "xformers" in sys.modules\n',
    ),
    clean(
        "a function of another file",
        '    return "loaded" if is_xformers_loaded() else "clean"\n',
        head="from state import is_xformers_loaded\n",
        state='import sys\n\n\ndef is_xformers_loaded():\n    return "xformers" in sys.modules\n',
    ),
    stand_in("a stand-in, early return", PUT.format(question='if "xformers" in sys.modules:')),
    stand_in("a stand-in, asked by get", PUT.format(question='if sys.modules.get("xformers"):')),
    stand_in(
        "a stand-in, by setdefault",
        "import sys\nimport types\n\n\ndef put_in():\n    ops = types.ModuleType('xformers.ops')\n"
        "    ops.memory_efficient_attention = lambda q, k, v: 'stand-in'\n"
        "    if 'xformers.ops' not in sys.modules:\n"
        "        root = sys.modules.setdefault('xformers', types.ModuleType('xformers'))\n        root.ops = ops\n"
        "        sys.modules['xformers.ops'] = ops\n",
    ),
    Case(
        name="xformers is switched off for another library",
        files={
            "net.py": NET,
            "off.py": "import sys\n\n\ndef off():\n    if 'xformers' not in sys.modules:\n"
            "        sys.modules['xformers'] = None\n",
        },
        libraries={
            "painter.py": "try:\n    import xformers  # noqa\n\n    KIND = 'xformers'\nexcept ImportError:\n"
            "    KIND = 'eager'\n"
        },
        run="import off\noff.off()\nimport painter\nprint(painter.KIND)",
        present="eager",
        before="eager",
        absent="eager",
    ),
    path(
        "how the import went",
        "import sys\n\ntry:\n    import xformers.ops\nexcept ImportError:\n    pass\n"
        'FAST = "xformers" in sys.modules\n' + USE,
    ),
    path(
        "how the import went, of the submodule",
        "import contextlib\nimport sys\n\nwith contextlib.suppress(ImportError):\n    import xformers\n"
        '    import xformers.ops\nFAST = sys.modules.get("xformers.ops") is not None\n' + USE,
    ),
]
LAUNCH = """\
import importlib.util
import subprocess
import sys


def is_installed(package):
    return importlib.util.find_spec(package) is not None


def run_pip(arguments):
    print(arguments)


def prepare(wanted=True, again=False):
"""
CASES += [
    Case(
        name=f"an installer, {name}",
        files={"net.py": NET, "launch.py": LAUNCH + body},
        run="import launch\nlaunch.prepare()",
        present="",
        before="install -U xformers==1",
        absent="install -U xformers==1",
        same=("launch.py",),
        said=(r"launch\.py:\d+:\d+: XF403 .*to install it",),
    )
    for name, body in {
        "alone": "    if not is_installed('xformers'):\n        run_pip('install -U xformers==1')\n",
        "with a wish": "    if (not is_installed('xformers') or again) and wanted:\n"
        "        run_pip('install -U xformers==1')\n",
        "in the other arm": "    if is_installed('xformers'):\n        return\n    else:\n"
        "        run_pip('install -U xformers==1')\n",
    }.items()
]
CASES += [
    path(
        "who is only told to install it",
        "import importlib.util\n\nFAST = True\nif importlib.util.find_spec('xformers') is None:\n"
        "    print('pip install xformers')\n    FAST = False\nelse:\n    import xformers.ops\n" + USE,
    )
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_loaded_or_installed(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
