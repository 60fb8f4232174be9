"""A name that is assigned, deleted or patched is not read: its import is not idle, and what it meant goes on.

Deleting an imported name, or storing to an attribute of the module, needs the import as much as a call does. Where the
stored value decides which path runs, it decides so afterwards, too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import NET, SHAPE, Case, check, table

HAVE = "import have\nprint(have.OK)"
RUN = "import net\nprint(net.attend(q, k, v))"
LOCAL = "import net\nprint(tuple(net.attend(q, k, v).shape))"
MINE = 'def mine(q, k, v, attn_bias=None, p=0.0, scale=None, *, op=None):\n    return "mine"\n\n\n'


def deleted(name: str, text: str) -> Case:
    """A file of flags that imports, deletes the name and notes that it worked."""
    return Case(
        name=name,
        files={"net.py": NET, "have.py": text},
        run=HAVE,
        present="True",
        absent="True",
        may_stay="have.py",
    )


def in_place(name: str, text: str, module: str = "patch", code: str = "XF216") -> Case:
    """A function that puts something of its own in the place of xformers' operator, for all that call it."""
    return Case(
        name=name,
        files={"net.py": NET, f"{module}.py": MINE + text},
        run=f"import {module}\n{module}.put_in()\nimport xformers.ops as o\n"
        "print(o.memory_efficient_attention(q, k, v))",
        present="mine",
        same=(f"{module}.py",),
        said=(rf"^{module}\.py:\d+:\d+: {code} ",),
    )


def switched(name: str, text: str, *lines: str, on: str = "fast", off: str = "slow") -> Case:
    """A program that can take the name away: the path is the same as before, taken away or not."""
    run = "\n".join(["import net", "print(net.attend(q, k, v))", *lines, "print(net.attend(q, k, v))"])
    return Case(
        name=name,
        files={"net.py": text},
        run=run,
        present=f"{on}\n{off}",
        absent=f"{on}\n{off}",
        may_stay="net.py",
    )


