"""Sequences packed one after the other along one dimension, and attention within each of them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xf2sdpa.compat.kernels import _HALF, _MUCH, _Band, _flash, _is_hopper, _sdpa, _without_cudnn


def _default_device(device: torch.device | None) -> torch.device:
    """The device of a mask's offsets; by default the GPU if there is one, as in xformers 0.0.27 and later."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _offsets(values: Sequence[int], device: torch.device) -> Tensor:
    """`values` as int32 on `device`, through pinned memory so that the copy is asynchronous."""
    pinned = torch.tensor(values, dtype=torch.int32, device="cpu", pin_memory=device.type == "cuda")
    return pinned.to(device, non_blocking=True)


def _lengths(seqlens: Iterable[int]) -> list[int]:
    """`seqlens` (ints, or 0-d tensors) as ints. A tensor of lengths is refused, as in xformers."""
    assert not isinstance(seqlens, Tensor), "sequence lengths are a list of ints, not a tensor"
    return [int(length) for length in seqlens]


@dataclasses.dataclass
class _SeqLenInfo:
    """The offsets of packed sequences; for lengths 2, 3, 2, `seqstart_py` is [0, 2, 5, 7].

    `seqstart` is the same as int32 on the device: the `cu_seqlens` of flash attention.
    """

    seqstart: Tensor
    max_seqlen: int
    min_seqlen: int
    seqstart_py: list[int]

    def to(self, device: torch.device) -> _SeqLenInfo:
        """The same on `device`."""
        return dataclasses.replace(self, seqstart=self.seqstart.to(device, non_blocking=True))

    def intervals(self) -> Iterable[tuple[int, int]]:
        """(start, end) of each sequence."""
        yield from zip(self.seqstart_py, self.seqstart_py[1:])

    @classmethod
    def from_seqlens(cls, seqlens: Iterable[int], *, device: torch.device | None = None) -> _SeqLenInfo:
        """From the length of each sequence."""
        lengths = _lengths(seqlens)
        starts = [0, *itertools.accumulate(lengths)]
        longest, shortest = max(lengths, default=-1), min(lengths, default=-1)
        return cls(_offsets(starts, _default_device(device)), longest, shortest, starts)

    def split(self, x: Tensor, batch_sizes: Sequence[int] | None = None) -> list[Tensor]:
        """`[1, T, *]` split into `[batch_sizes[i], M_i, *]`, or into one tensor per sequence.

        Raises ValueError if `x` has another shape.
        """
        if self.seqstart_py[-1] != x.shape[1] or x.shape[0] != 1:
            expected = f"(B, M, *) with B=1 and M={self.seqstart_py[-1]}\n seqstart: {self.seqstart_py}"
            raise ValueError(f"Invalid `torch.Tensor` of shape {x.shape}, expected format {expected}")
        sizes = [1] * (len(self.seqstart_py) - 1) if batch_sizes is None else batch_sizes
        starts = [self.seqstart_py[i] for i in itertools.accumulate(sizes, initial=0)]
        return [x[:, start:end].reshape(size, -1, *x.shape[2:]) for size, start, end in zip(sizes, starts, starts[1:])]


