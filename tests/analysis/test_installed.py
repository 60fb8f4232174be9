"""Questions about the installed release, each answered as the last one would, or left as it is."""

from __future__ import annotations

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

PROGRAM = """\
import xformers
import xformers.ops as xops
from packaging import version

EXPECTED = '0.0.27'
FLAG = {}


def attend(q, k, v, bias):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)
"""


def flag(question: str) -> str:
    """What a flag is set to that was set to a question; `V` in it stands for the release."""
    result = rewrite_text(PROGRAM.format(question.replace("V", "xformers.__version__")), compat="_attention_compat")
    assert not result.failed, result.findings
    (line,) = (line for line in result.new.splitlines() if line.startswith("FLAG = "))
    return line.removeprefix("FLAG = ").replace("xformers.__version__", "V")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("hasattr(xops, 'memory_efficient_attention')", "True"),
        ("hasattr(xformers, 'ops')", "True"),
        ("V[:3] == '0.0'", "True"),
        ("V[0] == '0'", "True"),
        ("int(V.split('.')[2]) >= 20", "True"),
        ("tuple(int(p) for p in V.split('.')) >= (0, 0, 17)", "True"),
        ("[int(p) for p in V.split('.')] >= [0, 0, 17]", "True"),
        ("xformers._has_cpp_library", "True"),
        ("V == EXPECTED", "False"),
        ("V in ['0.0.18', '0.0.19']", "False"),
        ("V not in ('0.0.18',)", "True"),
        ("version.parse(V) == version.parse('0.0.20.0')", "False"),
        ("not V < '0.0.20'", "True"),
        ("V < '0.0.20' or V > '0.0.17'", "True"),
        ("V < '0.0.20' and xops", "False"),
        ("any(V.startswith(p) for p in ('0.0.1', '0.0.2'))", "False"),
        ("all(V != p for p in ['0.0.18'])", "True"),
        ("bool(V)", "True"),
        ("V.split('+')[0] == '0.0.18'", "False"),
        ("'dev' in V", "False"),
        ("callable(xops.memory_efficient_attention)", "callable(memory_efficient_attention)"),
        ("V is None", "False"),
        ("V is not None", "True"),
        ("len(V) > 2", "True"),
        ("float(V[:3]) > 0", "False"),
        ("V.replace('.', '') > '1'", "False"),
        ("xops and True", "True"),
        ("'xops' in globals() and 'xops' not in locals()", "False"),
        ("max(1, 2) > 1 and V > '0.0.17'", "max(1, 2) > 1 and True"),
    ],
)
def test_a_question_is_answered(question: str, answer: str) -> None:
    assert flag(question) == answer


@pytest.mark.parametrize(
    "question",
    [
        "V[-1] == 'x'",
        "V['0'] == '0'",
        "V['0':] == '0'",
        "xops[0] == 1",
        "xops.lower() == '0'",
        "any(p == '0' for p in V)",
        "V == distribution('xformers')",
        "V[f():] == '0'",
        "tuple(map(int, V.split('.')[:3])) >= (0, 0, 17)",
        "'0.0.1' < V < '0.0.2'",
        "V in f()",
        "version.parse(V) < '0.0.2'",
        "version.parse(V).release >= (0, 0, 20)",
        "-V",
        "xops or V",
        "any(V == p for p in f())",
        "int(V)",
        "V.count('.') > 1",
        "hasattr(f, 'memory_efficient_attention')",
        "hasattr(xops, 'nothing')",
        "V.isdigit()",
        "sorted([V])",
        "V > 3",
        "V < ('0', '1')",
    ],
)
def test_a_question_that_cannot_be_answered_stays(question: str) -> None:
    assert flag(question) == question
