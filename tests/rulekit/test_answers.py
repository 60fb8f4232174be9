"""What becomes of the code around a question whose answer is known."""

from __future__ import annotations

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

HEAD = "import importlib.util\n\nimport xformers.ops as xops\n\n"
USE = "\n\ndef attend(q, k, v, bias):\n    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"
THERE = "importlib.util.find_spec('xformers') is not None"
MISSING = "importlib.util.find_spec('xformers') is None"
OPS = "importlib.util.find_spec('xformers.ops') is not None"
ANSWERED = {
    "one of two decides": (f"if {MISSING} and other:\n    print(1)\nelse:\n    print(2)\n", "print(2)\n"),
    "two of two": (f"if {THERE} and {OPS}:\n    print(1)\nelse:\n    print(2)\n", "print(1)\n"),
    "two of three": (f"if {THERE} and other and {OPS}:\n    print(1)\n", "if other:\n    print(1)\n"),
    "the last of three arms": (
        f"if {MISSING}:\n    print(1)\nelif {MISSING}:\n    print(2)\nelse:\n    print(3)\n",
        "print(3)\n",
    ),
    "a value of two": (f"FAST = {THERE} and {OPS}\n", "FAST = True\n"),
    "two targets": (f"FAST = QUICK = {THERE} and {OPS}\n", "FAST = QUICK = True\n"),
    "what is never reached goes": (
        f"def f():\n    if {THERE}:\n        return 1\n    return 2\n",
        "def f():\n    return 1\n",
    ),
    "what makes a generator stays in an expression": (
        f"def f():\n    return 1 if {THERE} else (yield 2)\n",
        "def f():\n    return 1 if True else (yield 2)\n",
    ),
    "what makes a variable one of the function stays in an expression": (
        f"y = 0\n\n\ndef f():\n    x = (y := 1) if {MISSING} else 2\n    return [x, y]\n",
        "    x = (y := 1) if False else 2\n    return [x, y]\n",
    ),
    "what makes a generator stays": (
        f"def f():\n    if {THERE}:\n        return 1\n    yield 2\n",
        "def f():\n    return 1\n    yield 2\n",
    ),
}
LEFT = {
    "a branch": f"if {THERE}:  # xf2sdpa: ignore[XF142]\n    print(1)\n",
    "a value": f"FAST = {THERE} and {OPS}  # xf2sdpa: ignore[XF142]\n",
    "an argument": f"print(1 if {THERE} else 2)  # xf2sdpa: ignore[XF142]\n",
}


def rewritten(lines: str) -> str:
    result = rewrite_text(HEAD + lines + USE, compat="_attention_compat")
    assert not result.failed, result.findings
    return result.new


@pytest.mark.parametrize(("old", "new"), ANSWERED.values(), ids=list(ANSWERED))
def test_it_is_settled(old: str, new: str) -> None:
    assert new in rewritten(old)
    assert "importlib" not in rewritten(old)


@pytest.mark.parametrize("lines", LEFT.values(), ids=list(LEFT))
def test_what_the_user_ignores_stays(lines: str) -> None:
    assert lines in rewritten(lines)


RELEASES = {
    "one of two": ("if other() or xformers.__version__[0]:\n    print(1)\n", False),
    "as long as": ("while xformers.__version__[0]:\n    print(1)\n", False),
    "what is not there": ("assert xformers.__version__[9:], 'x'\n", False),
    "an arm": ("if xformers.__version__[0]:\n    print(1)\n", True),
    "what must be": ("assert xformers.__version__[0], 'x'\n", True),
    "what is only shown": ("V = 'none'\nif xformers is not None:\n    V = xformers.__version__\n", True),
    "asked twice in one": ("V = xformers.__version__ or xformers.version.__version__\n", True),
    "the other way round": ("FLAG = other or not xformers.__version__[0]\n", True),
}


@pytest.mark.parametrize(("lines", "answered"), RELEASES.values(), ids=list(RELEASES))
def test_what_asks_stays_whole_with_its_import_or_is_answered(lines: str, answered: bool) -> None:
    new = rewritten(f"import xformers\n\n{lines}")
    assert ("import xformers\n" in new) is not answered
    assert (lines in new) is not answered


def test_a_release_that_is_shown_with_more_stays() -> None:
    lines = "if xformers is not None:\n    V = xformers.__version__\nelse:\n    V = 'none'\n    W = 1\n\nuse(V)\n"
    assert "import xformers\n\nV = xformers.__version__\n\nuse(V)\n" in rewritten(f"import xformers\n\n{lines}")