@dataclasses.dataclass
class _PaddedSeqLenInfo(_SeqLenInfo):
    """Sequences in slots of `padding` keys: for 3 slots of 4, `seqstart_py` is [0, 4, 8, 12].

    `seqlen` (int32, on the device) and `seqlen_py` are the lengths in use. A decoding step, with one query per
    sequence, reads only the tensor, as code that replays a CUDA graph updates it in place.
    """

    seqlen: Tensor
    seqlen_py: Sequence[int]
    padding: int

    def to(self, device: torch.device) -> _PaddedSeqLenInfo:
        """The same on `device`."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in ("seqstart", "seqlen")}
        return dataclasses.replace(self, **moved)

    def intervals(self) -> Iterable[tuple[int, int]]:
        """(start, end) of the part in use of each slot."""
        for i, length in enumerate(self.seqlen_py):
            yield self.seqstart_py[i], self.seqstart_py[i] + length

    @classmethod
    def from_seqlens(cls, seqlens: Iterable[int], *, device: torch.device | None = None) -> _SeqLenInfo:
        """Raises RuntimeError: not available for slots."""
        raise RuntimeError("Use either `_SeqLenInfo.from_seqlens` or `_PaddedSeqLenInfo.from_seqlens_padded`")

    @classmethod
    def from_seqlens_padded(
        cls, seqlens: Sequence[int], padding: int, *, device: torch.device | None = None
    ) -> _PaddedSeqLenInfo:
        """From the length in use of each slot, at most `padding`."""
        lengths, place = _lengths(seqlens), _default_device(device)
        assert all(length <= padding for length in lengths), f"Seqlens {lengths} Padding {padding}"
        starts = list(range(0, len(lengths) * padding + 1, padding))
        return cls(
            seqstart=_offsets(starts, place),
            max_seqlen=max(lengths),
            min_seqlen=min(lengths),
            seqstart_py=starts,
            seqlen=_offsets(lengths, place),
            seqlen_py=lengths,
            padding=padding,
        )

    def split(self, x: Tensor, batch_sizes: Sequence[int] | None = None) -> list[Tensor]:
        """Raises NotImplementedError: not available for slots."""
        raise NotImplementedError("_PaddedSeqLenInfo.split")


class _Run(NamedTuple):
    """`size` neighbouring sequences of equal shape, `m` queries and `n` keys each, which form a dense batch.

    The keys of each begin `stride` after those of the one before: n, or the slot size.
    """

    size: int
    m: int
    n: int
    stride: int


def _runs(q_info: Any, k_info: Any) -> list[_Run]:
    """The sequences as dense batches of neighbours of equal shape."""
    lengths = ([end - start for start, end in info.intervals()] for info in (q_info, k_info))
    slots = [end - start for start, end in zip(k_info.seqstart_py, k_info.seqstart_py[1:])]
    return [_Run(len(list(members)), *shape) for shape, members in itertools.groupby(zip(*lengths, slots))]


def _batch(x: Tensor, size: int, length: int) -> Tensor:
    """`size` sequences of `length` in `[H, T, K]` as a view `[size, H, length, K]`."""
    return x.view(x.shape[0], size, length, x.shape[-1]).transpose(0, 1)


def _attend_runs(q: Tensor, k: Tensor, v: Tensor, runs: Sequence[_Run], attend: Callable[..., Tensor]) -> Tensor:
    """Attention within packed sequences as dense batches, each by `attend`; for every device, dtype and dropout.

    Each input is split in one call, whose gradient is one copy; that of a slice is as large as the whole input.
    """
    outs = [q.new_zeros(0, q.shape[1], v.shape[-1])]
    queries = q[0].split_with_sizes([run.size * run.m for run in runs], dim=1)
    keys, values = (x[0].split_with_sizes([run.size * run.stride for run in runs], dim=1) for x in (k, v))
    for i, run in enumerate(runs):
        query = _batch(queries[i], run.size, run.m)
        key, value = (_batch(x[i], run.size, run.stride)[:, :, : run.n] for x in (keys, values))
        outs.append(attend(query, key, value).transpose(1, 2).flatten(0, 1))
    return torch.cat(outs).transpose(0, 1).unsqueeze(0)


@functools.lru_cache(maxsize=64)
def _uniform_runs(starts: tuple[int, ...]) -> tuple[_Run, ...]:
    """Sequences with equal query and key lengths as dense batches, if there are few lengths; else none.

    Few lengths occur with a few crop sizes, or the frames of a video, and recur in every step. So the 50 ms that
    cuDNN takes to plan a new shape pay off, which they do not for documents of varying lengths.
    """
    lengths = itertools.groupby(end - start for start, end in zip(starts, starts[1:]))
    runs = tuple(_Run(len(list(members)), length, length, length) for length, members in lengths)
    return runs if len(runs) <= 4 and len(starts) > 8 * len(runs) else ()


def _batches(q: Tensor, k: Tensor, q_info: Any, k_info: Any, band: _Band) -> tuple[_Run, ...]:
    """The dense batches, if cuDNN trains faster with them on Hopper than one packed call of flash attention.

    On an H200, 656 sequences of 257 and 50 tokens, 24 heads of 64: 3.6 against 4.6 ms, and 0.63 of the memory.
    None in inference, where the gain is small and joining the results doubles their memory; none below `_MUCH`,
    where many small launches take longer (a quarter of that shape: 1.9 against 1.2 ms).
    """
    trains = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad)
    if not (trains and q.is_cuda and band.left < 0 and q_info.seqstart_py == k_info.seqstart_py):
        return ()
    if hasattr(k_info, "padding") or not (q.dtype in _HALF and _is_hopper(q.device)):
        return ()
    runs = _uniform_runs(tuple(q_info.seqstart_py))
    return runs if sum(run.size * run.m * run.n for run in runs) * q.shape[1] * q.shape[-1] >= _MUCH else ()


def _attend_packed(mask: Any, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
    """Attention within packed sequences, `[1, H, T, K]`; in one fused call if torch has one."""
    q_info, k_info, band = mask.q_seqinfo, mask.k_seqinfo, mask._band()
    starts = (q_info.seqstart, k_info.seqstart)
    if q_info.seqstart_py == k_info.seqstart_py:  # equal lengths: top-left and bottom-right are the same
        band = band._replace(top_left=False)
        starts = (q_info.seqstart, q_info.seqstart)  # one tensor, by which `varlen_attn` knows that they are equal
    attend = functools.partial(mask._attend_one, p=p, scale=scale)
    if runs := _batches(q, k, q_info, k_info, band):
        return _attend_runs(q, k, v, runs, attend)
    if not hasattr(k_info, "padding"):
        places = (*starts, q_info.max_seqlen, k_info.max_seqlen)
        packed = [x[0].transpose(0, 1) for x in (q, k, v)]
        out = _flash(packed[0], packed[1], packed[2], places, band, p, scale)
        if out is not None:
            return out.transpose(0, 1).unsqueeze(0)
    # cuDNN would plan each new length, which takes some 50 ms on an H200; FLASH and EFFICIENT need no plan.
    with _without_cudnn() if q.is_cuda else nullcontext():
        return _attend_runs(q, k, v, _runs(q_info, k_info), attend)


def _attend_decoding(mask: Any, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
    """One query per sequence and its slot of keys, for all sequences in one call.

    Flash attention reads only the keys in use, but has no gradient for that. Otherwise hidden keys and values are
    set to 0, as a weight of 0 does not remove NaN or infinity in unused memory. Query heads that share a key head
    become rows of one attention, so that no keys are repeated.
    """
    q_info, k_info, band = mask.q_seqinfo, mask.k_seqinfo, mask._band()._replace(right=-1)
    trains = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    if not trains:
        places = (q_info.seqstart, k_info.seqstart, 1, k_info.padding)
        packed = [x[0].transpose(0, 1) for x in (q, k, v)]
        out = _flash(packed[0], packed[1], packed[2], places, band, p, scale, k_info.seqlen)
        if out is not None:
            return out.transpose(0, 1).unsqueeze(0)
    slots = torch.arange(k_info.padding, device=q.device)
    end = k_info.seqlen.unsqueeze(1)
    hidden = slots >= end
    if band.left >= 0:
        hidden |= slots < end - 1 - band.left
    bias = torch.zeros(hidden.shape, dtype=q.dtype, device=q.device).masked_fill_(hidden, float("-inf"))
    cache = (_batch(x[0], len(hidden), k_info.padding) for x in (k, v))
    key, value = (x.masked_fill(hidden[:, None, :, None], 0.0) for x in cache)
    query = q[0].transpose(0, 1).reshape(len(hidden), k.shape[1], -1, q.shape[-1])
    return _sdpa(query, key, value, p, scale, bias[:, None, None]).flatten(1, 2).transpose(0, 1).unsqueeze(0)
