"""Which backends take a call. On the CPU there are two: flash and math."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from xf2sdpa import timing
from xf2sdpa.timing import pinning

attention = pytest.importorskip("torch.nn.attention")


def tensors(*shape, dtype=torch.float32):
    return [torch.randn(*shape, dtype=dtype) for _ in range(3)]


def attend(q, k, v):
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)


def test_a_plain_call_takes_both_and_they_agree():
    inputs = tensors(2, 16, 2, 8)
    found = timing.backends(attend, inputs, backward=True)
    assert list(found) == ["flash", "math"]
    for call in found.values():
        torch.testing.assert_close(call(*inputs), attend(*inputs))


def test_the_callable_really_runs_under_its_backend():
    seen = []

    def call(q, k, v):
        seen.append(pinning._switched_on())
        return attend(q, k, v)

    inputs = tensors(2, 16, 2, 8)
    found = timing.backends(call, inputs)
    seen.clear()
    found["math"](*inputs)
    assert seen == [{"math"}]


def test_three_dimensions_have_the_math_path_only():
    inputs = tensors(2, 16, 8)
    assert list(timing.backends(F.scaled_dot_product_attention, inputs)) == ["math"]


def test_a_call_that_does_not_reach_sdpa_has_none():
    inputs = tensors(2, 16, 8)
    assert timing.backends(lambda q, k, v: torch.softmax(q @ k.transpose(1, 2), -1) @ v, inputs) == {}


def test_a_call_that_pins_one_by_itself_has_none():
    def guarded(q, k, v):
        with attention.sdpa_kernel([attention.SDPBackend.FLASH_ATTENTION, attention.SDPBackend.MATH]):
            return attend(q, k, v)

    assert timing.backends(guarded, tensors(2, 16, 2, 8)) == {}


def test_one_of_two_sdpa_calls_that_pins_one_is_enough():
    def guarded(q, k, v):
        with attention.sdpa_kernel(attention.SDPBackend.MATH):
            out = attend(q, k, v)
        return out + attend(q, k, v)

    assert list(timing.backends(guarded, tensors(2, 16, 2, 8))) == ["math"]


def test_a_backend_without_this_backward_is_not_offered():
    class NoFlashBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.math = pinning._switched_on() == {"math"}
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            if not ctx.math:
                raise RuntimeError("no backward kernel")
            return gradient

    def call(q, k, v):
        return NoFlashBackward.apply(attend(q, k, v))

    inputs = tensors(2, 16, 2, 8)
    assert list(timing.backends(call, inputs)) == ["flash", "math"]
    assert list(timing.backends(call, inputs, backward=True)) == ["math"]


def test_switches_random_state_and_leaves_are_left_as_found():
    inputs = [x.requires_grad_() for x in tensors(2, 16, 2, 8)]
    state, switches = torch.get_rng_state(), pinning._switched_on()
    timing.backends(lambda q, k, v: F.dropout(attend(q, k, v)), inputs, backward=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert pinning._switched_on() == switches
    assert all(x.grad is None for x in inputs)


def test_no_warning_for_what_is_refused(recwarn):
    timing.backends(F.scaled_dot_product_attention, tensors(2, 16, 8))
    assert not recwarn.list


def test_a_backend_that_this_torch_does_not_have(monkeypatch):
    monkeypatch.setitem(pinning.BACKENDS, "cudnn", "NO_SUCH_ATTENTION")
    with pytest.raises(RuntimeError, match="no NO_SUCH_ATTENTION"):
        pinning.pinned("cudnn", attend, *tensors(2, 16, 2, 8))


def test_the_error_of_the_call_itself_is_not_hidden():
    with pytest.raises(TypeError):
        timing.backends(attend, [torch.ones(1)], backward=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
class TestOnGPU:
    @pytest.mark.parametrize(
        ("dtype", "width", "expected"),
        [
            (torch.bfloat16, 64, {"cudnn", "flash", "efficient", "math"}),
            (torch.float32, 64, {"efficient", "math"}),
            (torch.float16, 160, {"flash", "efficient", "math"}),
        ],
    )
    def test_dtypes_and_head_sizes(self, dtype, width, expected):
        inputs = [torch.randn(2, 128, 4, width, device="cuda", dtype=dtype) for _ in range(3)]
        assert expected <= set(timing.backends(attend, inputs, backward=True))

    def test_each_runs_its_kernel(self):
        inputs = [torch.randn(2, 128, 4, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
        ran = {
            name: timing.kernel_of(lambda call=call: call(*inputs)).partition(":")[0]
            for name, call in timing.backends(attend, inputs).items()
        }
        assert ran == {"cudnn": "cudnn", "flash": "flash (FA2)", "efficient": "efficient (CUTLASS)", "math": "math"}
