"""What callers of xformers rely on beside the numbers: layout, dtypes, signatures, errors, compile."""

import inspect
import math

import pytest
import torch

pytest.importorskip("xformers.ops")

import xformers.ops as real_ops
from compat_oracle import KINDS, actual, biased_scores, case, expected, forward_and_gradients, play
from xformers.ops import fmha as real_fmha

from xf2sdpa import compat
from xf2sdpa.compat import kernels

mea = compat.memory_efficient_attention


def qkv(*shape, dtype=torch.float64, **options):
    return [torch.randn(*shape, dtype=dtype, **options) for _ in range(3)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_result_can_be_viewed(kind, dropout):
    for seed in range(12):
        problem = case(kind, seed)
        q, k, v = problem.inputs()
        bias = problem.make(compat)
        out = mea(q, k, v, bias, dropout)
        assert out.shape == (*q.shape[:-1], v.shape[-1])
        assert out.is_contiguous()
        assert out.view(-1).shape == (out.numel(),)


@pytest.mark.parametrize(
    "name",
    [
        "memory_efficient_attention",
        "memory_efficient_attention_forward",
        "memory_efficient_attention_forward_requires_grad",
        "SwiGLU",
        "RMSNorm",
        "index_select_cat",
        "scaled_index_add",
    ],
)
def test_signatures_are_those_of_xformers(name):
    def arguments(function):
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    assert arguments(getattr(compat, name)) == arguments(getattr(real_ops, name))


@pytest.mark.parametrize("kind", KINDS)
def test_forward_has_no_graph_and_the_same_result(kind):
    problem = case(kind, 3)
    q, k, v = (x.detach().requires_grad_() for x in problem.inputs())
    bias = problem.make(compat)
    out = compat.memory_efficient_attention_forward(q, k, v, bias, scale=problem.scale)
    assert not out.requires_grad
    torch.testing.assert_close(out, actual(problem, q, k, v).detach())


@pytest.mark.parametrize("kind", KINDS)
def test_forward_requires_grad_gives_the_log_sum_exp(kind):
    for seed in range(8):
        problem = case(kind, seed)
        q, k, v = problem.inputs()
        out, lse = compat.memory_efficient_attention_forward_requires_grad(
            q, k, v, problem.make(compat), scale=problem.scale
        )
        torch.testing.assert_close(out, actual(problem, q, k, v))
        want = biased_scores(problem, q, k).logsumexp(-1)
        assert lse.shape == (q.shape[0], *(q.shape[2:-1] or (1,)), q.shape[1])
        torch.testing.assert_close(lse.reshape(want.shape), want)


def test_log_sum_exp_with_a_mask_and_in_chunks(monkeypatch):
    q, k, v = qkv(2, 50, 3, 8)
    bias = torch.randn(2, 3, 50, 50, dtype=torch.float64)
    scores = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1)) * 0.3 + bias
    _, lse = compat.memory_efficient_attention_forward_requires_grad(q, k, v, bias, scale=0.3)
    torch.testing.assert_close(lse, scores.logsumexp(-1))
    causal = scores.masked_fill(~torch.ones(50, 50, dtype=torch.bool).tril(), -math.inf)
    mask = compat.LowerTriangularMask().add_bias(bias)
    _, lse = compat.memory_efficient_attention_forward_requires_grad(q, k, v, mask, scale=0.3)
    torch.testing.assert_close(lse, causal.logsumexp(-1))
    monkeypatch.setattr(compat.attention, "_CHUNK", 2 * 3 * 50 * 7)
    _, chunked = compat.memory_efficient_attention_forward_requires_grad(q, k, v, mask, scale=0.3)
    torch.testing.assert_close(chunked, lse)


def test_log_sum_exp_of_groups_with_a_causal_mask_and_a_tensor():
    q, k, v = qkv(2, 5, 3, 2, 8)
    bias = torch.randn(2, 3, 2, 5, 5, dtype=torch.float64)
    mask = compat.LowerTriangularMask().add_bias(bias)
    out, lse = compat.memory_efficient_attention_forward_requires_grad(q, k, v, mask)
    scores = q.permute(0, 2, 3, 1, 4) @ k.permute(0, 2, 3, 4, 1) * 8**-0.5 + bias
    want = scores.masked_fill(~torch.ones(5, 5, dtype=torch.bool).tril(), -math.inf)
    torch.testing.assert_close(lse, want.logsumexp(-1))
    torch.testing.assert_close(out, (want.softmax(-1) @ v.permute(0, 2, 3, 1, 4)).permute(0, 3, 1, 2, 4))


