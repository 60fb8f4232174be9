"""Kernel names to families. The names are those that the profiler saw on an H200, from `benchmarks/results`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from xf2sdpa import timing
from xf2sdpa.timing import kernels

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x64_4x1x1", "cudnn"),
        ("cudnn_generated_fort_native_sdpa_sm80_flash_fprop_wmma_f16_knob_35_16x128x128_1x4x1_cga1x1", "cudnn"),
        ("void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::Col", "FA3"),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 128, 4, false, false", "flash (FA2)"),
        ("void flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128>>", "flash (FA2)"),
        (
            "fmha_cutlassF_bf16_aligned_64x64_rf_sm80(PyTorchMemEffAttention::AttentionKernel<cutlass::",
            "efficient (CUTLASS)",
        ),
        (
            "fmha_cutlassB_f32_aligned_64x64_k64_sm80(PyTorchMemEffAttention::AttentionBackwardKernel<c",
            "efficient (CUTLASS)",
        ),
        ("void cutlass::Kernel2<cutlass_80_wmma_tensorop_bf16_s161616gemm_bf16_16x16_128x2_tn_align8>", ""),
        ("void at::native::elementwise_kernel<128, 2, at::native::gpu_kernel_impl>", ""),
        ("void (anonymous namespace)::softmax_warp_forward<float, float, float, 8, false, false>", ""),
    ],
)
def test_family_by_name(name, family):
    assert kernels.family_of(name) == family


def test_every_attention_kernel_of_the_recorded_runs_has_a_family():
    def names(value):
        if isinstance(value, dict):
            found = [value["kernel"]] if isinstance(value.get("kernel"), str) else []
            return found + [name for inner in value.values() for name in names(inner)]
        return [name for inner in value for name in names(inner)] if isinstance(value, list) else []

    recorded = set(names(json.loads((RESULTS / "h200_shapes.json").read_text())))
    assert len(recorded) > 8
    assert {name for name in recorded if not kernels.family_of(name)} == set()
    assert {kernels.family_of(name) for name in recorded} == {"cudnn", "FA3", "flash (FA2)", "efficient (CUTLASS)"}


CUDNN = "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma"


def test_the_attention_kernel_counts_and_not_the_copy_beside_it():
    seen = kernels._summary({CUDNN: 30.0, "void at::native::elementwise_kernel<copy>": 90.0}, False, 3)
    assert (seen.family, seen.name, seen.milliseconds) == ("cudnn", CUDNN, pytest.approx(0.04))
    assert str(seen) == f"cudnn: {CUDNN} (25% of the time in kernels)"


def test_math_is_known_by_its_softmax():
    seen = kernels._summary({"sm90_xmma_gemm_f32f32": 80.0, "void softmax_warp_forward<float>": 10.0}, False, 1)
    assert (seen.family, seen.name) == ("math", "sm90_xmma_gemm_f32f32")


def test_neither():
    assert kernels._summary({"void at::native::fill": 1.0}, False, 1).family == "other"


def test_packed_sequences_are_named():
    assert kernels._summary({"void pytorch_flash::flash_fwd_kernel<>": 1.0}, True, 1).family == "flash (FA2), varlen"


class Event:
    def __init__(self, name, shapes):
        self.name, self.input_shapes = name, shapes


@pytest.mark.parametrize(
    ("event", "packed"),
    [
        (Event("aten::_flash_attention_forward", [[9, 2, 8], [9, 2, 8], [9, 2, 8], [3], [3]]), True),
        (Event("aten::_flash_attention_forward", [[1, 9, 2, 8], [1, 9, 2, 8], [1, 9, 2, 8], [], []]), False),
        (Event("aten::_efficient_attention_forward", [[1, 9, 2, 8]] * 3 + [[], [3]]), True),
        (Event("aten::_efficient_attention_forward", [[1, 9, 2, 8]] * 3 + [[1, 2, 9, 9], []]), False),
        (Event("torch_attn::_varlen_attn", None), True),
        (Event("aten::mm", [[3, 4], [4, 5]]), False),
    ],
)
def test_packed_by_the_operators_arguments(event, packed):
    assert kernels._is_packed(event) is packed


def test_where_the_offsets_stand_in_the_operators_of_this_torch():
    for name, place in kernels._PACKED_ARGUMENT.items():
        operator = getattr(torch.ops.aten, name.removeprefix("aten::")).default
        assert operator._schema.arguments[place].name in {"cum_seq_q", "cu_seqlens_q"}


def test_nothing_seen_has_a_reason():
    assert "no kernel" in kernels._summary({}, False, 3).reason
    assert str(kernels._summary({}, False, 3)) == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_cpu_has_no_kernels_and_says_so():
    assert timing.kernel_of(lambda: torch.ones(3)) == ""
    assert "no GPU" in kernels.profiled(lambda: torch.ones(3)).reason


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_in_a_program_that_profiles_itself():
    x = torch.ones(64, 64, device="cuda")
    with torch.profiler.profile():
        assert "profiled already" in kernels.profiled(lambda: x @ x).reason
