"""Every mask kind, random shapes, against xformers' own mask classes. `XF2SDPA_CASES` sets how many."""

import os

import pytest
import torch

pytest.importorskip("xformers.ops")

from compat_oracle import KINDS, RANKS, REAL_TORCH, actual, case, expected, forward_and_gradients, worst_error

TOTAL = int(os.environ.get("XF2SDPA_CASES", "3000"))
FLOAT64 = range(TOTAL * 2 // 3 // len(KINDS))
FLOAT32 = range(len(FLOAT64), len(FLOAT64) + TOTAL // 6 // len(KINDS))
HALF = range(FLOAT32.stop, FLOAT32.stop + TOTAL // 6 // len(KINDS))


@pytest.mark.parametrize("kind", KINDS)
def test_float64_forward_and_gradients(kind):
    for seed in FLOAT64:
        forward, gradient = worst_error(case(kind, seed))
        assert forward <= 1e-9, (kind, seed, forward)
        assert gradient <= 1e-8, (kind, seed, gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_under_autocast_stays_float32(kind):
    for seed in FLOAT32:
        problem = case(kind, seed)
        want = forward_and_gradients(expected, problem)
        got = forward_and_gradients(actual, problem, torch.float32, autocast=True)
        assert [x.dtype for x in got] == [torch.float32] * 4, (kind, seed)
        for a, b in zip(got, want, strict=True):
            # One rounding to bfloat16 would cost 1e-3 and more.
            assert a.shape == b.shape
            assert torch.allclose(a.double(), b, atol=5e-5, rtol=1e-4), (kind, seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_forward(kind, dtype):
    if dtype == torch.float16 and REAL_TORCH < (2, 2):
        pytest.skip("torch 2.1 multiplies no float16 on the CPU")
    for seed in HALF[: max(1, len(HALF) // 2)]:
        problem = case(kind, seed)
        inputs = problem.inputs(dtype)
        got = actual(problem, *inputs)
        assert got.dtype == dtype
        want = expected(problem, *(x.double() for x in inputs))
        tolerance = 2e-2 if dtype == torch.bfloat16 else 4e-3
        tolerance *= 1 if REAL_TORCH >= (2, 5) else 3  # the CPU's scores are rounded there, not summed in float32
        torch.testing.assert_close(got.double(), want, atol=2 * tolerance, rtol=tolerance)


def test_every_kind_takes_every_rank_it_should():
    for kind, ranks in RANKS.items():
        assert {case(kind, seed).rank for seed in range(6)} == set(ranks)