def test_compiles_for_a_batch_that_is_known_only_when_it_runs():
    torch._dynamo.reset()

    def kept(x, rows, mask):
        q = x[rows]
        return mea(q, q, q, mask)

    x = torch.randn(4, 6, 3, 8)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(kept, fullgraph=True, backend="aot_eager", dynamic=True)
        for rows in ([True, False, True, True], [False] * 4):
            for mask in (None, compat.LowerTriangularMask()):
                torch.testing.assert_close(*(f(x, torch.tensor(rows), mask) for f in (compiled, kept)))


def test_log_sum_exp_is_float32_for_half():
    q, k, v = qkv(1, 4, 2, 8, dtype=torch.bfloat16)
    out, lse = compat.memory_efficient_attention_forward_requires_grad(q, k, v)
    assert (out.dtype, lse.dtype) == (torch.bfloat16, torch.float32)


def test_output_dtype_is_honoured_only_without_gradients():
    q, k, v = qkv(1, 4, 2, 8, dtype=torch.bfloat16)
    assert mea(q, k, v, output_dtype=torch.float32).dtype == torch.float32
    assert compat.memory_efficient_attention_forward(q, k, v, output_dtype=torch.float32).dtype == torch.float32
    assert mea(q.requires_grad_(), k, v, output_dtype=torch.float32).dtype == torch.bfloat16


def test_dropout_applies_in_every_mode_and_keeps_the_mean():
    q, k, v = qkv(2, 16, 4, 8)
    with torch.no_grad():
        plain = mea(q, k, v)
        assert not torch.allclose(mea(q, k, v, p=0.5), plain)
        mean = torch.stack([mea(q, k, v, p=0.3) for _ in range(600)]).mean(0)
    torch.testing.assert_close(mean, plain, atol=0.15, rtol=0)
    assert mea(q, k, v, p=1.0).abs().max() == 0


@pytest.mark.parametrize("op", [compat.MemoryEfficientAttentionFlashAttentionOp, (None, None), object()])
def test_op_is_accepted_and_ignored(op):
    q, k, v = qkv(1, 4, 2, 8)
    assert torch.equal(mea(q, k, v, op=op), mea(q, k, v))


def test_a_bias_alone_gets_no_gradient_as_in_xformers():
    q, k, v = qkv(1, 4, 2, 8)
    bias = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert not mea(q, k, v, bias).requires_grad
    q.requires_grad_()
    (gradient,) = torch.autograd.grad(mea(q, k, v, bias).sum(), bias)
    reference = bias.detach().requires_grad_()
    weights = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1) * 8**-0.5 + reference).softmax(-1)
    (want,) = torch.autograd.grad((weights @ v.transpose(1, 2)).sum(), reference)
    torch.testing.assert_close(gradient, want)


def test_a_3d_mask_is_never_broadcast_onto_heads():
    q, k, v = qkv(2, 5, 2, 8)
    with pytest.raises(ValueError, match="Invalid shape"):
        mea(q, k, v, torch.zeros(2, 5, 5, dtype=torch.float64))


WRONG_BIAS_SHAPES = {
    3: [(1, 5, 5), (2, 1, 5, 5), (5,), (2, 5, 4), (2, 2, 5, 5)],
    4: [
        (2, 5, 5),
        (1, 3, 5, 5),
        (2, 1, 5, 5),
        (2, 3, 1, 5),
        (5, 4),
        (5,),
        (1, 1, 1, 5),
        (3, 5, 5),
        (1, 5, 5),
    ],
    5: [(5, 5), (2, 6, 5, 5), (12, 5, 5), (2, 3, 1, 5, 5)],
}


@pytest.mark.parametrize(("rank", "shape"), [(rank, s) for rank, shapes in WRONG_BIAS_SHAPES.items() for s in shapes])
def test_bias_shapes_that_xformers_never_took(rank, shape):
    q, k, v = qkv(*{3: (2, 5, 8), 4: (2, 5, 3, 8), 5: (2, 5, 3, 2, 8)}[rank])
    with pytest.raises(ValueError, match="Invalid shape"):
        mea(q, k, v, torch.zeros(shape, dtype=torch.float64))


def test_bias_dtypes():
    q, k, v = qkv(2, 5, 3, 8)
    with pytest.raises(TypeError, match="bool"):
        mea(q, k, v, torch.ones(2, 3, 5, 5, dtype=torch.bool))
    with pytest.raises(RuntimeError, match="match query's dtype"):
        mea(q, k, v, torch.zeros(2, 3, 5, 5))


