"""A guard around the import becomes what it stood for."""

from __future__ import annotations

import sys
import types

import pytest

from tests.rules.common import Case, by_name, codes_in, examples_hold, holds, rule
from xf2sdpa.rewrite.engine import rewrite_text

USE = "\n\ndef attend(q, k, v, bias):\n    return memory_efficient_attention(q, k, v, attn_bias=bias) if FAST else q\n"
IMPORT = "    from xformers.ops import memory_efficient_attention\n"
OURS = "from _attention_compat import memory_efficient_attention\n"


def tried(*works: str, fails: tuple[str, ...] = ("FAST = False",), kind: str = "ImportError", more: str = "") -> str:
    body, handler = ("".join(f"    {line}\n" for line in lines) for lines in (works, fails))
    return f"try:\n{IMPORT}{body}except {kind}:\n{handler}{more}{USE}"


INNER_GUARD = f"    try:\n    {IMPORT}        FAST = True\n    except ImportError:\n        FAST = False\n"
OLD = "version.parse(torch.__version__) < version.parse('2')"
INNER = """\
def attend(q, k, v, bias):
    try:
        from xformers.ops import memory_efficient_attention

        FAST = True
    except ImportError:
        FAST = False
    return memory_efficient_attention(q, k, v, attn_bias=bias) if FAST else q
"""
EMITTED = {
    "a flag": Case(
        tried("FAST = True"), ("finding XF141",), "it set stays", has=(f"{OURS}\nFAST = True\n",), helper=True
    ),
    "a flag by a NameError": Case(
        f"try:\n{IMPORT}except ImportError:\n    pass\n\ntry:\n    memory_efficient_attention\n    FAST = True\n"
        f"except NameError:\n    FAST = False\n{USE}",
        ("finding XF141",),
        has=(OURS, "FAST = True\n"),
        lacks=("try", "NameError"),
        helper=True,
    ),
    "in a branch that does more": Case(
        f"if n:\n    setup()\n{INNER_GUARD}{USE}",
        ("finding XF141",),
        has=(f"if n:\n    setup()\n    {OURS}\n    FAST = True\n",),
        lacks=("try",),
        helper=True,
    ),
    "beside the switch of another library": Case(
        f"if args.fast:\n    unet.enable_xformers_memory_efficient_attention()\n{INNER_GUARD}{USE}",
        ("finding XF141",),
        has=(f"    {OURS}\n    FAST = True\n",),
        lacks=("try",),
        helper=True,
    ),
    "in a branch, with a default before it": Case(
        f"memory_efficient_attention = None\nif n:\n    setup()\n{INNER_GUARD}{USE}",
        ("finding XF141",),
        has=(f"memory_efficient_attention = None\nif n:\n    setup()\n    {OURS}",),
        helper=True,
    ),
    "with what an import below it brings": Case(
        f"{tried('FAST = True')}\n\ndef other():\n    import xformers.ops as xops\n\n    return xops.SwiGLU\n",
        ("finding XF141",),
        has=("from _attention_compat import SwiGLU, memory_efficient_attention\n\nFAST = True\n",),
        lacks=("xformers.ops",),
        helper=True,
    ),
    "a check of torch's release, which goes on": Case(
        "from packaging import version\nimport torch\n\n"
        + tried("FAST = True").replace(IMPORT, f"    if {OLD}:\n        raise ImportError\n{IMPORT}"),
        ("finding XF141",),
        has=("from packaging import version\n", f"FAST = not ({OLD})\n"),
        helper=True,
    ),
    "in a question that a comment keeps": Case(
        "if is_xformers_available():\n    WHO = 1  # xf2sdpa: ignore\n"
        + INNER_GUARD.replace("FAST = True", "pass").replace("FAST = False", "pass")
        + USE.replace("if FAST", "if WHO"),
        ("finding XF141",),
        has=(f"if is_xformers_available():\n    WHO = 1  # xf2sdpa: ignore\n    {OURS}",),
        helper=True,
    ),
    "a flag set in an else": Case(
        tried(more="else:\n    FAST = True\n"), ("finding XF141",), has=(f"{OURS}\nFAST = True\n",), helper=True
    ),
    "any exception": Case(tried("FAST = True", kind="Exception"), ("finding XF141",), lacks=("try",), helper=True),
    "a message": Case(
        tried("FAST = True", fails=("print('slow')", "FAST = False")), ("finding XF141",), lacks=("try",), helper=True
    ),
    "another setting": Case(
        tried("FAST = True", "LAYOUT = 'bmhk'"),
        ("finding XF141",),
        has=("FAST = True\nLAYOUT = 'bmhk'\n",),
        helper=True,
    ),
    "a question around it": Case(
        f"if is_xformers_available():\n{IMPORT}    FAST = True\nelse:\n    FAST = False\n{USE}",
        ("finding XF141",),
        has=("FAST = True",),
        lacks=("if is_xformers",),
        helper=True,
    ),
    "a switch keeps its say": Case(
        f"import os\n\nON = 'X' in os.environ\ntry:\n    if ON:\n    {IMPORT}        FAST = True\n    else:\n"
        f"        raise ImportError\nexcept ImportError:\n    FAST = False\n{USE}",
        ("finding XF141",),
        has=("FAST = ON\n",),
        helper=True,
    ),
    "a switch the other way round": Case(
        f"import os\n\nOFF = 'X' in os.environ\ntry:\n    if OFF:\n        raise ImportError\n    else:\n    {IMPORT}"
        f"        FAST = True\nexcept ImportError:\n    FAST = False\n{USE}",
        ("finding XF141",),
        has=("FAST = not OFF\n",),
        helper=True,
    ),
    "suppressed": Case(
        f"import contextlib\n\nFAST = False\nwith contextlib.suppress(ImportError):\n{IMPORT}    FAST = True\n{USE}",
        ("finding XF141",),
        has=(f"{OURS}\nFAST = True\n",),
        lacks=("suppress", "FAST = False"),
        helper=True,
    ),
    "the name is bound to None": Case(
        f"try:\n{IMPORT}except ImportError:\n    memory_efficient_attention = None\n{USE}",
        ("finding XF141",),
        lacks=("= None",),
        helper=True,
    ),
    "around a question": Case(
        "import xformers\nfrom xformers.ops import memory_efficient_attention\n\ntry:\n"
        f"    FAST = xformers.__version__ >= '0.0.17'\nexcept Exception:\n    FAST = False\n{USE}",
        ("finding XF141",),
        has=("FAST = True\n",),
        lacks=("try", "xformers"),
        helper=True,
    ),
    "in a function": Case(
        INNER,
        ("finding XF141",),
        has=(f"def attend(q, k, v, bias):\n    {OURS}", "    FAST = True\n    return"),
        lacks=("try",),
        helper=True,
    ),
    "what a setting reads stays": Case(
        "import os\n\n" + tried("FAST = True", "SEP = os.sep"),
        ("finding XF141",),
        has=("import os\n", "SEP = os.sep\n"),
        helper=True,
    ),
    "a fallback under a switch": Case(
        f"import os\n\ntry:\n    if os.environ.get('X'):\n    {IMPORT}        FAST = True\n    else:\n"
        "        raise ImportError\n"
        f"except ImportError:\n    memory_efficient_attention = slow\n    FAST = False\n{USE}",
        ("finding XF141",),
        has=(
            f"if os.environ.get('X'):\n    {OURS}    FAST = True\n"
            "else:\n    FAST = False\n    memory_efficient_attention = slow\n",
        ),
        helper=True,
    ),
    "a fallback without a switch": Case(
        tried("FAST = True", fails=("memory_efficient_attention = slow", "FAST = False")),
        ("finding XF141",),
        has=(f"{OURS}\nFAST = True\n",),
        lacks=("slow",),
        helper=True,
    ),
    "a setting alone": Case(
        f"FAST = True\ntry:\n{IMPORT}    LAYOUT = 'bmhk'\nexcept ImportError:\n    LAYOUT = None\n{USE}",
        ("finding XF141",),
        has=(f"{OURS}\nLAYOUT = 'bmhk'\n",),
        helper=True,
    ),
    "a fallback under a negated switch": Case(
        f"import os\n\ntry:\n    if os.X > 1:\n        raise ImportError\n    else:\n    {IMPORT}        FAST = True\n"
        f"except ImportError:\n    memory_efficient_attention = slow\n    FAST = False\n{USE}",
        ("finding XF141",),
        has=(f"if not (os.X > 1):\n    {OURS}    FAST = True\nelse:\n",),
        helper=True,
    ),
    "a default above": Case(
        "memory_efficient_attention = None\n\n" + tried("FAST = True"),
        ("finding XF141",),
        lacks=("= None",),
        helper=True,
    ),
}
NEAR_MISSES = {
    "it does something else": Case(tried("FAST = register(1)"), has=("register(1)", "except"), helper=True),
    "the handler does something else": Case(
        tried("FAST = True", fails=("fall_back()", "FAST = False")), has=("fall_back()",), helper=True
    ),
    "it ends with a finally": Case(
        tried("FAST = True", more="finally:\n    done()\n"), has=("finally:", "done()"), helper=True
    ),
    "without a helper": Case(tried("FAST = True"), ("left XF201",), same=True),
    "an import of something else": Case(
        tried("FAST = True").replace(IMPORT, "    import numba\n").replace("\n\ndef", f"\n{IMPORT[4:]}\n\ndef"),
        has=("import numba", "except"),
        helper=True,
    ),
    "a condition of a person": Case(
        f"if args.fast:\n{IMPORT}    FAST = True\nelse:\n    FAST = False\n{USE}",
        has=("if args.fast:",),
        helper=True,
    ),
    "with private parts": Case(
        "from xformers.ops.fmha import _memory_efficient_attention\n" + tried("FAST = True"), same=True, helper=True
    ),
    "nothing is rewritten": Case(
        "try:\n    import xformers.components\n\n    FAST = True\nexcept ImportError:\n    FAST = False\n",
        same=True,
        helper=True,
    ),
    "a try that has nothing to do with it": Case(
        "import xformers\nfrom xformers.ops import memory_efficient_attention\n\n"
        "FAST = xformers.__version__ > '0.0.17'\n"
        f"try:\n    SIZE = 1\nexcept ValueError:\n    SIZE = 2\n{USE}",
        ("finding XF143",),
        has=("FAST = True\ntry:\n    SIZE = 1\nexcept ValueError:\n    SIZE = 2\n",),
        helper=True,
    ),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("guards").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("guards").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("guards")


@pytest.mark.parametrize(
    ("between", "goes_above"),
    [
        ("SIZE = 1\n", True),
        ("print('hello')\n", True),
        ("'some words'\n", True),
        ("if SIZE:\n    OTHER = 2\n", True),
        ("os.environ['A'] = '1'\n", False),
        ("os.environ.setdefault('A', '1')\n", False),
        ("sys.path.insert(0, 'a')\n", False),
        ("PATH = sys.path\n", False),
        ("setup()\n", False),
        ("if SIZE:\n    from .other import memory_efficient_attention\n", False),
        ("if SIZE:\n    memory_efficient_attention = 1\n", False),
        ("from .other import *\n\nSIZE = 1\n", False),
        ("def attention():\n    pass\n", True),
        ("@register\ndef attention():\n    pass\n", False),
        ("def memory_efficient_attention():\n    pass\n", False),
    ],
)
def test_where_the_helpers_import_goes(between: str, goes_above: bool) -> None:
    """Beside the imports above, unless what lies between may matter to it."""
    new = holds(Case(f"import os\nimport sys\n\n{between}\n{tried('FAST = True')}", helper=True)).new
    first = between.splitlines()[0]
    assert (new.index(OURS) < new.index(first)) == goes_above, new


def test_no_line_ends_in_white_space() -> None:
    lines = holds(Case(INNER, helper=True)).new.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_comment_keeps_it() -> None:
    guard = tried("FAST = True").partition(USE)[0].replace("try:", "try:  # xf2sdpa: ignore")
    result = rewrite_text(guard + USE, compat="_attention_compat")
    assert not result.failed
    assert guard in result.new


@pytest.mark.parametrize(
    ("error", "caught"),
    [
        ("ImportError", "ImportError"),
        ("ModuleNotFoundError('x')", "ImportError"),
        ("ImportError('x')", "(OSError, ImportError)"),
        ("ValueError('x')", "Exception"),
        ("ValueError('x')", "ImportError"),
        ("ImportError('x')", "ModuleNotFoundError"),
        ("ValueError", "(OSError, ImportError)"),
    ],
)
@pytest.mark.parametrize("old", [True, False])
def test_an_error_that_the_guard_does_not_catch_still_stops_the_program(error: str, caught: str, old: bool) -> None:
    """`if OLD: raise ImportError` chooses the slow path where the handler catches it, else it ends the program."""
    text = (
        f"OLD = {old}\ntry:\n    if OLD:\n        raise {error}\n{IMPORT}"
        f"    FAST = True\nexcept {caught}:\n    FAST = False\n{USE}"
    )
    results = []
    for version in (text, rewrite_text(text, compat="_attention_compat").new):
        program = version.replace("from _attention_compat import", "from xf2sdpa.compat import")
        scope: dict[str, object] = {}
        try:
            exec(compile(program, "<guard>", "exec"), scope)
            results.append(scope["FAST"])
        except (ImportError, ValueError) as error_raised:
            results.append(type(error_raised))
    assert results[0] == results[1], results


ENDINGS = {
    "the handler that catches it is not the first": "try:\n    if OLD:\n        raise RuntimeError('off')\n"
    f"{IMPORT}    FAST = True\nexcept ImportError:\n    FAST = None\nexcept RuntimeError:\n    FAST = False\n",
    "another handler says something else": "try:\n    if OLD:\n        raise RuntimeError('off')\n"
    f"{IMPORT}    FAST = True\nexcept ImportError:\n    FAST = True\nexcept RuntimeError:\n    FAST = 0\n",
    "the handler raises it again": f"try:\n    if OLD:\n        raise ImportError('off')\n{IMPORT}"
    "    FAST = True\nexcept ImportError:\n    raise\nexcept Exception:\n    FAST = False\n",
    "a flag above the switch": "try:\n    FIRST = True\n    if OLD:\n        raise ImportError('off')\n"
    f"{IMPORT}    FAST = True\nexcept ImportError:\n    FAST = False\n",
    "raised in the else": f"try:\n{IMPORT}except ImportError:\n    FAST = False\nelse:\n    if OLD:\n"
    "        raise ImportError('off')\n    FAST = True\n",
    "raised in a try within": "try:\n    try:\n        if OLD:\n            raise ImportError('off')\n    "
    f"{IMPORT}        FAST = True\n    except ImportError:\n        FAST = None\nexcept ImportError:\n"
    f"    FAST = False\n",
    "the default is neither": "FAST = 'auto'\ntry:\n    if OLD:\n        raise ImportError('off')\n"
    f"{IMPORT}    FAST = True\nexcept ImportError:\n    pass\n",
    "a flag that only the handler sets": f"FAST = 3\ntry:\n{IMPORT}except ImportError:\n    FAST = False\n",
    "a flag that only the handler of a switch sets": "FAST = 3\ntry:\n    if OLD:\n        raise ImportError('off')\n"
    f"{IMPORT}except ImportError:\n    FAST = False\n",
    "False first": f"try:\n    FAST = False\n{IMPORT}    FAST = True\nexcept ImportError:\n    pass\n",
    "a setting reads a flag before it is set": f"FAST = FIRST = 0\ntry:\n{IMPORT}    FIRST = FAST\n    FAST = True\n"
    "except ImportError:\n    FAST = False\n",
    "an attribute that is missing": f"import sys\n\ntry:\n{IMPORT}    FAST = sys.no_such_name\n"
    "except (ImportError, AttributeError):\n    FAST = None\n",
    "a name that is missing": f"try:\n{IMPORT}    FAST = no_such_name\n"
    "except (ImportError, NameError):\n    FAST = None\n",
    "a message that counts": f"FIRST = 0\nFAST = True\ntry:\n{IMPORT}    print(FIRST := FIRST + 1)\n"
    "except ImportError:\n    pass\n",
    "a message that takes something": f"FIRST = [1, 2]\nFAST = True\ntry:\n{IMPORT}    print(FIRST.pop())\n"
    "except ImportError:\n    pass\n",
    "a message that takes something where the switch is off": "FIRST = [1, 2]\ntry:\n    if OLD:\n"
    f"        print(FIRST.pop())\n        raise ImportError\n{IMPORT}    FAST = True\nexcept ImportError:\n"
    f"    FAST = False\n",
}


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("guard", [pytest.param(text, id=name) for name, text in ENDINGS.items()])
def test_a_guard_ends_as_it_did(guard: str, old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is bound and raised, where xformers is installed, before and after."""
    ours = types.ModuleType("xformers.ops")
    ours.memory_efficient_attention = print  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xformers", types.ModuleType("xformers"))
    monkeypatch.setitem(sys.modules, "xformers.ops", ours)
    text = f"OLD = {old}\n{guard}{USE}"
    results = []
    for version in (text, rewrite_text(text, compat="_attention_compat").new):
        scope: dict[str, object] = {}
        error = None
        try:
            exec(compile(version.replace("_attention_compat", "xf2sdpa.compat"), "<guard>", "exec"), scope)
        except Exception as raised:
            error = type(raised)
        results.append((error, scope.get("FAST", "unbound"), scope.get("FIRST", "unbound")))
    assert results[0] == results[1]
