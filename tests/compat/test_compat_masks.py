"""The mask objects as objects: the same tensors, pieces, errors and attributes as xformers' own."""

import dataclasses

import pytest
import torch

pytest.importorskip("xformers.ops")

from compat_oracle import KINDS, _real_bias, biased_scores, case, expected, real_masks
from torch import Tensor

from xf2sdpa import compat
from xf2sdpa.compat import packed_masks as our_masks

OBJECTS = [kind for kind in KINDS if kind != "none" and not kind.startswith("tensor")]
PACKED = [kind for kind in OBJECTS if kind.startswith("BlockDiagonal")]


def test_every_public_class_that_is_in_scope_is_there():
    out_of_scope = ("Gappy", "Paged")
    for name, value in vars(real_masks).items():
        if isinstance(value, type) and issubclass(value, real_masks.AttentionBias) and not name.startswith("_"):
            assert hasattr(compat, name) != any(word in name for word in out_of_scope), name


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_materialize_is_bit_for_bit_the_same(kind, dtype):
    for seed in range(25):
        problem = case(kind, seed)
        (batch, m, *heads, _), (_, n, *_), _ = problem.shapes
        full = (batch, *heads, m, n)
        for shape in [full, full[-2:]] if kind != "LowerTriangularMaskWithTensorBias" else [full]:
            got = problem.make(compat).materialize(shape, dtype)
            want = problem.make(real_masks).materialize(shape, dtype)
            assert torch.equal(got, want), (kind, seed)
            assert got.dtype == want.dtype


@pytest.mark.parametrize("kind", OBJECTS)
def test_a_real_xformers_mask_is_taken_over(kind):
    for seed in range(12):
        problem = case(kind, seed)
        q, k, v = problem.inputs()
        if q.ndim != 3:
            got = compat.memory_efficient_attention(q, k, v, problem.make(real_masks), scale=problem.scale)
            torch.testing.assert_close(got, expected(problem, q, k, v))


class OldMask(Tensor, real_masks.AttentionBias):
    """How xformers 0.0.27 to 0.0.31 made its causal masks: tensors without values, with one inside."""

    def __new__(cls, inside=None):
        inside = torch.empty(0) if inside is None else inside
        shape = inside.shape if inside.numel() else []
        mask = Tensor._make_wrapper_subclass(cls, shape, dtype=inside.dtype, device=inside.device)
        mask._subtensor = inside
        return mask

    def __init__(self, *args):
        pass

    @classmethod
    def __torch_dispatch__(cls, *args):
        return NotImplemented

    def __repr__(self):
        return type(self).__name__


def old(name, *inside):
    return type(name, (OldMask,), {"__module__": "xformers.ops.fmha.attn_bias"})(*inside)


@pytest.mark.parametrize("kind", ["LowerTriangularMask", "LowerTriangularMaskWithTensorBias"])
def test_a_mask_of_xformers_0_0_28_is_taken_over(kind):
    for seed in range(9):
        problem = case(kind, seed)
        inputs = [x.clone().requires_grad_() for x in problem.inputs()]
        bias = getattr(problem.make(real_masks), "_bias", None)
        inside = () if bias is None else (bias.clone().requires_grad_(),)
        mask = old(kind, *inside)
        got, lse = compat.memory_efficient_attention_forward_requires_grad(*inputs, mask, scale=problem.scale)
        torch.testing.assert_close(got, expected(problem, *inputs).detach())
        want = biased_scores(problem, *inputs[:2]).logsumexp(-1)
        torch.testing.assert_close(lse.reshape(want.shape), want.detach())
        out = compat.memory_efficient_attention(*inputs, mask, scale=problem.scale)
        ours = compat.memory_efficient_attention(*inputs, problem.make(compat), scale=problem.scale)
        for a, b in zip(torch.autograd.grad(out.sum(), inputs), torch.autograd.grad(ours.sum(), inputs), strict=True):
            torch.testing.assert_close(a, b)
        if inside:
            out = compat.memory_efficient_attention(*inputs, mask)
            assert torch.autograd.grad(out.square().sum(), inside)[0].abs().sum() > 0