@pytest.mark.parametrize(
    "shapes",
    [
        [(4, 8)] * 3,
        [(1, 4, 2, 2, 2, 8)] * 3,
        [(2, 4, 2, 8), (2, 4, 8), (2, 4, 8)],
        [(2, 4, 2, 8), (1, 4, 2, 8), (1, 4, 2, 8)],
        [(2, 4, 2, 8), (2, 4, 1, 8), (2, 4, 1, 8)],
        [(2, 4, 2, 8), (2, 4, 2, 16), (2, 4, 2, 16)],
        [(2, 4, 2, 8), (2, 5, 2, 8), (2, 4, 2, 8)],
        [(2, 4, 2, 2, 8), (2, 4, 2, 1, 8), (2, 4, 2, 1, 8)],
        [(2, 4, 8), (1, 4, 8), (1, 4, 8)],
    ],
)
def test_shapes_are_refused_as_in_xformers(shapes):
    inputs = [torch.randn(shape) for shape in shapes]
    with pytest.raises(ValueError, match="shape"):
        mea(*inputs)
    with pytest.raises(ValueError, match="shape"):
        real_fmha.memory_efficient_attention(*inputs)


def test_other_inputs_are_refused_as_in_xformers():
    q, k, v = qkv(2, 4, 2, 8)
    for function in (mea, real_fmha.memory_efficient_attention):
        for p in (-0.1, 1.5):
            with pytest.raises(ValueError, match="dropout"):
                function(q, k, v, p=p)
        for others in ((k.float(), v), (k, v.float())):
            with pytest.raises(ValueError, match="dtype"):
                function(q, *others)
        for others in ((k[0], v[0]), (k, v[0]), (k[0], v)):
            with pytest.raises(ValueError, match="should all have BMGHK, BMHK or BMK shape"):
                function(q, *others)
        with pytest.raises(ValueError, match="device"):
            function(q, k.to("meta"), v)
        with pytest.raises(TypeError):
            function(q, k, v, None, 0.0, None, None)
    with pytest.raises(NotImplementedError):
        mea(q, k.int(), v.int())
    with pytest.raises(NotImplementedError):
        compat.memory_efficient_attention_forward_requires_grad(q, k, v, p=0.1)


BLOCKWISE = [kind for kind in KINDS if kind.startswith(("Block", "Local"))] + [
    "LowerTriangularFromBottomRightMask",
    "LowerTriangularMaskWithTensorBias",
]


@pytest.mark.parametrize("kind", BLOCKWISE)
def test_only_the_plain_causal_mask_goes_with_3d_inputs(kind):
    problem = case(kind, 0)
    q, k, v = qkv(1, 6, 8)
    with pytest.raises(ValueError, match="BMHK"):
        mea(q, k, v, problem.make(compat))


def test_packed_inputs_must_be_what_the_mask_was_made_for():
    mask = compat.BlockDiagonalMask.from_seqlens([2, 3])
    q, k, v = qkv(2, 5, 2, 8)
    with pytest.raises(ValueError, match="batch_size=1"):
        mea(q, k, v, mask)
    q, k, v = qkv(1, 6, 2, 8)
    with pytest.raises(ValueError, match="made for"):
        mea(q, k, v, mask)
    bias = compat.LowerTriangularMaskWithTensorBias(torch.zeros(1, 1, 6, 6, dtype=torch.float64))
    with pytest.raises(ValueError, match="Invalid shape"):
        mea(q, k, v, bias)


class Strange:
    pass


def test_an_unknown_mask_is_named():
    q, k, v = qkv(1, 5, 2, 8)
    with pytest.raises(TypeError, match=r"test_compat_contract\.Strange"):
        mea(q, k, v, Strange())
    with pytest.raises(TypeError, match="_SeqLenInfo"):  # a name of ours, but no mask
        mea(q, k, v, compat.BlockDiagonalMask.from_seqlens([5]).q_seqinfo)
    starts = real_fmha.attn_bias.BlockDiagonalGappyKeysMask.from_seqlens([5], [0, 5], [5])
    with pytest.raises(TypeError, match="BlockDiagonalGappyKeysMask"):
        mea(q, k, v, starts)


def test_a_subclass_of_ones_own_needs_only_materialize():
    class Stripes(compat.AttentionBias):
        def materialize(self, shape, dtype=torch.float32, device="cpu"):
            stripes = torch.arange(shape[-1]) % 2 * torch.ones(shape)
            return torch.zeros(shape, dtype=dtype, device=device).masked_fill(stripes > 0, -math.inf)

    q, k, v = qkv(1, 5, 2, 8)
    want = mea(q, k[:, ::2], v[:, ::2])
    torch.testing.assert_close(mea(q, k, v, Stripes()), want)


def test_before_torch_2_5_groups_are_spread(monkeypatch):
    problem = next(c for c in (case("none", seed) for seed in range(2, 99, 3)) if c.expands and c.shapes[0][3] > 1)
    play(monkeypatch, (2, 4))
    refuse_options(monkeypatch, {"enable_gqa"})
    inputs = problem.inputs()
    torch.testing.assert_close(actual(problem, *inputs), expected(problem, *inputs))


