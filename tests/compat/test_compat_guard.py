"""`compat.scaled_dot_product_attention`: torch's own function, kept off cuDNN where its gradient may be NaN."""

import inspect
import itertools

import pytest
import torch
import torch.nn.functional as F

from xf2sdpa import compat
from xf2sdpa.compat import kernels

ATTEND = F.scaled_dot_product_attention
OPTIONS = [
    dict(zip(("attn_mask", "is_causal", "scale", "enable_gqa"), values, strict=True))
    for values in itertools.product((None, "bool", "float"), (False, True), (None, 0.3), (False, True))
    if not (values[0] and values[1])
]


def test_its_parameters_are_torchs():
    parameters = inspect.signature(compat.scaled_dot_product_attention).parameters
    assert list(parameters) == [
        *("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa"),
    ]
    positional = [name for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
    assert positional == list(parameters)[:6], "scale and enable_gqa go by keyword, as torch wants them"
    schema = next(
        s for s in torch._C._jit_get_schemas_for_operator("aten::scaled_dot_product_attention") if s.arguments
    )
    assert [a.name for a in schema.arguments] == list(parameters)[: len(schema.arguments)]
    assert {a.name for a in schema.arguments if a.kwarg_only} <= {"scale", "enable_gqa"}


@pytest.mark.skipif(kernels._TORCH < (2, 5), reason="enable_gqa= came with torch 2.5")
@pytest.mark.parametrize("options", OPTIONS)
def test_it_computes_what_torchs_own_does(options):
    torch.manual_seed(0)
    heads = 2 if options["enable_gqa"] else 4
    inputs = [torch.randn(2, h, n, 8, requires_grad=True) for h, n in ((4, 5), (heads, 7), (heads, 7))]
    masks = {None: None, "bool": torch.rand(2, 1, 5, 7) > 0.3, "float": torch.randn(2, 4, 5, 7)}
    options = options | {"attn_mask": masks[options["attn_mask"]]}
    ours, theirs = (f(*inputs, **options) for f in (compat.scaled_dot_product_attention, ATTEND))
    assert torch.equal(ours, theirs)
    for a, b in zip(*(torch.autograd.grad(out.square().sum(), inputs) for out in (ours, theirs)), strict=True):
        assert torch.equal(a, b)


def test_positions_are_torchs():
    q = torch.randn(1, 2, 5, 8)
    mask = torch.zeros(5, 5)
    assert torch.equal(
        compat.scaled_dot_product_attention(q, q, q, mask, 0.0, False), ATTEND(q, q, q, mask, 0.0, False)
    )
    assert torch.equal(compat.scaled_dot_product_attention(q, q, q, None, 1.0), torch.zeros_like(q))


def test_only_what_is_given_goes_on(monkeypatch):
    """torch 2.1 to 2.4 has no `enable_gqa`, and what stands in SDPA's place may have no `scale`."""
    seen = []
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda q, k, v, **options: seen.append(options) or q)
    q = torch.randn(1, 2, 5, 8)
    compat.scaled_dot_product_attention(q, q, q)
    compat.scaled_dot_product_attention(q, q, q, scale=0.0, enable_gqa=True)
    plain = {"attn_mask": None, "dropout_p": 0.0, "is_causal": False}
    assert seen == [plain, plain | {"scale": 0.0, "enable_gqa": True}]


@pytest.mark.skipif(kernels._TORCH < (2, 5), reason="cuDNN attention came with torch 2.5")
@pytest.mark.parametrize("risky", [True, False])
def test_the_guard_bars_cudnn_for_this_call_alone(risky, monkeypatch):
    seen, backends = [], torch.backends.cuda
    if risky:
        monkeypatch.setattr(kernels, "_guard", lambda *args: kernels._without_cudnn())
    monkeypatch.setattr(
        F,
        "scaled_dot_product_attention",
        lambda *args, **options: seen.append(backends.cudnn_sdp_enabled()) or ATTEND(*args, **options),
    )
    before = backends.cudnn_sdp_enabled()
    q = torch.randn(1, 2, 6, 8)
    compat.scaled_dot_product_attention(q, q, q)
    assert (seen, backends.cudnn_sdp_enabled()) == ([before and not risky], before)
    assert backends.math_sdp_enabled()


def test_autocast_casts_as_it_does_for_torchs_own():
    q = torch.randn(1, 2, 6, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = ATTEND(q, q, q).dtype
        assert compat.scaled_dot_product_attention(q, q, q).dtype == wanted
    assert wanted == (torch.bfloat16 if kernels._TORCH >= (2, 5) else torch.float32)


@pytest.mark.skipif(kernels._TORCH < (2, 5), reason="before torch 2.5 the compiler does not follow it")
@pytest.mark.parametrize("mask", [None, torch.zeros(6, 6)])
def test_it_compiles_in_one_piece(mask):
    q = torch.randn(1, 2, 6, 8, requires_grad=True)
    compiled = torch.compile(compat.scaled_dot_product_attention, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(q, q, q, mask), ATTEND(q, q, q, mask))


@pytest.mark.parametrize(
    ("version", "mask", "causal", "half", "takes"),
    [
        ((2, 14), True, False, False, True),
        ((2, 14), False, True, True, True),
        ((2, 13), True, False, True, False),
        ((2, 13), False, False, True, True),
        ((2, 13), False, False, False, False),
        ((2, 13), False, True, True, False),
        ((2, 4), False, False, True, False),
    ],
)
def test_who_takes_fewer_key_heads(version, mask, causal, half, takes, monkeypatch):  # noqa: PLR0917
    """From torch 2.14 on whatever kernel is chosen; before, flash alone, which needs half precision and no mask."""
    monkeypatch.setattr(kernels, "_TORCH", version)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True, raising=False)
    monkeypatch.setattr(kernels, "_fits_flash", lambda q, k, v: half)
    q, k = torch.empty(1, 4, 5, 8), torch.empty(1, 2, 7, 8)
    bias = torch.zeros(5, 7) if mask else None
    assert kernels._takes_groups(q, k, k, bias, causal) == takes
