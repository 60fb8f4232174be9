"""The stopwatch: on a simulated GPU its two times are what they are said to be; on a real one they are plausible."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from tests.timing.fake_gpu import FakeGPU
from xf2sdpa.timing import stopwatch

CUDA = torch.device("cuda")
CPU = torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch):
    fake = FakeGPU()
    monkeypatch.setattr(stopwatch, "_cuda", fake)
    monkeypatch.setattr(stopwatch, "_larger_than_l2", fake.scratch)
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=fake.perf_counter))
    return fake


@pytest.mark.parametrize(("host", "device"), [(0.2, 0.03), (0.2, 0.5), (0.01, 0.03), (1.5, 0.1)])
def test_device_time_is_free_of_the_host_and_paced_is_not(gpu, host, device):
    watch = stopwatch.Events(lambda: gpu.launch(host, device), CUDA)
    sample = watch.sample()
    assert sample.device == pytest.approx(device, abs=0.003)  # two events
    assert sample.paced == pytest.approx(max(host, device), rel=0.15)
    assert "queued ahead" in watch.clock


def test_a_call_that_waits_for_the_gpu_says_so(gpu):
    def call():
        gpu.launch(0.2, 0.03)
        gpu.synchronize()

    watch = stopwatch.Events(call, CUDA)
    watch.sample()
    assert "waits for the GPU" in watch.clock


def test_every_call_begins_with_a_flushed_cache(gpu):
    watch = stopwatch.Events(lambda: gpu.launch(0.01, 1.0), CUDA)
    before = gpu.flushes
    watch.sample()
    assert gpu.flushes - before == watch.calls > 1


def test_the_hold_grows_until_all_is_queued(gpu):
    costs = iter([0.01] * 5)  # the warm-up is quick, what follows is not

    watch = stopwatch.Events(lambda: gpu.launch(next(costs, 0.4), 0.03), CUDA)
    assert watch.sample().device == pytest.approx(0.03, abs=0.003)
    assert "queued ahead" in watch.clock


def test_wall_time_on_the_cpu():
    watch = stopwatch.stopwatch(lambda: time.sleep(0.004), CPU)
    sample = watch.sample()
    assert sample.device >= 4.0
    assert sample.paced is None
    assert "CPU" in watch.clock


def test_no_other_device_is_timed():
    with pytest.raises(ValueError, match="not on meta"):
        stopwatch.stopwatch(lambda: None, torch.device("meta"))


def test_paths_come_in_turn_and_back():
    order = stopwatch.alternating(["old", "new", "flash"])
    assert [next(order) for _ in range(3)] == [
        ["old", "new", "flash"],
        ["flash", "new", "old"],
        ["old", "new", "flash"],
    ]


def test_no_memory_is_claimed_on_the_cpu():
    assert stopwatch.peak_memory(lambda: torch.ones(1000), CPU) is None


def test_memory_is_the_peak_of_the_call_above_what_was_held(gpu):
    gpu.hold(500)
    gpu.hold(-400)  # an earlier peak, and 100 that stay

    def call():
        gpu.hold(70)
        gpu.hold(-30)

    assert stopwatch.peak_memory(call, CUDA) == 70


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
class TestOnGPU:
    def test_a_copy_reads_and_writes_at_a_gpus_speed(self):
        source = torch.randn(2**28, device="cuda")  # 1 GiB
        target = torch.empty_like(source)
        watch = stopwatch.Events(lambda: target.copy_(source), CUDA)
        sample = watch.sample()
        rate = 2 * source.nbytes / sample.device / 1e6
        assert 200 < rate < 20_000, f"{rate:.0f} GB/s"
        assert sample.paced == pytest.approx(sample.device, rel=0.2)
        assert "queued ahead" in watch.clock

    def test_python_is_in_the_paced_time_only(self):
        x = torch.ones(16, device="cuda")

        def call():
            until = time.perf_counter() + 5e-4
            while time.perf_counter() < until:
                pass
            x.add_(1)

        sample = stopwatch.Events(call, CUDA).sample()
        assert sample.device < 0.05
        assert sample.paced > 0.45

    def test_peak_memory(self):
        def call():
            wide = torch.empty(2**26, dtype=torch.int8, device="cuda")
            return wide[:16].clone()

        assert stopwatch.peak_memory(call, CUDA) == pytest.approx(2**26, rel=0.02)
