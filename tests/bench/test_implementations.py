"""The implementations agree with each other; what is missing says why."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch

from xf2sdpa import compat
from xf2sdpa.bench import implementations, workloads
from xf2sdpa.bench.implementations import LABELS, Candidate, candidates, find_old
from xf2sdpa.bench.model import FLASH4
from xf2sdpa.bench.workloads import Row, Workload
from xf2sdpa.judging.old_path import OldPath

NONE = OldPath(compat.memory_efficient_attention, None, "reference: xformers is not installed", None)
TINY = {"batch": 2, "m": 6, "n": 6, "heads": [2], "k": 8, "dtype": "float32", "source": "", "name": "x", "mask": "none"}


def made(row: Row, old: OldPath = NONE, *, backward: bool = False) -> tuple[Workload, dict[str, Candidate]]:
    work = workloads.make(row, "cpu")
    found = candidates(work, old, backward=backward)
    return work, {candidate.name: candidate for candidate in found}


def tiny(row: Row) -> Row:
    """A row of the table as small as its mask allows."""
    row = workloads.shrunk(row)
    if row["mask"] == "BlockDiagonalMask":
        return row
    row |= {
        "m": min(row["m"], 40),
        "n": min(row["n"], 48 if row["m"] != row["n"] else 40),
        "batch": min(row["batch"], 8),
    }
    return row | ({"window": [5, 5]} if "window" in row else {})


def test_every_implementation_is_there_or_says_why() -> None:
    for row in workloads.read_table()[::5]:
        _, found = made(tiny(row))
        assert list(found) == [name for name in LABELS if name != FLASH4]  # that one the run measures, alone
        assert all((candidate.call is None) == bool(candidate.reason) for candidate in found.values())


@pytest.mark.parametrize("row", workloads.read_table(), ids=lambda row: row["name"])
def test_they_compute_the_same(row: Row) -> None:
    row = tiny(row)
    work, found = made(row)
    heads_first = {"sdpa", "standard", "flash_attention_2", *(name for name in found if name.startswith("sdpa_"))}
    expected = compat.memory_efficient_attention(*work.leaves, work.mask)
    ran = 0
    for candidate in found.values():
        if candidate.call is None:
            continue
        out = candidate.call(*work.leaves)
        if candidate.name in heads_first:
            out = out.transpose(1, 2) if row["heads"] else out.squeeze(1)
        torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)
        ran += candidate.name != "compat"
    assert ran or "helper" in found["inline"].reason


def test_gradients_are_tried_when_they_are_measured() -> None:
    work = workloads.make(TINY, "cpu")

    def no_gradient(*leaves: torch.Tensor) -> torch.Tensor:
        return leaves[0].detach()

    candidate = implementations._tried(Candidate("x", "x", no_gradient), work, backward=True)
    assert candidate.call is None
    assert "grad" in candidate.reason
    assert implementations._tried(Candidate("x", "x", no_gradient), work, backward=False).call is no_gradient


def test_without_xformers_its_columns_say_so() -> None:
    _, found = made(TINY)
    for name in ("xformers", "xformers_fa2", "xformers_cutlass"):
        assert found[name].reason == "xformers is not installed"


def fake_xformers(asked: list[Any], **modules: Any) -> OldPath:
    """What looks like xformers, answered by our helper; `asked` gets the `op` of each call."""

    def operator(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: Any, op: Any = None) -> torch.Tensor:
        asked.append(op)
        return compat.memory_efficient_attention(q, k, v, bias)

    fmha: Any = types.SimpleNamespace(attn_bias=compat, **modules)
    return OldPath(operator, "0.0.99", "xformers 0.0.99", fmha)


def test_xformers_kernels_are_forced_by_op() -> None:
    asked: list[Any] = []
    flash = types.SimpleNamespace(FwOp="flash forward", BwOp="flash backward")
    _, found = made(TINY | {"mask": "LowerTriangularMask"}, fake_xformers(asked, flash=flash))
    assert asked == [None, ("flash forward", "flash backward")]
    assert found["xformers"].call
    assert found["xformers_fa2"].call
    assert found["xformers_cutlass"].reason == "this xformers has no fmha.cutlass"


def test_flash_attn_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def flash_attn_func(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
        asked.append(causal)
        return q

    package = types.ModuleType("flash_attn")
    package.flash_attn_func = flash_attn_func  # type: ignore[attr-defined]
    package.__version__ = "2.8"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    _, found = made(TINY | {"mask": "LowerTriangularMask"})
    assert asked == [True]
    assert found["flash_attention_2"].label == "Flash Attention 2 (flash_attn 2.8)"
    _, found = made(TINY | {"mask": "tensor"})
    assert "tensor mask" in found["flash_attention_2"].reason
    _, found = made(TINY | {"mask": "LowerTriangularMask", "n": 9})
    assert "bottom-right" in found["flash_attention_2"].reason


def test_what_would_build_large_score_matrices_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementations, "LARGEST_SCORES", 100)
    _, found = made(TINY)
    assert "GiB" in found["standard"].reason
    assert "GiB" in found["sdpa_math"].reason
    assert found["sdpa_flash"].call
    assert found["sdpa"].call


def test_on_a_cpu_there_is_no_xformers() -> None:
    old = find_old("cpu")
    assert old.version is None
    assert old.description.startswith("reference: ")
