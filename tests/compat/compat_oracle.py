"""Random attention problems, and what they come to by definition: a float64 softmax over xformers' own masks.

`case(kind, seed)` is one problem; `KINDS` are all of them. `expected` never touches the code under test:
it takes xformers' own mask class, its `materialize()` and plain matrix products.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from xformers.ops.fmha import attn_bias as real_masks

from xf2sdpa import compat
from xf2sdpa.compat import kernels

Make = Callable[[Any], Any]
"""Builds a bias from a namespace of mask classes: xformers' or ours."""


@dataclass
class Case:
    """One problem. `make(namespace)` gives its bias; shapes are those of query, key and value."""

    kind: str
    seed: int
    rank: int
    make: Make
    shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    scale: float | None
    storage: str
    expands: bool = False

    def inputs(self, dtype: torch.dtype = torch.float64, device: str = "cpu") -> list[Tensor]:
        """Query, key, value, drawn in float64 and cast, in this case's storage order."""
        generator = torch.Generator().manual_seed(self.seed)
        drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in self.shapes]
        if self.expands:  # one key head (for 5-D a group), stride 0 over the query heads that share it
            drawn[1:] = [x[..., :1, :].expand(x.shape) for x in drawn[1:]]
        return [_stored(x.to(device, dtype), self.storage) if not self.expands else x.to(device, dtype) for x in drawn]


def _stored(x: Tensor, storage: str) -> Tensor:
    """The same values with another layout in memory."""
    if storage == "heads first" and x.ndim == 4:
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    if storage == "sequence first":
        return x.transpose(0, 1).contiguous().transpose(0, 1)
    if storage == "fused":
        return torch.stack([x, x, x], dim=2).unbind(2)[1]
    return x


def _lengths(rng: random.Random, blocks: int, low: int, high: int, uniform: bool) -> list[int]:
    one = rng.randint(low, high)
    return [one if uniform and rng.random() < 0.8 else rng.randint(low, high) for _ in range(blocks)]


def _tensor(shape: tuple[int, ...], seed: int) -> Tensor:
    """A bias tensor with some -inf in it, and perhaps a row of nothing else."""
    generator = torch.Generator().manual_seed(seed + 1)
    bias = torch.randn(shape, generator=generator, dtype=torch.float64)
    closed = torch.rand(shape, generator=generator) < 0.3
    return bias.masked_fill(closed, -math.inf)


def _dense(kind: str, rng: random.Random, full: tuple[int, ...], seed: int) -> Make:
    """Bias of a dense kind for scores of shape `full` `[B, *heads, M, N]`."""
    window, left, right = rng.randint(1, 12), rng.randint(0, 9), rng.randint(0, 9)
    tensors = {
        "tensor": full,
        "tensor 2-D": full[-2:],
        "tensor B*H": (math.prod(full[:-2]), *full[-2:]),
    }
    makers: dict[str, Make] = {
        "none": lambda _: None,
        "LowerTriangularMask": lambda ns: ns.LowerTriangularMask(),
        "LowerTriangularMaskWithTensorBias": lambda ns: ns.LowerTriangularMask().add_bias(_tensor(full, seed)),
        "LowerTriangularFromBottomRightMask": lambda ns: ns.LowerTriangularFromBottomRightMask(),
        "LowerTriangularFromBottomRightLocalAttentionMask": lambda ns: (
            ns.LowerTriangularFromBottomRightMask().make_local_attention(window)
        ),
        "LocalAttentionFromBottomRightMask": lambda ns: ns.LocalAttentionFromBottomRightMask(left, right),
    }
    return makers.get(kind) or (lambda _: _tensor(tensors[kind], seed))