@pytest.mark.parametrize("inside", [(), (torch.zeros(1, 2, 5, 5),)])
def test_a_tensor_mask_of_an_unknown_class_is_named(inside):
    q = torch.randn(1, 5, 2, 8)
    for function in (
        compat.memory_efficient_attention,
        compat.memory_efficient_attention_forward_requires_grad,
    ):
        with pytest.raises(TypeError, match=r"type xformers\.ops\.fmha\.attn_bias\.StripedMask is not supported"):
            function(q, q, q, old("StripedMask", *inside))


@pytest.mark.parametrize("kind", OBJECTS)
def test_types_relate_as_in_xformers(kind):
    ours, real = type(case(kind, 1).make(compat)), type(case(kind, 1).make(real_masks))
    assert ours.__name__ == real.__name__

    def ancestors(cls: type) -> set[str]:
        return {c.__name__ for c in cls.__mro__ if not c.__name__.startswith("_")}

    assert ancestors(ours) == ancestors(real)
    if dataclasses.is_dataclass(real):
        assert [f.name for f in dataclasses.fields(ours)] == [f.name for f in dataclasses.fields(real)]


@pytest.mark.parametrize("kind", PACKED)
def test_sequence_info_is_the_same(kind):
    for seed in range(25):
        ours, real = case(kind, seed).make(compat), case(kind, seed).make(real_masks)
        for name in ("q_seqinfo", "k_seqinfo"):
            info, reference = getattr(ours, name), getattr(real, name)
            assert list(info.intervals()) == list(reference.intervals())
            for field in dataclasses.fields(reference):
                got, want = getattr(info, field.name), getattr(reference, field.name)
                assert torch.equal(got, want) if isinstance(want, Tensor) else got == want, (
                    seed,
                    name,
                    field,
                )
                assert not isinstance(want, Tensor) or got.dtype == want.dtype
        assert (ours.q_seqinfo is ours.k_seqinfo) == (real.q_seqinfo is real.k_seqinfo)


@pytest.mark.parametrize("kind", OBJECTS)
def test_to_another_device(kind):
    problem = case(kind, 1)
    mask = problem.make(compat)
    moved = mask.to("meta")
    assert type(moved) is type(mask)
    if kind in PACKED:
        assert moved.q_seqinfo.seqstart.device.type == moved.k_seqinfo.seqstart.device.type == "meta"
        assert (moved.q_seqinfo is moved.k_seqinfo) == (mask.q_seqinfo is mask.k_seqinfo)
        assert moved.q_seqinfo.seqstart_py == mask.q_seqinfo.seqstart_py
        plain = {f.name for f in dataclasses.fields(mask)} - {"q_seqinfo", "k_seqinfo"}
        assert all(getattr(moved, name) == getattr(mask, name) for name in plain)


def test_offsets_follow_the_inputs_once():
    mask = compat.BlockDiagonalMask.from_seqlens([2, 3])
    q = torch.empty(1, 5, 2, 8, device="meta")
    compat.memory_efficient_attention(q, q, q, mask)
    kept = mask.q_seqinfo.seqstart
    assert kept.device.type == "meta"
    compat.memory_efficient_attention(q, q, q, mask)
    assert mask.q_seqinfo.seqstart is kept


