"""The guide's modules: flags are put back, and each way computes what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from xf2sdpa import timing
from xf2sdpa.bench import modules, selection
from xf2sdpa.bench.ceilings import precision
from xf2sdpa.bench.modules import Setting, Size
from xf2sdpa.timing.model import Timing

TINY = Size(1, 16, 2, 1, 4)


def flags() -> tuple[str, bool, bool]:
    return (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.benchmark,
        torch.is_autocast_enabled("cpu"),
    )


@pytest.mark.parametrize("setting", modules.ENCODER, ids=lambda setting: setting.name)
def test_a_setting_is_applied_and_put_back(setting: Setting) -> None:
    before = flags()
    with modules.applied(setting, "cpu"):
        inside = flags()
    assert inside == ("high" if setting.tf32 else "highest", setting.cudnn_benchmark, setting.autocast is not None)
    assert flags() == before


def test_precision_is_put_back_after_an_error() -> None:
    before = torch.get_float32_matmul_precision()
    with pytest.raises(ValueError, match="inside"), precision("high"):
        raise ValueError("inside")
    assert torch.get_float32_matmul_precision() == before


def test_the_settings_differ_in_what_their_names_say() -> None:
    found = {setting.name: setting for setting in modules.ENCODER}
    guide = found["encoder bf16"]
    assert (guide.tf32, guide.autocast, guide.batch_first, guide.cudnn_benchmark) == (True, torch.bfloat16, True, True)
    assert not found["encoder bf16, batch_first=False"].batch_first
    assert not found["encoder bf16, no cudnn.benchmark"].cudnn_benchmark
    assert (found["encoder tf32"].tf32, found["encoder tf32"].autocast) == (True, None)
    assert not found["encoder fp32"].tf32


def test_batch_first_is_the_same_module_in_another_layout() -> None:
    results = []
    for batch_first in (True, False):
        subject = modules.encoder(Setting("x", "x", batch_first=batch_first), Size(1, 16, 2, 2, 4), "cpu")
        source = torch.arange(128.0).view(2, 4, 16).sin()
        out = subject.module.eval()(source if batch_first else source.transpose(0, 1))
        results.append(out if batch_first else out.transpose(0, 1))
    torch.testing.assert_close(*results)


def test_the_ways_of_attention_compute_the_same() -> None:
    subjects = modules.attentions(TINY, "cpu")
    outs = [subject.run(subject.source) for subject in subjects.values()]
    for out in outs[1:]:
        torch.testing.assert_close(out, outs[0], atol=2e-2, rtol=2e-2)


def test_a_step_reaches_every_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    real = torch.autograd.grad

    def spied(*arguments: Any) -> Any:
        seen.append(real(*arguments))
        return seen[-1]

    subject = modules.encoder(modules.ENCODER[0], TINY, "cpu")
    monkeypatch.setattr(torch.autograd, "grad", spied)
    with torch.no_grad():  # as `timing.measure` calls it
        subject.step(subject.source)
    assert subject.module.training
    assert len(seen[0]) == len(list(subject.module.parameters()))
    assert all(gradient.isfinite().all() for gradient in seen[0])


def test_operators_are_those_that_ran() -> None:
    subjects = modules.attentions(TINY, "cpu")
    by_hand, default = subjects["mha by hand"], subjects["mha default"]
    assert modules.operators_of(lambda: by_hand.step(by_hand.source)).startswith("_scaled_dot_product_")
    assert modules.operators_of(lambda: default.step(default.source)) == "", "with weights, it is no SDPA"


def test_what_sdpa_takes_is_looked_at() -> None:
    found = {seen.name: seen.operators for seen in selection.measure("cpu")}
    assert list(found) == ["causal", "no mask", "tensor mask", "complex"]
    assert "_math" in found["complex"]
    assert "flash" in found["no mask"]


def test_a_module_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    good = modules.encoder(modules.ENCODER[-1], TINY, "cpu")

    def out_of_memory(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("no memory left\nmore of it")

    bad = modules.Subject(Setting("bad", "bad"), good.module, out_of_memory, good.source, "cpu")
    monkeypatch.setattr(timing, "measure", lambda paths, *_, **__: {name: Timing(name, 1.0, 0.0) for name in paths})
    found = modules.measure({"bad": bad, "good": good}, budget=1.0)
    assert [(module.name, module.reason, module.forward is None) for module in found] == [
        ("bad", "no memory left", True),
        ("good", "", False),
    ]


def test_a_module_without_samples_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "measure", lambda *_, **__: {})
    good = modules.encoder(modules.ENCODER[-1], TINY, "cpu")
    assert modules.measure({"good": good}, budget=1.0)[0].reason == "no time was left"


def test_modules_are_not_tried_once_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "measure", lambda *_, **__: {})
    tried: list[torch.Tensor] = []
    good = modules.encoder(modules.ENCODER[-1], TINY, "cpu")
    subject = modules.Subject(good.setting, good.module, lambda x: tried.append(x) or x, good.source, "cpu")
    assert modules.measure({"late": subject}, budget=-1.0)[0].reason == "no time was left"
    assert not tried
