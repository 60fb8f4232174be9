"""What is left for a person: each with a finding that says what, why and what to do, and nothing half migrated."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.projects.harness import COPY, assert_equal, execute, imports_of_xformers, installed, rewrite, write


@dataclass(frozen=True)
class Left:
    """A file that uses what torch has no equivalent for.

    Attributes:
        name: what the case is called.
        text: the file.
        said: parts of the finding (in one line of the report, from the file) that says what is left and why.
        keeps: what the new text must still hold; None if the file must come out as it went in.
    """

    name: str
    text: str
    said: tuple[str, ...]
    keeps: tuple[str, ...] | None = None


LEFT = [
    Left(
        "inputs and contexts of the private API",
        """\
from xformers.ops.fmha import Context, Inputs, _memory_efficient_attention_backward, memory_efficient_attention


def attend(q, k, v, bias=None):
    return memory_efficient_attention(q, k, v, attn_bias=bias)


def backward(grad, q, k, v, out, lse):
    return _memory_efficient_attention_backward(Context(lse=lse, out=out), Inputs(q, k, v), grad, op=None)
""",
        ("_memory_efficient_attention_backward",),
        ("_memory_efficient_attention_backward(Context(lse=lse, out=out), Inputs(q, k, v), grad, op=None)",),
    ),
    Left(
        "the forward of the private API",
        """\
from xformers.ops.fmha import Inputs, _memory_efficient_attention_forward_requires_grad


def attend(q, k, v):
    return _memory_efficient_attention_forward_requires_grad(Inputs(query=q, key=k, value=v), op=None)
""",
        ("_memory_efficient_attention_forward_requires_grad",),
    ),
    Left(
        "backward by hand",
        """\
import xformers.ops as xops


def backward(grad, out, lse, q, k, v):
    return xops.memory_efficient_attention_backward(grad, out, lse, q, k, v)
""",
        ("memory_efficient_attention_backward", "XF208"),
    ),
    Left(
        "parts of a softmax",
        """\
from xformers.ops import fmha


def attend(q, k, v):
    parts = [fmha.memory_efficient_attention_partial(q, *pair) for pair in zip(k.split(4, 1), v.split(4, 1))]
    return fmha.merge_attentions([out for out, _ in parts], [lse for _, lse in parts])
""",
        ("memory_efficient_attention_partial", "XF208"),
    ),
    Left(
        "paged masks",
        """\
from xformers.ops import fmha
from xformers.ops.fmha.attn_bias import PagedBlockDiagonalPaddedKeysMask


def attend(q, k, v, lengths, tables):
    mask = PagedBlockDiagonalPaddedKeysMask.from_seqlens([1] * len(lengths), lengths, tables, page_size=256)
    return fmha.memory_efficient_attention_forward(q, k, v, attn_bias=mask)
""",
        ("PagedBlockDiagonalPaddedKeysMask",),
        ("PagedBlockDiagonalPaddedKeysMask.from_seqlens(",),
    ),
    Left(
        "gappy masks",
        """\
from xformers.ops import fmha


def mask_of(lengths, starts):
    return fmha.attn_bias.BlockDiagonalGappyKeysMask.from_seqlens([1] * len(lengths), starts, lengths)
""",
        ("BlockDiagonalGappyKeysMask",),
    ),
    Left(
        "components",
        """\
from xformers.components import MultiHeadDispatch
from xformers.components.attention import ScaledDotProduct


def layer(dim):
    return MultiHeadDispatch(dim_model=dim, num_heads=4, attention=ScaledDotProduct())
""",
        ("xformers.components",),
    ),
    Left(
        "the profiler",
        """\
import xformers.profiler


def profiled(model, x):
    with xformers.profiler.profile(output_dir="out", module=model):
        return model(x)
""",
        ("xformers.profiler",),
    ),
    Left(
        "sparse",
        """\
from xformers.sparse import SparseCSRTensor


def sparse(x):
    return SparseCSRTensor.from_dense(x)
""",
        ("SparseCSRTensor",),
    ),
    Left(
        "checkpoint",
        """\
from xformers.checkpoint import checkpoint, get_optimal_checkpoint_policy


def run(function, x):
    return checkpoint(function, x, policy_fn=get_optimal_checkpoint_policy(function, x, memory_budget=0.5))
""",
        ("xformers.checkpoint",),
    ),
    Left(
        "rope_padded",
        """\
from xformers.ops import rope_padded


def rotate(q, k, v, cache_k, cache_v, mask):
    return rope_padded(q, k, v, cache_k, cache_v, mask)
""",
        ("rope_padded",),
    ),
    Left(
        "the operator is replaced",
        """\
import xformers
import xformers.ops

original = xformers.ops.memory_efficient_attention


def patched(q, k, v, attn_bias=None, p=0.0, scale=None, *, op=None):
    return original(q.contiguous(), k, v, attn_bias, p, scale, op=op)


xformers.ops.memory_efficient_attention = patched
""",
        ("XF216", "in the place of xformers'"),
    ),
    Left(
        "torch's own table of operators",
        """\
import torch


def forward(q, k, v):
    return torch.ops.xformers_flash.flash_fwd(q, k, v, None, None, None, None, 1, 1, 0.0, 1.0, False, -1, -1, False)
""",
        ("torch.ops.xformers",),
    ),
    Left(
        "a custom operator of torch around the operator",
        """\
import torch
import xformers.ops


@torch.library.custom_op("mine::attend", mutates_args=())
def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.ops.xformers.efficient_attention_forward_cutlass(q, k, v)[0]
""",
        ("torch.ops.xformers",),
    ),
    Left(
        "a name made while the program runs",
        """\
