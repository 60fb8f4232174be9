"""Exact mode: which kernels are tried, what counts as equal; on the CPU with kernels that stand for xformers' own."""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from xf2sdpa.judging import exact
from xf2sdpa.judging.compare import compare_probe
from xf2sdpa.judging.model import Case, Check
from xf2sdpa.judging.old_path import find_old_path
from xf2sdpa.judging.probe import Probe

attention = pytest.importorskip("torch.nn.attention", reason="kernels are pinned from torch 2.3 on")
SDPBackend = attention.SDPBackend

NOISE = {"amount": 0.0, "seldom": 1, "runs": 0}
OWN = torch.Generator().manual_seed(5)
"""Noise of a kernel does not come from torch's generators."""


def noise_like(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=OWN).to(x.dtype)


def operator(  # noqa: PLR0917 - the signature is that of xformers
    query: Tensor, key: Tensor, value: Tensor, attn_bias: Any = None, p: float = 0.0, scale: Any = None, op: Any = None
) -> Tensor:
    """Stands for xformers with pinned kernels: SDPA by one backend; MATH where nothing is pinned."""
    backend = SDPBackend.MATH if op is None else op[0]
    if backend == SDPBackend.FLASH_ATTENTION and attn_bias is not None:
        raise ValueError("Operator does not support inputs:\n`fa2F` is not supported because:\n    attn_bias type")
    NOISE["runs"] += op is not None
    if NOISE["amount"] and NOISE["runs"] % NOISE["seldom"] == 0:
        query = query * 1.0
        query.register_hook(lambda gradient: gradient + NOISE["amount"] * noise_like(gradient))
    with attention.sdpa_kernel([backend]):
        flat = (x.transpose(1, 2) for x in (query, key, value))
        return F.scaled_dot_product_attention(*flat, attn_mask=attn_bias, scale=scale).transpose(1, 2)


def new(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


@pytest.fixture(autouse=True)
def _kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `fmha.flash` were the CPU's FLASH, and `fmha.cutlass` MATH."""
    pair = lambda backend: types.SimpleNamespace(FwOp=backend, BwOp=backend)  # noqa: E731
    fmha = types.SimpleNamespace(flash=pair(SDPBackend.FLASH_ATTENTION), cutlass=pair(SDPBackend.MATH))
    kernels = (exact.KERNELS[0], exact.Kernel("MATH", "cutlass", "none"))
    monkeypatch.setattr(exact, "KERNELS", kernels)
    monkeypatch.setattr(exact, "_fmha", lambda: fmha)
    monkeypatch.setattr(exact, "_on_cuda", lambda call: True)
    monkeypatch.setitem(NOISE, "amount", 0.0)
    monkeypatch.setitem(NOISE, "seldom", 1)
    monkeypatch.setitem(NOISE, "runs", 0)


def case(new_side: Any = new, *extra: Any, dtype: torch.dtype = torch.bfloat16, keys: int = 4) -> Case:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 64, heads, 32, generator=generator).to(dtype) for heads in (4, keys, keys))
    probe = Probe(
        "x", lambda op, q, k, v, *rest: op(q, k.expand(q.shape), v.expand(q.shape), *rest), new_side, operator
    )
    return compare_probe(probe, (q, k, v, *extra), seed=0)


def exact_checks(found: Case) -> dict[str, Check]:
    return {check.name: check for check in found.checks if check.name.startswith("exact")}


def test_the_same_kernel_gives_the_same_bits() -> None:
    checks = exact_checks(case())
    assert list(checks) == [
        f"exact {name}" for name in ("output", *map("gradient of {}".format, ("query", "key", "value")))
    ]
    assert all(check.ok and check.available for check in checks.values())
    assert checks["exact output"].message == "both by FLASH_ATTENTION"
    assert checks["exact output"].new_error == checks["exact output"].limit == 0.0


