"""Keys in slots (a KV cache): what lies beyond the part in use is never seen, and need not be there at all."""

import math

import pytest
import torch

pytest.importorskip("xformers.ops")

from compat_oracle import KINDS, biased_scores, case, expected, real_masks

from xf2sdpa import compat

PADDED = [kind for kind in KINDS if "Padded" in kind]
SEEDS = range(24)  # a third of them decode: one query a sequence
both = compat.memory_efficient_attention_forward_requires_grad


def unused(problem):
    """Which rows of key and value no sequence uses, by xformers' own mask."""
    rows = torch.ones(problem.shapes[1][1], dtype=torch.bool)
    for start, end in problem.make(real_masks).k_seqinfo.intervals():
        rows[start:end] = False
    return rows


def end_of_use(problem):
    """The end of the last key in use."""
    used = (~unused(problem)).nonzero()
    return int(used.max()) + 1 if len(used) else 0


def filled(problem, dtype, garbage):
    """Query, key and value, the unused rows of the latter two filled; expanded over the heads where they were."""
    query, *cache = problem.inputs(dtype)
    for i, x in enumerate(cache):
        kept = x[..., :1, :] if problem.expands else x
        full = kept.clone()
        full[:, unused(problem)] = garbage
        cache[i] = full.expand(x.shape)
    return query, *cache


@pytest.mark.parametrize("kind", PADDED)
@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_garbage_in_unused_slots_is_never_seen(kind, garbage, dtype):
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 4e-2}[dtype]
    for seed in SEEDS:
        problem = case(kind, seed)
        query, key, value = filled(problem, dtype, garbage)
        out, lse = both(query, key, value, problem.make(compat), scale=problem.scale)
        clean = [x.double() for x in filled(problem, dtype, 0.0)]
        torch.testing.assert_close(out.double(), expected(problem, *clean), atol=tolerance, rtol=tolerance)
        want = biased_scores(problem, *clean[:2]).logsumexp(-1)
        torch.testing.assert_close(lse.reshape(want.shape).double(), want, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("kind", PADDED)
@pytest.mark.parametrize("garbage", [math.nan, math.inf])
def test_garbage_in_unused_slots_reaches_no_gradient(kind, garbage):
    for seed in SEEDS:
        problem = case(kind, seed)
        results = []
        for fill in (garbage, 0.0):
            inputs = [x.detach().clone().requires_grad_() for x in filled(problem, torch.float64, fill)]
            if fill:
                out = compat.memory_efficient_attention(*inputs, problem.make(compat), scale=problem.scale)
            else:
                out = expected(problem, *inputs)
            upstream = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
            results.append(torch.autograd.grad(out, inputs, upstream, materialize_grads=True, allow_unused=True))
        for got, want in zip(*results, strict=True):
            torch.testing.assert_close(got, want)
        for gradient in results[0][1:]:
            assert gradient[:, unused(problem)].abs().sum() == 0


@pytest.mark.parametrize("garbage", [math.nan, math.inf])
@pytest.mark.parametrize("heads", [(3,), (2, 2)])
def test_garbage_that_a_causal_mask_hides_is_never_seen(garbage, heads):
    """xformers' kernel adds the tensor first, and then writes -inf over what is not causal."""
    query, key, value = (torch.randn(2, 6, *heads, 8, dtype=torch.float64) for _ in "qkv")
    hidden = torch.ones(6, 6, dtype=torch.bool).triu(1)
    bias = torch.randn(2, *heads, 6, 6, dtype=torch.float64)
    results = []
    for fill in (garbage, 0.0):
        leaves = [x.clone().requires_grad_() for x in (query, key, value, bias.masked_fill(hidden, fill))]
        mask = compat.LowerTriangularMaskWithTensorBias(leaves[3])
        out = compat.memory_efficient_attention(*leaves[:3], mask)
        assert not mask.materialize(bias.shape, torch.float64).isnan().any()
        lse = both(*leaves[:3], mask)[1]
        results.append([out, lse, *torch.autograd.grad(out.square().sum(), leaves)])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("kind", PADDED)
def test_unused_slots_at_the_end_may_be_missing(kind):
    """Kernels read each slot as far as it is in use, so a cache may be cut off behind the last key."""
    shorter = 0
    for seed in SEEDS:
        problem = case(kind, seed)
        query, key, value = problem.inputs()
        want = expected(problem, query, key, value)
        wanted = biased_scores(problem, query, key).logsumexp(-1)
        total = key.shape[1]
        last = end_of_use(problem)
        for length in {last, (last + total) // 2}:
            shorter += length < total
            cache = [x[:, :length] for x in (key, value)]
            out, lse = both(query, *cache, problem.make(compat), scale=problem.scale)
            torch.testing.assert_close(out, want)
            torch.testing.assert_close(lse.reshape(wanted.shape), wanted)
        for length in {last - 1, total + 1} - {-1}:
            cache = [torch.cat([x, x], 1)[:, :length] for x in (key, value)]
            with pytest.raises(ValueError, match="made for"):
                compat.memory_efficient_attention(query, *cache, problem.make(compat))
    assert shorter > 10
