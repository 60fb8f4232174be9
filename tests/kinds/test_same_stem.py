"""Two files of one name are two files: what one says of a flag, a function or a guard is not said by the other.

Last components of module names repeat in every larger project: `utils`, `env`, `ops`, `attention`. So do names of
functions, and xformers itself may be the name of a file of the project.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import NET, SHAPE, Case, check, table

FLAG = "try:\n    import xformers\n\n    FAST = True\nexcept ImportError:\n    FAST = False\n"
FOUND = "from importlib.util import find_spec\n\n\ndef is_available():\n    return find_spec('xformers') is not None\n"
OFF = "FAST = False\n"
NEVER = "def is_available():\n    return False\n"
READ = (
    "from {place} import {name}\n\n\ndef attend(q, k, v):\n    if {question}:\n"
    "        import xformers.ops as xops\n\n        b, n, h, d = q.shape\n"
    "        return 'fast', tuple(xops.memory_efficient_attention(q, k, v).shape)\n"
    "    return 'slow'\n"
)
FAST = f"('fast', {SHAPE})"


def read(place: str, name: str = "FAST", question: str | None = None) -> str:
    return READ.format(place=place, name=name, question=question or name)


def project(name: str, files: dict[str, str], run: str, printed: str, **more: object) -> Case:
    packages = {f"{folder}/__init__.py": "" for folder in more.pop("packages", ())}  # type: ignore[attr-defined]
    return Case(name=name, files={**packages, **files}, run=run, present=printed, absent=printed, **more)  # type: ignore[arg-type]


A_AND_B = "import {a}, {b}\nprint({a}.attend(q, k, v), {b}.attend(q, k, v))"
CASES = [
    project(
        "a flag in one of two packages, imported relatively",
        {"one/env.py": FLAG, "two/env.py": OFF, "one/net.py": read(".env"), "two/net.py": read(".env")},
        A_AND_B.format(a="one.net", b="two.net"),
        f"{FAST} slow",
        packages=("one", "two"),
        free=True,
    ),
    project(
        "a flag in one of two packages, imported absolutely",
        {"one/env.py": OFF, "two/env.py": FLAG, "one/net.py": read("one.env"), "two/net.py": read("two.env")},
        A_AND_B.format(a="one.net", b="two.net"),
        f"slow {FAST}",
        packages=("one", "two"),
        free=True,
    ),
    project(
        "a function in one of two packages",
        {
            "one/utils.py": FOUND,
            "two/utils.py": NEVER,
            "one/net.py": read(".utils", "is_available", "is_available()"),
            "two/net.py": read(".utils", "is_available", "is_available()"),
        },
        A_AND_B.format(a="one.net", b="two.net"),
        f"{FAST} slow",
        packages=("one", "two"),
        free=True,
    ),
    project(
        "a script beside a package",
        {"env.py": FLAG, "pk/env.py": OFF, "net.py": read("env"), "pk/net.py": read("pk.env")},
        "import net, pk.net\nprint(net.attend(q, k, v), pk.net.attend(q, k, v))",
        f"{FAST} slow",
        packages=("pk",),
        free=True,
    ),
    project(
        "a script beside a package, the other way round",
        {"env.py": OFF, "pk/env.py": FLAG, "net.py": read("env"), "pk/net.py": read(".env")},
        "import net, pk.net\nprint(net.attend(q, k, v), pk.net.attend(q, k, v))",
        f"slow {FAST}",
        packages=("pk",),
        free=True,
    ),
    project(
        "one level up and two levels up",
        {"pk/env.py": FLAG, "pk/sub/env.py": OFF, "pk/sub/near.py": read(".env"), "pk/sub/far.py": read("..env")},
        "import pk.sub.near, pk.sub.far\nprint(pk.sub.far.attend(q, k, v), pk.sub.near.attend(q, k, v))",
        f"{FAST} slow",
        packages=("pk", "pk/sub"),
        free=True,
    ),
    project(
        "a package and a file in another package",
        {
            "pk/__init__.py": "",
            "pk/env/__init__.py": FLAG,
            "pk/old/__init__.py": "",
            "pk/old/env.py": OFF,
            "pk/net.py": read("pk.env"),
            "pk/old/net.py": read(".env"),
        },
        "import pk.net, pk.old.net\nprint(pk.net.attend(q, k, v), pk.old.net.attend(q, k, v))",
        f"{FAST} slow",
        free=True,
    ),
    project(
        "a third-party module of that name",
        {
            "import_utils.py": FOUND,
            "net.py": NET,
            "make.py": "from painter.import_utils import is_available\n\n\ndef make():\n"
            "    return 'xformers' if is_available() else 'eager'\n",
        },
        "import make\nprint(make.make())",
        "eager",
        libraries={"painter/__init__.py": "", "painter/import_utils.py": "def is_available():\n    return False\n"},
        same=("make.py",),
    ),
    project(
        "an unrelated file hides a guard",
        {
            "pk/checks.py": FLAG,
            "tools/checks.py": "def run():\n    return 1\n\n\nFAST = None\n",
            "pk/net.py": read("pk.checks"),
            "tools/main.py": "from tools.checks import run\n\nprint(run(), end=' ')\n",
        },
        "import tools.main, pk.net\nprint(pk.net.attend(q, k, v))",
        f"1 {FAST}",
        packages=("pk", "tools"),
        free=True,
    ),
    project(
        "an unrelated file hides a wrapped question",
        {
            "pk/utils.py": FOUND,
            "pk/a/utils.py": "from pk.utils import is_available\n",
            "pk/b/utils.py": "is_available = len\n",
            "pk/net.py": read("pk.a.utils", "is_available", "is_available()"),
        },
        "import pk.net\nprint(pk.net.attend(q, k, v))",
        FAST,
        packages=("pk", "pk/a", "pk/b"),
        free=True,
    ),
    project(
        "a file of the project that is called xformers",
        {
            "pk/xformers.py": "def attention(q, k, v):\n    return 'own'\n",
            "pk/use.py": "from .xformers import attention\n\n\ndef attend(q, k, v):\n    return attention(q, k, v)\n",
            "net.py": NET,
        },
        "import pk.use\nprint(pk.use.attend(q, k, v))",
        "own",
        packages=("pk",),
        same=("pk/xformers.py", "pk/use.py"),
    ),
    project(
        "a file of the project that is called xformers, as a name",
        {
            "pk/xformers.py": "class ops:\n    @staticmethod\n    def memory_efficient_attention(q, k, v):\n"
            "        return 'own'\n",
            "pk/use.py": "from pk import xformers\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
            "    return xformers.ops.memory_efficient_attention(q, k, v)\n",
            "net.py": NET,
        },
        "import pk.use\nprint(pk.use.attend(q, k, v))",
        "own",
        packages=("pk",),
        same=("pk/xformers.py", "pk/use.py"),
    ),
    project(
        "a file of the project that is called ops",
        {
            "pk/ops.py": "def memory_efficient_attention(q, k, v):\n    return 'own'\n",
            "pk/use.py": "from . import ops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
            "    return ops.memory_efficient_attention(q, k, v)\n",
            "pk/net.py": "from xformers import ops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
            "    return tuple(ops.memory_efficient_attention(q, k, v).shape)\n",
        },
        "import pk.use, pk.net\nprint(pk.use.attend(q, k, v), pk.net.attend(q, k, v))",
        f"own {SHAPE}",
        packages=("pk",),
        same=("pk/ops.py", "pk/use.py"),
        free=True,
    ),
    project(
        "two wrappers of one name",
        {
            "one/attention.py": "def attention(q, k, v):\n    import xformers.ops as xops\n\n    b, n, h, d = q.shape\n"
            "    return tuple(xops.memory_efficient_attention(q, k, v).shape)\n",
            "two/attention.py": "def attention(q, k, v):\n    return 'own'\n",
            "main.py": "from one.attention import attention as a\nfrom two.attention import attention as b\n\n\n"
            "def attend(q, k, v):\n    return a(q, k, v), b(q, k, v)\n",
        },
        "import main\nprint(main.attend(q, k, v))",
        f"({SHAPE}, 'own')",
        packages=("one", "two"),
        same=("main.py", "two/attention.py"),
        free=True,
    ),
    project(
        "two flags of one name, one read by another library",
        {
            "one/env.py": FLAG,
            "two/env.py": FLAG,
            "one/net.py": read(".env"),
            "two/make.py": "import painter\n\nfrom two.env import FAST\n\n\ndef make():\n"
            "    return painter.start(xformers=FAST)\n",
        },
        "import one.net\nprint(one.net.attend(q, k, v))",
        FAST,
        packages=("one", "two"),
        libraries={"painter.py": "def start(xformers):\n    return xformers\n"},
        same=("two/env.py",),
    ),
    project(
        "two flags of one name, one guards what stays",
        {
            "one/env.py": FLAG,
            "two/env.py": FLAG,
            "one/net.py": read(".env"),
            "two/parts.py": "from two.env import FAST\n\nif FAST:\n"
            "    from xformers.components import MultiHeadDispatch as Heads\n\n    HEADS = Heads\n",
        },
        "import one.net\nprint(one.net.attend(q, k, v))",
        FAST,
        packages=("one", "two"),
        same=("two/env.py", "two/parts.py"),
    ),
    project(
        "a question that another library answers is not answered here",
        {
            "utils/import_utils.py": FOUND.replace("is_available", "is_xformers_available"),
            "net.py": NET,
            "use.py": "from utils.import_utils import is_xformers_available\n\nFAST = is_xformers_available()\n",
            "make.py": "from painter.import_utils import is_xformers_available\n\nFAST = is_xformers_available()\n",
        },
        "import use\nprint(use.FAST)",
        "True",
        packages=("utils",),
        same=("make.py",),
        said=(r"^make\.py:\d+:\d+: XF403 ",),
        unsaid=(r"^use\.py:\d+:\d+: XF403 ",),
    ),
    project(
        "a question that one of two files answers",
        {
            "pk/checks.py": FOUND.replace("is_available", "is_xformers_available"),
            "tools/checks.py": NET,
            "pk/net.py": read("pk.checks", "is_xformers_available", "is_xformers_available()"),
        },
        "import pk.net\nprint(pk.net.attend(q, k, v))",
        FAST,
        packages=("pk", "tools"),
        free=True,
        unsaid=("XF403", "still needs? xformers"),
    ),
    project(
        "a name that is taken from a file of another library",
        {
            "pk/shared.py": "import xformers.ops as xops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
            "    return tuple(xops.memory_efficient_attention(q, k, v).shape)\n",
            "pk/use.py": "from painter.shared import xops\n\nKIND = xops\n",
        },
        "import pk.shared, pk.use\nprint(pk.shared.attend(q, k, v), pk.use.KIND)",
        f"{SHAPE} own",
        packages=("pk",),
        libraries={"painter/__init__.py": "", "painter/shared.py": "xops = 'own'\n"},
        free=True,
    ),
    project(
        "an attribute that is read of another file",
        {
            "pk/shared.py": "import xformers.ops as xops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
            "    return tuple(xops.memory_efficient_attention(q, k, v).shape)\n",
            "tools/shared.py": "xops = 'own'\n",
            "tools/use.py": "from tools import shared\n\nKIND = shared.xops\n",
        },
        "import pk.shared, tools.use\nprint(pk.shared.attend(q, k, v), tools.use.KIND)",
        f"{SHAPE} own",
        packages=("pk", "tools"),
        free=True,
    ),
    project(
        "an own operator under the name that another file hands on",
        {
            "one/shared.py": "class xops:\n    @staticmethod\n    def memory_efficient_attention(q, k, v):\n"
            "        return 'own'\n",
            "two/shared.py": "import xformers.ops as xops\n\n__all__ = ['xops']\n",
            "one/net.py": "from one.shared import xops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
            "    return xops.memory_efficient_attention(q, k, v)\n",
            "two/net.py": "from two.shared import xops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
            "    return tuple(xops.memory_efficient_attention(q, k, v).shape)\n",
        },
        A_AND_B.format(a="one.net", b="two.net"),
        f"own {SHAPE}",
        packages=("one", "two"),
        same=("one/shared.py", "one/net.py"),
    ),
    project(
        "two files of one name, the second imports nothing",
        {
            "a/net.py": "from a.env import FAST\n\n\ndef attend(q, k, v):\n    import xformers.ops as xops\n\n"
            "    b, n, h, d = q.shape\n"
            "    return FAST, tuple(xops.memory_efficient_attention(q, k, v).shape)\n",
            "a/env.py": "from a.base import FAST\n",
            "a/base.py": FLAG,
            "z/env.py": "VALUE = 1\n",
            "z/net.py": "VALUE = 2\n",
        },
        "import a.net\nprint(a.net.attend(q, k, v))",
        f"(True, {SHAPE})",
        packages=("a", "z"),
        free=True,
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_same_stem(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