def _packed(kind: str, rng: random.Random) -> tuple[Make, int, int]:
    """(bias, total queries, total keys) of a block-diagonal kind."""
    blocks, uniform = rng.randint(1, 6), rng.random() < 0.5
    q_lens = _lengths(rng, blocks, 0, 9, uniform)
    k_lens = list(q_lens) if rng.random() < 0.4 else _lengths(rng, blocks, 0, 12, uniform)
    window = rng.randint(1, 6)
    if "BottomRight" in kind:
        k_lens = [max(q, k) for q, k in zip(q_lens, k_lens, strict=True)]
    if kind == "BlockDiagonalCausalLocalAttentionMask":
        k_lens = [max(q, k) for q, k in zip(q_lens, k_lens, strict=True)]
        k_lens = [max(1, k) for k in k_lens]
    methods: dict[str, Callable[[Any], Any]] = {
        "BlockDiagonalMask": lambda mask: mask,
        "BlockDiagonalCausalMask": lambda mask: mask.make_causal(),
        "BlockDiagonalCausalFromBottomRightMask": lambda mask: mask.make_causal_from_bottomright(),
        "BlockDiagonalCausalLocalAttentionMask": lambda mask: mask.make_local_attention(window),
        "BlockDiagonalCausalLocalAttentionFromBottomRightMask": lambda mask: mask.make_local_attention_from_bottomright(
            window
        ),
    }
    change = methods[kind]
    return lambda ns: change(ns.BlockDiagonalMask.from_seqlens(q_lens, k_lens)), sum(q_lens), sum(k_lens)


def _padded(kind: str, rng: random.Random) -> tuple[Make, int, int]:
    """(bias, total queries, key slots in all) of a padded kind; a third of them decode."""
    blocks, padding = rng.randint(1, 6), rng.randint(4, 12)
    q_lens = [1] * blocks if rng.random() < 0.35 else _lengths(rng, blocks, 0, 4, rng.random() < 0.5)
    k_lens = _lengths(rng, blocks, 0, padding, rng.random() < 0.5)
    left, right = rng.randint(0, 5), rng.randint(0, 5)
    arguments = {
        "BlockDiagonalLocalAttentionPaddedKeysMask": (left, right),
        "BlockDiagonalCausalLocalAttentionPaddedKeysMask": (left + 1,),
    }.get(kind, ())
    factory = "from_seqlens_local" if arguments else "from_seqlens"

    def make(ns: Any) -> Any:
        return getattr(getattr(ns, kind), factory)(q_lens, padding, k_lens, *arguments)

    return make, sum(q_lens), blocks * padding


RANKS: dict[str, tuple[int, ...]] = {
    "none": (3, 4, 5),
    "tensor": (3, 4, 5),
    "tensor 2-D": (3, 4),
    "tensor B*H": (4,),
    "LowerTriangularMask": (3, 4, 5),
    "LowerTriangularMaskWithTensorBias": (4,),
    "LowerTriangularFromBottomRightMask": (4, 5),
    "LowerTriangularFromBottomRightLocalAttentionMask": (4, 5),
    "LocalAttentionFromBottomRightMask": (4, 5),
    "BlockDiagonalMask": (4, 5),
    "BlockDiagonalCausalMask": (4, 5),
    "BlockDiagonalCausalFromBottomRightMask": (4, 5),
    "BlockDiagonalCausalLocalAttentionMask": (4, 5),
    "BlockDiagonalCausalLocalAttentionFromBottomRightMask": (4, 5),
    "BlockDiagonalPaddedKeysMask": (4, 5),
    "BlockDiagonalCausalWithOffsetPaddedKeysMask": (4, 5),
    "BlockDiagonalLocalAttentionPaddedKeysMask": (4, 5),
    "BlockDiagonalCausalLocalAttentionPaddedKeysMask": (4, 5),
}
KINDS = tuple(kind for kind in RANKS if not kind[0].isupper() or hasattr(real_masks, kind))
"""All of them, less classes that the installed xformers does not have yet."""

REAL_TORCH = kernels._TORCH


def play(monkeypatch: Any, version: tuple[int, int]) -> None:
    """Make the helper believe in another torch. One before 2.4 cannot play a newer one, whose functions it lacks."""
    if REAL_TORCH >= (2, 4) or version <= REAL_TORCH:
        monkeypatch.setattr(kernels, "_TORCH", version)
    elif version >= (2, 5):
        pytest.skip("torch before 2.4 cannot play a newer one")


