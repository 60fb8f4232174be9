"""The reference itself: against plain formulas, against the errors of xformers, and its surroundings."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys

import pytest
import torch
import torch.nn.functional as F

from tests import oracle

SHAPES = {3: (2, 5, 8), 4: (2, 5, 3, 8), 5: (2, 5, 3, 2, 8)}


def tensors(ndim: int, dtype: torch.dtype = torch.float64, keys: int = 7) -> list[torch.Tensor]:
    shape = list(SHAPES[ndim])
    generator = torch.Generator().manual_seed(ndim)
    made = [torch.randn(shape, generator=generator, dtype=torch.float64)]
    shape[1] = keys
    made += [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2)]
    return [tensor.to(dtype).requires_grad_() for tensor in made]


def by_loops(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention of `[B, M, H, K]`, one query at a time."""
    out = torch.empty(*q.shape[:-1], v.shape[-1], dtype=q.dtype)
    for b in range(q.shape[0]):
        for h in range(q.shape[2]):
            for i in range(q.shape[1]):
                weights = torch.softmax((k[b, :, h] @ q[b, i, h]) * scale, 0)
                out[b, i, h] = weights @ v[b, :, h]
    return out


@pytest.mark.parametrize("ndim", [3, 4, 5])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_plain_attention_of_every_rank(ndim: int, scale: float | None) -> None:
    q, k, v = tensors(ndim)
    flat = [t.detach().reshape(*t.shape[:2], -1, t.shape[-1]) for t in (q, k, v)]
    expected = by_loops(*flat, scale or q.shape[-1] ** -0.5).reshape(q.shape)
    out = oracle.memory_efficient_attention(q, k, v, scale=scale)
    torch.testing.assert_close(out, expected)
    assert out.is_contiguous()


def test_gradients_are_right() -> None:
    q, k, v = tensors(4)
    assert torch.autograd.gradcheck(oracle.memory_efficient_attention, (q, k, v))


@pytest.mark.parametrize("storage", [(0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 2, 3)])
def test_the_result_can_be_viewed_whatever_the_storage(storage: tuple[int, ...]) -> None:
    q, k, v = (t.permute(storage).contiguous().permute(_inverse(storage)) for t in tensors(4, keys=5))
    assert oracle.memory_efficient_attention(q, k, v).view(2, 5, 24).shape == (2, 5, 24)


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(order.index(i) for i in range(len(order)))


def masks() -> list[tuple[str, object]]:
    bias = oracle._real("xformers.ops.fmha.attn_bias")
    blocks = bias.BlockDiagonalMask.from_seqlens([2, 4])
    return [
        ("causal", bias.LowerTriangularMask()),
        ("bottom right", bias.LowerTriangularFromBottomRightMask()),
        ("window", bias.LocalAttentionFromBottomRightMask(1, 1)),
        ("blocks", blocks),
        ("causal blocks", blocks.make_causal()),
    ]


@pytest.mark.parametrize(("name", "mask"), masks(), ids=lambda value: value if isinstance(value, str) else "")
def test_mask_classes_of_xformers(name: str, mask: object) -> None:
    q, k, v = (torch.randn(1, 6, 2, 8, dtype=torch.float64) for _ in range(3))
    dense = mask.materialize((1, 2, 6, 6), dtype=torch.float64)
    expected = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), attn_mask=dense)
    torch.testing.assert_close(oracle.memory_efficient_attention(q, k, v, mask), expected.transpose(1, 2))


def test_causal_is_top_left_and_dropout_draws_the_numbers_of_sdpa() -> None:
    q, k, v = tensors(4)
    mask = oracle._real("xformers.ops").LowerTriangularMask()
    torch.manual_seed(3)
    old = oracle.memory_efficient_attention(q, k, v, mask, 0.4)
    torch.manual_seed(3)
    heads_first = (t.transpose(1, 2) for t in (q, k, v))
    new = F.scaled_dot_product_attention(*heads_first, is_causal=True, dropout_p=0.4)
    torch.testing.assert_close(old, new.transpose(1, 2))


def test_autocast_does_not_touch_it() -> None:
    q, k, v = tensors(4, torch.float32, keys=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = oracle.memory_efficient_attention(q, k, v)
        assert F.scaled_dot_product_attention(q, k, v).dtype == torch.bfloat16
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, oracle.memory_efficient_attention(q, k, v))


@pytest.mark.parametrize("dtype", oracle.HALF)
def test_half_in_half_out(dtype: torch.dtype) -> None:
    q, k, v = tensors(4, dtype)
    out = oracle.memory_efficient_attention(q, k, v)
    assert out.dtype == dtype
    exact = oracle.memory_efficient_attention(q.double(), k.double(), v.double())
    torch.testing.assert_close(out.double(), exact, atol=2e-2, rtol=2e-2)


def test_tensor_bias_is_added_and_gets_its_gradient() -> None:
    q, k, v = tensors(4)
    bias = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    old = oracle.memory_efficient_attention(q, k, v, attn_bias=bias)
    new = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), attn_mask=bias)
    torch.testing.assert_close(old, new.transpose(1, 2))
    assert torch.autograd.grad(old.sum(), bias)[0].shape == bias.shape
    assert not oracle.memory_efficient_attention(*(t.detach() for t in (q, k, v)), bias).requires_grad


