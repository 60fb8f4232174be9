"""The float64 judge: right by definition for every mask, in chunks and samples too; and its units measure rounding."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "compat"))

import compat_oracle as oracle

from xf2sdpa.judging import solution as module
from xf2sdpa.judging.calls import FORWARD, PLAIN, WITH_LSE, Call
from xf2sdpa.judging.judge import Judge, only_moves


def solved(call: Call, upstream: torch.Tensor, seed: int = 0) -> tuple[Judge, torch.Tensor, tuple[torch.Tensor, ...]]:
    """The judge, its result and its gradients of query, key and value."""
    judge = Judge(seed)
    out = judge.value(call)
    return judge, out, torch.autograd.grad(out, (call.query, call.key, call.value), upstream)


@pytest.mark.parametrize("small_chunks", [False, True], ids=["whole", "in chunks"])
@pytest.mark.parametrize("kind", oracle.KINDS)
def test_every_mask_by_definition(kind: str, small_chunks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if small_chunks:
        monkeypatch.setattr(module, "CHUNK_BYTES", 8 * 10 * 40)
    for seed in range(6):
        problem = oracle.case(kind, seed)
        leaves = oracle.leaves(problem)
        want = oracle.expected(problem, *leaves)
        upstream = torch.randn(want.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        gradients = torch.autograd.grad(want, leaves, upstream, allow_unused=True, materialize_grads=True)
        call = Call(PLAIN, *leaves, attn_bias=exact_shape(problem, leaves), scale=problem.scale)
        judge, out, got = solved(call, upstream)
        torch.testing.assert_close(out, want, atol=1e-12, rtol=1e-10)
        for one, other in zip(got, gradients, strict=True):
            torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-9)
        for name, unit in judge.solutions[0].unit.items():
            exact = judge.solutions[0].exact[name]
            assert bool((unit >= exact.abs()).logical_or(~exact.isfinite()).all()), name


def exact_shape(problem: Any, leaves: list[torch.Tensor]) -> Any:
    """A tensor bias as `[B, *heads, M, N]`."""
    bias = oracle.bias_like(leaves[0], problem.make(oracle.real_masks))
    if not isinstance(bias, torch.Tensor):
        return bias
    full = (leaves[0].shape[0], *leaves[0].shape[2:-1], leaves[0].shape[1], leaves[1].shape[1])
    return bias.expand(full) if bias.ndim == 2 else bias.reshape(full)


def tensors(*shape: int, dtype: torch.dtype = torch.float64, keys: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = [shape, *[(shape[0], keys or shape[1], *shape[2:])] * 2]
    return [torch.randn(size, generator=generator).to(dtype).requires_grad_() for size in sizes]


@pytest.mark.parametrize("expanded", [False, True])
def test_gradient_of_a_bias(expanded: bool) -> None:
    q, k, v = tensors(2, 5, 3, 8, keys=7)
    bias = torch.randn(2, 1 if expanded else 3, 5, 7, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, 5, 3, 8, dtype=torch.float64)
    out = Judge(0).value(Call(PLAIN, q, k, v, bias.expand(2, 3, 5, 7)))
    got = torch.autograd.grad(out, bias, upstream)[0]
    flat = (x.transpose(1, 2) for x in (q, k, v))
    want = torch.nn.functional.scaled_dot_product_attention(*flat, attn_mask=bias).transpose(1, 2)
    torch.testing.assert_close(got, torch.autograd.grad(want, bias, upstream)[0])


def test_log_sum_exp_and_no_graph() -> None:
    q, k, v = tensors(2, 5, 3, 8)
    out, lse = Judge(0).value(Call(WITH_LSE, q, k, v))
    scores = torch.einsum("bmhk,bnhk->bhmn", q, k) * 8**-0.5
    torch.testing.assert_close(lse, scores.logsumexp(-1))
    assert not out.requires_grad
    assert not Judge(0).value(Call(FORWARD, q, k, v)).requires_grad


def test_a_sample_is_exact_where_it_judges_and_nan_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = tensors(3, 16, 4, 8)
    upstream = torch.randn(3, 16, 4, 8, dtype=torch.float64)
    _, whole, gradients = solved(Call(PLAIN, q, k, v), upstream)
    monkeypatch.setitem(module.SCORES, "cpu", 5 * 16 * 16)
    judge, out, sampled = solved(Call(PLAIN, q, k, v), upstream, seed=4)
    assert judge.solutions[0].sampled
    pairs = judge.solutions[0].pairs.tolist()
    assert len(pairs) == 5
    assert {0, 11} <= set(pairs), "the first and the last"
    for got, want in zip((out, *sampled), (whole, *gradients), strict=True):
        known = got.isfinite()
        assert int(known.sum()) == 5 * 16 * 8
        torch.testing.assert_close(got[known], want[known])


def test_shared_keys_are_sampled_by_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = tensors(4, 16, 4, 8)
    shared = [x[:, :, :1].detach().requires_grad_() for x in (k, v)]
    monkeypatch.setitem(module.SCORES, "cpu", 2 * 16 * 16)
    out = Judge(0).value(Call(PLAIN, q, *(x.expand(4, 16, 4, 8) for x in shared)))
    gradient = torch.autograd.grad(out, shared[0], torch.ones_like(out))[0]
    assert 0 < int(gradient.isfinite().sum()) < gradient.numel()


def test_rows_are_sampled_where_one_head_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = (x.detach() for x in tensors(1, 64, 2, 8))
    monkeypatch.setitem(module.SCORES, "cpu", 10 * 64)
    out = Judge(0).value(Call(PLAIN, q, k, v))
    rows = out.isfinite().all(-1)[0, :, 1]  # one head of the two
    assert int(rows.sum()) == 10
    assert rows[0]
    assert rows[-1]


def test_a_row_without_keys_is_0_with_unit_0() -> None:
    q, k, v = tensors(1, 4, 1, 8)
    bias = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    bias[0, 0, 2] = -math.inf
    judge, out, _ = solved(Call(PLAIN, q, k, v, bias), torch.ones(1, 4, 1, 8, dtype=torch.float64))
    for tensor in (out, judge.solutions[0].unit["out"], judge.solutions[0].unit["query"]):
        assert not tensor[0, 2].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("rows", "keys", "spread"), [(64, 256, 1.0), (7, 512, 0.1), (128, 77, 4.0)])
def test_a_kernel_in_half_is_off_by_about_half_an_eps(dtype: torch.dtype, rows: int, keys: int, spread: float) -> None:
    if dtype == torch.float16 and torch.__version__ < (2, 2):
        pytest.skip("torch 2.1 multiplies no float16 on the CPU")
    q, k, v = tensors(2, rows, 2, 64, dtype=dtype, keys=keys)
    q = (q.detach() * spread).requires_grad_()
    judge, exact, _ = solved(Call(PLAIN, q, k, v), torch.ones(2, rows, 2, 64, dtype=torch.float64))
    flat = (x.transpose(1, 2) for x in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(*flat).transpose(1, 2)
    error = ((out.double() - exact) / judge.solutions[0].unit["out"]).abs().max().item() / torch.finfo(dtype).eps
    assert 0.1 < error < 1.0


def test_scores_that_are_sums_of_squares_are_off_by_about_half_an_eps_too() -> None:
    errors = []
    for seed in range(20):
        x = torch.randn(1, 24, 2, 160, generator=torch.Generator().manual_seed(seed))
        upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 100))
        q, k, v = (x.clone().requires_grad_() for _ in range(3))
        judge, _, _ = solved(Call(PLAIN, q, k, v), upstream.double())
        out = torch.nn.functional.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)))
        gradient = torch.autograd.grad(out.transpose(1, 2), v, upstream)[0]
        exact, unit = judge.solutions[0].exact["value"], judge.solutions[0].unit["value"]
        errors.append(((gradient - exact) / unit).abs().max().item() / torch.finfo(torch.float32).eps)
    assert max(errors) < 1.3


@pytest.mark.parametrize("scaled_first", [False, True], ids=["as FA2", "as cuDNN"])
def test_a_small_gradient_of_scores_may_underflow_before_or_after_it_is_scaled(scaled_first: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    far = (100 / 64**0.5) ** 0.5  # query and key point away from each other: few keys have any weight
    q = (torch.randn(1, 128, 2, 64, generator=draw) + far).half().requires_grad_()
    k = (torch.randn(1, 192, 2, 64, generator=draw) - far).half().requires_grad_()
    v = torch.randn(1, 192, 2, 64, generator=draw).half().requires_grad_()
    upstream = torch.randn(q.shape, generator=draw).half()
    judge, _, (_, exact, _) = solved(Call(PLAIN, q, k, v), upstream.double())
    query, key, value, up = (x.detach().transpose(1, 2).double() for x in (q, k, v, upstream))
    scale = 64**-0.5
    p = (query @ key.mT * scale).softmax(-1)
    ds = p * (up @ value.mT - (up * (p @ value).half()).sum(-1, keepdim=True))
    rounded = (ds * scale).half() if scaled_first else ds.half() * scale
    error = (rounded.double().mT @ query).transpose(1, 2) - exact
    assert 0.1 < (error / judge.solutions[0].unit["key"]).abs().max() / torch.finfo(torch.float16).eps < 1.3


def test_only_moves() -> None:
    assert only_moves(torch.ones(3))
    assert only_moves(torch.tensor([1.0, 4.0])), "copies added"
    assert only_moves(torch.full((3,), 0.25)), "scaled"
    assert not only_moves(torch.tensor([0.5, 1.5]))
    assert not only_moves(torch.tensor([1.0, -1.0]))
