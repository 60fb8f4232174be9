"""The roads that only a GPU takes, walked on the CPU: what reaches varlen_attn, causal_lower_right and cuDNN.

`varlen_attn` is played by a reference with each release's own signature. None of this ran on a GPU.
"""

import math
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("xformers.ops")

from compat_oracle import KINDS, actual, case, expected, play

from xf2sdpa import compat
from xf2sdpa.compat import kernels, sequences


def reference(packed, scale=None, window=(-1, -1), used=None):
    """Flash attention on packed sequences by its documentation: bottom-right windows, the first `used` keys of each."""
    q, k, v, cu_q, cu_k, max_q, max_k = packed
    assert cu_q.dtype == cu_k.dtype == torch.int32
    assert q.ndim == k.ndim == v.ndim == 3
    lengths = [t.diff().tolist() for t in (cu_q, cu_k)]
    assert (max(lengths[0]), max(lengths[1])) == (max_q, max_k)
    outs = []
    lengths[1] = lengths[1] if used is None else used.tolist()
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    for i, (m, n) in enumerate(zip(*lengths, strict=True)):
        query, key, value = (
            x[start[i] : start[i] + length].transpose(0, 1)
            for x, start, length in ((q, cu_q, m), (k, cu_k, n), (v, cu_k, n))
        )
        places, slots = torch.arange(m)[:, None] + n - m, torch.arange(n)[None]
        seen = torch.ones(m, n, dtype=torch.bool)
        seen &= slots <= places + window[1] if window[1] >= 0 else seen
        seen &= slots >= places - window[0] if window[0] >= 0 else seen
        scores = query @ key.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1).nan_to_num(0.0)
        outs.append((weights @ value).transpose(0, 1))
    return torch.cat(outs)


def varlen_2_14(  # noqa: PLR0917
    query,
    key,
    value,
    cu_seq_q,
    cu_seq_k,
    max_q,
    max_k,
    *,
    return_aux=None,
    scale=None,
    window_size=(-1, -1),
    enable_gqa=False,
    seqused_k=None,
    block_table=None,
    num_splits=None,
):
    """The public function as torch 2.14 and 2.15 have it."""
    assert enable_gqa == (query.shape[1] != key.shape[1])
    assert isinstance(window_size, tuple), "(-1, 0) is compared as a tuple"
    assert (return_aux, block_table, num_splits) == (None, None, None)
    packed = (query, key, value, cu_seq_q, cu_seq_k, max_q, max_k)
    return reference(packed, scale, window_size, seqused_k)


def operator(q, k, v, cu_q, cu_k, *rest, **options):
    """`aten::_flash_attention_forward`, dense or packed."""
    max_q, max_k, p, is_causal, debug = rest
    assert (p, is_causal, debug) == (0.0, False, False)
    used = options.get("seqused_k")
    assert q.shape[-2] == k.shape[-2] or used is not None
    assert not (used is not None and torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)))
    assert used is None or (used.dtype, used.shape) == (torch.int32, cu_k[1:].shape)
    window = (options["window_size_left"], options["window_size_right"])
    if cu_q is not None:
        return (reference((q, k, v, cu_q, cu_k, max_q, max_k), options["scale"], window, used),)
    counts = torch.arange(len(q) + 1, dtype=torch.int32)
    packed = [x.flatten(0, 1) for x in (q, k, v)]
    out = reference((*packed, counts * max_q, counts * max_k, max_q, max_k), options["scale"], window)
    return (out.view(*q.shape[:-1], v.shape[-1]),)


ROADS = {"2.4": (2, 4), "2.14": (2, 14), "2.15": (2, 15), "2.15, another operator": (2, 15)}


@pytest.fixture(params=ROADS)
def played(request, monkeypatch):
    """Makes the code believe in a GPU whose flash attention fits everything; records which function was called."""
    calls, passed, offsets = [], [], []

    def watched(function):
        def called(*args, **options):
            calls.append((function.__name__, options))
            passed[:], offsets[:] = args[1:3], args[3:5]
            return function(*args, **options)

        return called

    version, known = ROADS[request.param], "another" not in request.param
    play(monkeypatch, version)
    monkeypatch.setattr(kernels, "_CUDNN", 92600 if version >= (2, 15) else 92400)
    monkeypatch.setattr(kernels, "_MUCH", 0)
    monkeypatch.setattr(kernels, "_is_hopper", lambda device: True)
    monkeypatch.setattr(kernels, "_flash_operator", lambda: watched(operator) if known else None)
    monkeypatch.setattr(kernels, "_varlen_attn", watched(varlen_2_14))
    monkeypatch.setattr(kernels, "_fits_flash", lambda q, k, v: True)
    return SimpleNamespace(calls=calls, passed=passed, offsets=offsets, version=version, known=known)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("window", [None, (2, 0)])
