"""Attention in float64, and how large a correct kernel's rounding error may be at each element of it.

**How an error is measured.** Dividing by the largest value of the result would hide one wrong row of small values. So
each element has its own *unit*: the size of its error if every rounding in a fused kernel were off by a relative 1.
With P the probabilities, O = PV, D = rowsum(dO O), dS = P (dP - D), and eps that of the dtype computed in:

* result: O is rounded once, and P before the product with V. The unit is `|O| + q + rms(q)`, where `q = sqrt(P² V²)`:
  the roundings of a row's probabilities are independent, so they add in quadrature. `rms(q)`, over the row, keeps the
  unit from vanishing for an element that happens to be near 0.
* gradients: the same for `dV = PᵀdO`, `dQ = dS K`, `dK = dSᵀQ` and that of a bias, dS. D is a product with the
  rounded O, so its error, `w = sqrt(dO² O²)` per row, affects all keys at once: `w |P K|` in dQ.
* where float16 underflows, a probability or dS counts as the smallest normal number; in dQ and dK divided by the scale,
  since cuDNN rounds dS after scaling it (on an H200: 8 times the error of FlashAttention-2 in dK, with head size 64).
* sums are kept in float32 (float64 for float64), and exp turns a rounding of its argument, `g = scale |q||k| + |bias|
  + sqrt(K / 3) |score|`, into a relative one: `(1 + g) * P|V|` and the like, times eps of the sums over eps of the
  dtype. The last term of g: a score is a sum of K products, and where they share a sign, as where query and key are
  the same tensor, its partial sums grow evenly up to the score; their roundings in quadrature are `sqrt(K / 3)` of it.
  Kernels that recompute the scores in the backward pass do so in another order, so their errors do not cancel against
  those in the log-sum-exp.

An error in these units, divided by eps, is about 0.5 for every kernel that rounds once, independent of shape, mask
and head size; a row computed with another mask, scale or order is off by about 1/eps times that.

**What is judged.** Everything, up to `SCORES` query-key pairs. Beyond, a seeded sample of (batch, head) pairs that
includes the first and the last (all heads of a batch where key or value is expanded over heads); if even one pair is
too large and there are no gradients, also a sample of query rows. Elements that are not judged are NaN in `exact` and
`unit`. Scores are computed in chunks of at most `CHUNK_BYTES`. A mask object is materialized whole, in float16, unless
it is causal from the top left or packed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.judging.calls import Call
from xf2sdpa.judging.reference import HALF, bias_tensor

SCORES = {"cpu": 2**20, "cuda": 2**28}
"""How many query-key pairs are judged per call, by kind of device; takes about a second with gradients."""

CHUNK_BYTES = 2**28
"""The memory that the judge's temporary matrices may take together."""

_MATRICES = 10
"""How many float64 matrices `[M, N]` the judge holds at a time."""


@dataclass(frozen=True)
class Part:
    """Queries `rows` that attend only to the keys `keys`: one packed sequence, or everything."""

    rows: slice
    keys: slice
    mask: Any
    """The bias of this part: None, a tensor `[B, H, M, N]`, or a mask object made for these lengths."""


