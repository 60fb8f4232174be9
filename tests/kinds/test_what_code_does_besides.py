"""Programs that do something besides, in odd places around what goes: they print and raise what they did before.

Each is run with a stand-in of xformers before the rewrite, and without xformers after it.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.metadata
import io
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.projects.harness import rewrite, tree, write
from xf2sdpa.rewrite.engine import rewrite_text

HEAD = "import xformers\nimport xformers.ops as xops\n\n"
FLAG = "try:\n    import xformers.ops as xops\n\n    FAST = True\nexcept ImportError:\n    FAST = False\n"
PRIVATE = FLAG.replace("FAST", "_FAST")
CHECK = "\n\ndef check():\n    if not FAST:\n        raise RuntimeError('off')\n    return 'on'\n\n\n"
USE = "\n\ndef attend(q, k, v, bias):\n    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"
OLD = "xformers.__version__ < '0.0.3'"
SEEN = "import importlib.metadata\n\n"
LOOKED = f"{SEEN}import xformers.ops as xops\n\nFIRST = 1\ntry:\n    release = importlib.metadata.version('xformers')\n"
NOT_FOUND = "except importlib.metadata.PackageNotFoundError:\n    print('not found')\n"
COUNTS = "seen = []\n\n\ndef on():\n    seen.append(1)\n    return True\n\n\n"
EVENTS = (
    "class Events:\n    def __init__(self):\n        self.seen = []\n\n    def info(self, text):\n"
    "        self.seen.append(text)\n\n    warning = info\n\n\nevents = Events()\n"
)
TRIED = "try:\n    import xformers.ops as xops\n\n    {}\n    FAST = True\nexcept {}:\n    FAST = False\nprint(FAST)\n"
PROGRAMS = {
    "a variable is something else before": f"{HEAD}v = '0.0.1'\nif v < '0.0.2':\n    print('one')\n"
    "v = xformers.__version__\nif v < '0.0.2':\n    print('two')\n",
    "a variable is something else after": f"{HEAD}v = xformers.__version__\nv = '0.0.1'\n"
    "if v < '0.0.2':\n    print('one')\n",
    "a message that appends": f"{HEAD}seen = []\nprint(f'{{xformers.__version__}}' and seen.append(2))\nprint(seen)\n",
    "a question that makes a generator": f"{HEAD}def f():\n    if {OLD}:\n        yield 1\n    return\n\n\n"
    "print(f() is None)\n",
    "a question that makes a variable global": f"{HEAD}z = 1\n\n\ndef f():\n    if {OLD}:\n        global z\n"
    "    z = 2\n\n\n"
    "f()\nprint(z)\n",
    "a question that makes a variable local": f"{HEAD}z = 1\n\n\ndef f():\n    if {OLD}:\n        z = 2\n"
    "    return z\n\n\n"
    "try:\n    print(f())\nexcept UnboundLocalError:\n    print('unbound')\n",
    "an else that makes a generator": f"{HEAD}def f():\n    if not {OLD}:\n        return\n    else:\n"
    f"        yield 1\n\n\n"
    "print(f() is None)\n",
    "an assertion whose message makes a variable local": f"{FLAG}y = 1\n\n\ndef f():\n    assert FAST, (y := 'no')\n"
    "    return y\n\n\ntry:\n    print(f())\nexcept UnboundLocalError:\n    print('unbound')\n",
    "a flag stored by its name": f"{FLAG}{CHECK}globals()['FAST'] = False\nprint(check())\n",
    "a flag updated": f"{FLAG}{CHECK}globals().update(FAST=False)\nprint(check())\n",
    "a flag set by setattr": f"import sys\n\n{FLAG}{CHECK}setattr(sys.modules[__name__], 'FAST', False)\n"
    "print(check())\n",
    "a flag set by exec": f"{FLAG}{CHECK}exec('FAST = False')\nprint(check())\n",
    "a flag read by a class of the same name": f"{PRIVATE}\n\nclass A:\n    _FAST = _FAST\n\n\nprint(A._FAST)\n",
    "a list of names that is extended": f"{HEAD}__all__ = []\n__all__.extend(['xops'])\n__all__.append('xops')\n"
    "print([name in globals() for name in __all__])\n",
    "a try with a finally": f"{LOOKED}    if FIRST:\n        raise ValueError('no')\n{NOT_FOUND}finally:\n"
    "    print('end')\n",
    "a try in a function, with a finally": f"{SEEN}import xformers.ops as xops\n\n\ndef f():\n    try:\n"
    "        release = importlib.metadata.version('xformers')\n        if FIRST:\n            return 1\n"
    "    except importlib.metadata.PackageNotFoundError:\n        return 2\n    else:\n        print('else')\n"
    "    finally:\n        print('end')\n    return 3\n\n\nFIRST = 1\nprint(f())\n",
    "a try around another import": f"import sys\n\n{LOOKED}    sys.path_hooks\n    import program_under_test.raises\n"
    f"{NOT_FOUND}except ImportError:\n    print('import')\n",
    "an error of the same name": f"class PackageNotFoundError(Exception):\n    pass\n\n\nclass D(dict):\n"
    "    def __missing__(self, key):\n        raise PackageNotFoundError(key)\n\n\n"
    f"{LOOKED}    x = D()[1]\n{NOT_FOUND.replace('importlib.metadata.', '')}",
    "an error of the same kind": f"{LOOKED}    if FIRST:\n"
    "        raise importlib.metadata.PackageNotFoundError('x')\n"
    f"    print('one')\n"
    "except importlib.metadata.PackageNotFoundError as error:\n    FIRST = str(error)\nprint(FIRST)\n",
    "a value where a switch is off": "import os\n\nOFF = 'PATH' in os.environ\nMODE = 'auto'\ntry:\n    if OFF:\n"
    "        raise ImportError\n    import xformers.ops as xops\nexcept ImportError:\n    MODE = 'slow'\n"
    "print(MODE)\n"
    "import xformers.ops as xops\n",
    "what is never reached makes a variable local": "from importlib.util import find_spec\n\n"
    "import xformers.ops as xops\n\n"
    "x = 9\n\n\ndef f():\n    if find_spec('xformers'):\n        return x\n    x = 1\n    return x\n\n\n"
    "try:\n    print(f())\nexcept UnboundLocalError:\n    print('unbound')\n",
    "a method of that name that keeps what it is told": f"{EVENTS}{TRIED.format('events.info(1)', 'ImportError')}"
    "print(events.seen)\n",
    "a method of that name, called a logger": f"{EVENTS.replace('events =', 'logger =')}"
    f"{TRIED.format('logger.info(1)', 'ImportError')}print(logger.seen)\n",
    "a method of that name, of an attribute": f"{EVENTS}class A:\n    pass\n\n\na = A()\na.log = events\n"
    f"{TRIED.format('a.log.info(1)', 'ImportError')}print(events.seen)\n",
    "a method of that name that is told the release": f"{HEAD}{EVENTS}events.info(xformers.__version__)\n"
    "print(len(events.seen))\n",
    "a method of that name, beside a handler": f"{HEAD}{EVENTS}def f():\n    try:\n        import xformers.ops\n\n"
    "        events.info('yes')\n    except ImportError:\n        events.warning('no')\n\n\nf()\nprint(events.seen)\n",
    "a method of that name, with a switch": f"import os\n\n{EVENTS}OFF = 'PATH' in os.environ\ntry:\n    if OFF:\n"
    "        events.info('off')\n        raise ImportError\n    import xformers.ops as xops\n\n    FAST = True\n"
    "except ImportError:\n    FAST = False\n    events.warning('no')\nprint(FAST, events.seen)\n"
    "import xformers.ops as xops\n",
    "a method of that name, where a name was never released": f"{HEAD}{EVENTS}try:\n"
    "    from xformers.ops import cross_entropy\nexcept ImportError:\n    events.warning('no')\nprint(events.seen)\n",
    "a method of that name, before an error": f"{FLAG}{EVENTS}def f():\n    if not FAST:\n        events.info('no')\n"
    "        raise RuntimeError\n\n\nFAST = 0\ntry:\n    f()\nexcept RuntimeError:\n    print(events.seen)\n",
    **{
        f"a message that fails: {words}": f"SIZES = [1]\nNAMES = dict(a=1)\nZERO = 0\n"
        f"{TRIED.format(f'print({words})', caught)}import xformers.ops as xops\n"
        for words in (
            "1 / 0",
            "1 % ZERO",
            "SIZES[3]",
            "NAMES['b']",
            "int('x')",
            "f'{SIZES[3]}'",
            "float('x')",
            "2 << -1",
        )
        for caught in ("Exception",)
    },
    **{
        f"a probe that does more: {name}": f"import torch\n{HEAD}SEEN = [2]\n\n\ndef enable():\n    try:\n"
        f"        {before}\n        x = torch.zeros(1, 2, 4)\n"
        f"        _ = xops.memory_efficient_attention({tensor}, x, x)\n"
        "    except Exception as error:\n        raise error\n    SEEN.append('on')\n\n\nenable()\nprint(SEEN)\n"
        for name, before, tensor in (
            ("it counts", "SEEN.append(1)", "torch.zeros(1, 2, 4)"),
            ("it takes something", "n = SEEN.pop()", "torch.zeros(1, n, 4)"),
            ("in its size", "n = 1", "torch.zeros(1, SEEN.pop(), 4)"),
            ("in a condition", "if SEEN.pop():\n            n = 1", "torch.zeros(1, 2, 4)"),
            ("it seeds", "SEEN.append(torch.manual_seed(3) is None)", "torch.zeros(1, 2, 4)"),
        )
    },
    "a question inside an f-string": f"from importlib.util import find_spec\n\n{HEAD}"
    "print(f\"{find_spec('xformers') is not None}\", f\"{'yes' if xformers.__version__ else 'no'}\")\n",
    "a look-up of the file's own": f"{HEAD}def find_spec(name):\n    return None\n\n\n"
    "print(find_spec('xformers') is not None)\n",
    "a version of the file's own": f"{HEAD}def version(name):\n    return f'own {{name}}'\n\n\n"
    f"MINE = version('xformers')\n"
    "print(MINE == 'own xformers', version('xformers') < '1')\n",
    "an import by the file's own function": f"{HEAD}seen = []\n\n\ndef import_module(name):\n"
    f"    seen.append(name)\n\n\n"
    "try:\n    import_module('xformers')\n    OK = True\nexcept ImportError:\n    OK = False\nprint(seen, OK)\n",
    "a look-up by a finder of the file's own": f"{HEAD}class Finder:\n    seen = []\n\n    def find_spec(self, name):\n"
    "        self.seen.append(name)\n\n\nprint(Finder().find_spec('xformers') is None, Finder.seen)\n"
    "finder = Finder()\nprint(finder.find_spec('xformers') is None, Finder.seen)\n",
    "a look-up by another finder": f"import importlib.machinery\n\n{HEAD}"
    "print(importlib.machinery.BuiltinImporter.find_spec('xformers') is None)\n",
    "a look-up that is a parameter": f"{HEAD}def f(find_spec):\n    return find_spec('xformers') is None\n\n\n"
    "print(f(lambda name: None))\n",
    "a question of the file's own that counts": f"{HEAD}seen = []\n\n\ndef is_xformers_available():\n"
    f"    seen.append(1)\n"
    "    return True\n\n\ndef f():\n    if is_xformers_available():\n        import xformers\n    return seen\n\n\n"
    "print(f())\n",
    "a question of the file's own, counted by another": f"{HEAD}seen = []\n\n\ndef count():\n    seen.append(1)\n"
    "    return True\n\n\ndef is_xformers_available():\n    return count()\n\n\nif is_xformers_available():\n"
    "    import xformers\nprint(seen)\n",
    "a word for the one that is there": f"{HEAD}impl = (xops and 'fast') or 'slow'\n"
    f"print(globals().get('im' + 'pl'))\n",
    "a word for the one that is there, by a choice": f"{HEAD}impl = 'fast' if xops else 'slow'\n"
    "print(globals().get('im' + 'pl'))\n",
    "a message that fails, and nothing catches it": f"{TRIED.format('print(1 / 0)', 'ImportError')}",
    "a function of that name that keeps what it is told": "seen = []\n\n\ndef warn(text):\n"
    "    seen.append(text)\n\n\ntry:\n"
    "    import xformers.ops as xops\n\n    warn('yes')\n    OK = True\nexcept ImportError:\n    warn('no')\n"
    "    OK = False\nprint(seen, OK)\n",
    **{
        f"a flag that is more, or something else: {name}": f"{given}FAST = None\nif {asked}:\n"
        "    import xformers.ops as xops\n\n    FAST = True\nelse:\n    FAST = False\nprint(FAST)\n"
        "import xformers.ops as xops\n"
        for name, asked, given in (
            ("a constant", "is_xformers_available", "is_xformers_available = False\n"),
            ("a function", "has_xformers()", "def has_xformers():\n    return bool(0)\n\n\n"),
            ("an attribute", "A.xformers_available", "class A:\n    xformers_available = False\n\n\n"),
            (
                "a device",
                "HAS_XFORMERS",
                "import importlib.util\n\nimport torch\n\n"
                "HAS_XFORMERS = importlib.util.find_spec('xformers') is not None "
                "and torch.cuda.is_available() and 0\n",
            ),
        )
    },
    "a flag that a caller gives": "import xformers.ops as xops\n\n\ndef f(has_xformers):\n    if has_xformers:\n"
    "        import xformers.ops as xops\n\n        fast = True\n    else:\n        fast = False\n    return fast\n\n\n"
    "print(f(True), f(False))\n",
    "a switch that counts": f"{COUNTS}try:\n    if not on():\n        raise ImportError\n"
    "    import xformers.ops as xops\n\n"
    "    A = True\n    B = True\nexcept ImportError:\n    A = False\n    B = False\nprint(A, B, seen)\n",
    "a switch that counts, and nothing else": f"{COUNTS}try:\n    if not on():\n        raise ImportError\n"
    "    import xformers.ops as xops\nexcept ImportError:\n    xops = None\nprint(seen)\n",
    "a switch that counts, and one flag": f"{COUNTS}try:\n    if not on():\n        raise ImportError\n"
    "    import xformers.ops as xops\n\n    A = True\nexcept ImportError:\n    A = False\nprint(A, seen)\n",
    "an attribute in a branch": "class A:\n    def __init__(self, want):\n        self.ok = False\n        if want:\n"
    "            try:\n                import xformers\n\n                self.ok = True\n"
    "            except ImportError:\n"
    "                print('no')\n\n\nimport xformers.ops as xops\n\nprint(A(True).ok, A(False).ok)\n",
    "an else that raises, and a finally": "def f(x):\n    try:\n        import xformers.ops as xops\n"
    "    except ImportError:\n        x = 0\n    else:\n        x = 1 / x\n    finally:\n        print('end')\n"
    "    return x\n\n\nimport xformers.ops as xops\n\nprint(f(1), f(0))\n",
    "never released, the error has a name": f"{HEAD}try:\n    from xformers.ops import cross_entropy\n\n"
    "    x = 'fast'\n"
    "except ImportError as error:\n    x = type(error).__name__\nprint(x)\n",
    "never released, with an else": f"{HEAD}try:\n    from xformers.ops import cross_entropy\nexcept ImportError:\n"
    "    x = 1\nelse:\n    x = 2\nfinally:\n    print('end')\nprint(x)\n",
    "never released, another handler first": f"{HEAD}try:\n    from xformers.ops import cross_entropy\n\n    x = 1\n"
    "except ModuleNotFoundError:\n    x = 2\nexcept ImportError:\n    x = 3\nprint(x)\n",
    "never released, beside a name that is": "try:\n"
    "    from xformers.ops import cross_entropy, memory_efficient_attention\n\n    x = 1\nexcept ImportError:\n"
    f"    from xformers.ops import memory_efficient_attention\n\n    x = 2\nprint(x)\n{HEAD}",
    "never released, a message that counts": f"{HEAD}seen = [1]\ntry:\n    from xformers.ops import cross_entropy\n"
    "except ImportError:\n    print(seen.pop())\n    cross_entropy = None\nprint(seen, cross_entropy)\n",
}


FROM_ANOTHER = {
    "a flag": ("from flags import HAS_XFORMERS", "HAS_XFORMERS"),
    "a function": ("from flags import is_xformers_available", "is_xformers_available()"),
    "an attribute": ("import flags", "flags.HAS_XFORMERS"),
}


@pytest.mark.parametrize(("line", "asked"), [pytest.param(*both, id=name) for name, both in FROM_ANOTHER.items()])
def test_what_another_file_says_is_asked_there(line: str, asked: str, tmp_path: Path) -> None:
    """That flag is answered in its own file, where another word of it stays; who asks goes on asking."""
    question = "importlib.util.find_spec('xformers') is not None and not sys.argv[9:]"
    write(
        tmp_path,
        {
            "flags.py": f"import importlib.util\nimport sys\n\nHAS_XFORMERS = {question}\n\n\n"
            f"def is_xformers_available():\n    return {question}\n",
            "net.py": f"{line}\n\nif {asked}:\n    import xformers.ops as xops\n\n    KIND = 'fast'\nelse:\n"
            "    KIND = 'slow'\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n    if KIND == 'slow':\n"
            "        return q\n    return xops.memory_efficient_attention(q, k, v)\n",
        },
    )
    rewrite(tmp_path)
    new = tree(tmp_path)
    assert f"if {asked}:\n" in new["net.py"], new["net.py"]
    assert "KIND = 'slow'" in new["net.py"]


def done(text: str, modules: Mapping[str, types.ModuleType | None], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """What a program prints, and which error ends it."""
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
    program = types.ModuleType("program_under_test")
    monkeypatch.setitem(sys.modules, "program_under_test", program)
    error = ""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(compile(text, "<program>", "exec"), program.__dict__)
        except Exception as raised:
            error = repr(raised)
    return printed.getvalue(), error


@pytest.mark.parametrize("program", [pytest.param(text, id=name) for name, text in PROGRAMS.items()])
def test_it_does_the_same(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root, ops, helper = (types.ModuleType(name) for name in ("xformers", "xformers.ops", "_attention_compat"))
    root.__version__, root.ops = "0.0.35", ops  # type: ignore[attr-defined]
    for module in (ops, helper):
        module.memory_efficient_attention = lambda q, *more, **by_name: q  # type: ignore[attr-defined]
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.35")
    root.__spec__ = importlib.machinery.ModuleSpec("xformers", None)
    text = program + USE
    result = rewrite_text(text, compat="_attention_compat")
    assert not result.failed
    before = done(text, {"xformers": root, "xformers.ops": ops}, monkeypatch)
    needs = "import xformers" in result.new or "from xformers" in result.new  # then it goes on needing it, and says so
    gone = {"xformers": root if needs else None, "xformers.ops": ops if needs else None, "_attention_compat": helper}
    assert done(result.new, gone, monkeypatch) == before, result.new
    assert not needs or any(finding.code.startswith("XF4") for finding in result.findings)