def test_decoding_reads_the_cache_where_it_lies(groups, window, played):
    """xformers hands flash attention the same: the start of each slot, and on the device how much of it is in use."""
    queries = torch.randn(1, 3, 2, groups, 8)
    key, value = (torch.randn(1, 3 * 8, 2, 1, 8) for _ in "kv")
    for x in (key, value):
        x.view(3, 8, 16)[[0, 0, 1, 2, 2], [6, 7, 7, 1, 5]] = math.nan
    mask = compat.BlockDiagonalPaddedKeysMask.from_seqlens([1, 1, 1], 8, [5, 7, 0])
    mask = mask.make_local_attention(*window) if window else mask
    mask.k_seqinfo.seqlen.add_(torch.tensor([1, 0, 1], dtype=torch.int32))  # as code does that replays a CUDA graph
    inputs = (queries, *(x.expand(-1, -1, -1, groups, -1) for x in (key, value)))
    out = compat.memory_efficient_attention(*inputs, mask)
    for i, end in enumerate((6, 7, 1)):
        seen = slice(8 * i + (max(0, end - 3) if window else 0), 8 * i + end)
        alone = compat.memory_efficient_attention(queries[:, i : i + 1], *(x[:, seen] for x in inputs[1:]))
        torch.testing.assert_close(out[:, i : i + 1], alone)
    assert [name for name, _ in played.calls] == ["operator" if played.known else "varlen_2_14"]
    for x, given in zip((key, value), played.passed, strict=True):
        assert (given.data_ptr(), given.shape) == (x.data_ptr(), (24, 2, 8)), "neither copied nor repeated"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_right_with_varlen(kind, played):
    for seed in range(16):
        problem = case(kind, seed)
        inputs = problem.inputs()
        torch.testing.assert_close(actual(problem, *inputs), expected(problem, *inputs))
        torch.testing.assert_close(
            actual(problem, *(x.clone().requires_grad_() for x in inputs)), expected(problem, *inputs)
        )
    if kind in {"BlockDiagonalMask", "BlockDiagonalCausalMask", "BlockDiagonalCausalFromBottomRightMask"}:
        assert played.calls
    elif kind.startswith(("none", "tensor", "LowerTriangularMask")):
        assert not played.calls
    elif "Local" in kind and "Padded" not in kind:
        dense = not kind.startswith("Block")
        assert bool(played.calls) == (played.known or not dense), "varlen is for packed sequences"


def called(played, mask, scale=None, p=0.0, *, size=8, trains=False, groups=1):
    """The functions that a call reaches, and their windows."""
    played.calls.clear()
    m, n = mask.q_seqinfo.seqstart_py[-1], mask.k_seqinfo.seqstart_py[-1]
    q, k = torch.randn(1, m, 2, groups, size), torch.randn(1, n, 2, 1, size).expand(-1, -1, -1, groups, -1)
    if groups == 1:
        q, k = q[:, :, :, 0], k[:, :, :, 0]
    out = compat.memory_efficient_attention(q.requires_grad_(trains), k, k, mask, p, scale)
    assert out.shape == q.shape
    return [name for name, _ in played.calls]


def test_which_calls_reach_which_function(played):
    """cuDNN through `varlen_attn` where torch lets it be chosen, the operator elsewhere; neither for the rest."""
    square = compat.BlockDiagonalMask.from_seqlens([130, 4])
    operators = ["operator"] if played.known else ["varlen_2_14"]
    by_torch = ["varlen_2_14"] if played.version >= (2, 14) else ["operator"]
    causal = ["varlen_2_14"] if played.version >= (2, 15) else ["operator"]
    assert called(played, square) == by_torch
    assert played.offsets[0] is played.offsets[1]
    assert called(played, square, scale=0.5) == by_torch
    assert called(played, square.make_causal()) == causal
    assert called(played, square.make_causal_from_bottomright()) == causal
    assert called(played, square, trains=True) == (operators if played.version < (2, 15) else by_torch), (
        "NaN before 9.26"
    )
    assert called(played, square, size=136) == operators, "heads above 128"
    assert called(played, square, groups=3) == operators
    assert called(played, square.make_local_attention(3)) == operators
    assert called(played, compat.BlockDiagonalMask.from_seqlens([128, 4])) == operators, "short sequences"
    unequal = compat.BlockDiagonalMask.from_seqlens([130, 4], [131, 6])
    assert called(played, unequal) == operators
    assert called(played, unequal.make_causal_from_bottomright()) == operators
    assert called(played, unequal.make_causal()) == [], "top-left is not what either computes"
    assert called(played, square, p=0.5) == [], "neither has dropout"
    assert called(played, square, scale=-0.5) == [], "newer releases raise for it"


