"""Arms for a torch without SDPA go: what is left is run on a torch that has SDPA, and on one made to lack it."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.rules.common import Case, by_name, codes_in, examples_hold, holds, rule
from xf2sdpa.model import SiteClass
from xf2sdpa.rewrite.engine import rewrite_text

MODE = """
    import torch.nn.functional as F

    if hasattr(F, "scaled_dot_product_attention"):
        MODE = "torch"
    else:
        try:
            import xformers
            import xformers.ops

            MODE = "xformers"
        except ImportError:
            MODE = "plain"
"""
PLAIN = """

    def plain(q, k, v):
        return (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1) @ v
"""
FORMS = {
    "the middle of a chain": MODE
    + PLAIN
    + """

    def attend(q, k, v):
        if MODE == "torch":
            out = F.scaled_dot_product_attention(q, k, v)
        elif MODE == "xformers":
            out = xformers.ops.memory_efficient_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
            out = out.transpose(1, 2)
        else:
            out = plain(q, k, v)
        return out
    """,
    "the first of a chain": MODE
    + PLAIN
    + """

    def attend(q, k, v):
        # how it is done
        if MODE == "xformers":  # the fast way
            return xformers.ops.memory_efficient_attention(q, k, v)
        elif MODE == "torch":
            return F.scaled_dot_product_attention(q, k, v)
        return plain(q, k, v)
    """,
    "the first of two": MODE
    + PLAIN
    + """

    def attend(q, k, v):
        if MODE == "xformers":
            return xformers.ops.memory_efficient_attention(q, k, v)
        else:
            # nothing else is known
            out = F.scaled_dot_product_attention(q, k, v) if MODE == "torch" else plain(q, k, v)
            return out
    """,
    "the end of a chain": MODE
    + PLAIN
    + """

    def attend(q, k, v):
        if MODE == "torch": return F.scaled_dot_product_attention(q, k, v)
        elif MODE == "plain": return plain(q, k, v)
        elif MODE == "xformers":
            a = xformers.ops.memory_efficient_attention(q, k, v)
            b = xformers.ops.memory_efficient_attention(q, k, v)
            return (a + b) / 2
    """,
    "alone": MODE
    + PLAIN
    + """

    def attend(q, k, v):
        if MODE == "xformers":
            return xformers.ops.memory_efficient_attention(q, k, v)
        return F.scaled_dot_product_attention(q, k, v) if MODE == "torch" else plain(q, k, v)
    """,
    "a flag": """
    import torch

    USE_XFORMERS = False
    if not hasattr(torch.nn.functional, "scaled_dot_product_attention"):
        try:
            from xformers.ops import memory_efficient_attention
            USE_XFORMERS = True
        except Exception:
            pass
"""
    + PLAIN
    + """

    def attend(q, k, v):
        if USE_XFORMERS:
            return memory_efficient_attention(q, k, v)
        if hasattr(torch.nn.functional, "scaled_dot_product_attention"):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return plain(q, k, v)
    """,
}
DIRECT = {
    "the other arm": """
    import torch.nn.functional as F
    from xformers.ops import memory_efficient_attention

    def attend(q, k, v):
        if hasattr(F, "scaled_dot_product_attention"):
            # torch has it
            return F.scaled_dot_product_attention(q, k, v)
        else:
            return memory_efficient_attention(q, k, v)
    """,
    "by a variable": """
    import torch.nn.functional as F
    import xformers.ops as xops

    HAS_SDPA = hasattr(F, "scaled_dot_product_attention")

    def attend(q, k, v):
        if not HAS_SDPA:
            out = xops.memory_efficient_attention(q, k, v)
        else:
            out = F.scaled_dot_product_attention(q, k, v)
        return out
    """,
}


def new_text(form: str) -> str:
    result = rewrite_text(textwrap.dedent(form), compat="_attention_compat")
    assert {site.kind for site in result.sites} == {SiteClass.REMOVED}, result
    assert {site.code for site in result.sites} == {"XF218"}
    return result.new


def attended(text: str) -> torch.Tensor:
    """What a file's `attend` makes of some tensors."""
    scope: dict[str, Any] = {}
    exec(compile(text, "<form>", "exec"), scope)
    q, k, v = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return scope["attend"](q, k, v)


@pytest.mark.parametrize("name", FORMS | DIRECT)
def test_nothing_of_xformers_is_left_and_torch_takes_its_own(name: str) -> None:
    new = new_text((FORMS | DIRECT)[name])
    assert "xformers.ops" not in new, new
    torch.testing.assert_close(attended(new), attended(textwrap.dedent((FORMS | DIRECT)[name])))


