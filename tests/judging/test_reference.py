"""The plain reference: on the CPU against the tests' oracle, which has xformers' own checks; on a GPU against it."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "compat"))

import compat_oracle

from tests import oracle
from xf2sdpa import compat
from xf2sdpa.judging.calls import VARIANTS
from xf2sdpa.judging.old_path import find_old_path
from xf2sdpa.judging.reference import OPERATORS

BACKWARD_TOLERANCE = {torch.float16: 2e-2, torch.bfloat16: 1e-1, torch.float32: 1e-4}


def results(
    operator: Any, problem: Any, dtype: torch.dtype, device: str = "cpu", masks: Any = compat_oracle.real_masks
) -> Any:
    """Result and gradients."""
    leaves = [x.detach().to(dtype).requires_grad_() for x in problem.inputs(dtype, device)]
    bias = compat_oracle.bias_like(leaves[0], problem.make(masks))
    if isinstance(bias, torch.Tensor):
        full = (leaves[0].shape[0], *leaves[0].shape[2:-1], leaves[0].shape[1], leaves[1].shape[1])
        bias = bias.expand(full) if bias.ndim == 2 else bias.reshape(full)
    elif hasattr(bias, "to"):
        bias = bias.to(torch.device(device))
    out = operator(*leaves, bias, 0.0, problem.scale)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(9)).to(device, dtype)
    return out, *torch.autograd.grad(out, leaves, upstream)


@pytest.mark.parametrize("kind", compat_oracle.KINDS)
def test_as_the_oracle_has_it(kind: str) -> None:
    operator = OPERATORS["memory_efficient_attention"]
    for seed, dtype in enumerate((torch.float64, torch.float32, torch.float16, torch.bfloat16)):
        problem = compat_oracle.case(kind, seed)
        want = results(oracle.memory_efficient_attention, problem, dtype)
        for masks in (compat_oracle.real_masks, compat):
            got = results(operator, problem, dtype, masks=masks)
            for one, other in zip(got, want, strict=True):
                torch.testing.assert_close(one, other, equal_nan=True)
            assert got[0].is_contiguous()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant(variant: str) -> None:
    q, k, v = (torch.randn(2, 5, 3, 8).half().requires_grad_() for _ in range(3))
    want = getattr(oracle, variant)(q, k, v, scale=0.3)
    got = OPERATORS[variant](q, k, v, scale=0.3)
    for one, other in zip(*((x if isinstance(x, tuple) else (x,)) for x in (got, want)), strict=True):
        torch.testing.assert_close(one, other)
        assert one.requires_grad == other.requires_grad


def test_computes_in_the_dtype_it_is_given_under_autocast() -> None:
    q, k, v = (torch.randn(2, 5, 3, 8) for _ in range(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = OPERATORS["memory_efficient_attention"](q, k, v)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, oracle.memory_efficient_attention(q, k, v))


def test_dropout_drops_whatever_the_mode() -> None:
    q, k = (torch.randn(1, 40, 2, 8) for _ in range(2))
    ones = torch.ones(1, 40, 2, 8)
    with torch.no_grad():
        out = OPERATORS["memory_efficient_attention"](q, k, ones, p=0.5)
    assert not torch.allclose(out, ones)
    assert abs(float(out.mean()) - 1) < 0.1


REFUSED = {
    "two dimensions": lambda x: ((x[0, :, 0],) * 3, {}),
    "heads to be broadcast": lambda x: ((x, x[:, :, :1], x), {}),
    "another batch": lambda x: ((x, x[:1], x[:1]), {}),
    "two dtypes": lambda x: ((x, x.double(), x), {}),
    "a bool mask": lambda x: ((x, x, x), {"attn_bias": torch.ones(2, 3, 5, 5).bool()}),
    "a mask to be broadcast": lambda x: ((x, x, x), {"attn_bias": torch.ones(5, 5)}),
    "a mask of another dtype": lambda x: ((x, x, x), {"attn_bias": torch.ones(2, 3, 5, 5).half()}),
    "too much dropout": lambda x: ((x, x, x), {"p": 1.5}),
    "blocks for three dimensions": lambda x: (
        (x[:1, :, 0],) * 3,
        {"attn_bias": compat_oracle.real_masks.BlockDiagonalMask.from_seqlens([2, 3])},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_xformers_refuses(name: str) -> None:
    arguments, options = REFUSED[name](torch.randn(2, 5, 3, 8))
    with pytest.raises((ValueError, TypeError, RuntimeError)) as theirs:
        oracle.memory_efficient_attention(*arguments, **options)
    with pytest.raises(theirs.type):
        OPERATORS["memory_efficient_attention"](*arguments, **options)


def is_undefined(problem: Any, dtype: torch.dtype) -> bool:
    """What xformers does not compute by its own definition, seen on an H200 with 0.0.35.

    Rows of a packed sequence without keys are memory as it was; in float32, where there are more queries than keys,
    `LowerTriangularFromBottomRightMask` lets every query but the last see all keys.
    """
    mask = problem.make(compat_oracle.real_masks)
    keys = getattr(getattr(mask, "k_seqinfo", None), "seqstart_py", ())
    queries = getattr(getattr(mask, "q_seqinfo", None), "seqstart_py", ())
    spans = zip(itertools.pairwise(queries), itertools.pairwise(keys), strict=True)
    if any(end > start and last == first for (start, end), (first, last) in spans):
        return True
    more = problem.shapes[0][1] > problem.shapes[1][1]
    return more and dtype is torch.float32 and problem.kind == "LowerTriangularFromBottomRightMask"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", BACKWARD_TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", compat_oracle.KINDS)
def test_as_xformers_has_it(kind: str, dtype: torch.dtype) -> None:
    path = find_old_path()
    if path.version is None:
        pytest.skip(path.description)
    compared = 0
    for seed in range(60):
        problem = compat_oracle.case(kind, seed)
        if problem.rank == 5 or problem.shapes[0][-1] % 8 or problem.shapes[2][-1] % 8:
            continue
        if is_undefined(problem, dtype):
            continue
        try:
            theirs = results(path.operator, problem, dtype, "cuda")
        except (NotImplementedError, ValueError, RuntimeError):
            continue  # a kernel that does not take it, or has no backward
        ours = results(OPERATORS["memory_efficient_attention"], problem, dtype, "cuda")
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=BACKWARD_TOLERANCE[dtype], rtol=BACKWARD_TOLERANCE[dtype])
        compared += 1
    if not compared:
        pytest.skip(f"xformers takes none of these with gradients: {kind} {dtype}")