def test_offsets_are_one_tensor_where_the_lengths_are_equal(played):
    lengths = [131, 2]
    one, other = (compat.BlockDiagonalMask.from_seqlens(lengths) for _ in range(2))
    mask = compat.BlockDiagonalCausalFromBottomRightMask(one.q_seqinfo, other.q_seqinfo)
    called(played, mask)
    assert played.offsets[0] is played.offsets[1]


def test_little_work_does_not_pay_for_python(played, monkeypatch):
    mask = compat.BlockDiagonalMask.from_seqlens([130, 4])
    for much, function in ((134 * 130 * 2 * 8, "varlen_2_14"), (134 * 130 * 2 * 8 + 1, "operator")):
        monkeypatch.setattr(kernels, "_MUCH", much)
        if played.version >= (2, 14) and played.known:
            assert called(played, mask) == [function]


def test_which_options_both_get(played):
    narrow = compat.BlockDiagonalMask.from_seqlens([3, 4], [5, 6]).make_local_attention_from_bottomright(3)
    called(played, narrow, scale=0.5, groups=2)
    ((name, options),) = played.calls
    assert options["scale"] == 0.5
    if name == "operator":
        assert (options["window_size_left"], options["window_size_right"]) == (2, 0)
    else:
        assert (options["window_size"], options["enable_gqa"], options["seqused_k"]) == ((2, 0), True, None)


def test_without_either_function_each_sequence_is_computed_alone(monkeypatch):
    monkeypatch.setattr(kernels, "_fits_flash", lambda q, k, v: True)
    monkeypatch.setattr(kernels, "_flash_operator", lambda: None)
    play(monkeypatch, (2, 13))
    for seed in range(8):
        problem = case("BlockDiagonalCausalFromBottomRightMask", seed)
        inputs = problem.inputs()
        torch.testing.assert_close(actual(problem, *inputs), expected(problem, *inputs))


@pytest.mark.skipif(kernels._TORCH < (2, 12), reason="our call has the arguments of 2.14, all of which 2.12 has")
def test_the_installed_varlen_takes_our_arguments(monkeypatch):
    """On meta tensors: names, order, ranks, dtypes and the shape of the result."""
    monkeypatch.setattr(kernels, "_fits_flash", lambda q, k, v: True)
    monkeypatch.setattr(kernels, "_flash_operator", lambda: None)
    play(monkeypatch, (2, 14))
    for kind in ("BlockDiagonalMask", "BlockDiagonalCausalFromBottomRightMask"):
        for seed in range(8):
            problem = case(kind, seed)
            q, k, v = (torch.empty(shape, device="meta", dtype=torch.bfloat16) for shape in problem.shapes)
            if q.shape[-1] == v.shape[-1]:
                mask = problem.make(compat).to("meta")
                assert compat.memory_efficient_attention(q, k, v, mask, scale=0.5).shape == q.shape


def test_varlen_is_for_nvidia_half_and_head_sizes_it_knows(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=9))

    def fits(dtype=torch.bfloat16, size=64, value=None, cuda=True, stride=1):
        def like(width):
            return SimpleNamespace(
                is_cuda=cuda, dtype=dtype, shape=(1, 2, 5, width), stride=lambda dim: stride, device="cuda:0"
            )

        return kernels._fits_flash(like(size), like(size), like(value or size))

    assert fits()
    assert fits(torch.float16, 256)
    assert not fits(torch.float32)
    assert not fits(size=264)
    assert not fits(size=20)
    assert not fits(size=64, value=32)
    assert not fits(cuda=False)
    assert not fits(stride=2)
    with monkeypatch.context() as rocm:
        rocm.setattr(torch.version, "cuda", None)
        assert not fits(), "ROCm"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=7))
    assert not fits(), "too old for flash"


