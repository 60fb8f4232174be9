"""Questions about the installed release are answered as the last one would."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, by_name, codes_in, examples_hold, holds, rule
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

USE = "\n\ndef attend(q, k, v, bias):\n    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"
HEAD = "import xformers\nimport xformers.ops as xops\n\n"


def asked(*lines: str, head: str = HEAD) -> str:
    return head + "".join(f"{line}\n" for line in lines) + USE


def answered(question: str, answer: str, head: str = HEAD) -> Case:
    return Case(
        asked(f"FLAG = {question}", head=head),
        ("finding XF143",),
        "as the last one would",
        has=(f"FLAG = {answer}\n",),
        lacks=("xformers",),
        helper=True,
    )


V = "xformers.__version__"
SHOWN = f"if is_xformers_available():\n    import xformers\n    R = {V}\nelse:\n    R = 'N/A'\nx = f(R)"
PARSED = "from packaging import version\n" + HEAD
EMITTED = {
    "an old one": answered(f"{V}.startswith('0.0.18')", "False"),
    "older than": answered(f"{V} < '0.0.20'", "False"),
    "at least": answered(f"version.parse({V}) >= version.parse('0.0.17')", "True", PARSED),
    "not that one": answered(f"{V} != '0.0.18'", "True"),
    "negated": answered(f"not {V}.startswith('0.0.18')", "True"),
    "one of several": answered(f"{V} in ('0.0.18', '0.0.19')", "False"),
    "by the globals": answered("'xops' in globals()", "True"),
    "by the modules": answered("'xformers' in sys.modules", "True", "import sys\nimport xformers.ops as xops\n\n"),
    "a variable in between": Case(
        asked(f"RELEASE = {V}", "FLAG = RELEASE < '0.0.20'"),
        ("finding XF143",),
        has=("FLAG = False\n",),
        lacks=("RELEASE",),
        helper=True,
    ),
    "a public variable that nothing reads": Case(
        asked(f"RELEASE = {V}"),
        ("finding XF155", "finding XF143"),
        "RELEASE, which held xformers' release, goes",
        lacks=("RELEASE",),
        helper=True,
    ),
    "a private one": Case(asked(f"_RELEASE = {V}"), ("finding XF143",), lacks=("RELEASE",), helper=True),
    "a branch that is never taken": Case(
        asked(f"if {V} < '0.0.20':", "    print('old')"), ("finding XF143",), lacks=("print", "if"), helper=True
    ),
    "a question in a branch that is never taken": Case(
        asked("FLAG = False", f"if {V} < '0.0.20':", f"    FLAG = {V} == '0.0.19'", "print(FLAG)"),
        ("finding XF143",),
        has=("FLAG = False\nprint(FLAG)\n",),
        lacks=("0.0.19",),
        helper=True,
    ),
    "an assertion": Case(asked(f"assert {V} >= '0.0.20'"), ("finding XF143",), lacks=("assert",), helper=True),
    "said": Case(asked(f"print({V})"), ("finding XF143",), lacks=("print",), helper=True),
    "shown": Case(
        asked(SHOWN, head="import xformers.ops as xops\n\n"),
        ("finding XF143",),
        has=("R = 'N/A'\n",),
        helper=True,
    ),
    "in a file with calls, an import that another library's question is around": Case(
        asked(
            f"if is_xformers_available():\n    import xformers\n    if {V} == '0.0.16':\n        print('old')\n"
            "    net.enable_xformers_memory_efficient_attention()",
            head="import xformers.ops as xops\n\n",
        ),
        ("finding XF143",),
        has=("if is_xformers_available():\n    net.enable",),
        lacks=("import xformers",),
        helper=True,
    ),
    "words about something else": Case(
        asked("options.get('size', 'small'), 'wide' in options", SHOWN, head="import xformers.ops as xops\n\n"),
        ("finding XF143",),
        has=("options.get('size', 'small'), 'wide' in options\n", "R = 'N/A'\n"),
        helper=True,
    ),
    "two questions in one": answered(f"{V} >= '0.0.17' and {V} != '0.0.18'", "True"),
    "two variables at once": Case(
        asked(f"A = B = {V}", "FLAG = A < '0.0.20'"),
        ("finding XF143",),
        has=("FLAG = False\n",),
        lacks=("A =",),
        helper=True,
    ),
    "a variable that is asked twice": Case(
        asked(f"A = {V}", "FLAG = A < '0.0.20'", "OTHER = A > '0.0.17'"),
        ("finding XF143",),
        has=("FLAG = False\n", "OTHER = True\n"),
        lacks=("A =",),
        helper=True,
    ),
    "by the metadata": Case(
        asked("A = version('xformers')", "FLAG = A < '0.0.20'", head="from importlib.metadata import version\n" + HEAD),
        ("finding XF143",),
        has=("FLAG = False\n",),
        lacks=("version(",),
        helper=True,
    ),
    "shown, with a default before": Case(
        asked(
            "R = 'N/A'",
            "if is_xformers_available():",
            "    import xformers",
            f"    R = {V}",
            "x = f(R)",
            head="import xformers.ops as xops\n\n",
        ),
        ("finding XF143",),
        has=("R = 'N/A'\nx = f(R)\n",),
        helper=True,
    ),
    "in a larger condition": Case(
        asked(f"if ({V} < '0.0.20') == c:", "    f()"),
        ("finding XF143",),
        has=("if (False) == c:\n    f()\n",),
        helper=True,
    ),
}
EMITTED |= {
    "beside a string that asks nothing": Case(
        asked(f"FLAG = {V} < '0.0.20'", "print('xformers' == f())"),
        ("finding XF143",),
        has=("FLAG = False\n", "print('xformers' == f())\n"),
        helper=True,
    ),
    "a variable that is kept, and one that is not": Case(
        asked(f"A = {V}", f"B = {V}", "FLAG = A < '0.0.20'", "print(B)"),
        ("finding XF143",),
        has=("FLAG = False\n",),
        lacks=("A =", "B ="),
        helper=True,
    ),
    "a branch of two that is taken": Case(
        asked(f"if {V} > '0.0.20':", "    f(1)", "else:", "    f(2)"),
        ("finding XF143",),
        has=("f(1)\n",),
        lacks=("f(2)", "if"),
        helper=True,
    ),
    "an assertion that always fails": Case(
        asked(f"assert {V} < '0.0.20', 'x'", f"FLAG = {V} < '0.0.20'"),
        same=False,
        has=("assert False, 'x'\nFLAG = False\n",),
        helper=True,
    ),
}
OTHERS = "if is_xformers_available():\n    {}\n    net.enable_xformers_memory_efficient_attention()"
PLAINLY = f"import xformers\n    if {V} == '0.0.16':\n        print('old')"
NEAR_MISSES = {
    "got from the globals": Case(
        asked("FLAG = globals().get('xops') is not None", f"OTHER = {V} < '0.0.20'"),
        has=("globals().get('xops')", "import xformers.ops as xops\n", f"OTHER = {V} < '0.0.20'\n"),
        helper=True,
    ),
    "what decides about another library": Case(
        asked(f"if {V} > '0.0.16':", "    net.enable_xformers_memory_efficient_attention()"),
        has=(f"if {V} > '0.0.16':\n",),
        helper=True,
    ),
    "a guard about something else": Case(
        asked(SHOWN.replace("is_xformers_available()", "c"), head="import xformers.ops as xops\n\n"),
        has=(f"    R = {V}\nelse:\n    R = 'N/A'\n",),
        helper=True,
    ),
    "shown in two variables": Case(
        asked(SHOWN.replace(f"R = {V}", f"R = S = {V}") + ", f(S)", head="import xformers.ops as xops\n\n"),
        has=(f"R = S = {V}",),
        helper=True,
    ),
    "shown, with two defaults": Case(
        asked("R = 'none'", SHOWN, head="import xformers.ops as xops\n\n"), has=(f"R = {V}",), helper=True
    ),
    "whether it is there": Case(asked("FLAG = xops is not None"), has=("FLAG = True\n",), helper=True),
    "of another package": Case(
        asked("FLAG = numba.__version__ < '2'", head="import numba\n" + HEAD), has=("numba.__version__ <",), helper=True
    ),
    "without a helper": Case(asked(f"FLAG = {V} < '0.0.20'"), ("left XF201",), same=True),
    "xformers is needed for something else": Case(
        asked(f"FLAG = {V} < '0.0.20'", "x = xformers.components"), has=(f"FLAG = {V} < '0.0.20'",), helper=True
    ),
    "one question cannot be answered": Case(
        asked(f"FLAG = {V} < '0.0.20'", f"OTHER = f({V})"), has=(f"FLAG = {V} < '0.0.20'",), helper=True
    ),
    "with what is not known": Case(asked(f"FLAG = {V} < LEAST"), has=(f"{V} < LEAST",), helper=True),
    "the release is kept": Case(asked(f"RELEASE = {V}", "x = f(RELEASE)"), has=(f"RELEASE = {V}",), helper=True),
    "handed on": Case(asked(f"RELEASE = {V}"), has=(f"RELEASE = {V}",), helper=True, handed_on=frozenset({"RELEASE"})),
    "of another package by the metadata": Case(
        asked("FLAG = version('numba') < '2'", head="from importlib.metadata import version\n" + HEAD),
        has=("FLAG = version('numba') < '2'",),
        helper=True,
    ),
    "a string that asks for something else": Case(
        asked("FLAG = 'xops' == f()"), has=("FLAG = 'xops' == f()\n",), helper=True
    ),
    "kept among others": Case(asked(f"A, B = {V}, 1", "x = f(A)"), has=(f"A, B = {V}, 1",), helper=True),
    "shown by a guard that does more": Case(
        asked(
            SHOWN.replace("    import xformers\n", "    import xformers\n    f()\n"),
            head="import xformers.ops as xops\n\n",
        ),
        has=(f"R = {V}",),
        helper=True,
    ),
    "shown, or computed": Case(
        asked(SHOWN.replace("'N/A'", "f()"), head="import xformers.ops as xops\n\n"), has=(f"R = {V}",), helper=True
    ),
    "with private parts": Case(
        "from xformers.ops.fmha import _x\n" + asked(f"FLAG = {V} < '0.0.20'"), same=True, helper=True
    ),
}


TRIED = PLAINLY.replace("import xformers", "try:\n        import xformers\n    except ImportError:\n        exit(1)")


@pytest.mark.parametrize(
    ("lines", "handed_on", "stays"),
    [(PLAINLY, (), False), (PLAINLY, ("xformers",), True), (TRIED, (), True)],
)
def test_an_import_in_a_branch_for_another_library(lines: str, handed_on: tuple[str, ...], stays: bool) -> None:
    case = Case(
        asked(OTHERS.format(lines), head="import xformers.ops as xops\n\n"), helper=True, handed_on=frozenset(handed_on)
    )
    assert ("import xformers\n" in holds(case).new) is stays


def test_an_import_of_another_package_in_such_a_branch_stays() -> None:
    lines = f"import json\n    import xformers\n    if {V} == '0.0.16':\n        print(json.dumps('old'))"
    case = Case(asked(OTHERS.format(lines), head="import xformers.ops as xops\n\n"), helper=True)
    assert "    import json\n    net.enable" in holds(case).new


@pytest.mark.parametrize(
    "line", ["globals().get('xops')", "'xops' in globals()", "xops", "importlib.metadata.version('xformers')"]
)
def test_what_is_asked_in_an_arm_that_goes_is_no_question(line: str) -> None:
    text = (
        f"import torch.nn.functional as F\n{HEAD}FLAG = {V} < '0.0.20'\n\n\ndef attend(q, k, v):\n"
        f"    if not hasattr(F, 'scaled_dot_product_attention'):\n        f({line})\n"
        "        return xops.memory_efficient_attention(q, k, v)\n    return F.scaled_dot_product_attention(q, k, v)\n"
    )
    holds(Case(text, ("removed XF218", "finding XF143"), has=("FLAG = False\n",), helper=True))


def test_a_comment_at_one_question_keeps_all() -> None:
    lines = [f"FLAG = {V} < '0.0.20'", f"OTHER = {V} > '0.0.17'  # xf2sdpa: ignore"]
    holds(Case(asked(*lines), has=tuple(lines), helper=True), never=("XF143",))


SHARED = (
    "from . import shared\n\n{}\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
    "    return shared.xops.memory_efficient_attention(q, k, v).flatten(2)\n"
)


@pytest.mark.parametrize(
    ("line", "new"),
    [
        ("FLAG = shared.xops is not None", "FLAG = True\n"),
        ("FLAG = shared.xformers is not None", "FLAG = True\n"),
        ("f(shared.xops)", "f(shared.xops)\n"),
        ("FLAG = shared.other is not None", "FLAG = shared.other is not None\n"),
    ],
)
def test_a_module_that_another_file_hands_on(line: str, new: str) -> None:
    meanings = {".shared.xops": "xformers.ops", ".shared.xformers": "xformers"}
    options = Options(Settings(), compat="_attention_compat", meanings=meanings)
    result = rewrite_with(SHARED.format(line), "model.py", options)
    assert not result.failed, result.findings
    assert new in result.new


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("release_questions").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("release_questions").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("release_questions")
