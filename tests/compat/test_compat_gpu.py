"""The helper on a GPU: gradients in cuDNN's corner, packed sequences, shared heads, decoding, no synchronisation.

    python -m pytest -m gpu tests/compat

Needs no xformers: each result is held against attention in float64.
"""

import math
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from xf2sdpa import compat
from xf2sdpa.compat import kernels

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
HOPPER = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] == 9
needs_hopper = pytest.mark.skipif(not HOPPER, reason="needs a Hopper GPU")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def barred(query, key, is_causal):
    """Whether the guard keeps a call off cuDNN."""
    return not isinstance(kernels._guard(query, key, is_causal), nullcontext)


def exact(q, k, v, mask=None, scale=None):
    """Attention on `[B, M, H, K]` in float64, with a mask `[…, M, N]` that is added."""
    q, k, v = (x.double().transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    weights = (scores if mask is None else scores + mask.double()).softmax(-1).nan_to_num(0.0)
    return (weights @ v).transpose(1, 2)


def leaves(*shapes, dtype=torch.bfloat16):
    return [torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True) for shape in shapes]


def check(out, want, inputs, doubles, tolerance=2e-2):
    """Results and gradients of one loss agree; the latter relative to the largest."""
    upstream = torch.randn_like(out)
    torch.testing.assert_close(out.double(), want, atol=tolerance, rtol=tolerance)
    got = torch.autograd.grad(out, inputs, upstream)
    wanted = torch.autograd.grad(want, doubles, upstream.double())
    for a, b in zip(got, wanted, strict=True):
        assert a.isfinite().all()
        assert (a.double() - b).abs().max() <= 2 * tolerance * max(1.0, float(b.abs().max()))


def low_scores(m, n, size=64, dtype=torch.bfloat16, lse=-110.0):
    """Queries and keys whose rows all have a log-sum-exp near `lse`, and values."""
    q = torch.full((2, 4, m, size), 1.0, device="cuda", dtype=dtype)
    k = torch.full((2, 4, n, size), (lse - math.log(n)) / math.sqrt(size), device="cuda", dtype=dtype)
    q += torch.randn_like(q) * 1e-2
    return q.requires_grad_(), k.requires_grad_(), torch.randn_like(k).requires_grad_()


MASKS = {
    "none": lambda q, k: None,
    "bool": lambda q, k: torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device="cuda"),
    "float": lambda q, k: torch.zeros(q.shape[-2], k.shape[-2], dtype=q.dtype, device="cuda"),
}
SHAPES = [(64, 64), (192, 192), (256, 192), (1, 192), (1088, 1088)]


@needs_hopper
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_in_the_corner_are_finite(mask, shape, dtype):
    q, k, v = low_scores(*shape, dtype=dtype)
    bias = MASKS[mask](q, k)
    out = compat.scaled_dot_product_attention(q, k, v, bias)
    for gradient in torch.autograd.grad(out.sum(), (q, k, v)):
        assert gradient.isfinite().all()
    inputs = [x.transpose(1, 2) for x in (q, k, v)]
    if bias is None or bias.dtype == dtype:
        given = bias if bias is None else bias.expand(2, 4, *bias.shape)
        out = compat.memory_efficient_attention(*inputs, given)
        for gradient in torch.autograd.grad(out.sum(), (q, k, v)):
            assert gradient.isfinite().all()


@needs_hopper
@pytest.mark.skipif(
    kernels._TORCH < (2, 11) or kernels._TORCH >= (2, 15), reason="torch 2.11 to 2.14 choose cuDNN and do not guard it"
)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_corner_is_where_the_guard_says(shape):
    """Torch's own function, unguarded: NaN before cuDNN 9.26, none from there on."""
    q, k, v = low_scores(*shape)
    (gradient,) = torch.autograd.grad(F.scaled_dot_product_attention(q, k, v).sum(), (q,))
    assert bool(gradient.isnan().any()) == barred(q, k, False)
    assert barred(q, k, False) == (kernels._CUDNN < 92600)


