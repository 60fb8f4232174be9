"""FlashAttention-4 as SDPA's FLASH: activated for the measurement only, and told why not elsewhere."""

from __future__ import annotations

import os
import site

import pytest
import torch
import torch.nn.functional as F

from xf2sdpa.timing import flash4
from xf2sdpa.timing.model import Timing

attention = pytest.importorskip("torch.nn.attention")


class Switch:
    """Stands for torch's: what is active, and what was asked of it."""

    def __init__(self, active: str | None = None, fails: bool = False) -> None:
        self.active, self.fails = active, fails
        self.asked: list[str] = []

    def current_flash_attention_impl(self) -> str | None:
        return self.active

    def activate_flash_attention_impl(self, name: str) -> None:
        if self.fails:
            raise ModuleNotFoundError("No module named 'flash_attn.cute'")
        self.active = name
        self.asked.append(name)

    def restore_flash_attention_impl(self, _raise_warn: bool = True) -> None:
        self.active = None
        self.asked.append("torch's own")


@pytest.fixture
def switch(monkeypatch):
    """FlashAttention-4 as if it were there: on a CPU, FLASH is torch's own all the while."""
    made = Switch()

    def use(**options):
        made.__init__(**options)
        return made

    for name in ("current_flash_attention_impl", "activate_flash_attention_impl", "restore_flash_attention_impl"):
        monkeypatch.setattr(attention, name, lambda *a, name=name, **k: getattr(made, name)(*a, **k), raising=False)
    monkeypatch.setattr(flash4, "_refused", lambda leaves: "")
    return use


def heads_first():
    return [torch.randn(2, 2, 16, 8) for _ in range(3)]


def attend(*leaves):
    return F.scaled_dot_product_attention(*leaves)


def test_it_is_active_for_the_measurement_only(switch):
    torchs, seen = switch(), []

    def watched(*leaves):
        seen.append(torchs.active)
        return attend(*leaves)

    got = flash4.timed(watched, heads_first(), backward=True, budget=1.0)
    assert isinstance(got, Timing)
    assert (got.path, got.samples >= 3, got.total is not None) == ("fa4", True, True)
    assert set(seen) == {"FA4"}
    assert (torchs.active, torchs.asked) == (None, ["FA4", "torch's own"])


def test_what_the_program_had_activated_is_put_back(switch):
    torchs = switch(active="FA3")
    assert isinstance(flash4.timed(attend, heads_first(), backward=False, budget=1.0), Timing)
    assert (torchs.active, torchs.asked) == ("FA3", ["FA4", "torch's own", "FA3"])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda q, k, v: torch.softmax(q @ k.transpose(-2, -1), -1) @ v, "does not take this call"),
        (lambda *x: F.scaled_dot_product_attention(*x, attn_mask=torch.zeros(16, 16, dtype=torch.int8)), "take"),
    ],
)
def test_a_call_that_it_does_not_take(switch, call, told):
    torchs = switch()
    assert told in flash4.timed(call, heads_first(), backward=False, budget=1.0)
    assert torchs.active is None


def test_an_error_is_the_reason(switch):
    switch(fails=True)
    told = flash4.timed(attend, heads_first(), backward=False, budget=1.0)
    assert told == "FlashAttention-4 fails: ModuleNotFoundError: No module named 'flash_attn.cute'"

    def unpacks(*leaves):
        raise ValueError("too many values to unpack (expected 2)")

    torchs = switch()
    assert "too many values" in flash4.timed(unpacks, heads_first(), backward=False, budget=1.0)
    assert torchs.active is None


def test_why_it_is_not_timed(monkeypatch):
    leaves = heads_first()
    if not flash4.is_installed():
        assert flash4.timed(attend, leaves, backward=False, budget=1.0) == "flash-attn-4 is not installed"
    monkeypatch.setattr(flash4, "is_installed", lambda: True)
    monkeypatch.setattr(flash4, "SINCE", (99, 0))
    assert "2.15 does" in flash4.timed(attend, leaves, backward=False, budget=1.0)
    monkeypatch.setattr(flash4, "SINCE", (2, 0))
    assert flash4.timed(attend, leaves, backward=False, budget=1.0) == "FlashAttention-4 runs on a GPU"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.skipif("FA4_SITE" not in os.environ, reason="needs a folder with flash-attn-4, named by FA4_SITE")
def test_the_real_one(monkeypatch):
    """Under an older torch its kernels give the first results only, as torch 2.15 would take them."""
    site.addsitedir(os.environ["FA4_SITE"])
    if flash4._refused([torch.empty(0, device="cuda")]):
        from benchmarks.two_processes import cut_results  # noqa: PLC0415

        cut_results()
        monkeypatch.setattr(flash4, "SINCE", (2, 11))
    leaves = [torch.randn(1, 16, 8192, 128, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    seen = flash4.timed(
        lambda *x: F.scaled_dot_product_attention(*x, is_causal=True), leaves, backward=True, budget=9.0
    )
    assert isinstance(seen, Timing), seen
    assert seen.total is not None
    assert attention.current_flash_attention_impl() is None
    print(seen)
