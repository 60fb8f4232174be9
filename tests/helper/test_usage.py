"""Whether a copy must take tensors as masks, by what the project's calls show."""

from __future__ import annotations

from pathlib import Path

import pytest

from xf2sdpa.helper.pruning import GROUPS, TENSORS
from xf2sdpa.helper.usage import uses_of
from xf2sdpa.project.files import Project

HEAD = "from _attention_compat import BlockDiagonalMask, LowerTriangularMask, memory_efficient_attention as mea\n\n\n"
WITHOUT = {
    "none given": "def f(q):\n    return mea(q, q, q)",
    "an object": "def f(q):\n    return mea(q, q, q, attn_bias=LowerTriangularMask())",
    "an object of a method": "def f(q, n):\n    return mea(q, q, q, BlockDiagonalMask.from_seqlens(n).make_causal())",
    "by its path": "import fmha\n\n\ndef f(q, n):\n    return mea(q, q, q, fmha.BlockDiagonalMask.from_seqlens(n))",
    "a variable": "def f(q, n):\n    bias = BlockDiagonalMask.from_seqlens(n)\n    return mea(q, q, q, bias)",
    "a variable or None": (
        "def f(q, n):\n    bias = None\n    if n:\n        bias = BlockDiagonalMask.from_seqlens(n)\n"
        "    return mea(q, q, q, attn_bias=bias)"
    ),
    "a choice": "def f(q, n):\n    m = LowerTriangularMask() if n else None\n    return mea(q, q, q, attn_bias=m)",
}
WITH = {
    "a parameter": "def f(q, bias):\n    return mea(q, q, q, bias)",
    "a parameter that is assigned as well": (
        "def f(q, bias):\n    if bias is None:\n        bias = LowerTriangularMask()\n    return mea(q, q, q, bias)"
    ),
    "a tensor on one path": (
        "def f(q, n):\n    bias = LowerTriangularMask()\n    if n:\n        bias = q.new_zeros(n, n)\n"
        "    return mea(q, q, q, attn_bias=bias)"
    ),
    "materialized": "def f(q, n):\n    return mea(q, q, q, BlockDiagonalMask.from_seqlens(n).materialize((n, n)))",
    "with a bias": "def f(q, n, b):\n    return mea(q, q, q, LowerTriangularMask().add_bias(b))",
    "taken apart": "def f(q, n):\n    bias, x = n\n    return mea(q, q, q, bias)",
    "added to": "def f(q, n):\n    bias = None\n    bias += n\n    return mea(q, q, q, bias)",
    "of the module": "bias = None\n\n\ndef f(q):\n    return mea(q, q, q, bias)",
    "of a loop": "def f(q, n):\n    for bias in n:\n        q = mea(q, q, q, bias)\n    return q",
    "of a function around it": "def f(q, bias):\n    def g():\n        return mea(q, q, q, bias)\n    return g",
    "an item": "def f(q, n):\n    return mea(q, q, q, n[0])",
    "unpacked": "def f(q, n):\n    return mea(q, q, q, **n)",
    "a file that does not parse": "def f(q):\n    return mea(q, q, q",
    "handed on": "def f(run):\n    return run(mea)",
}


def tensors_in(text: str, folder: Path) -> bool:
    file = folder / "model.py"
    file.write_text(HEAD + text + "\n", "utf-8")
    return TENSORS in uses_of(Project([str(file)])).words


@pytest.mark.parametrize("text", WITHOUT.values(), ids=list(WITHOUT))
def test_no_tensor_can_come(text: str, tmp_path: Path) -> None:
    assert not tensors_in(text, tmp_path)


@pytest.mark.parametrize("text", WITH.values(), ids=list(WITH))
def test_a_tensor_may_come(text: str, tmp_path: Path) -> None:
    assert tensors_in(text, tmp_path)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("    from xformers.ops import cross_entropy", False),
        ("from xformers.ops import cross_entropy  # fused", False),
        ("from xformers.ops import cross_entropy, fmha", True),
        ("from xformers.ops import fmha", True),
        ("from xformers import ops", True),
        ("import xformers.ops", True),
    ],
)
def test_xformers_own_masks_are_converted_where_they_may_come(line: str, kept: bool, tmp_path: Path) -> None:
    text = f"try:\n    pass\nfinally:\n    pass\nif True:\n    pass\n{line}\nkind = 'BlockDiagonalMask'\n"
    (tmp_path / "loss.py").write_text(text, "utf-8")
    assert uses_of(Project([str(tmp_path / "loss.py")])).masks == ({"BlockDiagonalMask"} if kept else set())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mask.materialize((2, 2))", True),
        ("mask.  materialize((2, 2))", True),
        ("getattr(mask, 'materialize')", True),
        ("materialize(mask)", False),
        ("# materialize the weights", False),
    ],
)
def test_a_method_is_kept_where_something_reads_it_of_an_object(text: str, kept: bool, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(text + "\n", "utf-8")
    assert ("materialize" in uses_of(Project([str(tmp_path / "a.py")])).words) is kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("k.expand(b, n, g, h, d)", True),
        ("k.expand(\n    b, n,\n    g, h, d\n)", True),
        ("k.expand(k.size(0), max(1, n), g[0], h, -1)", True),
        ("k.expand(*shape)", True),
        ("torch.cat((t.expand(x.shape[0], -1, -1), x[:, 1:]), dim=1)", False),
        ("k.expand(b, n, h, d)", False),
    ],
)
def test_heads_share_where_five_sizes_are_expanded(text: str, kept: bool, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"from _attention_compat import memory_efficient_attention\n\n{text}\n", "utf-8")
    (tmp_path / "b.py").write_text("num_key_value_heads = 2\n", "utf-8")  # it has to do with no helper
    assert (GROUPS in uses_of(Project([str(tmp_path / "a.py"), str(tmp_path / "b.py")])).words) is kept
