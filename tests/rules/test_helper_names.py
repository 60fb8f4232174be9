"""Names of xformers.ops come from the helper module, or are named where it has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import assert_equal, execute, installed, rewrite, tree, write
from tests.rules.common import HELPER, Case, by_name, codes_in, examples_hold, holds, rule
from xf2sdpa.model import FileResult, FindingKind
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

HEAD = "import torch\nimport xformers.ops as xops\nfrom xformers.ops import fmha\n\n\ndef run(x, bias, n):\n"
WITHOUT_TORCH = "from torch import nn\nfrom xformers.ops import unbind\n\n\ndef run(x, n):\n"
FROM = "from _attention_compat import "


def use(*lines: str, head: str = HEAD) -> str:
    return head + "".join(f"    {line}\n" for line in lines)


EMITTED = {
    "unbind, called and handed on": Case(
        use("g = unbind", "return g, unbind(x, 2)", head=HEAD.replace("import fmha", "import fmha, unbind")),
        ("finding XF160",) * 2 + ("finding XF140",),
        has=("g = torch.unbind\n    return g, torch.unbind(x, 2)",),
        lacks=("xformers.ops import fmha, unbind", "XF401"),
        helper=True,
    ),
    "unbind, its tensor by name": Case(
        use("return unbind(dim=n, x=x), xops.unbind(x=x + 1, dim=1)", head=HEAD.replace("fmha", "unbind")),
        has=("return torch.unbind(dim=n, input=x), torch.unbind(input=x + 1, dim=1)",),
        lacks=("xformers",),
        helper=True,
    ),
    "unbind, its tensor by name, over lines": Case(
        use("return xops.unbind(", "    x=x,  # all", "    dim=1,", ")"),
        has=("return torch.unbind(\n        input=x,  # all\n        dim=1,\n",),
        helper=True,
    ),
    "unbind of unbind, by name": Case(
        use("return xops.unbind(x=xops.unbind(x, 1)[0], dim=1)"),
        has=("return torch.unbind(input=torch.unbind(x, 1)[0], dim=1)",),
        helper=True,
    ),
    "whether unbind is there": Case(
        "import torch\n\ntry:\n    from xformers.ops import unbind\nexcept ImportError:\n    unbind = None\n\n\n"
        "def run(x):\n    if unbind is None:\n        return x.unbind(2)\n    return unbind(x, 2)\n",
        has=("import torch\n\n\ndef run(x):\n    return torch.unbind(x, 2)\n",),
        helper=True,
    ),
    "a call of unbind that a comment leaves": Case(
        "from xformers.ops import unbind\n\nfirst, second = unbind(1 + x, 1)  # xf2sdpa: ignore\n",
        same=True,
        helper=True,
    ),
    "unbind that a comment leaves": Case(
        "from xformers.ops import unbind\n\nTABLE = [unbind]  # xf2sdpa: ignore\n", same=True, helper=True
    ),
    "a mask class": Case(
        use("return xops.LowerTriangularMask()"),
        ("finding XF160",),
        has=(f"{FROM}LowerTriangularMask\n", "return LowerTriangularMask()"),
        helper=True,
    ),
    "a longer path": Case(
        use("return fmha.attn_bias.BlockDiagonalMask.from_seqlens(n)"),
        ("finding XF160",),
        has=(f"{FROM}BlockDiagonalMask\n", "return BlockDiagonalMask.from_seqlens(n)"),
        helper=True,
    ),
    "isinstance": Case(
        use("return isinstance(bias, xops.AttentionBias)"),
        ("finding XF160",),
        has=("isinstance(bias, AttentionBias)",),
        helper=True,
    ),
    "an annotation in quotes": Case(
        use("y: 'xops.AttentionBias' = bias", "return y"),
        ("finding XF160",),
        has=("y: 'AttentionBias' = bias",),
        helper=True,
    ),
    "torch's own": Case(
        use("return xops.unbind(x, 1)"),
        ("finding XF160",),
        has=("return torch.unbind(x, 1)",),
        lacks=("xops",),
        helper=True,
    ),
    "torch's own, without an import for it": Case(
        use("return unbind(x, 1), unbind(x, dim=2)", head=WITHOUT_TORCH),
        ("finding XF160",) * 2 + ("finding XF140",),
        has=("from torch import nn\n\n", "return x.unbind(1), x.unbind(2)"),
        lacks=("import torch", "xformers"),
        helper=True,
    ),
    "torch's own, where torch is something else": Case(
        use("return unbind(x, 1)", head=f"import torch\n{WITHOUT_TORCH}".replace("run(x, n)", "run(x, torch)")),
        has=("return x.unbind(1)",),
        lacks=("xformers",),
        helper=True,
    ),
    "torch's own, with an import in the function": Case(
        use("import torch", "return unbind(x + 1, n)", head=WITHOUT_TORCH),
        has=("import nn\n\n\ndef run(x, n):\n    import torch\n    return torch.unbind(x + 1, n)",),
        lacks=("xformers",),
        helper=True,
    ),
    "of more than a name, where torch is something else": Case(
        use("return unbind(x + 1, n)", head=WITHOUT_TORCH.replace("run(x, n)", "run(x, n, torch)")),
        ("finding XF401",),
        "unbind is still used",
        same=True,
        helper=True,
    ),
    "torch's own of more than a name": Case(
        use("return unbind(x + 1), unbind(x, n)", head=WITHOUT_TORCH),
        has=("import torch\n", "return torch.unbind(x + 1), torch.unbind(x, n)"),
        lacks=("xformers",),
        helper=True,
    ),
    "a name that is taken": Case(
        use("AttentionBias = n", "return AttentionBias, xops.AttentionBias"),
        ("finding XF160",),
        has=(f"{FROM}AttentionBias as compat_AttentionBias\n", "return AttentionBias, compat_AttentionBias"),
        helper=True,
    ),
    "what the helper has not": Case(
        use("return xops.LowerTriangularMask(), fmha.triton_splitk.FwOp"),
        ("finding XF402",),
        "xformers.ops.fmha.triton_splitk",
        helper=True,
    ),
    "components": Case(
        use("return components.MultiHeadDispatch", head="from xformers import components\n\n\ndef run():\n"),
        ("finding XF402",),
        "xformers.components.MultiHeadDispatch stays",
        helper=True,
    ),
    "an import that is only handed on": Case(
        "from xformers.ops import LowerTriangularMask\n\nSIZE = 1\n",
        ("finding XF140",),
        has=(f"{FROM}LowerTriangularMask\n",),
        helper=True,
        handed_on=frozenset({"LowerTriangularMask"}),
    ),
    "an import that is only listed": Case(
        "from xformers.ops import LowerTriangularMask\n\n__all__ = ['LowerTriangularMask']\n",
        ("finding XF140",),
        has=(f"{FROM}LowerTriangularMask\n",),
        helper=True,
    ),
    "a kernel for the switch of another library": Case(
        "import xformers.ops as xops\n\n"
        "unet.enable_xformers_memory_efficient_attention(attention_op=xops.MemoryEfficientAttentionFlashAttentionOp)\n",
        ("finding XF402",),
        "MemoryEfficientAttentionFlashAttentionOp stays",
        same=True,
        helper=True,
    ),
}
NEAR_MISSES = {
    "without a helper": Case(use("return xops.LowerTriangularMask()"), same=True),
    "a name of the file": Case(
        "class LowerTriangularMask:  # not xformers'\n    pass\n\n\nx = LowerTriangularMask()\n", same=True, helper=True
    ),
    "another library": Case(
        "from another import fmha  # not xformers\n\nMASK = fmha.LowerTriangularMask()\n", same=True, helper=True
    ),
    "a shadowed name": Case(
        use("return xops.LowerTriangularMask()", head=HEAD.replace("run(x,", "run(xops,")), same=True, helper=True
    ),
    "a comparison of a test": Case(
        use("assert_close(xops.LowerTriangularMask(), x)"), same=True, helper=True, path="tests/test_masks.py"
    ),
    "the version": Case("import xformers\n\nprint(xformers.__version__)\n", same=True, helper=True),
    "unbind in a comparison": Case(
        use("assert_close(xops.unbind(x), x)"), same=True, helper=True, path="tests/test_masks.py"
    ),
    "with private parts": Case(
        "from xformers.ops.fmha import _memory_efficient_attention\n" + use("return xops.LowerTriangularMask()"),
        same=True,
        helper=True,
    ),
    "what says something about the package": Case(
        "import xformers\n\nprint(xformers.info, xformers._has_cpp_library, xformers.version)\n", same=True, helper=True
    ),
}


def test_what_stays_is_told_once_and_with_advice() -> None:
    lines = [*["b = fmha.triton_splitk.FwOp"] * 2, "c = xops.SparseCSRTensor", "d = xops.profiler.x"]
    result = holds(Case(use(*lines, "return b, c, d"), helper=True))
    found = [finding for finding in result.findings if finding.code == "XF402"]
    assert len({finding.message for finding in found}) == len(found) == 3
    assert all(finding.advice for finding in found)


def test_a_mask_that_only_calls_read_goes_with_the_last_of_them() -> None:
    lines = ["b, n, h, d = x.shape", "mask = xops.LowerTriangularMask()"]
    call = "return xops.memory_efficient_attention(x, x, x, attn_bias=mask).flatten(2)"
    assert "mask" not in holds(Case(use(*lines, call), helper=True)).new
    assert "mask = LowerTriangularMask()" in holds(Case(use(*lines, "print(mask)", call), helper=True)).new


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("helper_names").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("helper_names").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("helper_names")


@pytest.mark.parametrize(
    ("part", "advice"),
    [
        ("xformers.components.Attention", "xformers.components is not maintained"),
        ("xformers.sparse.SparseCSRTensor", "torch.sparse and"),
        ("xformers.profiler.profile", "torch.profiler"),
        ("xformers.checkpoint.checkpoint", "torch.utils.checkpoint"),
        ("xformers.ops.rope_padded", "Apply the rotary"),
        ("xformers.triton.FusedDropout", "torch.compile"),
        ("xformers.ops.something", "Keep xformers"),
    ],
)
def test_what_to_do_instead(part: str, advice: str) -> None:
    result = holds(
        Case(f"import {part.rpartition('.')[0]}\n\nprint({part}, 1)\n", ("finding XF402",), same=True, helper=True)
    )
    (finding,) = [finding for finding in result.findings if finding.code == "XF402"]
    assert finding.advice.startswith(advice)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("xops is not None", "True"),
        ("xops is None", "False"),
        ("xops == None", "False"),
        ("None is not xops", "True"),
        ("xops is bias", "xops is bias"),
        ("xops is None is n", "xops is None is n"),
        ("xops.LowerTriangularMask is not None", "LowerTriangularMask is not None"),
    ],
)
def test_whether_the_module_is_there(old: str, new: str) -> None:
    guard = "try:\n    import xformers.ops as xops\nexcept ImportError:\n    xops = None\n"
    text = use(f"return {old}, fmha.LowerTriangularMask").replace("import xformers.ops as xops\n", guard)
    holds(Case(text, has=(f"return {new}, Lower",), helper=True))


@pytest.mark.parametrize(
    "question", ["SwiGLU is not None", "SwiGLU is None", "None is SwiGLU", "SwiGLU is x", "SwiGLU is None is x"]
)
def test_a_name_of_the_helper_is_asked_for_as_before(question: str) -> None:
    text = use(f"return {question}, SwiGLU(n, n)", head=HEAD.replace("fmha", "SwiGLU"))
    holds(Case(text, has=(f"return {question}, SwiGLU(n, n)", f"{FROM}SwiGLU\n"), helper=True))


@pytest.mark.parametrize("question", ["xops is bias", "xops is False", "xops is ..."])
def test_a_question_that_asks_for_something_else_stays(question: str) -> None:
    call = "xops.memory_efficient_attention(x, x, x).flatten(2)"
    text = use("b, h, m, d = x.shape", f"return {question}, n(xops), {call}")
    holds(Case(text, has=(f"return {question}, n(xops), torch.nn",), helper=True))


def test_whether_unbind_equals_something_is_not_asked_for_its_absence() -> None:
    guard = "try:\n    from xformers.ops import unbind\nexcept ImportError:\n    unbind = None\n"
    text = use("return (unbind == None), unbind", head=HEAD.replace("import xformers.ops as xops\n", guard))
    holds(Case(text, has=("return (torch.unbind == None), torch.unbind",), helper=True))


@pytest.mark.parametrize("question", ["SparseCSRTensor is None", "SparseCSRTensor is x", "SparseCSRTensor == x"])
def test_what_the_helper_has_not_is_named_though_it_is_asked_for(question: str) -> None:
    head = HEAD.replace("fmha", "SparseCSRTensor")
    call = "xops.memory_efficient_attention(x, x, x).flatten(2)"
    text = use("b, h, m, d = x.shape", f"return {question}, {call}", head=head)
    holds(Case(text, ("finding XF402",), "xformers.ops.SparseCSRTensor stays", helper=True))


def test_what_a_call_that_is_left_uses_is_not_named_besides() -> None:
    call = "xops.memory_efficient_attention(x, x, x, xops.SparseCSRTensor(x))"
    text = use("b, h, m, d = x.shape", f"return fmha.SwiGLU(n, n), xops == None, {call}")
    result = holds(Case(text, ("left XF224",), has=("return SwiGLU(n, n), xops == None",), helper=True))
    assert "XF402" not in {finding.code for finding in result.findings}


def test_a_module_that_is_handed_on_is_no_finding() -> None:
    result = holds(Case(use("return n(xops, fmha), xops.LowerTriangularMask()"), helper=True))
    assert "XF402" not in {finding.code for finding in result.findings}


WHY = "a call of the operator stays in other.py"


def with_masks_that_stay(text: str, **more: object) -> FileResult:
    options = Options(Settings(), compat=HELPER, masks_stay=WHY, **more)  # type: ignore[arg-type]
    result = rewrite_with(text, "model.py", options)
    assert not result.failed, result.findings
    return result


def test_masks_that_must_stay_are_named_once_where_the_first_is_used() -> None:
    line = "return xops.LowerTriangularMask(), fmha.BlockDiagonalMask.from_seqlens(n)"
    result = with_masks_that_stay(use("n = xops.unbind(x, 1)", line))
    assert f"    n = torch.unbind(x, 1)\n    {line}\n" in result.new
    (finding,) = [f for f in result.findings if f.code == "XF413"]
    assert finding.message == f"xformers.ops.fmha.BlockDiagonalMask.from_seqlens stays with xformers: {WHY}"
    assert finding.advice == (
        "Let the rewrite have that call, or pass it None or a tensor; or rewrite all files of the project at once."
    )
    assert (finding.kind, finding.span.line) == (FindingKind.KEEPS, 8)


def test_a_mask_that_must_stay_and_is_only_handed_on_is_named_at_its_import() -> None:
    text = "import torch\nfrom xformers.ops import LowerTriangularMask, SwiGLU, unbind\n\nunbind(torch.ones(2), 0)\n"
    result = with_masks_that_stay(text, handed_on=frozenset({"LowerTriangularMask", "SwiGLU"}))
    (finding,) = [f for f in result.findings if f.code == "XF413"]
    assert (finding.message, finding.span.line) == (f"xformers.ops.LowerTriangularMask stays with xformers: {WHY}", 2)
    alone = with_masks_that_stay(text.replace("LowerTriangularMask, ", ""), handed_on=frozenset({"SwiGLU"}))
    assert "XF413" not in {finding.code for finding in alone.findings}


def test_what_is_no_mask_is_named_all_the_same() -> None:
    result = with_masks_that_stay(use("return xops.LowerTriangularMask(), xops.SparseCSRTensor, xops.SwiGLU(n, n)"))
    assert {finding.code for finding in result.findings} >= {"XF413", "XF402"}
    assert "xops.LowerTriangularMask(), xops.SparseCSRTensor, SwiGLU(n, n)" in result.new


def test_a_name_that_a_comment_leaves_brings_no_import_of_the_helper() -> None:
    line = "return xops.SwiGLU(n, n), xops.LowerTriangularMask()  # xf2sdpa: ignore"
    holds(Case(use("a = xops.index_select_cat(n, n)", line), has=(f"{FROM}index_select_cat\n", line), helper=True))


MADE = "mask = xops.LowerTriangularMask()"
CALLED = "xops.memory_efficient_attention(x, x, x, attn_bias=mask).flatten(2)"


@pytest.mark.parametrize(
    ("lines", "stays"),
    [
        ((MADE, f"n({CALLED})", f"return {CALLED}"), ""),
        (("print(x)", MADE, f"n({CALLED})", f"return {CALLED}"), ""),
        ((MADE, f"n({CALLED})", f"return {CALLED}, mask"), "    mask = LowerTriangularMask()\n"),
        (("mask = xops.unbind(x)", f"n({CALLED})", f"return {CALLED}"), "    mask = torch.unbind(x)\n"),
        (("x.mask = xops.LowerTriangularMask()", "return x.mask"), "    x.mask = LowerTriangularMask()\n"),
        ((MADE, "return x"), "    mask = LowerTriangularMask()\n"),
        ((f"other = {MADE}", f"n({CALLED})", f"return {CALLED}, other"), "    other = mask = LowerTriangularMask()\n"),
        (
            ("mask = xops.LowerTriangularMask(n())", f"n({CALLED})", f"return {CALLED}"),
            "    mask = LowerTriangularMask(n())\n",
        ),
        (("global mask", MADE, f"n({CALLED})", f"return {CALLED}"), "    mask = LowerTriangularMask()\n"),
    ],
)
def test_a_mask_that_several_calls_read(lines: tuple[str, ...], stays: str) -> None:
    new = holds(Case(use("b, h, m, d = x.shape", *lines), helper=True)).new
    assert stays in new
    assert ("mask =" in new) == bool(stays), new


def test_a_mask_goes_behind_one_that_stays() -> None:
    lines = ["b, h, m, d = x.shape", "x.mask = xops.LowerTriangularMask()", MADE, f"n({CALLED})", f"return {CALLED}"]
    new = holds(Case(use(*lines), helper=True)).new
    assert "    x.mask = LowerTriangularMask()\n    n(" in new


def test_a_call_that_a_comment_leaves_keeps_its_mask() -> None:
    line = "return xops.memory_efficient_attention(x, x, x, xops.LowerTriangularMask())  # xf2sdpa: ignore"
    holds(Case(use(line), ("left XF906",), has=(line,), helper=True))


def test_a_mask_of_the_module_stays() -> None:
    head = HEAD.replace("\n\n\ndef", f"\n\n{MADE}\n\n\ndef")
    new = holds(Case(use("b, h, m, d = x.shape", f"n({CALLED})", f"return {CALLED}", head=head), helper=True)).new
    assert "mask = LowerTriangularMask()\n" in new


HANDED_ON = """\
from xformers.ops import memory_efficient_attention, unbind

WAYS = {"parts": unbind}


class Layer:
    take_apart = staticmethod(unbind)

    def __init__(self, by=unbind):
        self.by = by


def run(q, k, v):
    b, n, h, d = q.shape
    g = unbind
    first = g(q, 1)[0], WAYS["parts"](q, 1)[0], Layer.take_apart(q, 1)[0], Layer().by(q, dim=1)[0]
    first = [*first, *(part[0] for part in map(unbind, [q], [1]))]
    return "fast", memory_efficient_attention(q, k, v) + sum(first)[:, None]
"""


def test_unbind_that_is_handed_on_runs_without_xformers(tmp_path: Path) -> None:
    before = execute(write(tmp_path / "before", {"main.py": HANDED_ON}), installed)
    root = write(tmp_path / "after", {"main.py": HANDED_ON})
    assert "XF401" not in rewrite(root, "--flags", "off").output
    assert "xformers" not in tree(root)["main.py"]
    assert tree(root)["main.py"].count("torch.unbind") == 5
    assert_equal(before, execute(root, oracle.absent))