def tensor_lists(seed: int) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    rest = (draw(1, 4), 8)
    batches = [draw(1, 4) for _ in range(draw(1, 5))]
    queries, keys = [draw(1, 7) for _ in batches], [draw(1, 7) for _ in batches]
    return [
        [torch.randn(b, n, *rest, generator=generator) for b, n in zip(batches, lengths, strict=True)]
        for lengths in (queries, keys, keys)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_tensor_lists_go_there_and_back(seed):
    queries, keys, values = tensor_lists(seed)
    mask, packed = compat.BlockDiagonalMask.from_tensor_list(queries)
    real, wanted = real_masks.BlockDiagonalMask.from_tensor_list(queries)
    assert torch.equal(packed, wanted)
    assert mask._batch_sizes == real._batch_sizes
    for got, want in zip(mask.split(packed), queries, strict=True):
        assert torch.equal(got, want)

    mask, *packed = compat.BlockDiagonalMask.from_tensor_lists_qkv(queries, keys, values)
    real, *wanted = real_masks.BlockDiagonalMask.from_tensor_lists_qkv(queries, keys, values)
    for got, want in zip(packed, wanted, strict=True):
        assert torch.equal(got, want)
    out = compat.memory_efficient_attention(*packed, mask)
    for i, piece in enumerate(mask.split_queries(out)):
        alone = compat.memory_efficient_attention(queries[i], keys[i], values[i])
        torch.testing.assert_close(piece, alone)
    for got, want in zip(mask.split_kv(packed[1]), real.split_kv(packed[1]), strict=True):
        assert torch.equal(got, want)
    assert compat.BlockDiagonalMask.from_tensor_lists_qkv(queries, keys)[3] is None


@pytest.mark.parametrize("change", ["make_causal", "make_causal_from_bottomright"])
def test_a_changed_mask_still_splits(change):
    tensors = tensor_lists(3)[0]
    mask, packed = compat.BlockDiagonalMask.from_tensor_list(tensors)
    for got, want in zip(getattr(mask, change)().split(packed), tensors, strict=True):
        assert torch.equal(got, want)


def test_batch_sizes_may_be_set_by_hand():
    mask = compat.BlockDiagonalMask.from_seqlens([3, 3, 5])
    mask._batch_sizes = [2, 1]
    assert [x.shape for x in mask.split(torch.zeros(1, 11, 4))] == [(2, 3, 4), (1, 5, 4)]


@pytest.mark.parametrize("lengths", [(2, 3), [2, 3], [torch.tensor(2), torch.tensor(3)], torch.tensor([2, 3]).tolist()])
def test_lengths_may_be_ints_tuples_or_0d_tensors(lengths):
    mask = compat.BlockDiagonalMask.from_seqlens(lengths)
    assert mask.q_seqinfo.seqstart_py == [0, 2, 5]
    assert mask.q_seqinfo is mask.k_seqinfo
    assert torch.equal(mask.q_seqinfo.seqstart, torch.tensor([0, 2, 5], dtype=torch.int32))
    assert all(type(n) is int for n in mask.q_seqinfo.seqstart_py)


def blocks(ns, queries, keys=None):
    return ns.BlockDiagonalMask.from_seqlens(queries, keys)


ERRORS = {
    "lengths as a tensor": (AssertionError, lambda ns: blocks(ns, torch.tensor([2, 3]))),
    "lists of unequal length": (AssertionError, lambda ns: blocks(ns, [2, 3], [2])),
    "split of unequal lengths": (AssertionError, lambda ns: blocks(ns, [2], [3]).split(torch.zeros(1, 2, 4))),
    "split of a wrong length": (ValueError, lambda ns: blocks(ns, [2, 3]).split(torch.zeros(1, 6, 4))),
    "split of a batch": (ValueError, lambda ns: blocks(ns, [2, 3]).split(torch.zeros(2, 5, 4))),
    "bottom-right with few keys": (
        ValueError,
        lambda ns: blocks(ns, [3], [2]).make_causal_from_bottomright(),
    ),
    "a window of 0": (ValueError, lambda ns: blocks(ns, [3]).make_local_attention(0)),
    "a bottom-right window of 0": (
        ValueError,
        lambda ns: blocks(ns, [3]).make_local_attention_from_bottomright(0),
    ),
    "a window that sees nothing": (RuntimeError, lambda ns: blocks(ns, [9], [2]).make_local_attention(3)),
    "a dense window of 0": (ValueError, lambda ns: ns.LowerTriangularFromBottomRightLocalAttentionMask(0)),
    "a negative left": (ValueError, lambda ns: ns.LocalAttentionFromBottomRightMask(-1, 0)),
    "a negative right": (ValueError, lambda ns: ns.LocalAttentionFromBottomRightMask(0, -1)),
    "more keys than slots": (
        AssertionError,
        lambda ns: ns.BlockDiagonalPaddedKeysMask.from_seqlens([1], 4, [5]),
    ),
    "padded lists of unequal length": (
        AssertionError,
        lambda ns: ns.BlockDiagonalPaddedKeysMask.from_seqlens([1], 4, [3, 3]),
    ),
    "split of slots": (
        NotImplementedError,
        lambda ns: ns.BlockDiagonalPaddedKeysMask.from_seqlens([1], 4, [3]).k_seqinfo.split(torch.zeros(1, 4)),
    ),
    "slots from lengths alone": (RuntimeError, lambda ns: ns._PaddedSeqLenInfo.from_seqlens([3])),
    "tensor lists of unequal length": (
        AssertionError,
        lambda ns: ns.BlockDiagonalMask.from_tensor_lists_qkv([torch.zeros(1, 2)], []),
    ),
    "the base class": (NotImplementedError, lambda ns: ns.AttentionBias().materialize((2, 2))),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_the_same_type(name):
    error, attempt = ERRORS[name]
    for namespace in (our_masks, real_masks):
        with pytest.raises(error):
            attempt(namespace)


def test_decoding_reads_the_lengths_on_the_device():
    """Code that replays a CUDA graph advances `seqlen` in place; the Python list stays behind."""
    mask = compat.BlockDiagonalCausalWithOffsetPaddedKeysMask.from_seqlens([1, 1], 8, [3, 5])
    q, k, v = torch.randn(1, 2, 2, 4), torch.randn(1, 16, 2, 4), torch.randn(1, 16, 2, 4)
    mask.k_seqinfo.seqlen.add_(1)
    out = compat.memory_efficient_attention(q, k, v, mask)
    for i, length in enumerate((4, 6)):
        keys = slice(8 * i, 8 * i + length)
        alone = compat.memory_efficient_attention(q[:, i : i + 1], k[:, keys], v[:, keys])
        torch.testing.assert_close(out[:, i : i + 1], alone)


def test_decoding_does_not_repeat_the_cache(monkeypatch):
    seen = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(q, k, v, *args, **options):
        seen.append((tuple(q.shape), tuple(k.shape)))
        return attend(q, k, v, *args, **options)

    monkeypatch.setattr(compat.kernels.F, "scaled_dot_product_attention", watched)
    cache = torch.randn(1, 2 * 8, 2, 1, 4)
    key = cache.expand(-1, -1, -1, 3, -1)
    mask = compat.BlockDiagonalCausalWithOffsetPaddedKeysMask.from_seqlens([1, 1], 8, [3, 5])
    compat.memory_efficient_attention(torch.randn(1, 2, 2, 3, 4), key, key, mask)
    assert seen == [((2, 2, 3, 4), (2, 2, 8, 4))]


def test_neighbours_of_one_shape_are_one_call(monkeypatch):
    calls = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(q, *args, **options):
        calls.append(tuple(q.shape))
        return attend(q, *args, **options)

    monkeypatch.setattr(compat.kernels.F, "scaled_dot_product_attention", watched)
    tensors = [torch.randn(64, 5, 2, 8), torch.randn(32, 3, 2, 8)]  # DINOv2: global and local crops
    mask, packed = compat.BlockDiagonalMask.from_tensor_list(tensors)
    compat.memory_efficient_attention(packed, packed, packed, mask)
    assert calls == [(64, 2, 5, 8), (32, 2, 3, 8)]


def test_masks_compare_and_print_like_xformers():
    assert compat.LocalAttentionFromBottomRightMask(1, 2) == compat.LocalAttentionFromBottomRightMask(1, 2)
    assert repr(compat.LocalAttentionFromBottomRightMask(1, 2)) == repr(
        real_masks.LocalAttentionFromBottomRightMask(1, 2)
    )


def test_the_oracle_is_xformers_and_not_us():
    problem = case("BlockDiagonalMask", 1)
    assert type(problem.make(real_masks)).__module__ == "xformers.ops.fmha.attn_bias"
    assert type(problem.make(compat)).__module__.startswith("xf2sdpa")
    m, n = problem.shapes[0][1], problem.shapes[1][1]
    assert torch.equal(
        _real_bias(problem, torch.zeros(1, m, n)), problem.make(compat).materialize((1, m, n), torch.float32)
    )