@pytest.mark.parametrize("name", FORMS)
def test_an_old_torch_still_finds_its_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    new = new_text(FORMS[name])
    monkeypatch.delattr(F, "scaled_dot_product_attention")
    for module in ("xformers", "xformers.ops"):
        monkeypatch.setitem(sys.modules, module, None)
    torch.testing.assert_close(attended(new), attended(textwrap.dedent(FORMS[name])))


@pytest.mark.parametrize("name", FORMS | DIRECT)
def test_a_second_run_changes_nothing(name: str) -> None:
    new = new_text((FORMS | DIRECT)[name])
    assert rewrite_text(new, compat="_attention_compat").new == new


def test_comments_stay() -> None:
    assert "    # how it is done\n    if MODE ==" in new_text(FORMS["the first of a chain"])
    assert "    # nothing else is known\n    out = " in new_text(FORMS["the first of two"])
    assert "    # torch has it\n    return F." in new_text(DIRECT["the other arm"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('MODE = "torch"', 'MODE = "xformers"'),
        ('hasattr(F, "scaled_dot_product_attention")', 'hasattr(F, "softmax")'),
        ('hasattr(F, "scaled_dot_product_attention")', 'hasattr(plain, "scaled_dot_product_attention")'),
    ],
)
def test_an_arm_that_may_be_taken_is_kept(old: str, new: str) -> None:
    form = textwrap.dedent(FORMS["the middle of a chain"]).replace(old, new, 1)
    assert form != textwrap.dedent(FORMS["the middle of a chain"])
    sites = rewrite_text(form, compat="_attention_compat").sites
    assert {site.kind for site in sites} != {SiteClass.REMOVED}, (new, sites)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("except ImportError:", "except ImportError as why:\n        print(why)"),
        ("        import xformers\n", "        print('old')\n        import xformers\n"),
        ("except ImportError:", "except ImportError:\n        if F:\n            raise"),
    ],
)
def test_where_a_guard_does_more_the_call_is_left(old: str, new: str) -> None:
    form = textwrap.dedent(FORMS["the middle of a chain"])
    result = rewrite_text(form.replace(old, new, 1), compat="_attention_compat")
    assert result.new == result.old != form
    assert [(site.kind, site.code) for site in result.sites] == [(SiteClass.LEFT, "XF218")]


ASKED = """\
import torch.nn.functional as F
import xformers.ops as xops


def attend(q, k, v):
    b, n, h, d = q.shape
"""
HAS = 'hasattr(F, "scaled_dot_product_attention")'
CALL = "xops.memory_efficient_attention(q, k, v).flatten(2)"


def asked(test: str, *, otherwise: bool = False, head: str = ASKED) -> str:
    first, second = (f"return {CALL}", "return q")[:: -1 if otherwise else 1]
    return f"{head}    if {test}:\n        {first}\n    else:\n        {second}\n"