CASES = [
    deleted(
        "deleted after the import, any error caught",
        "try:\n    import xformers\n\n    del xformers\n    OK = True\nexcept Exception:\n    OK = False\n",
    ),
    deleted(
        "deleted after the import, ImportError and NameError caught",
        "try:\n    import xformers.ops as xops\n\n    del xops\n    OK = True\n"
        "except (ImportError, NameError):\n    OK = False\n",
    ),
    deleted(
        "deleted in the else",
        "try:\n    from xformers.ops import memory_efficient_attention\nexcept ImportError:\n    OK = False\n"
        "else:\n    OK = True\n    del memory_efficient_attention\n",
    ),
    deleted(
        "deleted with another name",
        "OK = False\ntry:\n    import xformers\n    import json\nexcept ImportError:\n    pass\nelse:\n"
        "    del xformers, json\n    OK = True\n",
    ),
    deleted(
        "deleted in a function",
        "def works():\n    try:\n        import xformers.ops\n\n        del xformers\n    except Exception:\n"
        "        return False\n    return True\n\n\nOK = works()\n",
    ),
    deleted(
        "deleted under a condition",
        "import os\n\nOK = True\ntry:\n    import xformers as xf\n\n"
        "    if not os.environ.get('KEEP_IT'):\n        del xf\n"
        "except Exception:\n    OK = False\n",
    ),
    deleted(
        "deleted in a finally",
        "OK = False\ntry:\n    import xformers\n\n    OK = True\nfinally:\n    if OK:\n        del xformers\n",
    ),
    Case(
        name="deleted after the migrated call",
        files={
            "net.py": "def attend(q, k, v):\n    import xformers.ops as xops\n\n    b, n, h, d = q.shape\n"
            "    out = xops.memory_efficient_attention(q, k, v)\n    del xops\n    return out\n"
        },
        run=LOCAL,
        present=SHAPE,
        absent=SHAPE,
        may_stay="net.py",
    ),
    Case(
        name="deleted at the end of the module",
        files={
            "net.py": "from functools import partial\n\n"
            "from xformers.ops import memory_efficient_attention as mea\n\n\n"
            "def shape_of(q, f=mea):\n    return tuple(f(q, q, q).shape)\n\n\nattend = lambda q, k, v: q\n"
            "FIRST = partial(shape_of)\ndel mea, partial\n"
        },
        run="import net\nprint(net.FIRST(q))",
        present=SHAPE,
        absent=SHAPE,
        may_stay="net.py",
    ),
    in_place(
        "an attribute is assigned, import in the function",
        "def put_in():\n    import xformers.ops\n\n    xformers.ops.memory_efficient_attention = mine\n",
    ),
    in_place(
        "an attribute is assigned, module from its package",
        "def put_in():\n    from xformers import ops\n\n    ops.memory_efficient_attention = mine\n",
    ),
    in_place(
        "an attribute is assigned in a try",
        "def put_in():\n    try:\n        import xformers.ops as xops\n\n"
        "        xops.memory_efficient_attention = mine\n"
        "    except ImportError:\n        pass\n",
    ),
    in_place(
        "an attribute is assigned by setattr",
        "def put_in():\n    import xformers.ops as xops\n\n    setattr(xops, 'memory_efficient_attention', mine)\n",
    ),
    in_place(
        "an attribute is assigned beside another name",
        "import xformers.ops as xops\n\nold = None\n\n\ndef put_in():\n    global old\n"
        "    old, xops.memory_efficient_attention = xops.memory_efficient_attention, mine\n",
    ),
    in_place(
        "an attribute is assigned in a loop over modules",
        "def put_in():\n    import xformers.ops\n    import xformers.ops.fmha\n\n"
        "    for module in (xformers.ops, xformers.ops.fmha):\n        module.memory_efficient_attention = mine\n",
        code="XF(216|401)",
    ),
    in_place(
        "an attribute is assigned for a while",
        "from unittest import mock\n\nimport xformers.ops as xops\n\n\ndef put_in():\n"
        "    mock.patch.object(xops, 'memory_efficient_attention', mine).start()\n",
    ),
    Case(
        name="a switch of xformers' own is assigned",
        files={
            "net.py": NET,
            "tune.py": "import xformers\n\n\ndef quiet():\n    xformers._is_triton_available = lambda: False\n",
        },
        run="import tune\ntune.quiet()\nimport xformers\nprint(xformers._is_triton_available())",
        present="False",
        same=("tune.py",),
        said=(r"^tune\.py:\d+:\d+: XF4",),
    ),
    switched(
        "taken away by a global",
        "import xformers.ops as xops\n\n\ndef off():\n    global xops\n    xops = None\n\n\ndef attend(q, k, v):\n"
        "    b, n, h, d = q.shape\n    if xops is not None:\n        xops.memory_efficient_attention(q, k, v)\n"
        "        return 'fast'\n    return 'slow'\n",
        "net.off()",
    ),
    switched(
        "taken away by another file",
        "import xformers.ops as xops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
        "    if xops is not None:\n"
        "        xops.memory_efficient_attention(q, k, v)\n        return 'fast'\n    return 'slow'\n",
        "net.xops = None",
    ),
    switched(
        "deleted by a function, asked for in globals",
        "import xformers.ops as xops\n\n\ndef off():\n    global xops\n    del xops\n\n\ndef attend(q, k, v):\n"
        "    b, n, h, d = q.shape\n    if 'xops' in globals():\n        xops.memory_efficient_attention(q, k, v)\n"
        "        return 'fast'\n    return 'slow'\n",
        "net.off()",
    ),
    Case(
        name="the project's own name is patched in a test",
        files={
            "net.py": "from xformers.ops import memory_efficient_attention\n\n\ndef attend(q, k, v):\n"
            "    b, n, h, d = q.shape\n    return memory_efficient_attention(q, k, v)\n",
            "test_net.py": "import net\n\n\ndef test_it(monkeypatch=None):\n    old = net.memory_efficient_attention\n"
            "    net.memory_efficient_attention = lambda q, k, v, **more: 'mine'\n    try:\n"
            "        return net.attend(*[__import__('torch').ones(1, 2, 3, 4)] * 3)\n    finally:\n"
            "        net.memory_efficient_attention = old\n",
        },
        run="import test_net\nprint(test_net.test_it())",
        present="mine",
        absent="mine",
        may_stay="net.py",
    ),
    Case(
        name="the project's own name is patched by a string",
        files={
            "net.py": "from xformers.ops import memory_efficient_attention\n\n\ndef attend(q, k, v):\n"
            "    b, n, h, d = q.shape\n    return memory_efficient_attention(q, k, v)\n",
            "test_net.py": "from unittest import mock\n\nimport net\n\n\ndef test_it(q):\n"
            "    with mock.patch('net.memory_efficient_attention', lambda q, k, v: 'mine'):\n"
            "        return net.attend(q, q, q)\n",
        },
        run="import test_net\nprint(test_net.test_it(q))",
        present="mine",
        absent="mine",
        may_stay="net.py",
    ),
    *(
        Case(
            name=f"the module is taken away by a test, {how}",
            files={
                "pk/__init__.py": "",
                "pk/net.py": "try:\n    import xformers.ops as xops\nexcept ImportError:\n    xops = None\n\n\n"
                "def attend(q, k, v):\n    b, n, h, d = q.shape\n    if xops is None:\n        return 'slow'\n"
                "    xops.memory_efficient_attention(q, k, v)\n    return 'fast'\n",
                "test_net.py": f"from unittest import mock\n\n{imports}\n\n\ndef test_it(q):\n"
                f"    first = {module}.attend(q, q, q)\n{statement}\n    return first, {module}.attend(q, q, q)\n",
            },
            run="import test_net\nprint(*test_net.test_it(q))",
            present="fast slow",
            same=("pk/net.py",),
            said=(r"^pk/net\.py:\d+:\d+: XF224 left",),
        )
        for how, imports, module, statement in (
            ("by a store", "from pk import net", "net", "    net.xops = None"),
            ("by a store below its package", "import pk.net", "pk.net", "    pk.net.xops = None"),
            ("by setattr", "import pk.net as n", "n", "    setattr(n, 'xops', None)"),
            ("by mock.patch.object", "from pk import net", "net", "    mock.patch.object(net, 'xops', None).start()"),
            ("by a path", "from pk import net", "net", "    mock.patch('pk.net.xops', None).start()"),
            ("by several at once", "from pk import net", "net", "    mock.patch.multiple('pk.net', xops=None).start()"),
        )
    ),
    Case(
        name="a flag is patched by a string",
        files={
            "net.py": "try:\n    import xformers.ops as xops\n\n    _FAST = True\nexcept ImportError:\n"
            "    _FAST = False\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n    if not _FAST:\n"
            "        raise RuntimeError('no xformers')\n    return xops.memory_efficient_attention(q, k, v)\n",
            "test_net.py": "from unittest import mock\n\nimport net\n\n\ndef test_it(q):\n"
            "    with mock.patch('net._FAST', False):\n        try:\n            net.attend(q, q, q)\n"
            "        except RuntimeError as error:\n            return error\n",
        },
        run="import test_net\nprint(test_net.test_it(q))",
        present="no xformers",
        absent="no xformers",
        free=True,
    ),
    Case(
        name="a name of xformers is rebound to one's own",
        files={
            "net.py": "import os\n\nfrom xformers.ops import memory_efficient_attention\n\n"
            "if os.environ.get('OWN_ATTENTION'):\n\n"
            "    def memory_efficient_attention(q, k, v):  # noqa: F811\n        return 'own'\n\n\n"
            "def attend(q, k, v):\n"
            "    b, n, h, d = q.shape\n    return memory_efficient_attention(q, k, v)\n"
        },
        run="import os\nos.environ['OWN_ATTENTION'] = '1'\nimport net\nprint(net.attend(q, k, v))\n"
        "del os.environ['OWN_ATTENTION']",
        present="own",
        absent="own",
        may_stay="net.py",
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_store_and_delete(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