@pytest.mark.skipif(kernels._TORCH < (2, 3), reason="causal_lower_right came with torch 2.3")
def test_bottom_right_takes_lower_right_when_there_are_more_keys(monkeypatch):
    monkeypatch.setattr(kernels, "_takes_lower_right", lambda q: True)
    taken = []
    lower_right = kernels._lower_right
    monkeypatch.setattr(kernels, "_lower_right", lambda q, k, *rest: taken.append(q.shape) or lower_right(q, k, *rest))
    for seed in range(80):
        taken.clear()
        problem = case("LowerTriangularFromBottomRightMask", seed)
        m, n = problem.shapes[0][1], problem.shapes[1][1]
        inputs = problem.inputs()
        torch.testing.assert_close(actual(problem, *inputs), expected(problem, *inputs))
        assert bool(taken) == (1 < m < n), (m, n)


def barred(query, key, is_causal):
    """Whether the guard keeps a call off cuDNN."""
    return not isinstance(kernels._guard(query, key, is_causal), nullcontext)


def stand_in(n=192, m=256, dtype=torch.bfloat16, cuda=True, grad=(True, False)):
    query = SimpleNamespace(is_cuda=cuda, dtype=dtype, requires_grad=grad[0], shape=(1, 2, m, 64), device="cuda:0")
    return query, SimpleNamespace(requires_grad=grad[1], shape=(1, 2, n, 64))


@pytest.mark.skipif(kernels._TORCH < (2, 5), reason="cuDNN attention came with torch 2.5")
@pytest.mark.parametrize(
    ("risky", "options"),
    [
        (True, {}),
        (True, {"n": 64}),
        (True, {"n": 1088}),
        (True, {"dtype": torch.float16}),
        (True, {"grad": (True, True)}),
        (False, {"grad": (False, True)}),
        (False, {"n": 256, "m": 192}),
        (False, {"n": 191}),
        (False, {"n": 128}),
        (False, {"dtype": torch.float32}),
        (False, {"cuda": False}),
    ],
)
def test_the_nan_corner(risky, options, monkeypatch):
    monkeypatch.setattr(kernels, "_is_hopper", lambda device: True)
    monkeypatch.setattr(kernels, "_CUDNN", 92500)
    assert barred(*stand_in(**options), False) == risky
    assert not barred(*stand_in(**options), True), "is_causal is clean"
    with torch.no_grad():
        assert not barred(*stand_in(**options), False)
    monkeypatch.setattr(kernels, "_CUDNN", 92600)
    assert not barred(*stand_in(**options), False), "mended"
    monkeypatch.setattr(kernels, "_CUDNN", 92500)
    monkeypatch.setattr(kernels, "_is_hopper", lambda device: False)
    assert not barred(*stand_in(**options), False)


def enabled():
    backends = torch.backends.cuda
    return {
        "cudnn": backends.cudnn_sdp_enabled(),
        "flash": backends.flash_sdp_enabled(),
        "efficient": backends.mem_efficient_sdp_enabled(),
        "math": backends.math_sdp_enabled(),
    }


@pytest.mark.skipif(kernels._TORCH < (2, 5), reason="cuDNN attention came with torch 2.5")
@pytest.mark.parametrize("risky", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_the_guard_bars_cudnn_and_nothing_else(risky, masked, monkeypatch):
    seen = []
    attend = torch.nn.functional.scaled_dot_product_attention
    if risky:
        monkeypatch.setattr(kernels, "_guard", lambda *args: kernels._without_cudnn())
    monkeypatch.setattr(
        kernels.F,
        "scaled_dot_product_attention",
        lambda *args, **options: seen.append(enabled()) or attend(*args, **options),
    )
    before = enabled()
    q = torch.randn(1, 6, 2, 8)
    compat.memory_efficient_attention(q, q, q, torch.zeros(1, 2, 6, 6) if masked else None)
    assert seen == [{**before, "cudnn": not risky}]
    assert enabled() == before


def test_packed_sequences_on_a_gpu_avoid_plans_of_cudnn(monkeypatch):
    """Each new length would cost a plan; only the loop is concerned, varlen never asks cuDNN."""
    entered = []

    class Watch:
        def __enter__(self):
            entered.append(True)

        def __exit__(self, *exc):
            pass

    monkeypatch.setattr(sequences, "_without_cudnn", Watch)
    mask = compat.BlockDiagonalMask.from_seqlens([2, 3])
    q = torch.randn(1, 5, 2, 8)
    compat.memory_efficient_attention(q, q, q, mask)
    assert not entered, "nothing of the kind on the CPU"


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([8], [9] * 8),
        ([4, 12], [9] * 4 + [5] * 12),
        ([], [9] * 7),
        ([], [9] * 12 + [5] * 3),
        ([], list(range(1, 20))),
        ([], [9, 5] * 20),
        ([], []),
    ],
)
def test_which_packed_sequences_are_batches(sizes, lengths):
    mask = compat.BlockDiagonalMask.from_seqlens(lengths)
    runs = sequences._uniform_runs(tuple(mask.q_seqinfo.seqstart_py))
    assert [run.size for run in runs] == sizes
    assert not runs or list(runs) == sequences._runs(mask.q_seqinfo, mask.k_seqinfo)