def case(kind: str, seed: int) -> Case:
    """The problem number `seed` of `kind`; ranks take turns."""
    rng = random.Random(f"{kind}/{seed}")
    rank = RANKS[kind][seed % len(RANKS[kind])]
    heads = {3: (), 4: (rng.randint(1, 4),), 5: (rng.randint(1, 3), rng.randint(1, 3))}[rank]
    width = rng.choice([1, 4, 8, 16, 20])
    value_width = width if rng.random() < 0.7 else rng.choice([1, 8, 12])
    if kind.startswith("BlockDiagonal"):
        batch = 1
        make, m, n = (_padded if "Padded" in kind else _packed)(kind, rng)
    else:
        batch, m = rng.randint(1, 4), rng.randint(1, 20)
        n = m if rng.random() < 0.4 else rng.randint(1, 24)
        make = _dense(kind, rng, (batch, *heads, m, n), seed)
    return Case(
        kind=kind,
        seed=seed,
        rank=rank,
        make=make,
        shapes=((batch, m, *heads, width), (batch, n, *heads, width), (batch, n, *heads, value_width)),
        scale=rng.choice([None, None, 0.25, 1.0, 2.0]),
        storage=rng.choice(["as is", "heads first", "sequence first", "fused"]),
        expands=rank == 5 and rng.random() < 0.7,
    )


def expected(problem: Case, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The result by definition, differentiable, with xformers' own mask class. A row without keys gives 0."""
    scores = biased_scores(problem, query, key)
    closed = (scores == -math.inf).all(-1, keepdim=True)
    weights = scores.masked_fill(closed, 0.0).softmax(-1).masked_fill(closed, 0.0)
    return (weights @ _flat(value)).transpose(1, 2).reshape(*query.shape[:-1], value.shape[-1])


def biased_scores(problem: Case, query: Tensor, key: Tensor) -> Tensor:
    """`[B, all heads, M, N]`: what the softmax is taken of."""
    scale = query.shape[-1] ** -0.5 if problem.scale is None else problem.scale
    scores = _flat(query) @ _flat(key).transpose(-1, -2) * scale
    return scores + _real_bias(problem, scores)


def _flat(x: Tensor) -> Tensor:
    """Any rank as `[B, all heads, M, K]`."""
    return x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:-1]), x.shape[-1]).permute(0, 2, 1, 3)


def _real_bias(problem: Case, scores: Tensor) -> Tensor:
    bias = problem.make(real_masks)
    if bias is None:
        return scores.new_zeros(())
    bias = bias_like(scores, bias)
    if isinstance(bias, Tensor):
        return bias if bias.ndim == 2 else bias.reshape(scores.shape)
    return bias.materialize(tuple(scores.shape), dtype=scores.dtype, device=scores.device)


def actual(problem: Case, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The result of the code under test."""
    bias = bias_like(query, problem.make(compat))
    return compat.memory_efficient_attention(query, key, value, bias, scale=problem.scale)


def bias_like(query: Tensor, bias: Any) -> Any:
    """A bias with its tensor, if it has one, in query's dtype and where query is."""
    if isinstance(bias, Tensor):
        return bias.to(query.device, query.dtype)
    if hasattr(bias, "_bias"):
        return type(bias)(bias._bias.to(query.device, query.dtype))
    return bias


def leaves(problem: Case, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """The inputs as leaves that require a gradient."""
    return [x.detach().requires_grad_() for x in problem.inputs(dtype)]


def _autocast() -> bool:
    """Whether autocast is on for the CPU, asked as each torch wants it."""
    return torch.is_autocast_enabled("cpu") if REAL_TORCH >= (2, 4) else torch.is_autocast_cpu_enabled()


def forward_and_gradients(
    function: Callable[..., Tensor], problem: Case, dtype: torch.dtype = torch.float64, autocast: bool = False
) -> tuple[Tensor, ...]:
    """(result, gradient of query, of key, of value) under a random one; autocast is on in the forward."""
    inputs = leaves(problem, dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = function(problem, *inputs)
        assert _autocast() == autocast, "autocast is off around the kernel only"
    generator = torch.Generator().manual_seed(problem.seed + 2)
    upstream = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype)
    return (
        out.detach(),
        *torch.autograd.grad(out, inputs, upstream, allow_unused=True, materialize_grads=True),
    )


def worst_error(problem: Case) -> tuple[float, float]:
    """Largest float64 error of (result, gradients); the result without a graph counts too."""
    got, want = forward_and_gradients(actual, problem), forward_and_gradients(expected, problem)
    with torch.no_grad():
        inference = actual(problem, *problem.inputs())
    errors = [_error(a, b) for a, b in zip(got, want, strict=True)]
    return max(errors[0], _error(inference, want[0])), max(errors[1:])


def _error(got: Tensor, want: Tensor) -> float:
    if got.shape != want.shape:
        return math.inf
    if not got.numel():
        return 0.0
    difference = (got - want).abs()
    return math.inf if difference.isnan().any() else float(difference.max())
