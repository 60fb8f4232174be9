"""The path that ran with xformers runs without it, also where the question goes through other functions and files.

A function of the project that looks up its argument, a second question in the same file, a class that refuses to be
made: with the call migrated, the answer to each is yes. Where it cannot be seen, the report names the question.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import SHAPE, Case, check, table

FAST = f"fast {SHAPE}"
RUN = "from pk import net\nprint(*net.attend(q, k, v))"
LOOK = {
    "find_spec": "import importlib.util\n\n\ndef {name}(name):\n"
    "    return importlib.util.find_spec(name) is not None\n",
    "bool of find_spec": "from importlib.util import find_spec\n\n\ndef {name}(package):\n"
    "    return bool(find_spec(package))\n",
    "import_module": "import importlib\n\n\ndef {name}(name):\n    try:\n        importlib.import_module(name)\n"
    "        return True\n"
    "    except Exception:\n        return False\n",
    "__import__": "def {name}(name):\n    try:\n        __import__(name)\n    except ImportError:\n"
    "        return False\n    return True\n",
    "the release": "from importlib.metadata import PackageNotFoundError, version\n\n\ndef {name}(name):\n"
    "    try:\n        version(name)\n"
    "    except PackageNotFoundError:\n        return False\n    return True\n",
    "cached": "import functools\nimport importlib.util\n\n\n@functools.lru_cache(maxsize=None)\ndef {name}(name):\n"
    "    spec = importlib.util.find_spec(name)\n    return spec is not None\n",
    "with a release": "import importlib.metadata\nimport importlib.util\n\n\n"
    "def {name}(name, with_release=False):\n"
    "    found = importlib.util.find_spec(name) is not None\n    release = 'none'\n    if found:\n        try:\n"
    "            release = importlib.metadata.version(name)\n"
    "        except importlib.metadata.PackageNotFoundError:\n"
    "            found = False\n    return (found, release) if with_release else found\n",
}
ATTEND = """

def attend(q, k, v):
    b, n, h, d = q.shape
    if {condition}:
        import xformers.ops as xops

        return "fast", tuple(xops.memory_efficient_attention(q, k, v).shape)
    return "slow", None
"""


def asked(
    name: str,
    condition: str,
    head: str = "",
    *,
    noted: bool = False,
    code: str = "XF403",
    local: bool = True,
    **files: str,
) -> Case:
    """`pk/net.py` asks in its own way; in `noted` cases the report may name the question instead."""
    pk = {f"pk/{name}.py": text for name, text in files.items()}
    attend = ATTEND.format(condition=condition)
    if not local:
        attend = attend.replace("        import xformers.ops as xops\n\n", "")
    return Case(
        name=name,
        files={"pk/__init__.py": "", **pk, "pk/net.py": head + attend},
        run=RUN,
        present=FAST,
        absent=FAST,
        free=not noted,
        unless_said=rf"^pk/\w+\.py:\d+:\d+: {code} " if noted else "",
    )


UTIL = LOOK["find_spec"].format(name="is_package_available")
ENV = UTIL + "\n\ndef is_xformers_available():\n    return is_package_available('xformers')\n"
OWN = """\
from pk.util import is_xformers_available


class Attention:
    def __init__(self):
        if not is_xformers_available():
            raise {error}("xformers is needed here")

    def forward(self, q, k, v):
        import xformers.ops as xops

        b, n, h, d = q.shape
        return xops.memory_efficient_attention(q, k, v)


def attend(q, k, v):
    return "fast", tuple(Attention().forward(q, k, v).shape)