EMITTED = {
    "where torch lacks it": Case(asked(f"not {HAS}"), ("left XF218",), "runs only where torch has no", same=True),
    "where torch has it not, otherwise": Case(asked(HAS, otherwise=True), ("left XF218",), same=True),
    "with a helper": Case(asked(f"not {HAS}"), ("removed XF218",), has=("    return q\n",), lacks=("if",), helper=True),
    "not not": Case(asked(f"not not {HAS}", otherwise=True), ("removed XF218",), lacks=("if",), helper=True),
    "by a variable": Case(
        asked("OLD", head=ASKED.replace("\n\n\n", f"\n\nOLD = not {HAS}\n\n\n")), ("removed XF218",), helper=True
    ),
    "by a variable of a variable": Case(
        asked("OLD", head=ASKED.replace("\n\n\n", f"\n\nNEW = {HAS}\nOLD = not NEW\n\n\n")),
        ("removed XF218",),
        helper=True,
    ),
    "by the full path": Case(
        asked(f"not {HAS}".replace("F,", "torch.nn.functional,"), head=f"import torch\n{ASKED}"),
        ("removed XF218",),
        helper=True,
    ),
}
NEAR_MISSES = {
    "where torch has it": Case(asked(HAS), ("assumed XF101",), helper=True),
    "where torch has it, otherwise": Case(asked(f"not {HAS}", otherwise=True), ("assumed XF101",), helper=True),
    "of something else": Case(asked(f"not {HAS}".replace("(F,", "(xops,")), ("assumed XF101",), helper=True),
    "another name": Case(asked(f"not {HAS}".replace("scaled_", "")), ("assumed XF101",), helper=True),
    "a variable that is set twice": Case(
        asked("OLD", head=ASKED.replace("\n\n\n", f"\n\nOLD = not {HAS}\nOLD = 1\n\n\n")),
        ("assumed XF101",),
        helper=True,
    ),
    "variables that are each other": Case(
        asked("OLD", head=ASKED.replace("\n\n\n", "\n\nOLD = NEW\nNEW = OLD\n\n\n")), ("assumed XF101",), helper=True
    ),
    "a variable of the module that only a star can bring": Case(
        asked("OLD", head=ASKED.replace("\n\n\n", "\nfrom settings import *\n\n\n") + "    global OLD\n"),
        ("assumed XF101",),
        helper=True,
    ),
    "with something besides": Case(asked(f"not {HAS} or q"), ("assumed XF101",), helper=True),
    "a function of the file": Case(asked("not has(F)"), ("assumed XF101",), helper=True),
    "a function of the file with two arguments": Case(
        asked(f"not {HAS}".replace("hasattr", "has")), ("assumed XF101",), helper=True
    ),
    "another operation": Case(asked(f"-{HAS}", otherwise=True), ("assumed XF101",), helper=True),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("old_torch_arm").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("old_torch_arm").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("old_torch_arm")


TWO = """\
import torch.nn.functional as F

if hasattr(F, "scaled_dot_product_attention"):
    MODE = MASKS = "torch"
else:
    try:
        import xformers.ops

        MODE = "xformers"
    except ImportError:
        MODE = "plain"
    try:
        from xformers.ops import LowerTriangularMask

        MASKS = LowerTriangularMask
        print(LowerTriangularMask)
    except ImportError:
        MASKS = "plain"


def attend(q, k, v):
    if MODE == "xformers":
        return xformers.ops.memory_efficient_attention(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)
"""


def test_every_guard_in_such_an_arm_becomes_what_it_does_without_xformers() -> None:
    new = new_text(TWO)
    assert 'else:\n    MODE = "plain"\n    MASKS = "plain"\n' in new
    assert "xformers.ops" not in new


def test_a_guard_beside_it_that_imports_something_else_stays() -> None:
    more = "    try:\n        import flash\n    except ImportError:\n        flash = None\n"
    new = new_text(TWO.replace("else:\n", f"else:\n{more}", 1))
    assert f'else:\n{more}    MODE = "plain"\n    MASKS = "plain"\n' in new


def test_without_a_call_the_guard_stays() -> None:
    text = TWO[: TWO.index("\n\ndef attend")].replace("import LowerTriangularMask", "import SparseCSRTensor")
    assert rewrite_text(text, compat="_attention_compat").new == text


@pytest.mark.parametrize("otherwise", [False, True])
def test_what_only_the_arm_read_goes_with_it(otherwise: bool) -> None:
    text = asked(HAS if otherwise else f"not {HAS}", otherwise=otherwise)
    text = text.replace("return q", "return q + new").replace("return xops", "return old + xops")
    text = text.replace("q.shape\n", "q.shape\n    old = 1\n    new = 1\n")
    new = holds(Case(text, ("removed XF218",), helper=True)).new
    assert "    new = 1\n    return q + new\n" in new
    assert "old" not in new


def test_a_guard_in_the_arm_goes_with_it_untold() -> None:
    arm = (
        "        try:\n            import xformers.ops as other\n"
        "        except ImportError:\n            print('slow')\n"
        f"        return {CALL}\n"
    )
    text = asked(f"not {HAS}").replace(f"        return {CALL}\n", arm)
    assert arm in text
    result = holds(Case(text, ("removed XF218",), lacks=("other",), helper=True))
    assert "XF218" not in {finding.code for finding in result.findings}


def test_a_guard_whose_module_is_read_elsewhere_stays() -> None:
    text = f"{TWO}\n\nx = xformers.profiler.profile\n"
    result = rewrite_text(text, compat="_attention_compat")
    assert not result.failed
    assert "    try:\n        import xformers.ops\n" in result.new


def test_a_guard_whose_import_is_read_elsewhere_stays() -> None:
    result = rewrite_text(f"{TWO}\n\nx = LowerTriangularMask\n", compat="_attention_compat")
    assert not result.failed
    assert "    try:\n        from _attention_compat import LowerTriangularMask\n" in result.new
    assert 'else:\n    MODE = "plain"\n    try:' in result.new
