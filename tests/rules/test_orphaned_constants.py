"""A constant goes with the check that read it, and only then."""

from __future__ import annotations

from functools import partial

from tests.rules.common import Case as AnyCase
from tests.rules.common import by_name, codes_in, examples_hold, holds, rule

Case = partial(AnyCase, helper=True)
CHECK = "if xformers.__version__ < needed:\n        raise RuntimeError('too old')"


def program(*lines: str, check: str = CHECK, above: str = "") -> str:
    before = "".join(f"    {line}\n" for line in (*lines, check))
    call = "    b, n, h, d = q.shape\n    return xops.memory_efficient_attention(q, k, v).flatten(2)\n"
    return f"import xformers\nimport xformers.ops as xops\n{above}\n\ndef attend(q, k, v):\n{before}{call}"


EMITTED = {
    "a release": Case(program("needed = '0.0.20'"), ("finding XF153",), lacks=("needed",)),
    "in a block beside another statement": Case(
        program("if q.is_cuda:\n        needed = '0.0.20'\n        print()"),
        ("finding XF153",),
        has=("    if q.is_cuda:\n        print()\n",),
        lacks=("needed",),
    ),
    "with another statement on its line": Case(
        program("needed = '0.0.20'; more = 1", "print(more)"), ("finding XF153",), has=("    more = 1\n",)
    ),
    "beside one that was never read": Case(
        program("unread = 1", "needed = '0.0.20'"), ("finding XF153",), has=("unread = 1",), lacks=("needed",)
    ),
}
LEFT = {
    "read elsewhere": Case(program("needed = '0.0.20'", "print(needed)"), has=("needed = '0.0.20'",)),
    "read by an inner function": Case(
        program("needed = '0.0.20'", "def tell():\n        return needed"), has=("needed = '0.0.20'",)
    ),
    "given twice": Case(program("needed = '0.0.16'", "needed = '0.0.20'"), has=("needed = '0.0.16'",)),
    "given twice, and read where nothing is left": Case(
        program(
            "needed = '0.0.16'", "needed = '0.0.20'", check="if xformers.__version__ < '0.0.20':\n        print(needed)"
        ),
        has=("needed = '0.0.16'\n    needed = '0.0.20'\n",),
        lacks=("print",),
    ),
    "computed": Case(program("needed = release()"), has=("needed = release()",)),
    "two at once": Case(program("needed = other = '0.0.20'", "print(other)"), has=("needed = other",)),
    "deleted": Case(program("needed = '0.0.20'", check=f"{CHECK}\n    del needed"), has=("needed = '0.0.20'",)),
    "reached by its name": Case(program("needed = '0.0.20'", "print(locals())"), has=("needed = '0.0.20'",)),
    "of the module": Case(program(above="needed = '0.0.20'\n"), has=("needed = '0.0.20'",)),
    "alone in its block with the check": Case(
        program("if q.is_cuda:\n        needed = '0.0.20'\n        " + CHECK.replace("\n", "\n    "), check="print()"),
        has=("if q.is_cuda:\n        needed = '0.0.20'\n    print()",),
    ),
    "alone in its block": Case(
        program("if q.is_cuda:\n        needed = '0.0.20'"), has=("if q.is_cuda:\n        needed = '0.0.20'",)
    ),
}


@by_name(EMITTED)
def test_it_goes(case: AnyCase) -> None:
    holds(case)


@by_name(LEFT)
def test_it_stays(case: AnyCase) -> None:
    holds(case, never=("XF153",))


def test_examples() -> None:
    examples_hold("orphaned_constants")


def test_every_code_has_a_case() -> None:
    assert set(rule("orphaned_constants").codes) <= codes_in(EMITTED)
