"""Which old path is found, why, and what can be imported in its place."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from pathlib import Path

import pytest
import torch

from tests import oracle
from xf2sdpa.judging import calls, old_path
from xf2sdpa.judging.calls import Call
from xf2sdpa.judging.compare import compare
from xf2sdpa.judging.old_path import OldPath, find_old_path

xops = old_path.quiet_import("xformers.ops")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again, as on a machine with a GPU."""
    old_path._found.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(old_path, "preload_runtime", lambda: "")
    yield
    old_path._found.cache_clear()


def tensors() -> list[torch.Tensor]:
    return [torch.randn(1, 6, 2, 8) for _ in range(3)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_reference() -> None:
    found = find_old_path()
    assert found.version is None
    assert found.description == "reference: xformers has no CPU kernels, and there is no CUDA device"
    assert found.operator.__name__ == "memory_efficient_attention"


def test_without_xformers(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_path.importlib.util, "find_spec", lambda name: None)
    assert find_old_path().description == "reference: xformers is not installed"


@pytest.mark.parametrize("installed", [True, False])
def test_flash_attn_4_is_named_where_it_breaks_the_import(
    installed: bool, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_interface(name: str) -> types.ModuleType:
        missing = "flash_attn.flash_attn_interface"
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    def version(name: str) -> str:
        if not installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "4.0.0b36"

    monkeypatch.delitem(sys.modules, "xformers._cpp_lib", raising=False)
    monkeypatch.setattr(old_path, "quiet_import", no_interface)
    monkeypatch.setattr(importlib.metadata, "version", version)
    description = find_old_path().description
    assert "No module named 'flash_attn.flash_attn_interface'" in description
    assert ("flash-attn-4 is installed, beside which xformers cannot be imported" in description) == installed


def test_a_library_that_cannot_be_loaded(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = OSError("libcudart.so.12: cannot open shared object file: No such file or directory")
    told = ImportError("xFormers can't load C++/CUDA extensions.")
    told.__cause__ = missing
    library = types.SimpleNamespace(_cpp_library_load_exception=told)
    monkeypatch.setitem(sys.modules, "xformers._cpp_lib", library)
    monkeypatch.setattr(old_path, "preload_runtime", lambda: "pip install nvidia-cuda-runtime-cu12")
    monkeypatch.setattr(old_path, "_try_small_call", lambda fmha: fmha.no_such_kernel)
    description = find_old_path().description
    assert description.startswith("reference: xformers cannot load its library (libcudart.so.12: cannot open")
    assert description.endswith("pip install nvidia-cuda-runtime-cu12")


def test_one_that_computes(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_path, "_try_small_call", lambda fmha: "FlashAttention-3")
    found = find_old_path()
    assert found.version == sys.modules["xformers"].__version__
    assert found.description == f"xformers {found.version} (FlashAttention-3)"
    assert found.operator is sys.modules["xformers.ops.fmha"].memory_efficient_attention
    before = xops.fmha._memory_efficient_attention
    with found.install():
        assert xops.fmha._memory_efficient_attention is before, "the real one is left alone"


def _not_found(name: str, **_: object) -> None:
    raise OSError(name)


def test_the_runtime_of_cuda_12_is_looked_for_beside_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.delitem(sys.modules, "xformers._cpp_lib", raising=False)
    folder = tmp_path / "nvidia" / "cuda_runtime" / "lib"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with monkeypatch.context() as none_on_this_machine:
        none_on_this_machine.setattr(old_path.ctypes, "CDLL", _not_found)
        told = old_path.preload_runtime()
    assert "libcudart.so.12" in told
    assert "pip install nvidia-cuda-runtime-cu12" in told
    (folder / "libcudart.so.12").touch()
    loaded = []
    monkeypatch.setattr(old_path.ctypes, "CDLL", lambda name, mode: loaded.append(name))
    assert not old_path.preload_runtime()
    assert loaded == [str(folder / "libcudart.so.12")]
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert not old_path.preload_runtime()


def test_installed_beside_the_real_masks() -> None:
    bound = xops.memory_efficient_attention
    q, k, v = tensors()
    with old_path.reference("a test").install():
        out = bound(q, k, v, attn_bias=xops.LowerTriangularMask())
    torch.testing.assert_close(out, oracle.memory_efficient_attention(q, k, v, xops.LowerTriangularMask()))
    if not torch.cuda.is_available():
        with pytest.raises(NotImplementedError):
            bound(q, k, v)


def test_installed_where_there_is_none() -> None:
    q, k, v = tensors()
    before = sys.modules["xformers.ops"]
    with old_path._standin_installed():
        import xformers.ops as standing  # noqa: PLC0415
        from xformers.ops.fmha.attn_bias import BlockDiagonalMask  # noqa: PLC0415

        assert standing is not before
        blocks = BlockDiagonalMask.from_seqlens([2, 4])
        out = standing.memory_efficient_attention(q, k, v, attn_bias=blocks)
        want = oracle.memory_efficient_attention(q, k, v, xops.fmha.BlockDiagonalMask.from_seqlens([2, 4]))
        torch.testing.assert_close(out, want)
        assert standing.memory_efficient_attention_forward_requires_grad(q, k, v)[1].shape == (1, 2, 6)
        seen: list[Call] = []
        with calls.intercepted(lambda call, operator: seen.append(call) or call.answered_by(operator, p=0.0)):
            standing.memory_efficient_attention(q, k, v, None, 0.5)
            standing.memory_efficient_attention_forward_requires_grad(q, k, v)
        assert [(call.variant, call.p) for call in seen] == [(calls.PLAIN, 0.5), (calls.WITH_LSE, 0.0)]
    assert sys.modules["xformers.ops"] is before


def test_a_comparison_where_xformers_cannot_be_imported() -> None:
    def old(x: torch.Tensor) -> torch.Tensor:
        import xformers.ops as standing  # noqa: PLC0415

        return standing.memory_efficient_attention(x, x, x, attn_bias=standing.LowerTriangularMask())

    def new(x: torch.Tensor, causal: bool = True) -> torch.Tensor:
        y = x.transpose(1, 2)
        return torch.nn.functional.scaled_dot_product_attention(y, y, y, is_causal=causal).transpose(1, 2)

    old_path._found.cache_clear()
    try:
        with oracle.absent():
            case = compare(old, new, tensors()[:1])
            wrong = compare(old, lambda x: new(x, False), tensors()[:1])
    finally:
        old_path._found.cache_clear()
    assert case.ok
    assert case.compared
    assert case.notes == ("reference: xformers is not installed",)
    assert not wrong.ok


def test_variants_come_from_the_same_source() -> None:
    found = old_path.reference("a test")
    assert found.variant(calls.FORWARD).__name__ == calls.FORWARD
    module = types.ModuleType("fmha")
    module.memory_efficient_attention_forward = print
    assert OldPath(print, "1", "", module).variant(calls.FORWARD) is print


@pytest.mark.gpu
def test_on_a_gpu_with_xformers() -> None:
    found = find_old_path()
    if found.version is None:
        pytest.skip(found.description)
    assert found.description.startswith(f"xformers {found.version} (")