@dataclass
class Solution:
    """One call of the operator, solved. Tensors are `[B, M, *heads, K]` as in the call, NaN where not judged."""

    call: Call
    pairs: Tensor
    """The (batch, head) pairs that are judged, as indices into B * H."""
    parts: list[Part]
    query_rows: Tensor | None
    """The query rows that are judged; None for all."""
    exact: dict[str, Tensor] = field(default_factory=dict)
    unit: dict[str, Tensor] = field(default_factory=dict)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of `exact` and `unit`: float32 is precise enough to judge half."""
        return torch.float32 if self.call.query.dtype in HALF else torch.float64

    @property
    def sampled(self) -> bool:
        """Whether only a sample is judged."""
        return len(self.pairs) < _pairs_of(self.call) or self.query_rows is not None


# --------------------------------------------------------------------------------------- what is to be judged


def _pairs_of(call: Call) -> int:
    return call.query.shape[0] * math.prod(call.query.shape[2:-1])


def tensor_of(attn_bias: Any) -> Tensor | None:
    """The tensor that a bias adds, if it is one or holds one."""
    held = getattr(attn_bias, "_bias", None)
    if isinstance(held, Tensor):
        return held
    return attn_bias if isinstance(attn_bias, Tensor) and not hasattr(attn_bias, "materialize") else None


def sampled_solution(call: Call, seed: int) -> Solution:
    """The unsolved solution of a call, with the pairs and rows that are to be judged."""
    total, parts = _pairs_of(call), _parts(call)
    scores = sum((part.rows.stop - part.rows.start) * (part.keys.stop - part.keys.start) for part in parts)
    budget = SCORES["cuda" if call.query.is_cuda else "cpu"]
    bias = tensor_of(call.attn_bias)
    generator = torch.Generator().manual_seed(seed)
    if total * scores <= budget or (bias is not None and bias.requires_grad):  # a bias's gradient sums over all pairs
        return Solution(call, torch.arange(total), parts, None)
    pairs = _sample(total, max(1, budget // max(scores, 1)), generator)
    heads = math.prod(call.query.shape[2:-1])
    if any(x.ndim > 3 and x.shape[-2] > 1 and x.stride(-2) == 0 for x in (call.key, call.value)):
        batches = torch.unique(pairs // heads)  # their gradient is a sum over the heads that share them
        pairs = (batches[:, None] * heads + torch.arange(heads)).flatten()
    rows = None
    if scores > budget and not call.trains and len(parts) == 1:
        rows = _sample(call.query.shape[1], max(1, budget // call.key.shape[1]), generator)
    return Solution(call, pairs, parts, rows)


def _sample(total: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` of `total` indices in order, including the last, and the first if `count` is 2 or more."""
    if count >= total:
        return torch.arange(total)
    ends = torch.tensor([total - 1, 0])[:count]
    rest = torch.randperm(max(total - 2, 0), generator=generator)[: max(count - 2, 0)] + 1
    return torch.sort(torch.cat([ends, rest])).values


def _parts(call: Call) -> list[Part]:
    """The packed sequences, if a mask object can be made for each; else everything as one part."""
    whole = [Part(slice(0, call.query.shape[1]), slice(0, call.key.shape[1]), call.attn_bias)]
    mask = call.attn_bias
    queries, keys = (getattr(mask, name, None) for name in ("q_seqinfo", "k_seqinfo"))
    if queries is None or keys is None or hasattr(keys, "padding") or type(queries) is not type(keys):
        return whole
    parts = []
    for (start, end), (first, last) in zip(queries.intervals(), keys.intervals(), strict=True):
        lengths = ([end - start], [last - first])
        parts.append(Part(slice(start, end), slice(first, last), _of_one_sequence(mask, queries, lengths)))
    return parts


def _of_one_sequence(mask: Any, info: Any, lengths: tuple[list[int], list[int]]) -> Any:
    """The same kind of mask for one sequence; made without its constructor, which may refuse these lengths."""
    single = object.__new__(type(mask))
    vars(single).update(vars(mask))
    infos = zip(("q_seqinfo", "k_seqinfo"), lengths, strict=True)
    vars(single).update({name: type(info).from_seqlens(length) for name, length in infos})
    return single


# -------------------------------------------------------------------------------------------------- numbers


def _heads_first(x: Tensor) -> Tensor:
    """`[B, M, *heads, K]` as `[B, H, M, K]`, without a copy where possible."""
    if x.ndim == 3:
        return x.unsqueeze(1)
    return (x.flatten(2, 3) if x.ndim == 5 else x).transpose(1, 2)