import xformers.ops as xops


def run(q, k, v, suffix="attention"):
    return getattr(xops, "memory_efficient_" + suffix)(q, k, v)
""",
        ("XF401", "xformers"),
    ),
    Left(
        "a module imported by a string",
        """\
import importlib

try:
    xops = importlib.import_module("xformers.ops")
    FAST = True
except ImportError:
    FAST = False


def run(q, k, v):
    return xops.memory_efficient_attention(q, k, v) if FAST else None
""",
        ("XF405", "xformers.ops is imported by a string"),
    ),
    Left(
        "a module kept in the class",
        """\
class Attention:
    try:
        import xformers.ops as xops

        fast = True
    except ImportError:
        fast = False

    def forward(self, q, k, v):
        return self.xops.memory_efficient_attention(q, k, v) if self.fast else None
""",
        ("XF406", "self.xops may be xformers' module"),
    ),
    Left(
        "xformers is tried out for another library",
        """\
import torch
import xformers.ops


def works(size):
    def attempt():
        q = torch.randn((1, 4, size), device="cuda")
        k = torch.randn((1, 4, size), device="cuda")
        q = q.detach().requires_grad_()
        return torch.autograd.grad(xformers.ops.memory_efficient_attention(q, k, k).sum(), q)

    try:
        attempt()
        return True
    except Exception:
        return False


def switch_on(module, size):
    module.set_use_memory_efficient_attention_xformers(works(size))
""",
        ("XF219", "another library"),
    ),
]


@pytest.mark.parametrize("case", LEFT, ids=[case.name for case in LEFT])
def test_left_for_a_person(case: Left, tmp_path: Path) -> None:
    write(tmp_path, {"main.py": case.text})
    report = rewrite(tmp_path).output
    text = (tmp_path / "main.py").read_text()
    shown = f"{report}\n{text}"
    findings = [line for line in report.splitlines() if line.startswith(f"{tmp_path / 'main.py'}:")]
    assert any(all(part in line for part in case.said) for line in findings), shown
    if case.keeps is None:
        assert text == case.text, shown
        assert not (tmp_path / COPY).exists(), shown
        return
    for part in case.keeps:
        assert part in text, shown
    unbound = undefined_names(text)
    assert not unbound, f"{unbound}\n{shown}"


def undefined_names(text: str) -> set[str]:
    """Names that a module reads and nothing in it binds."""
    nodes = list(ast.walk(ast.parse(text)))
    bound = {name.asname or name.name.partition(".")[0] for node in nodes for name in getattr(node, "names", ())
             if isinstance(name, ast.alias)}  # fmt: skip
    bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return read - bound - set(dir(builtins))


def test_a_file_that_mixes_both_still_runs_where_xformers_is(tmp_path: Path) -> None:
    """Half of the file has no equivalent: what it needs of xformers stays, and the masks still fit their calls."""
    text = """\
import torch
from xformers.ops import fmha
from xformers.ops.fmha import Inputs


def attend(q, k, v):
    b, n, h, d = q.shape
    mask = fmha.attn_bias.BlockDiagonalMask.from_seqlens([n] * b)
    flat = [x.reshape(1, -1, h, d) for x in (q, k, v)]
    return fmha.memory_efficient_attention(*flat, attn_bias=mask).view(b, n, h, d)


def checked(q, k, v):
    Inputs(q, k, v, fmha.attn_bias.LowerTriangularMask()).validate_inputs()
    out, lse = fmha.memory_efficient_attention_partial(q.detach(), k.detach(), v.detach())
    return fmha.memory_efficient_attention(q, k, v) + 0 * out


def run(q, k, v):
    return "fast", attend(q, k, v) + checked(q, k, v)
"""
    write(tmp_path, {"main.py": text})
    before = execute(tmp_path, installed)
    report = rewrite(tmp_path).output
    assert "memory_efficient_attention_partial has no equivalent" in report
    assert "Inputs" in report
    assert_equal(before, execute(tmp_path, installed))
    assert imports_of_xformers(tmp_path)


@pytest.mark.parametrize("guarded", [False, True])
def test_an_import_stays_that_registers_operators(tmp_path: Path, guarded: bool) -> None:
    """Also where nothing reads its name, and the project has calls that were migrated."""
    lines = "try:\n    import xformers.ops\nexcept ImportError:\n    pass\n" if guarded else "import xformers.ops\n"
    text = f"import torch\n{lines}\nKEEP = {{torch.ops.xformers_flash.flash_fwd.default}}\n"
    call = "import xformers.ops as xops\n\n\ndef f(q, k, v):\n    return xops.memory_efficient_attention(q, k, v)\n"
    write(tmp_path, {"ops.py": text, "main.py": f"from ops import KEEP\n{call}"})
    report = rewrite(tmp_path).output
    assert (tmp_path / "ops.py").read_text() == text
    assert imports_of_xformers(tmp_path) == [f"ops.py:{3 if guarded else 2}"]
    said = [line for line in report.splitlines() if line.startswith(f"{tmp_path / 'ops.py'}:")]
    assert any("XF404" in line for line in said), report
    assert any("XF401" in line and "registers operators" in line for line in said), report


def test_calls_beside_registered_operators_are_written_inline(tmp_path: Path) -> None:
    text = """\
import torch
import xformers.ops as xops

KEEP = {torch.ops.xformers_flash.flash_fwd.default}


def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v)
"""
    write(tmp_path, {"main.py": text})
    rewrite(tmp_path)
    after = (tmp_path / "main.py").read_text()
    assert "scaled_dot_product_attention" in after
    assert imports_of_xformers(tmp_path) == ["main.py:2"]
