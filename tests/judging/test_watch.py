"""What a function asks torch's attention for, and that nothing is dropped while it is watched."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from xf2sdpa.judging.watch import KernelCall, Watch, autocast_dtype

PINS = "kernels are pinned from torch 2.3 on"

Q = torch.randn(1, 2, 6, 8)


def watched(function: object) -> Watch:
    with Watch() as watch:
        function()  # type: ignore[operator]
    return watch


def test_dropout_however_it_is_written() -> None:
    exact = F.scaled_dot_product_attention(Q, Q, Q)
    with Watch() as watch:
        by_keyword = F.scaled_dot_product_attention(Q, Q, Q, dropout_p=0.4)
        by_position = torch.nn.functional.scaled_dot_product_attention(Q, Q, Q, None, 0.5)
    assert [call.dropout_p for call in watch.attention] == [0.4, 0.5]
    assert torch.equal(by_keyword, exact)
    assert torch.equal(by_position, exact)


def test_dropout_around_attention() -> None:
    layer = torch.nn.Dropout(0.3)
    with Watch() as watch:
        assert torch.equal(layer(Q), Q)
        assert torch.equal(torch.dropout(Q, 0.2, train=True), Q)
        layer.eval()(Q)
        F.dropout(Q, 0.9, training=False)
    assert watch.dropouts == {0.3, 0.2}
    assert not watch.attention


def test_the_dtype_that_attention_is_computed_in() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = watched(lambda: F.scaled_dot_product_attention(Q, Q, Q))
        double = watched(lambda: F.scaled_dot_product_attention(Q.double(), Q.double(), Q.double()))
        with torch.autocast("cpu", enabled=False):
            off = watched(lambda: F.scaled_dot_product_attention(Q, Q, Q))
        assert autocast_dtype(Q.device) == torch.bfloat16
    assert [watch.attention[0].dtype for watch in (inside, double, off)] == [
        torch.bfloat16,
        torch.float64,
        torch.float32,
    ]
    assert autocast_dtype(Q.device) is None


def test_a_dense_mask_and_one_that_is_a_flag() -> None:
    dense = watched(lambda: F.scaled_dot_product_attention(Q, Q, Q, torch.zeros(6, 6)))
    assert dense.attention == [KernelCall("scaled_dot_product_attention", 0.0, torch.float32, True)]
    lower_right = pytest.importorskip("torch.nn.attention.bias", reason="torch has it from 2.3 on").causal_lower_right
    flag = watched(lambda: F.scaled_dot_product_attention(Q, Q, Q, lower_right(6, 6)))
    assert [call.masked for call in flag.attention] == [False]


def test_pinned_whatever_the_code_around_it_chose() -> None:
    attention = pytest.importorskip("torch.nn.attention", reason=PINS)
    by_the_code, other = attention.sdpa_kernel([attention.SDPBackend.MATH]), attention.SDPBackend.EFFICIENT_ATTENTION
    with Watch(other), by_the_code, pytest.raises(RuntimeError, match="kernel"):
        F.scaled_dot_product_attention(Q, Q, Q)


def test_operators_of_torch_that_are_called_directly() -> None:
    def call() -> None:
        flat = Q.transpose(1, 2)
        with pytest.raises(RuntimeError):  # it has no CPU kernel; it is seen all the same
            torch.ops.aten._flash_attention_forward(flat, flat, flat, None, None, 6, 6, 0.25, False, False)

    assert watched(call).attention == [KernelCall("_flash_attention_forward", 0.25, torch.float32)]


@pytest.mark.parametrize("mask", [torch.zeros(6, 1), torch.zeros(6, 6).t(), torch.zeros(6, 1).expand(6, 6)])
def test_efficient_is_not_tried_with_a_mask_that_would_crash_it(mask: torch.Tensor) -> None:
    backends = pytest.importorskip("torch.nn.attention", reason=PINS).SDPBackend
    with Watch(backends.EFFICIENT_ATTENTION), pytest.raises(NotImplementedError, match="EFFICIENT is not tried"):
        F.scaled_dot_product_attention(Q, Q, Q, mask)
    with Watch(backends.MATH):
        F.scaled_dot_product_attention(Q, Q, Q, mask)


def test_a_torch_without_backends_to_choose_from() -> None:
    code = (
        "import sys, torch; sys.modules['torch.nn.attention'] = None; from xf2sdpa.judging import compare, exact, watch"
    )
    code += "; q = torch.ones(1, 1, 2, 8); w = watch.Watch(); w.__enter__()"
    code += "; torch.nn.functional.scaled_dot_product_attention(q, q, q); print(len(w.attention), exact._attention())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "1 None\n", done.stderr
