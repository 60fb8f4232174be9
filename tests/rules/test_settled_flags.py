"""A flag that is True for good takes its default with it, what it refused, and itself where nothing reads it."""

from __future__ import annotations

import pytest

from tests.rules.common import HELPER, Case, by_name, codes_in, examples_hold, holds, rule
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

HEAD = "import os\n\nimport torch.nn.functional as F\n\n"
GUARD = "try:\n    import xformers.ops as xops\n\n    {0} = True\nexcept ImportError:\n    {0} = False\n"
PLAIN = "try:\n    import xformers.ops as xops\n\n    {0} = True\nexcept ImportError:\n    pass\n"
IMPORT = "import xformers.ops as xops\n"
SWIGLU = "from xformers.ops import SwiGLU as FAST"
ASKED = f"from importlib.util import find_spec\n{IMPORT}"
CALL = "    return xops.memory_efficient_attention(q, k, v).flatten(2)\n"


def program(*lines: str, flag: str = "FAST", before: str = "", guard: str = GUARD, after: str = "") -> str:
    body = "".join(f"    {line}\n" for line in ("b, n, h, d = q.shape", *lines))
    return f"{HEAD}{before}{guard.format(flag)}{after}\n\ndef attend(q, k, v):\n{body}{CALL}"


EMITTED = {
    "a default": Case(
        program("print(FAST)", before="FAST = False\n", guard=PLAIN),
        ("finding XF147",),
        has=("FAST = True\n",),
        lacks=("FAST = False",),
        helper=True,
    ),
    "a default of None": Case(
        program("print(FAST)", before="FAST = None\n", guard=PLAIN),
        ("finding XF147",),
        lacks=("FAST = None",),
        helper=True,
    ),
    "a refusal": Case(
        program("if not FAST:", "    raise ImportError('no')"),
        ("finding XF147", "finding XF144"),
        has=("FAST = True",),
        lacks=("raise",),
        helper=True,
    ),
    "a refusal that is logged": Case(
        program("if not FAST:", "    print('no')", "    raise ImportError"),
        ("finding XF147",),
        lacks=("raise",),
        helper=True,
    ),
    "an assertion": Case(program("assert FAST, 'no'"), ("finding XF147",), lacks=("assert",), helper=True),
    "a private flag": Case(program(flag="_FAST"), ("finding XF141",), lacks=("_FAST",), helper=True),
    "a private flag below the helper's import": Case(
        "try:\n    from xformers.ops import memory_efficient_attention\n\n    _FAST = True\nexcept ImportError:\n"
        "    _FAST = False\n\n\ndef attend(q, k, v, bias):\n    assert _FAST\n"
        "    return memory_efficient_attention(q, k, v, attn_bias=bias)\n",
        ("finding XF147",),
        has=("from _attention_compat import memory_efficient_attention\n\n\ndef attend",),
        lacks=("_FAST",),
        helper=True,
    ),
    "a private flag below a line that stays": Case(
        program(
            "assert _FAST",
            flag="_FAST",
            guard=GUARD.replace("    {0} = True", "    MORE = 1\n\n    {0} = True"),
            after="print(MORE)\n",
        ),
        ("finding XF147",),
        has=("MORE = 1\nprint(MORE)\n",),
        lacks=("_FAST",),
        helper=True,
    ),
    "a private flag, asked": Case(
        program("assert _FAST", flag="_FAST"), ("finding XF147",), lacks=("_FAST",), helper=True
    ),
    "a private flag below two lines that stay": Case(
        program(flag="_FAST", guard=GUARD.replace("    {0} = True", "    MORE = 1\n    LESS = 2\n    {0} = True")),
        ("finding XF141",),
        has=("MORE = 1\nLESS = 2\n",),
        lacks=("_FAST",),
        helper=True,
    ),
    "named by a message that goes": Case(
        program(
            "assert FAST",
            guard=GUARD.replace("    {0} = False", "    {0} = False\n    print('FAST is off')"),
            after="globals()['SLOW'] = 1\n",
        ),
        ("finding XF147",),
        has=("globals()['SLOW'] = 1",),
        lacks=("assert",),
        helper=True,
    ),
    "found by a question": Case(
        program(guard="from importlib.util import find_spec\n\n{0} = find_spec('xformers') is not None\n").replace(
            "    b, n", "    import xformers.ops as xops\n\n    assert FAST\n    b, n"
        ),
        ("finding XF147",),
        has=("FAST = True",),
        lacks=("assert", "find_spec"),
        helper=True,
    ),
    "in a guard that does more": Case(
        program("assert _FAST", flag="_FAST", guard=GUARD.replace("    {0} = False", "    {0} = False\n    os.sync()")),
        ("finding XF147",),
        lacks=("_FAST", "try"),
        helper=True,
    ),
}
KEPT = {
    "a choice": Case(
        program("if not FAST:", "    return q"),
        ("finding XF141",),
        has=("if not FAST:\n        return q",),
        helper=True,
    ),
    "a choice with an else": Case(
        program("if not FAST:", "    raise ImportError", "else:", "    n = 1"), has=("if not FAST",), helper=True
    ),
    "a public flag": Case(program(), has=("FAST = True",), helper=True),
    "a private flag that is read": Case(
        program("print(_FAST)", flag="_FAST"), has=("_FAST = True", "print(_FAST)"), helper=True
    ),
    "a private flag that is handed on": Case(
        program(flag="_FAST"), has=("_FAST = True",), helper=True, handed_on=frozenset({"_FAST"})
    ),
    "a private flag in __all__": Case(
        program(flag="_FAST", after="__all__ = ['_FAST']\n"), has=("_FAST = True",), helper=True
    ),
    "set again later": Case(
        program("assert FAST", after="FAST = FAST and bool(os.sep)\n"), has=("assert FAST",), helper=True
    ),
    "set to a number that equals True": Case(
        program("assert FAST", guard=GUARD.replace("{0} = True", "{0} = 1")), has=("assert FAST",), helper=True
    ),
    "declared global by a function": Case(
        program("assert FAST", after="\n\ndef fast():\n    global FAST\n    return FAST\n"),
        has=("assert FAST",),
        helper=True,
    ),
    "set by a function": Case(
        program("assert FAST", after="\n\ndef off():\n    global FAST\n    FAST = False\n"),
        has=("assert FAST",),
        helper=True,
    ),
    "a default behind it": Case(
        program("assert FAST", after="FAST = False\n"), has=("FAST = True\nFAST = False\n", "assert FAST"), helper=True
    ),
    "a default that is read first": Case(
        program(before="FAST = False\nprint(FAST)\n", guard=PLAIN), has=("FAST = False\nprint(FAST)\n",), helper=True
    ),
    "a switch decides": Case(
        program(
            "assert FAST",
            guard="try:\n    if not os.environ.get('ON'):\n        raise ImportError\n"
            "    import xformers.ops as xops\n\n    {0} = True\nexcept ImportError:\n    {0} = False\n",
        ),
        has=("assert FAST",),
        helper=True,
    ),
    "bound by an import": Case(
        program("assert FAST", after="from os import sep as FAST\n"), has=("assert FAST",), helper=True
    ),
    "bound by a function": Case(
        program("assert FAST", after="\n\ndef FAST():\n    pass\n"), has=("assert FAST",), helper=True
    ),
    "bound in the guard by an import": Case(
        program("assert FAST", guard=GUARD.replace("    {0} = True", "    from os import sep as FAST\n    {0} = True")),
        has=("assert FAST",),
        helper=True,
    ),
    "bound by the helper's import": Case(
        program("assert FAST", guard=GUARD.replace("import xformers.ops as xops", SWIGLU), before=IMPORT),
        has=("assert FAST",),
        helper=True,
    ),
    "bound by the helper's import under its own name": Case(
        program(
            "assert SwiGLU",
            flag="SwiGLU",
            guard=GUARD.replace("import xformers.ops as xops", SWIGLU.removesuffix(" as FAST")),
            before=IMPORT,
        ),
        has=("assert SwiGLU",),
        helper=True,
    ),
    "in a branch of the module, beside a guard that does more": Case(
        program(
            "assert FAST",
            guard=GUARD.replace("    {0} = False", "    {0} = False\n    os.sync()"),
            after="if os.sep:\n    FAST = True\n",
        ),
        has=("assert FAST",),
        helper=True,
    ),
    "a default behind it in its line": Case(
        program("assert FAST", guard=ASKED + "FAST = find_spec('xformers') is not None; FAST = False\n"),
        has=("FAST = True; FAST = False\n", "assert FAST"),
        helper=True,
    ),
    "a default that is read in its line": Case(
        program("assert FAST", guard=f"{ASKED}FAST = False; print(FAST); FAST = find_spec('xformers') is not None\n"),
        has=("FAST = False; print(FAST); FAST = True\n", "assert FAST"),
        helper=True,
    ),
    "stored by its name": Case(
        program("assert FAST", after="globals()['FAST'] = os.sep\n"), has=("assert FAST",), helper=True
    ),
    "stored as a keyword": Case(
        program("assert FAST", after="vars().update(FAST=0)\n"), has=("assert FAST",), helper=True
    ),
    "in a branch of the module": Case(
        program("assert FAST", after="if os.sep:\n    FAST = True\n"), has=("assert FAST",), helper=True
    ),
    "no rewrite": Case("FAST = True\n\n\ndef f():\n    assert FAST\n", same=True),
}


