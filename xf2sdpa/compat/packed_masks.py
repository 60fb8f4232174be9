"""Masks over sequences packed one after the other, and the conversion of masks of other copies.

Same names, signatures and errors as xformers' own; each computes its attention.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from xf2sdpa.compat.kernels import _Band, _band_mask, _banded, _sdpa
from xf2sdpa.compat.masks import (  # noqa: F401 - `_as_bias` looks them up by name
    AttentionBias,
    LocalAttentionFromBottomRightMask,
    LowerTriangularFromBottomRightLocalAttentionMask,
    LowerTriangularFromBottomRightMask,
    LowerTriangularMask,
    LowerTriangularMaskWithTensorBias,
)
from xf2sdpa.compat.sequences import _attend_decoding, _attend_packed, _PaddedSeqLenInfo, _SeqLenInfo

_Packed = TypeVar("_Packed", bound="_PackedBias")
_Blocks = TypeVar("_Blocks", bound="BlockDiagonalMask")
_Padded = TypeVar("_Padded", bound="BlockDiagonalPaddedKeysMask")


@dataclasses.dataclass
class _PackedBias(AttentionBias):
    """Sequences packed into batch 1: a query sees a band of the keys of its own sequence only."""

    q_seqinfo: _SeqLenInfo
    k_seqinfo: _SeqLenInfo

    def _band(self) -> _Band:
        return _Band()

    def to(self: _Packed, device: torch.device) -> _Packed:
        """The same with its offsets on `device`."""
        queries = self.q_seqinfo.to(device)
        keys = queries if self.k_seqinfo is self.q_seqinfo else self.k_seqinfo.to(device)
        return dataclasses.replace(self, q_seqinfo=queries, k_seqinfo=keys)

    def _check_lengths(self, m: int, n: int) -> None:
        """ValueError unless there are as many queries and keys as the mask was made for."""
        expected = (self.q_seqinfo.seqstart_py[-1], self.k_seqinfo.seqstart_py[-1])
        if (m, n) != expected:
            raise ValueError(f"{type(self).__name__} made for (queries, keys) {expected}, got {(m, n)}")

    def materialize(
        self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> Tensor:
        """The mask as a tensor of `shape` `[*, T, T_keys]`, 0 or -inf; large, for tests and debugging."""
        self._check_lengths(*shape[-2:])
        mask = torch.full(shape[-2:], float("-inf"), dtype=dtype, device=device)
        keys = list(self.k_seqinfo.intervals())
        for i, (start, end) in enumerate(self.q_seqinfo.intervals()):
            first, last = keys[i]
            mask[start:end, first:last] = _band_mask(end - start, last - first, self._band(), dtype, device)
        return mask.expand(shape)

    def _settle(self, q: Tensor, k: Tensor) -> None:
        """Moves the offsets to the inputs' device, once. ValueError unless the batch is 1."""
        if q.shape[0] != 1 or k.shape[0] != 1:
            raise ValueError(f"Expected batch_size=1 when using block-diagonal bias, got {q.shape[0]}")
        if self.q_seqinfo.seqstart.device != q.device:
            vars(self).update(vars(self.to(q.device)))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
        self._settle(q, k)
        self._check_lengths(q.shape[-2], k.shape[-2])
        return _attend_packed(self, q, k, v, p, scale)

    def _attend_one(self, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
        """Attention within one sequence, or several of equal lengths: `[size, H, M, K]`."""
        return _sdpa(q, k, v, p, scale)


class _Banded(_PackedBias):
    """Packed sequences in each of which a query sees a band of the keys."""

    def _attend_one(self, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
        return _banded(q, k, v, self._band(), p, scale)


@dataclasses.dataclass
class BlockDiagonalMask(_PackedBias):
    """Sequences of different lengths packed into batch 1; each attends only to itself.

    `_batch_sizes`, set by `from_tensor_list`, says how `split` groups the sequences.
    """

    _batch_sizes: Sequence[int] | None = None

    @classmethod
    def from_seqlens(
        cls: type[_Blocks], q_seqlen: Sequence[int], kv_seqlen: Sequence[int] | None = None, *, device: Any = None
    ) -> _Blocks:
        """From each sequence's query length, and its key length if that differs."""
        assert kv_seqlen is None or len(q_seqlen) == len(kv_seqlen)
        queries = keys = _SeqLenInfo.from_seqlens(q_seqlen, device=device)
        if kv_seqlen is not None and list(kv_seqlen) != list(q_seqlen):
            keys = _SeqLenInfo.from_seqlens(kv_seqlen, device=device)
        return cls(q_seqinfo=queries, k_seqinfo=keys)

    @classmethod
    def from_tensor_list(cls: type[_Blocks], tensors: Sequence[Tensor]) -> tuple[_Blocks, Tensor]:
        """From tensors `[B_i, M_i, *]`: the mask, and the tensors packed as `[1, sum(B_i * M_i), *]`."""
        mask = cls.from_seqlens([x.shape[1] for x in tensors for _ in range(x.shape[0])])
        mask._batch_sizes = [x.shape[0] for x in tensors]
        return mask, _pack(tensors)

    @classmethod
    def from_tensor_lists_qkv(
        cls: type[_Blocks],
        tensors_q: Sequence[Tensor],
        tensors_k: Sequence[Tensor],
        tensors_v: Sequence[Tensor] | None = None,
    ) -> tuple[_Blocks, Tensor, Tensor, Tensor | None]:
        """The same for queries, keys and values: the mask and the three packed (None without `tensors_v`)."""
        assert len(tensors_q) == len(tensors_k)
        assert tensors_v is None or len(tensors_v) == len(tensors_q)
        for i, q in enumerate(tensors_q):
            assert q.shape[0] == tensors_k[i].shape[0]
            assert tensors_v is None or tensors_v[i].shape[:2] == tensors_k[i].shape[:2]
        mask = cls.from_seqlens(*([x.shape[1] for x in xs for _ in range(x.shape[0])] for xs in (tensors_q, tensors_k)))
        mask._batch_sizes = [q.shape[0] for q in tensors_q]
        value = None if tensors_v is None else _pack(tensors_v)
        return mask, _pack(tensors_q), _pack(tensors_k), value

    def split_queries(self, tensor: Tensor) -> Sequence[Tensor]:
        """Packed queries `[1, T, *]` as a list of `[B_i, M_i, *]`."""
        return self.q_seqinfo.split(tensor, self._batch_sizes)

    def split_kv(self, tensor: Tensor) -> Sequence[Tensor]:
        """Packed keys or values `[1, T, *]` as a list of `[B_i, N_i, *]`."""
        return self.k_seqinfo.split(tensor, self._batch_sizes)

    def split(self, tensor: Tensor) -> Sequence[Tensor]:
        """The inverse of `from_tensor_list`. AssertionError if queries and keys differ in length."""
        assert self.q_seqinfo is self.k_seqinfo
        return self.q_seqinfo.split(tensor, self._batch_sizes)

    def make_causal(self) -> BlockDiagonalCausalMask:
        """Causal within each sequence, top-left."""
        return BlockDiagonalCausalMask(self.q_seqinfo, self.k_seqinfo, self._batch_sizes)

    def make_causal_from_bottomright(self) -> BlockDiagonalCausalFromBottomRightMask:
        """Causal within each sequence, bottom-right. ValueError if one has fewer keys than queries."""
        return BlockDiagonalCausalFromBottomRightMask(self.q_seqinfo, self.k_seqinfo, self._batch_sizes)

    def make_local_attention(self, window_size: int) -> BlockDiagonalCausalLocalAttentionMask:
        """Causal, top-left, with a window of `window_size` keys; RuntimeError if a query sees none."""
        return BlockDiagonalCausalLocalAttentionMask(self.q_seqinfo, self.k_seqinfo, self._batch_sizes, window_size)

    def make_local_attention_from_bottomright(
        self, window_size: int
    ) -> BlockDiagonalCausalLocalAttentionFromBottomRightMask:
        """Causal, bottom-right, with a window of `window_size` keys."""
        return BlockDiagonalCausalLocalAttentionFromBottomRightMask(
            self.q_seqinfo, self.k_seqinfo, self._batch_sizes, window_size
        )


def _pack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors `[B_i, M_i, *]` concatenated to `[1, sum(B_i * M_i), *]`."""
    return torch.cat([x.reshape(1, -1, *x.shape[2:]) for x in tensors], dim=1)


@dataclasses.dataclass
class BlockDiagonalCausalMask(_Banded, BlockDiagonalMask):
    """`BlockDiagonalMask`, each sequence causal, top-left."""

    def _band(self) -> _Band:
        return _Band(right=0, top_left=True)


@dataclasses.dataclass
class BlockDiagonalCausalFromBottomRightMask(_Banded, BlockDiagonalMask):
    """`BlockDiagonalMask`, each sequence causal, bottom-right: all its queries see its first N - M + 1 keys."""

    def __post_init__(self) -> None:
        keys = list(self.k_seqinfo.intervals())
        for i, (start, end) in enumerate(self.q_seqinfo.intervals()):
            if keys[i][1] - keys[i][0] < end - start:
                raise ValueError(
                    f"Block #{i} has num_keys={keys[i][1] - keys[i][0]} and num_queries={end - start}."
                    " Expected `num_keys >= num_queries`"
                )

    def _band(self) -> _Band:
        return _Band(right=0)


@dataclasses.dataclass
class BlockDiagonalCausalLocalAttentionMask(BlockDiagonalCausalMask):
    """`BlockDiagonalCausalMask` within a window of `_window_size` >= 1 keys."""

    _window_size: int = 0

    def __post_init__(self) -> None:
        if self._window_size <= 0:
            raise ValueError(f"Expected `window_size > 0`, but window_size={self._window_size}")
        keys = list(self.k_seqinfo.intervals())
        for i, (start, end) in enumerate(self.q_seqinfo.intervals()):
            queries, length = end - start, keys[i][1] - keys[i][0]
            if queries - self._window_size >= length:
                raise RuntimeError(
                    f"No keys are attended in q_seqlen {queries} k_seqlen {length} "
                    f"with sliding window {self._window_size}"
                )

    def _band(self) -> _Band:
        return _Band(self._window_size - 1, 0, top_left=True)


@dataclasses.dataclass
class BlockDiagonalCausalLocalAttentionFromBottomRightMask(BlockDiagonalCausalFromBottomRightMask):
    """`BlockDiagonalCausalFromBottomRightMask` within a window of `_window_size` >= 1 keys."""

    _window_size: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._window_size <= 0:
            raise ValueError(f"Expected `window_size > 0`, but window_size={self._window_size}")

    def _band(self) -> _Band:
        return _Band(self._window_size - 1, 0)


@dataclasses.dataclass
class BlockDiagonalPaddedKeysMask(_PackedBias):
    """Packed queries, and keys in slots of one size (a KV cache), of which the first `kv_seqlen` are in use."""

    k_seqinfo: _PaddedSeqLenInfo

    @classmethod
    def from_seqlens(
        cls: type[_Padded],
        q_seqlen: Sequence[int],
        kv_padding: int,
        kv_seqlen: Sequence[int],
        causal_diagonal: Any = None,
        *,
        device: torch.device | None = None,
    ) -> _Padded:
        """From query lengths, slot size and key lengths; `causal_diagonal` is not used."""
        assert len(q_seqlen) == len(kv_seqlen), (q_seqlen, kv_seqlen)
        queries = _SeqLenInfo.from_seqlens(q_seqlen, device=device)
        return cls(queries, _PaddedSeqLenInfo.from_seqlens_padded(kv_seqlen, kv_padding, device=device))

    def make_local_attention(self, window_left: int, window_right: int) -> BlockDiagonalLocalAttentionPaddedKeysMask:
        """The same within a window, bottom-right."""
        return BlockDiagonalLocalAttentionPaddedKeysMask(self.q_seqinfo, self.k_seqinfo, window_left, window_right)

    def _check_lengths(self, m: int, n: int) -> None:
        """As the base class; unused keys at the end may be missing."""
        used = max((end for start, end in self.k_seqinfo.intervals() if start < end), default=0)
        total = self.k_seqinfo.seqstart_py[-1]
        super()._check_lengths(m, total if used <= n <= total else n)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, p: float, scale: float | None) -> Tensor:
        self._settle(q, k)
        self._check_lengths(q.shape[-2], k.shape[-2])
        if missing := self.k_seqinfo.seqstart_py[-1] - k.shape[-2]:
            k, v = (F.pad(x, (0, 0, 0, missing)) for x in (k, v))
        if self.q_seqinfo.max_seqlen == 1 and q.shape[-2] == len(self.k_seqinfo.seqlen_py):
            return _attend_decoding(self, q, k, v, p, scale)
        return super()._attend(q, k, v, p, scale)


@dataclasses.dataclass
class BlockDiagonalCausalWithOffsetPaddedKeysMask(_Banded, BlockDiagonalPaddedKeysMask):
    """`BlockDiagonalPaddedKeysMask`, causal: the last query of a sequence sees all its keys in use."""

    causal_diagonal: Any = None

    def _band(self) -> _Band:
        return _Band(right=0)


@dataclasses.dataclass
class BlockDiagonalLocalAttentionPaddedKeysMask(_Banded, BlockDiagonalPaddedKeysMask):
    """`BlockDiagonalPaddedKeysMask` within a window, bottom-right, as `LocalAttentionFromBottomRightMask`."""

    window_left: int
    window_right: int

    def _band(self) -> _Band:
        return _Band(self.window_left, self.window_right)

    @classmethod
    def from_seqlens_local(
        cls, q_seqlen: Sequence[int], kv_padding: int, kv_seqlen: Sequence[int], window_left: int, window_right: int
    ) -> BlockDiagonalLocalAttentionPaddedKeysMask:
        """As `from_seqlens`, with the window."""
        mask = BlockDiagonalPaddedKeysMask.from_seqlens(q_seqlen, kv_padding, kv_seqlen)
        return cls(mask.q_seqinfo, mask.k_seqinfo, window_left, window_right)


@dataclasses.dataclass
class BlockDiagonalCausalLocalAttentionPaddedKeysMask(_Banded, BlockDiagonalPaddedKeysMask):
    """`BlockDiagonalCausalWithOffsetPaddedKeysMask` within a window of `_window_size` keys."""

    _window_size: int

    def _band(self) -> _Band:
        return _Band(self._window_size - 1, 0)

    @classmethod
    def from_seqlens_local(
        cls, q_seqlen: Sequence[int], kv_padding: int, kv_seqlen: Sequence[int], window_size: int
    ) -> BlockDiagonalCausalLocalAttentionPaddedKeysMask:
        """As `from_seqlens`, with the window."""
        mask = BlockDiagonalPaddedKeysMask.from_seqlens(q_seqlen, kv_padding, kv_seqlen)
        return cls(mask.q_seqinfo, mask.k_seqinfo, window_size)


def _as_bias(attn_bias: Any, query: Tensor) -> Any:
    """The mask object as one with `_attend`.

    A mask of xformers, mslk or another copy of this file is converted to the class of the same name here, with its
    attributes, which are the same; TypeError if there is no such class.
    ValueError for `[B, M, K]` inputs if xformers does not accept the mask with them.
    """
    mask, name = attn_bias, type(attn_bias).__name__
    if not hasattr(mask, "_attend"):
        own: Any = globals().get(name)
        if not hasattr(own, "_attend"):
            name = f"{type(attn_bias).__module__}.{type(attn_bias).__qualname__}"
            raise TypeError(f"attn_bias of type {name} is not supported here; `xf2sdpa rewrite .` adds what is used")
        mask = own.__new__(own)
        vars(mask).update(vars(attn_bias))
        if hasattr(attn_bias, "_subtensor"):  # for LowerTriangularMaskWithTensorBias
            mask._bias = attn_bias._subtensor  # its name in xformers 0.0.27 to 0.0.31
    if query.ndim == 3 and not mask._for_bmk:
        raise ValueError(f"Please provide inputs in BMHK format when using bias type `{name}`")
    return mask
