"""Imports of xformers that stay are named, each once, with the reason."""

from __future__ import annotations

import pytest

from tests.rules.common import IMPORTS, Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

DONE = attend(mea())
TRIED = "try:\n    import xformers.ops as xops\nexcept ImportError:\n    {}\n"
THEIRS = "from xformers.components import MultiHeadDispatch\n"


def imported(lines: str) -> str:
    """A program whose call is rewritten, with other imports."""
    return DONE.replace("import xformers.ops as xops\n", lines)


EMITTED = {
    "still used": Case(DONE + "\n\nx = xops.SparseCSRTensor\n", ("finding XF401",), "xops is still used"),
    "used by a call that is left": Case(
        attend(mea("attn_bias=bias")), ("finding XF401",), "xops is still used", same=True
    ),
    "without any call": Case(
        THEIRS + "\nMultiHeadDispatch()\n", ("finding XF401",), "MultiHeadDispatch is", same=True, helper=True
    ),
    "names in their order": Case(
        DONE + "\n\nfrom xformers.ops import SwiGLU as b, SparseCSRTensor as a\n\nprint(b, a)\n",
        ("finding XF401",),
        "a, b are still used",
    ),
    "only what is left of an import": Case(
        imported("from xformers.ops import SwiGLU, memory_efficient_attention\n").replace("xops.", "")
        + "\n\nx = SwiGLU\n",
        ("finding XF401",),
        "imported: SwiGLU is still used",
        has=("from xformers.ops import SwiGLU\n",),
    ),
    "a package by its first name": Case(
        "import xformers.components\n\nx = xformers.components.X\n",
        ("finding XF401",),
        "imported: xformers is still used",
        same=True,
        helper=True,
    ),
    "in a function": Case(
        DONE + "\n\ndef f():\n    import xformers.ops as own\n\n    return own\n",
        ("finding XF401",),
        "own is still used",
    ),
    "beside the helper's": Case(
        imported("from xformers.ops import SparseCSRTensor, LowerTriangularMask\nimport xformers.ops as xops\n")
        + "\n\nx = SparseCSRTensor, LowerTriangularMask()\n",
        ("finding XF401",),
        "imported: SparseCSRTensor is still used",
        has=("from xformers.ops import SparseCSRTensor\nfrom _attention_compat import LowerTriangularMask\n",),
        helper=True,
    ),
    "a guard that sets a flag": Case(
        imported(TRIED.format("FAST = False") + "else:\n    FAST = True\n"),
        ("finding XF401",),
        "the guard around it decides which path runs",
    ),
    "a guard that only warns": Case(
        TRIED.format("print('no xformers')"), ("finding XF401",), "without it this says so", same=True, helper=True
    ),
    "a guard that passes": Case(
        TRIED.format("pass"), ("finding XF401",), "without it this says so", same=True, helper=True
    ),
    "a guard that stops the program": Case(
        TRIED.format("raise SystemExit('no xformers')"),
        ("finding XF401",),
        "decides which path runs",
        same=True,
        helper=True,
    ),
    "a guard that counts": Case(
        "seen = []\n" + TRIED.format("seen.append(1)"),
        ("finding XF401",),
        "decides which path runs",
        same=True,
        helper=True,
    ),
    "a guard whose import is used": Case(
        imported(TRIED.format("xops = None")) + "\n\nx = xops and xops.SparseCSRTensor\n",
        ("finding XF401",),
        "xops is still used",
    ),
    "registered operators": Case(
        DONE + "\n\nOP = torch.ops.xformers_flash.flash_fwd\n",
        ("finding XF401",),
        "it registers operators that are read here",
    ),
    "with a helper, what it has not": Case(
        IMPORTS + "\n\nx = xops.LowerTriangularMask()\ny = xops.SparseCSRTensor\n", ("finding XF402",), helper=True
    ),
}
NEAR_MISSES = {
    "one that goes": Case(DONE, lacks=("xformers",)),
    "one that comes from the helper": Case(
        imported("from xformers.ops import memory_efficient_attention\n")
        .replace("xops.", "")
        .replace("k, v)", "k, v, attn_bias=bias)"),
        lacks=("xformers",),
        helper=True,
    ),
    "a guard that goes": Case(imported(TRIED.format("pass")), lacks=("try", "xformers")),
    "of the project": Case(imported("from .xformers import ops as xops\n"), same=True),
    "of another package": Case(imported("import xformers_like.ops as xops\n"), same=True),
    "in a string": Case("TEXT = '''\nimport xformers.ops as xops\nmemory_efficient_attention\n'''\n", same=True),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("kept_imports").codes))


def test_each_import_is_told_once_where_it_stands() -> None:
    text = f"{DONE}\n\nx = xops.SparseCSRTensor, xops.SwiGLU\n{THEIRS}y = MultiHeadDispatch\n"
    found = [finding for finding in holds(Case(text)).findings if finding.code == "XF401"]
    lines = text.splitlines()
    assert [lines[f.span.line - 1] for f in found] == ["import xformers.ops as xops", THEIRS.strip()]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("unet.enable_xformers_memory_efficient_attention()", "If it is only there for diffusers'"),
        ("unet.enable_something()", ""),
    ],
)
def test_the_switch_of_another_library(line: str, advice: str) -> None:
    text = f"{DONE}\n\nx = xops.SparseCSRTensor\n{line}\n"
    (told,) = [finding.advice for finding in holds(Case(text)).findings if finding.code == "XF401"]
    assert told.startswith(advice)
    assert bool(told) == bool(advice)


def test_what_stands_behind_a_guard_that_only_warns_is_named_too() -> None:
    text = TRIED.format("print('no xformers')") + THEIRS + "\nMultiHeadDispatch()\n"
    named = [f.message for f in holds(Case(text, same=True, helper=True)).findings if f.code == "XF401"]
    assert [message.partition(":")[2] for message in named] == [
        " without it this says so, if anything, and goes on",
        " MultiHeadDispatch is still used",
    ]


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("kept_imports").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("kept_imports")
