"""Functions that say whether a package is there: run twice, with the package and without it."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.analysis.asking import asks_for_argument, functions_of, gives_something

ASKING = {
    "one line": "def f(n):\n    return find_spec(n) is not None\n",
    "not equal": "def f(n):\n    return find_spec(n) != None\n",
    "negated twice": "def f(n):\n    return not find_spec(n) is None\n",
    "with a docstring": "def f(n):\n    'Whether n is there.'\n    return bool(importlib.util.find_spec(n))\n",
    "an early return": "def f(n):\n    if find_spec(n) is None:\n        return False\n    return True\n",
    "nothing where it is missing": "def f(n):\n    if find_spec(n):\n        return True\n",
    "a choice": "def f(n):\n    return True if find_spec(n) else False\n",
    "two conditions": "def f(n):\n    spec = find_spec(n)\n    return n != '' and spec is not None\n",
    "a second parameter": "def f(n, full=False):\n    there = find_spec(n) is not None\n"
    "    return (there, 'N/A') if full else there\n",
    "a keyword": "def f(n, *, full=False):\n    return find_spec(n) is not None\n",
    "a release as well": "def f(n, full=False):\n    there = find_spec(n) is not None\n    release = ''\n"
    "    if there:\n        try:\n            release = version(n)\n        except PackageNotFoundError:\n"
    "            there = False\n    return (there, release) if full else there\n",
    "another package apart": "def f(n):\n    there = find_spec(n) is not None\n    if n == 'torch':\n"
    "        there = really(n)\n    return there\n",
    "imported": "def f(n):\n    try:\n        import_module(n)\n    except (ImportError, OSError):\n"
    "        return False\n    else:\n        return True\n",
    "a message": "def f(n):\n    try:\n        __import__(n)\n        return True\n    except Exception as error:\n"
    "        print(error)\n        return False\n",
    "imported in its place": "def f(n):\n    import importlib.util\n\n    pass\n"
    "    return importlib.util.find_spec(n) is not None\n",
    "a pair that nothing takes apart": "def f(n):\n    pair = (find_spec(n), n)\n    return find_spec(n) is not None\n",
    "through another": "def g(n):\n    return find_spec(n) is not None\n\n\ndef f(n):\n    return g(n)\n",
    "through two": "def h(n, x=1):\n    return find_spec(n)\n\n\ndef g(n):\n    return h(n)\n\n\n"
    "def f(n):\n    return g(n) is not None\n",
}
NOT_ASKING = {
    "the spec itself": "def f(n):\n    return find_spec(n)\n",
    "the other way round": "def f(n):\n    return find_spec(n) is None\n",
    "a device as well": "def f(n):\n    return find_spec(n) is not None and torch.cuda.is_available()\n",
    "a setting as well": "def f(n):\n    return OFF not in n and find_spec(n) is not None\n",
    "an unknown default": "def f(n, full=FULL):\n    return find_spec(n) is not None\n",
    "any number": "def f(*n):\n    return find_spec(n) is not None\n",
    "always": "def f(n):\n    return True\n",
    "never": "def f(n):\n    return n == 'torch' and find_spec(n) is not None\n",
    "it raises": "def f(n):\n    import_module(n)\n    return True\n",
    "another error": "def f(n):\n    try:\n        import_module(n)\n    except OSError:\n        return False\n"
    "    return True\n",
    "at least a release": "def f(n):\n    return version(n) >= '1'\n",
    "a loop": "def f(n):\n    for x in n:\n        pass\n    return find_spec(n) is not None\n",
    "an effect": "def f(n):\n    seen.add(n)\n    return find_spec(n) is not None\n",
    "a context": "def f(n):\n    with suppress(ImportError):\n        import_module(n)\n        return True\n"
    "    return False\n",
    "a finally": "def f(n):\n    try:\n        import_module(n)\n        return True\n    finally:\n"
    "        return False\n",
    "in a circle": "def f(n):\n    return f(n)\n",
    "a pair taken apart": "def f(n):\n    there, _ = find_spec(n), n\n    return there is not None\n",
    "part of it": "def f(n):\n    return find_spec(n + '.ops') is not None\n",
}


def asks(text: str) -> bool:
    functions = functions_of(ast.parse(text))
    return asks_for_argument(functions["f"], functions)


@pytest.mark.parametrize("text", ASKING.values(), ids=ASKING)
def test_it_asks(text: str) -> None:
    assert asks(text)


@pytest.mark.parametrize("text", NOT_ASKING.values(), ids=NOT_ASKING)
def test_it_does_more_or_less(text: str) -> None:
    assert not asks(text)


GIVING = {
    "a release or None": "def f():\n    try:\n        return version('xformers')\n    except ImportError:\n"
    "        return None\n",
    "a spec": "def f():\n    return find_spec('xformers')\n",
    "True or nothing": "def f(full=False):\n    if find_spec('xformers'):\n        return True\n",
}
NOT_GIVING = {
    "another package": "def f():\n    return find_spec('apex')\n",
    "another text": "def f():\n    try:\n        return version('xformers')\n    except ImportError:\n"
    "        return 'none'\n",
    "it raises": "def f():\n    return version('xformers')\n",
    "of a parameter": "def f(n):\n    return find_spec(n)\n",
}


def test_what_gives_something() -> None:
    for text, gives in [*((text, True) for text in GIVING.values()), *((text, False) for text in NOT_GIVING.values())]:
        functions = functions_of(ast.parse(text))
        assert gives_something(functions["f"], functions) is gives, text