@dataclass
class _Chunk:
    """Some (batch, head) pairs and query rows of one part, in float64: `[pairs, rows or keys, K]`."""

    batch: Tensor
    head: Tensor
    rows: Tensor
    keys: slice
    query: Tensor
    key: Tensor
    value: Tensor
    weights: Tensor
    growth: Tensor
    """1 + g, with the g of this module's docstring: `[pairs, rows, 1]`."""
    lse: Tensor


def _chunks(solution: Solution) -> Iterator[_Chunk]:
    call = solution.call
    query, key, value = (_heads_first(x.detach()) for x in (call.query, call.key, call.value))
    scale = call.query.shape[-1] ** -0.5 if call.scale is None else call.scale
    heads, device = query.shape[1], query.device
    for part in solution.parts:
        width = part.keys.stop - part.keys.start
        rows = torch.arange(part.rows.start, part.rows.stop)
        if solution.query_rows is not None:
            rows = solution.query_rows
        dense = _dense(part, call)
        room = max(1, CHUNK_BYTES // (8 * _MATRICES * max(width, 1)))
        for some_rows in torch.split(rows, min(room, max(len(rows), 1))):
            for pairs in torch.split(solution.pairs, max(1, room // max(len(some_rows), 1))):
                batch, head, at = pairs // heads, pairs % heads, some_rows.to(device)
                batch, head = batch.to(device), head.to(device)
                q = query[batch[:, None], head[:, None], at[None]].double()
                k, v = (x[batch, head, part.keys].double() for x in (key, value))
                bias = _bias_of(part, dense, batch, head, at)
                yield _Chunk(batch, head, at, part.keys, q, k, v, *_softmax(q, k, bias, scale))


def _dense(part: Part, call: Call) -> Tensor | None:
    """The bias as `[B or 1, H or 1, M, N]`; None for a causal mask, which `_bias_of` makes by chunks to save memory."""
    mask, held = part.mask, tensor_of(part.mask)
    if mask is None or _is_causal(mask):
        return None
    lengths = (part.rows.stop - part.rows.start, part.keys.stop - part.keys.start)
    heads = tuple(call.query.shape[2:-1]) or (1,)
    if held is None:  # only 0 and -inf, which any dtype represents
        return bias_tensor(mask, (1, 1, *lengths), torch.float16, call.query.device)
    shape = (call.query.shape[0], *heads, *lengths)
    dense = mask.unsqueeze(1) if held is mask and mask.ndim == 3 else bias_tensor(mask, shape, held.dtype, held.device)
    return (dense.flatten(1, 2) if dense.ndim == 5 else dense).detach()


def _is_causal(mask: Any) -> bool:
    return type(mask).__name__ == "LowerTriangularMask"


def _bias_of(part: Part, dense: Tensor | None, batch: Tensor, head: Tensor, rows: Tensor) -> Tensor | None:
    """The part of the bias for these pairs and rows, `[pairs or 1, rows, N]`; None if there is no bias."""
    at = rows - part.rows.start
    if _is_causal(part.mask):
        keys = torch.arange(part.keys.stop - part.keys.start, device=rows.device)
        return torch.zeros((), device=rows.device).where(keys <= at[:, None], -math.inf)[None]
    if dense is None:
        return None
    if len(dense) == dense.shape[1] == 1:
        return dense[0, 0, at][None].double()
    return dense[batch[:, None], head[:, None], at[None]].double()


def _softmax(query: Tensor, key: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities (0 in a row whose keys are all masked), 1 + g, and the log-sum-exp."""
    products = scores = query @ key.transpose(-2, -1) * scale
    longest = key.norm(dim=-1).amax(-1)[:, None] if key.shape[-2] else key.new_zeros(len(key), 1)
    growth = 1 + abs(scale) * query.norm(dim=-1) * longest
    if bias is not None:
        scores = scores + bias
        finite = bias.abs().masked_fill(bias.isinf(), 0.0)
        growth = growth + (finite.amax(-1) if finite.shape[-1] else 0.0)
    lse = scores.logsumexp(-1)
    closed = (lse == -math.inf)[..., None]
    weights = (scores - lse[..., None].masked_fill(closed, 0.0)).exp()
    if key.shape[-2]:
        growth = growth + (query.shape[-1] / 3) ** 0.5 * products.abs().where(weights > 0, 0.0).amax(-1)
    return weights, growth[..., None], lse


def _add_rms(x: Tensor) -> Tensor:
    """`x` plus its root mean square over the row, so that no element that happens to be near 0 gets a unit near 0."""
    return x + x.square().mean(-1, keepdim=True).sqrt()


def _roundings(x: Tensor, weights: Tensor, tiny: float) -> Tensor:
    """Squares of the size of `x`'s rounding errors: `x²`, plus that of the smallest normal number for underflow."""
    return x.square() + (weights > 0) * tiny**2


def _sum_eps(dtype: torch.dtype) -> float:
    """eps of the dtype that sums are kept in, relative to eps of `dtype`."""
    return torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps / torch.finfo(dtype).eps


def _output_and_unit(chunk: _Chunk, sum_eps: float, tiny: float) -> tuple[Tensor, Tensor]:
    """The output O and its unit."""
    out = chunk.weights @ chunk.value
    quadrature = (_roundings(chunk.weights, chunk.weights, tiny) @ chunk.value.square()).sqrt()
    return out, out.abs() + _add_rms(quadrature) + sum_eps * chunk.growth * (chunk.weights @ chunk.value.abs())


def solve_forward(solution: Solution) -> None:
    """Compute the result and the log-sum-exp, and their units, into the solution."""
    call = solution.call
    sum_eps, tiny = _sum_eps(call.query.dtype), torch.finfo(call.query.dtype).tiny
    batch, rows = call.query.shape[:2]
    heads = math.prod(call.query.shape[2:-1])
    shape = (batch, heads, rows, call.value.shape[-1])
    exact, unit = (call.query.new_full(shape, math.nan, dtype=solution.dtype) for _ in range(2))
    lse, lse_unit = (call.query.new_full(shape[:3], math.nan, dtype=solution.dtype) for _ in range(2))
    for chunk in _chunks(solution):
        where = (chunk.batch[:, None], chunk.head[:, None], chunk.rows[None])
        out, scaled = _output_and_unit(chunk, sum_eps, tiny)
        exact[where], unit[where] = out.to(solution.dtype), scaled.to(solution.dtype)
        lse[where] = chunk.lse.to(solution.dtype)
        lse_unit[where] = (chunk.lse.abs().masked_fill(chunk.lse.isinf(), 0) + chunk.growth[..., 0]).to(solution.dtype)
    solution.exact["out"], solution.unit["out"] = (x.transpose(1, 2).reshape(call.result_shape) for x in (exact, unit))
    lse_shape = (batch, *(call.query.shape[2:-1] or (1,)), rows)
    solution.exact["lse"], solution.unit["lse"] = lse.reshape(lse_shape), lse_unit.reshape(lse_shape)


def solve_backward(solution: Solution, upstream: Tensor) -> None:
    """Compute the gradients and their units into the solution, for an upstream gradient of the result's shape."""
    call = solution.call
    gradient = _heads_first(upstream)
    made = _Gradients(solution)
    for chunk in _chunks(solution):
        made.add(chunk, gradient[chunk.batch[:, None], chunk.head[:, None], chunk.rows[None]].double())
    for which, sums in ((solution.exact, made.exact), (solution.unit, made.unit())):
        for name, like in (("query", call.query), ("key", call.key), ("value", call.value)):
            which[name] = sums[name].transpose(1, 2).reshape(like.shape).to(solution.dtype)
        bias = tensor_of(call.attn_bias)
        if bias is not None:
            which["bias"] = sums["bias"].reshape(bias.shape).to(solution.dtype) if "bias" in sums else bias * math.nan


class _Gradients:
    """Sums over the chunks: the gradients, and the terms of their units, those added in quadrature and the others."""

    def __init__(self, solution: Solution) -> None:
        call = solution.call
        self.scale = call.query.shape[-1] ** -0.5 if call.scale is None else call.scale
        self.sum_eps, self.tiny = _sum_eps(call.query.dtype), torch.finfo(call.query.dtype).tiny
        sizes = {name: _heads_first(getattr(call, name)).shape for name in ("query", "key", "value")}
        bias = tensor_of(call.attn_bias)
        if bias is not None and bias.requires_grad:
            sizes["bias"] = torch.Size((*sizes["query"][:3], sizes["key"][2]))
        heads = sizes["query"][1]
        judged = torch.zeros(sizes["query"][0], heads, 1, 1, dtype=torch.bool)
        judged[solution.pairs // heads, solution.pairs % heads] = True
        start = torch.where(judged, 0.0, math.nan).to(call.query.device, torch.float64)
        self.exact, self.squares, self.plain = (
            {name: start.expand(size).clone() for name, size in sizes.items()} for _ in range(3)
        )

    def add(self, chunk: _Chunk, upstream: Tensor) -> None:
        """Add one chunk's terms; `upstream` is `[pairs, rows, Kv]`."""
        p, q, k, v = chunk.weights, chunk.query, chunk.key, chunk.value
        out = p @ v
        product = upstream @ v.transpose(-2, -1)
        ds = p * (product - (upstream * out).sum(-1, keepdim=True))
        blur = (upstream.square() * out.square()).sum(-1, keepdim=True).sqrt()  # error of D from rounding O
        sums = chunk.growth * p * (upstream.abs() @ v.abs().transpose(-2, -1) + (upstream * out).abs().sum(-1, True))
        scale, magnitude = self.scale, abs(self.scale)
        rows = (chunk.batch[:, None], chunk.head[:, None], chunk.rows[None])
        rounded = _roundings(ds, p, self.tiny / min(magnitude or 1.0, 1.0))
        spread = (rounded + (p * blur).square()).transpose(-2, -1)
        self._put(rows, "query", scale * ds @ k, scale**2 * rounded @ k.square())
        self.plain["query"][rows] = magnitude * (blur * (p @ k).abs() + self.sum_eps * sums @ k.abs())
        self._put_keys(chunk, "key", scale * ds.transpose(-2, -1) @ q, scale**2 * spread @ q.square())
        self._put_keys(
            chunk,
            "value",
            p.transpose(-2, -1) @ upstream,
            _roundings(p, p, self.tiny).transpose(-2, -1) @ upstream.square(),
        )
        turned = self.sum_eps * sums.transpose(-2, -1)
        self._add_plain(chunk, "key", magnitude * turned @ q.abs())
        self._add_plain(chunk, "value", self.sum_eps * (chunk.growth * p).transpose(-2, -1) @ upstream.abs())
        if "bias" in self.exact:
            where = (*(index[..., None] for index in rows), self._columns(chunk))
            self._put(where, "bias", ds, _roundings(ds, p, self.tiny) + (p * blur).square())
            self.plain["bias"][where] = self.sum_eps * sums

    def unit(self) -> dict[str, Tensor]:
        """The units of the gradients."""
        return {
            name: self.exact[name].abs() + _add_rms(self.squares[name].sqrt()) + self.plain[name] for name in self.exact
        }

    def _columns(self, chunk: _Chunk) -> Tensor:
        return torch.arange(chunk.keys.start, chunk.keys.stop, device=chunk.rows.device)[None, None]

    def _put(self, where: Any, name: str, value: Tensor, squares: Tensor) -> None:
        self.exact[name][where], self.squares[name][where] = value, squares

    def _put_keys(self, chunk: _Chunk, name: str, value: Tensor, squares: Tensor) -> None:
        where = (chunk.batch, chunk.head, chunk.keys)
        self.exact[name][where] += value
        self.squares[name][where] += squares

    def _add_plain(self, chunk: _Chunk, name: str, value: Tensor) -> None:
        self.plain[name][chunk.batch, chunk.head, chunk.keys] += value
