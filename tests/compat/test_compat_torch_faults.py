"""What torch's own function gets wrong, or is kept from doing: the helper gives what xformers gave all the same."""

import math

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("xformers.ops")

from compat_oracle import KINDS, actual, biased_scores, case, expected, forward_and_gradients, play

from xf2sdpa import compat
from xf2sdpa.compat import kernels

ATTEND = F.scaled_dot_product_attention
CLOSING = [kind for kind in KINDS if "tensor" in kind or "Local" in kind or "Padded" in kind or "BottomRight" in kind]


def before_2_5(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):  # noqa: PLR0917
    """SDPA by the formula, as torch 2.1 has it: a row that the mask closes is NaN."""
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).tril().logical_not(), -math.inf)
    return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ v


@pytest.mark.parametrize("kind", CLOSING)
def test_rows_closed_by_a_mask_are_0_before_torch_2_5(kind, monkeypatch):
    play(monkeypatch, (2, 4))
    monkeypatch.setattr(F, "scaled_dot_product_attention", before_2_5)
    for seed in range(20):
        problem = case(kind, seed)
        got, want = (forward_and_gradients(f, problem) for f in (actual, expected))
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b)


def test_some_of_these_rows_are_closed():
    problems = [case(kind, seed) for kind in CLOSING for seed in range(20)]
    closed = [(biased_scores(problem, *problem.inputs()[:2]) == -math.inf).all(-1).any() for problem in problems]
    assert sum(closed) > 2 * len(CLOSING)


@pytest.fixture
def like_cuda(monkeypatch):
    """Tensors that say they are on a GPU, so that what is decided for one is decided here."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", True, raising=False)


def wrapped(q, k, v, **options):
    return ATTEND(q, k, v, **options)


def other(q, k, v, tensor_layout="HND", is_causal=False, sm_scale=None, **kwargs):  # noqa: PLR0917
    """A kernel of another library in SDPA's place, with arguments of its own: it takes none of ours by position."""
    assert tensor_layout == "HND"
    assert sm_scale is None
    return ATTEND(q, k, v, is_causal=is_causal, **kwargs)


@pytest.mark.parametrize("function", [wrapped, other])
@pytest.mark.parametrize("kind", KINDS)
def test_another_function_in_the_place_of_sdpa(function, kind, monkeypatch, like_cuda):
    """A `CausalBias` is torch's own function's alone: torch compares the function by identity."""
    calls = []
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **o: calls.append(a) or function(*a, **o))
    for seed in range(12):
        problem = case(kind, seed)
        inputs = problem.inputs()
        torch.testing.assert_close(actual(problem, *inputs), expected(problem, *inputs))
    assert calls


def test_torchs_own_function_still_gets_a_causal_bias(monkeypatch, like_cuda):
    taken = []
    lower_right = kernels._lower_right
    monkeypatch.setattr(kernels, "_lower_right", lambda *call: taken.append(call) or lower_right(*call))
    q, k = torch.randn(1, 3, 2, 8), torch.randn(1, 5, 2, 8)
    compat.memory_efficient_attention(q, k, k, compat.LowerTriangularFromBottomRightMask())
    assert len(taken) == (kernels._TORCH >= (2, 3))


def none_for_empty_batches(q, k, v, *args, **options):
    """SDPA as cuDNN answers it on a GPU in half precision: None for a batch of 0 that has queries and keys."""
    return None if not q.shape[0] and q.shape[2] and k.shape[2] else ATTEND(q, k, v, *args, **options)


EMPTY_SHAPES = [
    ((0, 5, 8), (0, 7, 8), (0, 7, 8)),
    ((0, 5, 3, 8), (0, 7, 3, 8), (0, 7, 3, 4)),
    ((0, 7, 3, 8), (0, 7, 3, 8), (0, 7, 3, 8)),
    ((0, 5, 3, 2, 8), (0, 7, 3, 2, 8), (0, 7, 3, 2, 8)),
    ((0, 0, 3, 8), (0, 7, 3, 8), (0, 7, 3, 8)),
    ((0, 5, 3, 8), (0, 0, 3, 8), (0, 0, 3, 8)),
]
EMPTY_MASKS = {
    "none": lambda bias: None,
    "tensor": lambda bias: bias,
    "causal": lambda bias: compat.LowerTriangularMask(),
    "causal and tensor": lambda bias: compat.LowerTriangularMask().add_bias(bias),
    "bottom-right": lambda bias: compat.LowerTriangularFromBottomRightMask(),
    "window": lambda bias: compat.LocalAttentionFromBottomRightMask(2, 1),
}


@pytest.mark.skipif(kernels._TORCH < (2, 5), reason="cuDNN attention came with torch 2.5")
@pytest.mark.parametrize("shapes", EMPTY_SHAPES)
@pytest.mark.parametrize("mask", EMPTY_MASKS)
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_an_empty_batch_gives_the_empty_tensor(shapes, mask, gradient, dtype, monkeypatch, like_cuda):  # noqa: PLR0917
    if mask not in {"none", "tensor", "causal"} and len(shapes[0]) == 3:
        pytest.skip("not for 3-D inputs")
    lower_right = kernels._lower_right
    monkeypatch.setattr(kernels, "_lower_right", lambda q, *call: lower_right(q, *call) if q.shape[0] else 1 / 0)
    monkeypatch.setattr(torch._C._nn, "scaled_dot_product_attention", none_for_empty_batches)
    monkeypatch.setattr(F, "scaled_dot_product_attention", none_for_empty_batches)
    inputs = [torch.zeros(shape, dtype=dtype, requires_grad=gradient) for shape in shapes]
    query, key, value = inputs
    bias = torch.zeros(0, *query.shape[2:-1], query.shape[1], key.shape[1], dtype=dtype)
    out = compat.memory_efficient_attention(*inputs, EMPTY_MASKS[mask](bias), 0.0, 0.5)
    assert (out.shape, out.dtype) == ((*query.shape[:-1], value.shape[-1]), dtype)
    assert out.requires_grad == gradient
    if gradient:
        gradients = torch.autograd.grad(out.sum(), inputs)
        assert [x.shape for x in gradients] == [x.shape for x in inputs]
    out, lse = compat.memory_efficient_attention_forward_requires_grad(*inputs, EMPTY_MASKS[mask](bias))
    assert out.shape == (*query.shape[:-1], value.shape[-1])
    assert lse.shape == (0, *(query.shape[2:-1] or (1,)), query.shape[1])


def test_an_empty_batch_with_shared_key_heads(monkeypatch):
    monkeypatch.setattr(F, "scaled_dot_product_attention", none_for_empty_batches)
    query = torch.zeros(0, 5, 2, 3, 8)
    key = torch.zeros(0, 7, 2, 1, 8).expand(-1, -1, -1, 3, -1)
    assert compat.memory_efficient_attention(query, key, key).shape == query.shape
