"""`measure`: what it reports, and that nothing of the caller's is changed by it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from tests.timing.fake_gpu import FakeGPU
from xf2sdpa import timing
from xf2sdpa.timing import clock, kernels, stopwatch
from xf2sdpa.timing.stopwatch import Sample


def leaves(*, needs: bool = False) -> list[torch.Tensor]:
    return [torch.randn(2, 16, 2, 8, requires_grad=needs) for _ in range(3)]


def attend(q, k, v):
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)


@pytest.fixture
def slow(monkeypatch):
    """Makes paths that take as long as they are told, by a clock that nothing else moves."""
    now = [0.0]
    fake = SimpleNamespace(monotonic=lambda: now[0], perf_counter=lambda: now[0])
    monkeypatch.setattr(clock, "time", fake)
    monkeypatch.setattr(stopwatch, "time", fake)

    def of(seconds):
        def path(q, k, v):
            now[0] += seconds
            return attend(q, k, v)

        return path

    of.now = lambda: now[0]
    return of


def test_times_spread_and_what_they_are_of(slow):
    seen = timing.measure({"old": slow(0.012), "new": slow(0.003)}, leaves(), backward=True, budget=3.0)
    assert list(seen) == ["old", "new"]
    old, new = seen.values()
    assert (old.forward, new.forward) == (pytest.approx(12.0), pytest.approx(3.0))
    assert (old.total, old.forward_spread) == (pytest.approx(12.0), pytest.approx(0.0, abs=1e-9))
    assert old.first == pytest.approx(12.0)
    assert old.samples >= clock.MIN_SAMPLES
    assert (old.peak_memory, old.forward_paced, old.kernel) == (None, None, "")
    assert "CPU" in old.clock


def test_on_a_real_clock():
    seen = timing.measure({"old": lambda *x: (time.sleep(0.01), attend(*x))[1]}, leaves(), backward=False, budget=5.0)
    assert seen["old"].forward >= 10.0


def test_forward_only():
    seen = timing.measure({"new": attend}, leaves(needs=True), backward=False, budget=20.0)["new"]
    assert (seen.total, seen.total_spread) == (None, None)
    assert seen.time == seen.forward


def test_forward_has_no_graph_and_the_other_has_one():
    modes = set()

    def path(q, k, v):
        modes.add((torch.is_grad_enabled(), q.requires_grad))
        return attend(q, k, v)

    timing.measure({"new": path}, leaves(), backward=True, budget=20.0)
    assert modes == {(False, False), (True, True)}


def test_gradients_of_those_leaves_that_want_one():
    q, k, v = leaves()
    k.requires_grad_()
    seen = set()

    def path(q, k, v):
        seen.add((q.requires_grad, k.requires_grad, v.requires_grad))
        return attend(q, k, v)

    timing.measure({"new": path}, [q, k, v], backward=True, budget=20.0)
    assert seen == {(False, True, False), (False, False, False)}


def test_leaves_that_are_not_floating_point_and_a_tuple_as_result():
    q, k, v = leaves()
    lengths = torch.tensor([3, 4])
    seen = timing.measure(
        {"new": lambda q, k, v, n: (attend(q, k, v), n)}, [q, k, v, lengths], backward=True, budget=20.0
    )
    assert seen["new"].total is not None


def test_random_state_gradients_and_modes_are_left_as_found():
    inputs = leaves(needs=True)
    for leaf in inputs:
        leaf.grad = torch.zeros_like(leaf)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        timing.measure({"new": lambda q, k, v: F.dropout(attend(q, k, v))}, inputs, backward=True, budget=20.0)
        assert not torch.is_grad_enabled()
        assert torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_cache_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(not leaf.grad.any() and leaf._version == 0 for leaf in inputs)


def test_random_state_is_left_as_found_when_a_path_raises():
    inputs, state = leaves(), torch.get_rng_state()

    def path(q, k, v):
        torch.rand(3)
        raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        timing.measure({"new": path}, inputs, backward=True, budget=20.0)
    assert torch.equal(torch.get_rng_state(), state)


def test_autocast_reaches_the_path_and_casts_each_time():
    weights = torch.randn(8, 8, requires_grad=True)
    products = []

    def path(weights):
        product = weights @ weights
        products.append(product)
        return product

    with torch.autocast("cpu", dtype=torch.bfloat16):
        timing.measure({"new": path}, [weights], backward=True, budget=20.0)
    assert {product.dtype for product in products} == {torch.bfloat16}


def test_in_inference_mode():
    with torch.inference_mode():
        inputs = leaves()
        seen = timing.measure({"new": attend}, inputs, backward=True, budget=20.0)
        assert torch.is_inference_mode_enabled()
    assert seen["new"].total is not None


def test_the_budget_is_kept(slow):
    seen = timing.measure({"old": slow(0.02), "new": slow(0.03)}, leaves(), backward=True, budget=2.0)
    assert set(seen) == {"old", "new"}
    assert seen["old"].total is not None
    assert 1.5 < slow.now() <= 2.0 + 0.05 * 2  # the samples end in time; of memory there is one call more


def test_forward_leaves_time_for_backward(slow):
    seen = timing.measure({"old": slow(0.1)}, leaves(), backward=True, budget=2.0)["old"]
    assert seen.total is not None


def test_a_budget_too_small_reports_nothing_rather_than_one_sample(slow):
    assert timing.measure({"old": slow(0.05)}, leaves(), backward=False, budget=0.12) == {}


def test_a_path_whose_turn_never_came_is_not_reported(slow):
    seen = timing.measure({"old": slow(0.05), "new": slow(9.0)}, leaves(), backward=False, budget=1.0)
    assert list(seen) == []  # the first call of the second used up the budget
    seen = timing.measure({"new": slow(9.0), "old": slow(0.05)}, leaves(), backward=False, budget=1.0)
    assert list(seen) == []


def test_first_calls(slow):
    first = timing.first_calls({"old": slow(0.05), "new": slow(0.01)}, leaves(), backward=True)
    assert first == {"old": pytest.approx(50.0), "new": pytest.approx(10.0)}


def test_no_leaves():
    with pytest.raises(ValueError, match="no leaves"):
        timing.measure({"new": attend}, [], backward=False, budget=1.0)


def test_every_other_round_is_reversed(monkeypatch):
    came: list[str] = []

    class Watch:
        clock = "a counter"

        def __init__(self, call, device):
            self.name = call().name

        def sample(self):
            came.append(self.name)
            return Sample(float(len(came)), None)

    class Result:
        def __init__(self, name):
            self.name = name

    monkeypatch.setattr(clock, "stopwatch", Watch)
    paths = {name: lambda *_, name=name: Result(name) for name in ("old", "new", "flash")}
    seen = timing.measure(paths, leaves(), backward=False, budget=5.0)
    assert came[:9] == ["old", "new", "flash", "flash", "new", "old", "old", "new", "flash"]
    assert seen["old"].samples == clock.MAX_ROUNDS
    assert abs(seen["old"].forward - seen["flash"].forward) <= 1.0  # what rises steadily falls on all alike


def test_median_and_quartiles():
    assert clock._median_and_spread([1.0, 2.0, 3.0, 4.0, 100.0]) == (3.0, pytest.approx(2 / 3))


def test_two_clocks_are_both_named():
    series = [clock._Series([Sample(1.0, 2.0)] * 3, text) for text in ("ahead", "waits")]
    run = clock._Run("old", lambda: None, lambda: None, 1.0)
    timed = clock._timing(run, *series, torch.device("cpu"))
    assert timed.clock == "ahead; total: waits"
    assert (timed.forward_paced, timed.total_paced) == (2.0, 2.0)


def test_the_fake_gpu_measures_what_was_launched(monkeypatch):
    """All of `measure` on a device that is made of two clocks: the figures are those that went in."""
    gpu = FakeGPU()
    monkeypatch.setattr(clock, "stopwatch", lambda call, device: _events(gpu, call, monkeypatch))
    paths = {"old": lambda *_: gpu.launch(0.3, 0.1), "new": lambda *_: gpu.launch(0.1, 0.05)}
    seen = timing.measure(paths, leaves(), backward=False, budget=5.0)
    assert seen["old"].forward / seen["new"].forward == pytest.approx(2.0, rel=0.1)
    assert seen["old"].forward_paced / seen["new"].forward_paced == pytest.approx(3.0, rel=0.1)


def _events(gpu, call, monkeypatch):
    monkeypatch.setattr(stopwatch, "_cuda", gpu)
    monkeypatch.setattr(stopwatch, "_larger_than_l2", gpu.scratch)
    return stopwatch.Events(call, torch.device("cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu():
    inputs = [torch.randn(4, 256, 8, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    state = torch.cuda.get_rng_state()
    paths = {"new": lambda *x: F.dropout(attend(*x)), **timing.backends(attend, inputs, backward=True)}
    seen = timing.measure(paths, inputs, backward=True, budget=4.0)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert {"new", "flash", "math"} <= set(seen)
    for one in seen.values():
        assert 0 < one.forward < one.total
        assert one.forward_paced > 0
        assert one.peak_memory > inputs[0].nbytes
        assert "CUDA events" in one.clock
    assert seen["math"].peak_memory > seen["flash"].peak_memory


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("size", [(32, 1024, 16, 64), (1, 64, 8, 64)])
def test_device_time_is_what_the_kernels_take(size):
    """Against the profiler, which sees kernels alone: at the guide's shape, and where Python is slower than the GPU."""
    inputs = [torch.randn(*size, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    seen = timing.measure({"new": attend}, inputs, backward=False, budget=3.0)["new"]
    in_kernels = kernels.profiled(lambda: attend(*inputs)).milliseconds
    assert 0.9 * in_kernels < seen.forward < 1.3 * in_kernels + 0.02  # the cache is cold, and an event takes its time
    assert "queued ahead" in seen.clock
    assert seen.forward_spread < 0.1