def refuse_options(monkeypatch, names):
    attend = torch.nn.functional.scaled_dot_product_attention

    def older(*args, **options):
        assert not names & set(options)
        return attend(*args, **options)

    monkeypatch.setattr(kernels.F, "scaled_dot_product_attention", older)


@pytest.mark.skipif(kernels._TORCH < (2, 5), reason="enable_gqa= came with torch 2.5")
def test_grouped_keys_are_not_copied(monkeypatch):
    seen = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(q, k, v, *args, **options):
        seen.append((q.ndim, q.shape[1], k.shape[1], options.get("enable_gqa", False)))
        return attend(q, k, v, *args, **options)

    monkeypatch.setattr(kernels.F, "scaled_dot_product_attention", watched)
    q, k, v = (
        torch.randn(1, 6, 2, 4, 8),
        *(torch.randn(1, 6, 2, 1, 8).expand(-1, -1, -1, 4, -1) for _ in "kv"),
    )
    mea(q, k, v)
    mea(q, k, v, compat.LowerTriangularMask())
    mea(q, k, v, torch.zeros(1, 2, 4, 6, 6))  # before torch 2.14 a mask refuses groups
    mea(q, k.contiguous(), v.contiguous())  # nothing shared
    mea(q.requires_grad_(), k, v)  # gradients belong to the expanded tensor
    grouped, spread = (4, 8, 2, True), (4, 8, 8, False)
    assert seen == [grouped, grouped, grouped if kernels._TORCH >= (2, 14) else spread, spread, spread]


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_fused_kernels_always_see_4d(monkeypatch, rank):
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(q, k, v, *args, **options):
        assert q.ndim == k.ndim == v.ndim == 4
        return attend(q, k, v, *args, **options)

    monkeypatch.setattr(kernels.F, "scaled_dot_product_attention", watched)
    for kind in KINDS:
        for seed in range(12):
            problem = case(kind, seed)
            if problem.rank == rank:
                actual(problem, *problem.inputs())


@pytest.mark.skipif(kernels._TORCH < (2, 5), reason="before torch 2.5 the compiler does not follow it")
@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize("mask", ["none", "tensor", "causal", "causal made outside"])
@pytest.mark.parametrize("autocast", [False, True])
def test_compiles_without_a_graph_break(rank, mask, autocast):
    torch._dynamo.reset()
    q, k, v = qkv(*{3: (2, 6, 8), 4: (2, 6, 3, 8), 5: (2, 6, 3, 2, 8)}[rank], dtype=torch.float32)
    heads = q.shape[2:-1]
    outside = compat.LowerTriangularMask()
    bias = torch.randn(2, *heads, 6, 6)

    def model(q, k, v, bias):
        made = {"none": None, "tensor": bias, "causal made outside": outside}
        attn_bias = compat.LowerTriangularMask() if mask == "causal" else made[mask]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            return mea(q, k, v, attn_bias, scale=0.5)

    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    inputs = [x.requires_grad_() for x in (q, k, v)]
    out, want = compiled(*inputs, bias), model(*inputs, bias)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, want)
    for got, wanted in zip(
        torch.autograd.grad(out.sum(), inputs), torch.autograd.grad(want.sum(), inputs), strict=True
    ):
        torch.testing.assert_close(got, wanted)


def test_compiles_for_changing_lengths():
    torch._dynamo.reset()
    compiled = torch.compile(mea, fullgraph=True, backend="aot_eager", dynamic=True)
    for length in (6, 7, 9):
        q, k, v = qkv(2, length, 3, 8)
        bias = torch.randn(2, 3, length, length, dtype=torch.float64)
        for mask in (None, bias, compat.LowerTriangularMask()):
            torch.testing.assert_close(compiled(q, k, v, mask), mea(q, k, v, mask))


@pytest.mark.parametrize("kind", ["none", "tensor", "LowerTriangularMask", "BlockDiagonalMask"])
def test_meta_tensors(kind):
    problem = case(kind, 1)
    q, k, v = (x.to("meta") for x in problem.inputs())
    bias = problem.make(compat)
    bias = bias.to("meta") if bias is not None else None
    assert mea(q, k, v, bias).shape == (*q.shape[:-1], v.shape[-1])


def test_checkpointing_and_two_backward_passes():
    problem = case("BlockDiagonalCausalMask", 5)
    want = forward_and_gradients(actual, problem)

    def again(problem, *inputs):
        return torch.utils.checkpoint.checkpoint(lambda *xs: actual(problem, *xs), *inputs, use_reentrant=False)

    for got, wanted in zip(forward_and_gradients(again, problem), want, strict=True):
        torch.testing.assert_close(got, wanted)