LENGTHS = {"short": ([17, 64, 1, 40], None), "long": ([300, 257, 129, 400], None), "unequal": ([130, 5], [200, 64])}
KINDS = {
    "full": lambda mask: mask,
    "causal": lambda mask: mask.make_causal_from_bottomright(),
    "top-left": lambda mask: mask.make_causal(),
    "window": lambda mask: mask.make_local_attention_from_bottomright(32),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("much", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_packed_sequences(kind, lengths, much, dtype, monkeypatch):
    """On every road: the operator, and from torch 2.14 `varlen_attn`, which chooses cuDNN (`much` lets it be asked)."""
    if much:
        monkeypatch.setattr(kernels, "_MUCH", 0)
    mask = KINDS[kind](compat.BlockDiagonalMask.from_seqlens(*LENGTHS[lengths]))
    m, n = mask.q_seqinfo.seqstart_py[-1], mask.k_seqinfo.seqstart_py[-1]
    inputs = leaves((1, m, 4, 64), (1, n, 4, 64), (1, n, 4, 64), dtype=dtype)
    doubles = [x.detach().double().requires_grad_() for x in inputs]
    out = compat.memory_efficient_attention(*inputs, mask)
    dense = mask.materialize((1, 1, m, n), torch.float64, "cuda")
    check(out, exact(*doubles, dense), inputs, doubles)
    with torch.no_grad():
        again = compat.memory_efficient_attention(*inputs, mask)
        torch.testing.assert_close(again.double(), exact(*doubles, dense), atol=2e-2, rtol=2e-2)


@pytest.mark.skipif(kernels._TORCH < (2, 14) or not HOPPER, reason="varlen_attn chooses cuDNN from torch 2.14 on")
@pytest.mark.parametrize("causal", [False, True])
def test_long_packed_sequences_run_on_cudnn(causal, monkeypatch):
    monkeypatch.setattr(kernels, "_MUCH", 0)
    mask = compat.BlockDiagonalMask.from_seqlens([300, 257, 1000])
    mask = mask.make_causal() if causal else mask
    q, k, v = (x.detach() for x in leaves(*[(1, 1557, 4, 64)] * 3))
    compat.memory_efficient_attention(q, k, v, mask)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        compat.memory_efficient_attention(q, k, v, mask)
    names = " ".join(event.name for event in profile.events())
    assert ("cudnn" in names) == (kernels._TORCH >= (2, 15) or not causal), names


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_shared_key_heads(masked, dtype):
    q = torch.randn(2, 100, 2, 4, 64, device="cuda", dtype=dtype)
    k, v = (torch.randn(2, 120, 2, 1, 64, device="cuda", dtype=dtype).expand(-1, -1, -1, 4, -1) for _ in "kv")
    bias = torch.randn(2, 2, 4, 100, 120, device="cuda", dtype=dtype) if masked else None
    out = compat.memory_efficient_attention(q, k, v, bias)
    flat = [x.flatten(2, 3) for x in (q, k, v)]
    want = exact(*flat, None if bias is None else bias.flatten(1, 2)).unflatten(2, (2, 4))
    torch.testing.assert_close(out.double(), want, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("trains", [False, True])
def test_decoding_with_garbage_in_unused_slots(dtype, trains):
    lengths, padding = [300, 1, 512], 512
    q = torch.randn(1, 3, 4, 64, device="cuda", dtype=dtype, requires_grad=trains)
    k, v = (torch.randn(1, 3 * padding, 4, 64, device="cuda", dtype=dtype) for _ in "kv")
    for x in (k, v):
        for i, length in enumerate(lengths):
            x[:, i * padding + length : (i + 1) * padding] = math.nan
    mask = compat.BlockDiagonalCausalWithOffsetPaddedKeysMask.from_seqlens([1, 1, 1], padding, lengths)
    out = compat.memory_efficient_attention(q, k, v, mask)
    for i, length in enumerate(lengths):
        used = slice(i * padding, i * padding + length)
        want = exact(q[:, i : i + 1], k[:, used], v[:, used])
        torch.testing.assert_close(out[:, i : i + 1].double(), want, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("bottom", [(300, 500), (500, 300), (400, 400)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", ["bottom-right", "window", "both sides"])
def test_bands(bottom, dtype, kind):
    mask = {
        "bottom-right": compat.LowerTriangularFromBottomRightMask(),
        "window": compat.LowerTriangularFromBottomRightLocalAttentionMask(64),
        "both sides": compat.LocalAttentionFromBottomRightMask(32, 16),
    }[kind]
    m, n = bottom
    inputs = leaves((2, m, 4, 64), (2, n, 4, 64), (2, n, 4, 64), dtype=dtype)
    doubles = [x.detach().double().requires_grad_() for x in inputs]
    dense = mask.materialize((m, n), torch.float64, "cuda")
    closed = dense.isneginf().all(-1)  # a query without keys gives 0
    want = exact(*doubles, dense.masked_fill(closed[:, None], 0.0)).masked_fill(closed[:, None, None], 0.0)
    check(compat.memory_efficient_attention(*inputs, mask), want, inputs, doubles)


@pytest.mark.parametrize("length", [2048, 2500])
@pytest.mark.parametrize("window", [(256, 256), (1023, 0), (0, 0)])
@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_windows_by_flex(length, window, size, monkeypatch):
    compat.use_flex()
    asked = []
    flex = kernels._FLEX
    monkeypatch.setattr(kernels, "_FLEX", lambda *given, **options: asked.append(1) or flex(*given, **options))
    mask = compat.LocalAttentionFromBottomRightMask(*window)
    dtype = torch.float16 if size == 32 else torch.bfloat16
    q, k, v = (torch.randn(2, length, 4, size, device="cuda", dtype=dtype) for _ in range(3))
    dense = mask.materialize((length, length), torch.float64, "cuda")
    out = compat.memory_efficient_attention(q, k, v, mask)
    torch.testing.assert_close(out.double(), exact(q, k, v, dense), atol=2e-2, rtol=2e-2)
    assert asked, "it was not taken"


CALLS = {
    "none": lambda q: None,
    "tensor": lambda q: torch.zeros(1, 4, 257, 257, device="cuda", dtype=q.dtype),
    "packed": lambda q: compat.BlockDiagonalMask.from_seqlens([200, 57]),
    "packed causal": lambda q: compat.BlockDiagonalMask.from_seqlens([200, 57]).make_causal(),
    "band": lambda q: compat.LocalAttentionFromBottomRightMask(32, 16),
}


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("trains", [False, True])
def test_a_call_waits_for_nothing(kind, trains):
    q = torch.randn(1, 257, 4, 64, device="cuda", dtype=torch.bfloat16, requires_grad=trains)
    mask = CALLS[kind](q)
    compat.memory_efficient_attention(q, q, q, mask)
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = compat.memory_efficient_attention(q, q, q, mask)
        if trains:
            out.backward(torch.ones_like(out))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("masked", [False, True])
def test_the_guard_compiles_in_one_piece(masked):
    q = torch.randn(2, 4, 192, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    mask = torch.zeros(192, 192, device="cuda", dtype=q.dtype) if masked else None
    compiled = torch.compile(compat.scaled_dot_product_attention, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(q, q, q, mask), compat.scaled_dot_product_attention(q, q, q, mask))