def test_batches_are_for_training_on_hopper(monkeypatch):
    monkeypatch.setattr(sequences, "_is_hopper", lambda device: True)

    def batches(mask, band=None, **changes):
        facts = {"is_cuda": True, "requires_grad": True, "dtype": torch.bfloat16, "device": "cuda:0"}
        x = SimpleNamespace(**facts | {"shape": (1, 2, 40, 8)} | changes)
        return bool(sequences._batches(x, x, mask.q_seqinfo, mask.k_seqinfo, band or kernels._Band()))

    mask = compat.BlockDiagonalMask.from_seqlens([5] * 8)
    assert not batches(mask), "too little work"
    monkeypatch.setattr(sequences, "_MUCH", 8 * 5 * 5 * 2 * 8)
    assert batches(mask)
    assert not batches(mask, shape=(1, 1, 40, 8))
    assert batches(mask, kernels._Band(right=0))
    assert not batches(mask, kernels._Band(2, 0))
    assert not batches(mask, requires_grad=False)
    assert not batches(mask, dtype=torch.float32)
    assert not batches(mask, is_cuda=False)
    assert not batches(compat.BlockDiagonalMask.from_seqlens([1] * 8, [30] * 8))
    assert not batches(compat.BlockDiagonalPaddedKeysMask.from_seqlens([5] * 8, 5, [4] * 8))
    with torch.no_grad():
        assert not batches(mask)
    monkeypatch.setattr(sequences, "_is_hopper", lambda device: False)
    assert not batches(mask)


def test_batches_are_right(monkeypatch):
    monkeypatch.setattr(sequences, "_batches", lambda q, k, q_info, *rest: sequences._runs(q_info, q_info))
    for seed in range(40):
        problem = case("BlockDiagonalMask", seed)
        if problem.shapes[0][1] == problem.shapes[1][1]:
            inputs = problem.inputs()
            mask = problem.make(compat)
            if mask.q_seqinfo is mask.k_seqinfo:
                torch.testing.assert_close(actual(problem, *inputs), expected(problem, *inputs))


@pytest.mark.skipif(kernels._flash_operator() is None, reason="this torch has another operator")
def test_the_installed_operator_takes_our_arguments(monkeypatch):
    """On meta tensors: names, order, the shape of the result, and that there is a gradient."""
    q, k = (torch.empty(2, m, 4, 64, device="meta", dtype=torch.bfloat16, requires_grad=True) for m in (10, 12))
    places = (None, None, 10, 12)
    assert kernels._flash(q, k, k, places, kernels._Band(4, -1), 0.0, 0.5) is None, "not a CUDA tensor"
    monkeypatch.setattr(kernels, "_fits_flash", lambda q, k, v: True)
    out = kernels._flash(q, k, k, places, kernels._Band(4, -1), 0.0, 0.5)
    assert out.shape == q.shape
    assert [x.shape for x in torch.autograd.grad(out.sum(), (q, k))] == [q.shape, k.shape]
    q, k = (x.flatten(0, 1) for x in (q, k))
    starts = torch.empty(3, dtype=torch.int32, device="meta")
    out = kernels._flash(q, k[:, :2], k[:, :2], (starts, starts, 10, 12), kernels._Band(), 0.0, None)
    assert out.shape == q.shape
    with torch.no_grad():
        out = kernels._flash(q, k[:, :2], k[:, :2], (starts, starts, 1, 12), kernels._Band(), 0.0, None, starts[1:])
    assert out.shape == q.shape
