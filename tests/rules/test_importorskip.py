"""`pytest.importorskip` goes with the last use of what it imports, and is named where it stays."""

from __future__ import annotations

from tests.rules.common import Case, by_name, codes_in, examples_hold, holds, rule

HEAD = 'import pytest\nimport torch\n\nxops = pytest.importorskip("xformers.ops")\n'
TEST = "\n\ndef test_it():\n    q = torch.randn(1, 3, 2, 8).half()\n    {}\n"
CALL = "assert xops.memory_efficient_attention(q, q, q).shape == q.shape"


def program(*lines: str, head: str = HEAD) -> str:
    return head + TEST.format("\n    ".join(lines))


APART = "import pytest\nimport torch\nimport xformers.ops as xops\n\npytest.importorskip('xformers')\n"
GUARD = "try:\n    import xformers.ops as xops\nexcept ImportError:\n"
EMITTED = {
    "the module": Case(program(CALL), ("finding XF145",), lacks=("importorskip", "import pytest")),
    "not kept": Case(program(CALL, head=APART), ("finding XF145",), lacks=("importorskip", "xformers")),
    "by its own name": Case(
        program(CALL, head="from pytest import importorskip\nimport torch\n\nxops = importorskip('xformers.ops')\n"),
        ("finding XF145",),
        lacks=("importorskip",),
    ),
    "with a release": Case(
        program(CALL, head=HEAD.replace('("xformers.ops")', '("xformers.ops", minversion="0.0.20")')),
        ("finding XF145",),
        lacks=("importorskip",),
    ),
    "another use stays": Case(
        program(CALL, "xops.SparseCSRTensor()"), ("finding XF401",), "are skipped, in silence", has=("importorskip",)
    ),
    "pytest is used elsewhere": Case(
        program(CALL, "pytest.skip()"), ("finding XF145",), has=("import pytest",), lacks=("importorskip",)
    ),
    "the name is handed on": Case(
        program(CALL), ("finding XF401",), has=("importorskip",), handed_on=frozenset({"xops"})
    ),
    "one of two is read": Case(
        program(CALL, "more.SparseCSRTensor()", head=HEAD + 'more = pytest.importorskip("xformers.ops")\n'),
        ("finding XF401",),
        has=('xops = pytest.importorskip("xformers.ops")\n', "more = pytest"),
    ),
    "where the import fails": Case(
        program(CALL, head=f"import pytest\n{GUARD}    pytest.importorskip('xformers')\n"),
        ("finding XF140",),
        lacks=("importorskip",),
        helper=True,
    ),
    "nothing else is of xformers": Case(
        "import pytest\n\npytest.importorskip('xformers')  # memory_efficient_attention\n",
        ("finding XF401",),
        same=True,
    ),
    "an import stays": Case(
        program(CALL, "xops.SparseCSRTensor()", head=APART), ("finding XF401",), has=("importorskip",)
    ),
    "an operator stays": Case(
        program(CALL, "torch.ops.xformers.f()", head=APART), ("finding XF401",), has=("importorskip",)
    ),
    "an operator stays, of the module that the line brings": Case(
        program(CALL, "torch.ops.xformers.f()"), ("finding XF401",), has=("importorskip",)
    ),
    "in a larger statement": Case(
        program(CALL, head=APART.replace("pytest.imp", "x = f(pytest.imp").replace("')\n", "'))\n")),
        ("finding XF401",),
        has=("x = f(pytest.importorskip('xformers'))",),
    ),
    "in a condition": Case(
        program(CALL, head=APART.replace("pytest.imp", "if pytest.imp").replace("')\n", "'):\n    pass\n")),
        ("finding XF401",),
        has=("if pytest.importorskip('xformers'):",),
    ),
    "kept on an object": Case(
        program(CALL, head=APART.replace("pytest.imp", "pytest.x = pytest.imp")),
        ("finding XF401",),
        has=("pytest.x = pytest.importorskip('xformers')",),
    ),
}
NEAR_MISSES = {
    "of another package": Case(program(CALL, head=HEAD.replace("xformers.ops", "numba")), same=True),
    "another function": Case(program(CALL, head=HEAD.replace("importorskip", "param")), ("finding XF406",), same=True),
    "a name that is no text": Case(program(CALL, head=HEAD.replace('"xformers.ops"', "NAME")), same=True),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("importorskip").codes))


def test_a_line_that_goes_with_its_guard_is_not_told_besides() -> None:
    holds(EMITTED["where the import fails"], never=("XF145",))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("importorskip").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("importorskip")
