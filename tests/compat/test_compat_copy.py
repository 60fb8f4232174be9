"""A pruned single file, assembled by the documented recipe, works alone."""

import ast
import subprocess
import sys

import pytest
import torch

pytest.importorskip("xformers.ops")

from compat_copy import ORDER, assembled
from compat_oracle import KINDS, case, expected

from xf2sdpa import compat
from xf2sdpa.helper import text as copyin


def module(text, tmp_path, name):
    (tmp_path / f"{name}.py").write_text(text)
    sys.path.insert(0, str(tmp_path))
    try:
        return __import__(name)
    finally:
        sys.path.remove(str(tmp_path))


def test_the_whole_copy_gives_the_same_results(tmp_path):
    copy = module(assembled(*compat.__all__), tmp_path, "whole_copy")
    missing = set(compat.__all__) - set(vars(copy)) - {"install", "uninstall"}
    assert not missing
    for kind in KINDS:
        for seed in range(3):
            problem = case(kind, seed)
            q, k, v = problem.inputs()
            want = expected(problem, q, k, v)
            got = copy.memory_efficient_attention(q, k, v, problem.make(copy), scale=problem.scale)
            torch.testing.assert_close(got, want)
            got = copy.memory_efficient_attention(q, k, v, problem.make(compat), scale=problem.scale)
            torch.testing.assert_close(got, want, msg="a mask of another copy")


WANTED = {
    "memory_efficient_attention": "none",
    "LowerTriangularMask": "LowerTriangularMask",
    "LocalAttentionFromBottomRightMask": "LocalAttentionFromBottomRightMask",
    "BlockDiagonalMask": "BlockDiagonalCausalMask",
    "BlockDiagonalCausalWithOffsetPaddedKeysMask": "BlockDiagonalCausalWithOffsetPaddedKeysMask",
}


@pytest.mark.parametrize("name", WANTED)
def test_a_pruned_copy_works_and_is_smaller(name, tmp_path):
    text = assembled("memory_efficient_attention", name)
    copy = module(text, tmp_path, f"pruned_{name}")
    for seed in range(1, 20):
        problem = case(WANTED[name], seed)
        q, k, v = problem.inputs()
        got = copy.memory_efficient_attention(q, k, v, problem.make(copy), scale=problem.scale)
        torch.testing.assert_close(got, expected(problem, q, k, v))
    with pytest.raises(TypeError, match="Strange"):
        copy.memory_efficient_attention(q, k, v, type("Strange", (), {})())
    assert len(text) < len(assembled(*compat.__all__))


def test_the_smallest_copy_is_without_mask_classes(tmp_path):
    """None and tensors need none; a mask of another copy has its own `_attend`, all else is a TypeError."""
    text = assembled("memory_efficient_attention")
    assert not [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert len(text.splitlines()) < 260, "the recipe leaves no parts out"
    copy = module(text, tmp_path, "smallest_copy")
    q = torch.randn(1, 5, 2, 8)
    causal = compat.LowerTriangularMask()
    want = compat.memory_efficient_attention(q, q, q, causal)
    torch.testing.assert_close(copy.memory_efficient_attention(q, q, q, causal), want)
    with pytest.raises(TypeError, match=r"is not supported here; `xf2sdpa rewrite \.` adds what is used"):
        copy.memory_efficient_attention(q, q, q, type("LowerTriangularMask", (), {})())


def test_one_operator_alone_brings_no_attention(tmp_path):
    text = assembled("SwiGLU")
    assert "attention" not in text
    assert module(text, tmp_path, "only_swiglu").SwiGLU(4, 8)(torch.zeros(2, 4)).shape == (2, 4)


def test_no_name_is_defined_twice():
    names = [
        node.name
        for node in ast.parse(assembled(*compat.__all__)).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ORDER)
def test_sources_parse_as_python_3_9(name):
    path = compat.__path__[0] + f"/{name}.py"
    tree = ast.parse(open(path).read(), feature_version=(3, 9))  # noqa: PTH123, SIM115
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not any(isinstance(n, ast.Match) for n in ast.walk(tree))
    standard = {"__future__", "collections.abc", "contextlib", "typing", "torch", "torch.nn.attention"}
    assert imported <= standard | {f"xf2sdpa.compat.{other}" for other in ORDER[: ORDER.index(name)]}


def test_importing_costs_no_torch_compile():
    """`torch.nn.attention.varlen` and `.bias` load torch._dynamo, some 2 s: only when they are wanted."""
    script = "import sys, xf2sdpa.compat; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    "names",
    [{"memory_efficient_attention"}, {"SwiGLU"}, {"BlockDiagonalMask", "scaled_index_add"}, set(copyin.exported())],
)
def test_a_copy_is_as_ruff_would_write_it(names, tmp_path):
    (tmp_path / "copy.py").write_text(copyin.assemble(names), "utf-8")
    for command in (["check", "--select", "E,F,I,W"], ["format", "--check"]):
        options = ["--isolated", "--line-length", "120", "copy.py"]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