@pytest.mark.parametrize("name", ["FAST", "OTHER"])
def test_a_flag_that_another_file_replaces_is_asked_on(name: str) -> None:
    text = program("assert FAST", before="FAST = False\n", guard=PLAIN)
    result = rewrite_with(text, "model.py", Options(Settings(), compat=HELPER, replaced=frozenset({name})))
    assert ("assert FAST" in result.new) is (name == "FAST")
    assert ("FAST = False\n" in result.new) is (name == "FAST")


STARS = {
    "of a library": ("from library import *\n", "FAST", True),
    "of a library, and a private flag": ("from library import *\n", "_FAST", False),
    "of another file that is not seen": ("from .unseen import *\n", "FAST", True),
    "of another file without the flag": ("from .other import *\n", "FAST", False),
    "of the package without the flag": ("from . import *\n", "FAST", False),
    "of xformers": ("from xformers.ops import *\n", "FAST", False),
    "of no star": ("from os import sep\n", "FAST", False),
}


@pytest.mark.parametrize(("behind", "flag", "asked"), STARS.values(), ids=list(STARS))
def test_a_star_behind_a_flag_may_set_it_once_more(behind: str, flag: str, asked: bool) -> None:
    options = Options(Settings(), compat=HELPER, starred={".other": {}, ".": {}})
    text = program(f"assert {flag}", flag=flag, after=behind)
    assert ("assert" in rewrite_with(text, "model.py", options).new) is asked
    assert "assert" not in rewrite_with(program("assert FAST", before=behind), "model.py", options).new


def test_a_star_in_the_flags_own_line_may_set_it_once_more() -> None:
    guard = f"{ASKED}FAST = find_spec('xformers') is not None; from library import *\n"
    holds(Case(program("assert FAST", guard=guard), has=("assert FAST",), helper=True))


def test_a_flag_beside_one_that_another_file_replaces() -> None:
    text = program("assert FAST and _MORE", "assert _MORE", guard=GUARD.replace("= True", "= True\n    _MORE = True"))
    options = Options(Settings(), compat=HELPER, replaced=frozenset({"FAST"}))
    new = rewrite_with(text, "model.py", options).new
    assert "assert FAST" in new
    assert "    assert _MORE\n" not in new


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(KEPT)
def test_what_is_kept(case: Case) -> None:
    holds(case, never=tuple(rule("settled_flags").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("settled_flags").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("settled_flags")