"""


def refuses(name: str, text: str, **files: str) -> Case:
    pk = {f"pk/{name}.py": text for name, text in files.items()}
    return Case(
        name=name,
        files={"pk/__init__.py": "", "pk/util.py": ENV, **pk, "pk/net.py": text},
        run=RUN,
        present=FAST,
        absent=FAST,
        free=True,
        unsaid=("still needs? xformers",),
    )


CASES = [
    *(
        asked(
            f"through a function of another file: {how}",
            "detect.there('xformers')",
            "from . import detect\n",
            detect=text.format(name="there"),
        )
        for how, text in LOOK.items()
    ),
    asked(
        "through a function of the same file",
        "can_import('xformers')",
        LOOK["import_module"].format(name="can_import"),
    ),
    asked(
        "through two functions of another file",
        "is_xformers_available()",
        "from pk.util import is_xformers_available\n",
        util=ENV,
    ),
    asked(
        "through two functions of two files",
        "is_xformers_available()",
        "from pk.env import is_xformers_available\n",
        util=UTIL,
        env="from .util import is_package_available\n\n\ndef is_xformers_available():\n"
        "    return is_package_available('xformers')\n",
    ),
    asked(
        "a flag that such a function sets",
        "util.HAS_XFORMERS",
        "import pk.util as util\n",
        util=f"{UTIL}\n\nHAS_XFORMERS = is_package_available('xformers')\n",
    ),
    asked(
        "a flag and a release at once",
        "HAS_XFORMERS",
        "from pk.env import HAS_XFORMERS\n",
        util=LOOK["with a release"].format(name="look"),
        env="from .util import look\n\nHAS_XFORMERS, RELEASE = look('xformers', with_release=True)\n",
        noted=True,
    ),
    asked(
        "a method that looks",
        "Libraries().has('xformers')",
        "from .libraries import Libraries\n",
        libraries="import importlib.util\n\n\nclass Libraries:\n    def has(self, name):\n"
        "        return importlib.util.find_spec(name) is not None\n",
        noted=True,
    ),
    asked(
        "a table of libraries",
        "HAVE['xformers']",
        "from .have import HAVE\n",
        have="from importlib.util import find_spec\n\n"
        "HAVE = {n: find_spec(n) is not None for n in ('xformers', 'apex')}\n",
        noted=True,
    ),
    asked(
        "the first library that is there",
        "best() == 'xformers'",
        "from .have import best\n",
        have="from importlib.util import find_spec\n\n\ndef best():\n"
        "    for name in ('xformers', 'no_such_library'):\n"
        "        if find_spec(name):\n            return name\n    return 'plain'\n",
        noted=True,
    ),
    asked(
        "a module that a function loads, or None",
        "xops is not None",
        "from .load import load\n\nxops = load('xformers.ops')\n",
        load="import importlib\n\n\ndef load(name):\n    try:\n        return importlib.import_module(name)\n"
        "    except ImportError:\n        return None\n",
        noted=True,
        code="XF40[35]",
        local=False,
    ),
    asked(
        "a second question in a file whose first is handed on",
        "HAS and importlib.util.find_spec('xformers') is not None",
        "import importlib.util\n\ntry:\n    import xformers\n\n    HAS = True\nexcept ImportError:\n    HAS = False\n",
        user="from .net import HAS\n\nKIND = 'fast' if HAS else 'slow'\n",
    ),
    asked(
        "a second question, by the release",
        "is_available() and recent()",
        "import importlib.util\nfrom importlib.metadata import version\n\n\ndef is_available():\n"
        "    return importlib.util.find_spec('xformers') is not None\n\n\ndef recent():\n"
        "    return version('xformers') >= '0.0.16'\n",
        user="from .net import is_available\n\nKIND = 'fast' if is_available() else 'slow'\n",
    ),
    asked(
        "an option that a class switches off",
        "Options('xformers').kind == 'xformers'",
        "from pk.util import is_xformers_available\n\n\nclass Options:\n    def __init__(self, kind):\n"
        "        self.kind = kind if kind == 'xformers' and is_xformers_available() else 'plain'\n",
        util=ENV,
    ),
    asked(
        "through the package",
        "available('xformers')",
        "from pk.tools import available\n",
        tools="from pk.util import is_package_available as available\n",
        util=UTIL,
    ),
    refuses("a class that refuses, ImportError", OWN.format(error="ImportError")),
    refuses("a class that refuses, ModuleNotFoundError", OWN.format(error="ModuleNotFoundError")),
    refuses("a class that refuses, ValueError", OWN.format(error="ValueError")),
    refuses(
        "a class that asserts",
        OWN.replace(
            '        if not is_xformers_available():\n            raise {error}("xformers is needed here")\n',
            '        assert is_xformers_available(), "xformers is needed here"\n',
        ),
    ),
    refuses(
        "a class that asks what its base refuses",
        "from pk.base import Base\n\n\nclass Attention(Base):\n    def forward(self, q, k, v):\n"
        "        import xformers.ops as xops\n\n"
        "        b, n, h, d = q.shape\n        return xops.memory_efficient_attention(q, k, v)\n\n\n"
        "def attend(q, k, v):\n"
        "    return 'fast', tuple(Attention().forward(q, k, v).shape)\n",
        base="from pk.util import is_xformers_available\n\n\nclass Base:\n    def __init__(self):\n"
        "        if not is_xformers_available():\n            raise ValueError('xformers is needed here')\n",
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_slow_path(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
