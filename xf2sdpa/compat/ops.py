"""Other operators of `xformers.ops` in plain torch: SwiGLU, RMSNorm, gathering and scattering rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def index_select_cat(sources: Sequence[Tensor], indices: Sequence[Tensor]) -> Tensor:
    """The rows `indices[i]` of each `sources[i]` `[S_i, D_i]`, flattened and concatenated.

    Returns `[sum(I_i * D_i)]`. The indices of one source must be unique.
    """
    return torch.cat([source.index_select(0, indices[i]).flatten() for i, source in enumerate(sources)])


def scaled_index_add(
    input: Tensor, index: Tensor, source: Tensor, scaling: Tensor | None = None, alpha: float = 1.0
) -> Tensor:
    """In place `input[index] += alpha * scaling * source`; returns `input`.

    Shapes: input `[B, M, D]`, index `[I]` without repeats, source `[I, M, D]`, scaling `[D]`.
    Computed in float32 at least, so that half precision rounds once.
    """
    exact = torch.promote_types(input.dtype, torch.float32)
    weight = alpha if scaling is None else alpha * scaling.to(exact)
    rows = input.index_select(0, index) + weight * source.to(exact)
    return input.index_copy_(0, index.long(), rows.to(input.dtype))


def swiglu(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    w3: Tensor,
    b3: Tensor | None,
    *,
    op: Any = None,
) -> Tensor:
    """`(silu(x @ w1.T + b1) * (x @ w2.T + b2)) @ w3.T + b3`; op: accepted, not used."""
    return F.linear(F.silu(F.linear(x, w1, b1)) * F.linear(x, w2, b2), w3, b3)


class SwiGLU(nn.Module):
    """Gated feed-forward layer; parameters, initial values and state dict as in xformers.

    Maps `[*, in_features]` to `[*, out_features]`. `w12` holds both halves of the first layer; with
    `_pack_weights=False` they are `w1` and `w2`.
    """

    def __init__(
        self, in_features: int, hidden_features: int, out_features: int | None = None, bias: bool = True,
        *, _pack_weights: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        out_features = out_features or in_features
        hidden_features = hidden_features or in_features
        self.w12: nn.Linear | None
        if _pack_weights:
            self.w12 = nn.Linear(in_features, 2 * hidden_features, bias=bias)
        else:
            self.w12 = None
            self.w1 = nn.Linear(in_features, hidden_features, bias=bias)
            self.w2 = nn.Linear(in_features, hidden_features, bias=bias)
        self.w3 = nn.Linear(hidden_features, out_features, bias=bias)
        self.hidden_features = hidden_features
        self.out_features = out_features
        self.in_features = in_features
        self.op: Any = None

    def forward(self, x: Tensor) -> Tensor:
        """`[*, in_features]` -> `[*, out_features]`."""
        gate, hidden = self.w12(x).chunk(2, dim=-1) if self.w12 is not None else (self.w1(x), self.w2(x))
        out: Tensor = self.w3(F.silu(gate) * hidden)
        return out


def rms_norm(x: Tensor, weight: Tensor | None, eps: float = 1e-6) -> Tensor:
    """`x / sqrt(mean(x * x, -1) + eps) * weight` in x's dtype, computed in float32 at least."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (normed if weight is None else normed * weight).to(x.dtype)


def rms_norm_add(x: Tensor, y: Tensor, weight: Tensor | None, eps: float = 1e-6) -> Tensor:
    """`x += y`, in place, then `rms_norm(x, weight, eps)`."""
    return rms_norm(x.add_(y), weight, eps)


class RMSNorm(nn.Module):
    """RMS normalisation over the last dimension; unlike xformers' it has gradients."""

    def __init__(self, dim: int, include_weight: bool = True, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim)) if include_weight else None

    def forward(self, x: Tensor) -> Tensor:
        """`[*, dim]` -> `[*, dim]`."""
        return rms_norm(x, self.weight, self.eps)

    def increment_and_forward_(self, x: Tensor, y: Tensor) -> Tensor:
        """`x += y`, in place, then `forward(x)`."""
        return rms_norm_add(x, y, self.weight, self.eps)
