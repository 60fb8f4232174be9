"""The other operators against xformers where that runs on the CPU, else against its docstrings' formulas."""

import pytest
import torch

pytest.importorskip("xformers.ops")

import xformers.ops as real

from xf2sdpa import compat


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("out_features", [None, 5])
def test_swiglu_loads_xformers_state_and_computes_the_same(packed, bias, out_features):
    torch.manual_seed(0)
    theirs = real.SwiGLU(6, 16, out_features, bias, _pack_weights=packed).double()
    torch.manual_seed(0)
    ours = compat.SwiGLU(6, 16, out_features, bias, _pack_weights=packed).double()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), "the same seed gives the same weights"
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    got, want = ours(x), theirs(x)
    torch.testing.assert_close(got, want)
    upstream = torch.randn_like(got)
    grads = [torch.autograd.grad(y, [x, *m.parameters()], upstream) for y, m in ((got, ours), (want, theirs))]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
    assert (ours.in_features, ours.hidden_features, ours.out_features, ours.op) == (
        theirs.in_features,
        theirs.hidden_features,
        theirs.out_features,
        theirs.op,
    )


def test_swiglu_function():
    x, w1, w2, w3 = (torch.randn(s, dtype=torch.float64) for s in ((4, 6), (8, 6), (8, 6), (5, 8)))
    b1, b2, b3 = (torch.randn(n, dtype=torch.float64) for n in (8, 8, 5))
    for biases in ((b1, b2, b3), (None, None, None)):
        arguments = (x, w1, biases[0], w2, biases[1], w3, biases[2])
        torch.testing.assert_close(compat.swiglu(*arguments), real.swiglu(*arguments))


def test_swiglu_under_autocast_gives_what_xformers_gives():
    ours, theirs = compat.SwiGLU(8, 16), real.SwiGLU(8, 16)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, want = ours(x), theirs(x)
    assert got.dtype == want.dtype == torch.bfloat16
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rms_norm(weighted, dtype):
    layer, theirs = compat.RMSNorm(16, weighted, eps=1e-3), real.RMSNorm(16, weighted, eps=1e-3)
    assert list(layer.state_dict()) == list(theirs.state_dict())
    if weighted:
        torch.nn.init.normal_(layer.weight)
        theirs.load_state_dict(layer.state_dict())
    x, y = (torch.randn(2, 3, 16).to(dtype) for _ in "xy")
    with torch.no_grad():
        got = layer(x)
    exact = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-3).sqrt()
    exact = exact * layer.weight.double() if weighted else exact
    assert got.dtype == dtype
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float64: 1e-6}[dtype]
    torch.testing.assert_close(got.double(), exact, atol=tolerance, rtol=tolerance)
    total = x + y
    with torch.no_grad():
        torch.testing.assert_close(layer.increment_and_forward_(x, y), layer(total))
    assert torch.equal(x, total), "the sum is left in x"


def test_rms_norm_has_gradients():
    layer = compat.RMSNorm(8).double()
    x = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: compat.rms_norm(x, w, 1e-3), (x, layer.weight))


@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32])
def test_index_select_cat(index_dtype):
    sources = [torch.randn(n, d, dtype=torch.float64, requires_grad=True) for n, d in ((5, 3), (7, 4))]
    indices = [torch.tensor([4, 0, 2], dtype=index_dtype), torch.tensor([6, 1], dtype=index_dtype)]
    got = compat.index_select_cat(sources, indices)
    want = torch.cat([s[i.long()].flatten() for s, i in zip(sources, indices, strict=True)])  # xformers' docstring
    assert torch.equal(got, want)
    for a, b in zip(
        torch.autograd.grad(got.square().sum(), sources),
        torch.autograd.grad(want.square().sum(), sources),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("scaled", [True, False])
def test_scaled_index_add(scaled):
    x, source = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(2, 2, 3, dtype=torch.float64)
    scaling = torch.randn(3, dtype=torch.float64, requires_grad=True) if scaled else None
    index = torch.tensor([3, 1])
    source.requires_grad_()
    scaled_source = source if scaling is None else scaling * source
    want = torch.index_add(x, dim=0, source=scaled_source, index=index, alpha=0.7)  # xformers' docstring
    target = x.clone()
    got = compat.scaled_index_add(target, index, source, scaling, 0.7)
    torch.testing.assert_close(got, want)
    assert got is target, "in place, as in xformers"
    leaves = [source, scaling] if scaled else [source]
    for a, b in zip(
        torch.autograd.grad(got.square().sum(), leaves),
        torch.autograd.grad(want.square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_scaled_index_add_into_half():
    x, source = torch.zeros(4, 2, 3, dtype=torch.bfloat16), torch.ones(2, 2, 3, dtype=torch.bfloat16)
    got = compat.scaled_index_add(x, torch.tensor([0, 2]), source, torch.full((3,), 0.5), 2.0)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got[:, 0, 0], torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.bfloat16))


def test_scaled_index_add_has_gradients():
    def add(x, source, scaling):
        return compat.scaled_index_add(x * 1, torch.tensor([2, 0]), source, scaling, 0.7) ** 2

    leaves = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((4, 2, 3), (2, 2, 3), (3,))]
    assert torch.autograd.gradcheck(add, leaves)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("scaling_dtype", [None, torch.float32, "the same"])
@pytest.mark.parametrize("alpha", [1.0, 0.7])
def test_scaled_index_add_rounds_once(dtype, scaling_dtype, alpha):
    """As xformers' kernel: all in float32, and only the sum is rounded."""
    generator = torch.Generator().manual_seed(1)
    x, source = (torch.randn(n, 3, 64, generator=generator).to(dtype) for n in (9, 5))
    index = torch.tensor([8, 0, 3, 7, 2])
    scaling = None
    if scaling_dtype is not None:
        scaling = torch.randn(64, generator=generator).to(dtype if scaling_dtype == "the same" else scaling_dtype)
    want = x.clone()
    factor = alpha if scaling is None else alpha * scaling.float()
    want[index] = (x[index].float() + factor * source.float()).to(dtype)
    leaves = [t.requires_grad_() for t in (source, scaling) if t is not None]
    target = x.clone()
    got = compat.scaled_index_add(target, index.int(), source, scaling, alpha)
    assert torch.equal(got, want)
    assert got is target
    got.backward(want)
    assert [leaf.grad.dtype for leaf in leaves] == [leaf.dtype for leaf in leaves]
    assert torch.equal(source.grad, (factor * want[index].float()).to(dtype))