def test_a_difference_that_no_tolerance_would_see() -> None:
    found = case(lambda q, k, v: new(q * (1 + 2**-7 * (q > 2.5)).to(q.dtype), k, v))
    failed = [name for name, check in exact_checks(found).items() if not check.ok]
    assert "exact output" in failed
    assert "values differ" in exact_checks(found)["exact output"].message


def test_the_next_kernel_where_the_first_refuses() -> None:
    checks = exact_checks(case(new, torch.randn(2, 4, 64, 64).bfloat16()))
    assert checks["exact output"].message == "both by MATH"
    assert all(check.ok for check in checks.values())


def test_gradients_within_the_noise_of_the_old_side(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exact_checks(case())["exact gradient of query"].limit == 0.0
    monkeypatch.setitem(NOISE, "amount", 1e-3)
    query = exact_checks(case())["exact gradient of query"]
    assert query.limit is not None
    assert query.limit > 1e-4
    assert exact_checks(case())["exact gradient of key"].limit == 0.0


def test_rare_noise_is_looked_for_before_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NOISE, "amount", 1e-3)
    monkeypatch.setitem(NOISE, "seldom", 5)
    calls: list[None] = []
    real = exact._old
    monkeypatch.setattr(exact, "_old", lambda *rest: calls.append(None) or real(*rest))
    query = exact_checks(case(shaken))["exact gradient of query"]
    assert query.ok
    assert len(calls) == exact.MOST_RUNS


def shaken(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q = q * 1.0
    q.register_hook(lambda gradient: gradient + 1e-3 * noise_like(gradient))
    return new(q, k, v)


@pytest.mark.parametrize(
    ("new_side", "keys", "reason"),
    [
        (
            lambda q, k, v: torch.cat([new(q[:1], k[:1], v[:1]), new(q[1:], k[1:], v[1:])]),
            4,
            "the new side makes 2 calls",
        ),
        (
            lambda q, k, v: new(q, k, v, q.new_zeros(64, 64)),
            4,
            "a mask object on one side is a dense mask on the other",
        ),
        (lambda q, k, v: new(q, k.expand(q.shape), v.expand(q.shape)), 1, "one key head for all that share it"),
    ],
)
def test_not_available_and_why(new_side: Any, keys: int, reason: str) -> None:
    found = case(new_side, keys=keys)
    checks = exact_checks(found)
    assert list(checks) == ["exact"]
    assert not checks["exact"].available
    assert checks["exact"].message.startswith("exact: not available (")
    assert reason in checks["exact"].message
    assert found.ok


def test_what_is_computed_with_beyond_the_call_is_not_compared_to_the_last_bit() -> None:
    x, weight = torch.randn(2, 64, 4, 32).bfloat16(), torch.randn(32, 32).bfloat16()
    probe = Probe("x", lambda op, x, w: op(x, x, x) @ w, lambda x, w: new(x, x, x) @ w, operator)
    found = compare_probe(probe, (x, weight), seed=0)
    assert found.ok
    checks = exact_checks(found)
    assert list(checks) == ["exact output", "exact gradient of query, key and value"]
    assert not any(check.available for check in checks.values())


def test_torch_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = (exact.Kernel("CUDNN_ATTENTION", "flash", ""), exact.Kernel("EFFICIENT_ATTENTION", "triton", ""))
    monkeypatch.setattr(exact, "KERNELS", kernels)
    message = exact_checks(case())["exact"].message
    assert "CUDNN_ATTENTION: torch refuses it" in message
    assert "EFFICIENT_ATTENTION: this xformers does not have it" in message


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_on_a_gpu(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    path = find_old_path()
    if path.version is None:
        pytest.skip(path.description)
    tensors = [torch.randn(2, 333, 4, 64, device="cuda", dtype=dtype) for _ in range(3)]
    found = compare_probe(Probe("x", lambda op, *xs: op(*xs), new, path.operator), tensors, seed=0)
    checks = exact_checks(found)
    assert len(checks) == 4, checks
    assert all(check.ok for check in checks.values()), checks