def test_three_d_bias_belongs_to_the_batch() -> None:
    q, k, v = tensors(3)
    bias = torch.randn(2, 5, 7, dtype=torch.float64)
    expected = torch.softmax(q @ k.mT * 8**-0.5 + bias, -1) @ v
    torch.testing.assert_close(oracle.memory_efficient_attention(q, k, v, bias), expected)


REFUSED = {
    "rank 2": (lambda q, k, v: (q[0, 0], k[0, 0], v[0, 0]), ValueError),
    "unequal rank": (lambda q, k, v: (q, k[:, :, 0], v), ValueError),
    "unequal dtype": (lambda q, k, v: (q, k, v.float()), ValueError),
    "batch to broadcast": (lambda q, k, v: (q, k[:1], v[:1]), ValueError),
    "heads to broadcast": (lambda q, k, v: (q, k[:, :, :1], v[:, :, :1]), ValueError),
    "bias of rank 2": (lambda q, k, v: (q, k, v, torch.zeros(5, 7).double()), ValueError),
    "bias of rank 3": (lambda q, k, v: (q, k, v, torch.zeros(2, 5, 7).double()), ValueError),
    "bias to broadcast": (lambda q, k, v: (q, k, v, torch.zeros(2, 1, 5, 7).double()), ValueError),
    "bias of another dtype": (lambda q, k, v: (q, k, v, torch.zeros(2, 3, 5, 7)), RuntimeError),
    "bool bias": (lambda q, k, v: (q, k, v, torch.ones(2, 3, 5, 7, dtype=torch.bool)), TypeError),
    "probability": (lambda q, k, v: (q, k, v, None, 1.5), ValueError),
    "last stride": (lambda q, k, v: (q.mT.contiguous().mT, k, v), NotImplementedError),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("gradient", [True, False])
def test_what_xformers_refuses_is_refused(case: str, gradient: bool) -> None:
    change, error = REFUSED[case]
    arguments = change(*(t.detach().requires_grad_(gradient) for t in tensors(4)))
    with pytest.raises(error):
        oracle.memory_efficient_attention(*arguments)


def test_a_row_masked_fully_is_zero() -> None:
    q, k, v = tensors(4)
    bias = torch.zeros(2, 3, 5, 7, dtype=torch.float64)
    bias[:, :, 2] = -torch.inf
    out = oracle.memory_efficient_attention(q, k, v, bias)
    assert (out[:, 2] == 0).all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(out.sum(), (q, k, v)))


def test_forward_and_backward_by_hand() -> None:
    q, k, v = tensors(4)
    whole = oracle.memory_efficient_attention(q, k, v)
    out, lse = oracle.memory_efficient_attention_forward_requires_grad(q, k, v)
    assert not out.requires_grad
    assert lse.shape == (2, 3, 5)
    grad = torch.randn_like(whole)
    by_hand = oracle.memory_efficient_attention_backward(grad, out, lse, q, k, v)
    torch.testing.assert_close(by_hand, torch.autograd.grad(whole, (q, k, v), grad))
    with pytest.raises(NotImplementedError):
        oracle.memory_efficient_attention_forward_requires_grad(q, k, v, p=0.1)


SPELLINGS = """
import xformers, xformers.ops, xformers.ops as xops, xformers.ops.fmha as fmha2
from xformers import ops
from xformers.ops import memory_efficient_attention, LowerTriangularMask, fmha, unbind, SwiGLU
from xformers.ops.fmha import BlockDiagonalMask, attn_bias
from xformers.ops.fmha.attn_bias import LowerTriangularMask as Same
from mslk.attention.fmha import memory_efficient_attention as from_mslk
from mslk.attention.fmha.attn_bias import BlockDiagonalMask as from_mslk_too
assert xformers.ops is xops is ops and fmha2 is fmha is xops.fmha and Same is LowerTriangularMask
assert from_mslk_too is BlockDiagonalMask is attn_bias.BlockDiagonalMask
assert xformers.__version__
result = [f(q, q, q) for f in (memory_efficient_attention, fmha.memory_efficient_attention, from_mslk)]
"""


def test_every_spelling_resolves_while_installed() -> None:
    names = {"q": torch.randn(1, 2, 2, 4)}
    with oracle.installed() as calls:
        exec(SPELLINGS, names)
        assert importlib.util.find_spec("xformers") is not None
    assert calls.count == 3
    assert torch.equal(names["result"][0], names["result"][2])
    assert "mslk" not in sys.modules


def test_poison_is_only_felt_by_a_call() -> None:
    q = torch.randn(1, 2, 2, 4)
    with oracle.poisoned():
        xops = importlib.import_module("xformers.ops")
        assert xops.LowerTriangularMask() is not None
        with pytest.raises(oracle.StillCalledError):
            xops.memory_efficient_attention(q, q, q)


@pytest.mark.parametrize("name", ["xformers", "xformers.ops", "xformers.ops.fmha", "mslk.attention.fmha"])
def test_nothing_is_found_while_absent(name: str) -> None:
    with oracle.absent():
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)
        assert importlib.util.find_spec(name.split(".", maxsplit=1)[0]) is None
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version("xformers")
        assert importlib.metadata.version("torch")
    assert importlib.util.find_spec("xformers") is not None
    assert importlib.metadata.version("xformers")
