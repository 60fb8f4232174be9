"""Candidate values for an atom: whole arguments as xformers takes them, and parts that programs make arguments from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from xf2sdpa.verify.inputs.tensors import QKV, Build
from xf2sdpa.verify.planning.parts import Atom

DROPOUT = 0.25
"""The value of `p`, if it is not a constant: a check compares the rates requested, but nothing is dropped."""
SCALE = 0.3
"""The value of `scale`; not the default of any head size in use here."""

Candidate = Callable[[Build, str], Any]
"""Makes an atom's value for one set of inputs; the str is the parameter that the atom belongs to."""


def candidates(atom: Atom, kind: str) -> list[Candidate]:
    """Candidates for an atom if the mask is of this kind, the likeliest first."""
    if atom.role in QKV and atom.heads_first:
        return [_heads_first]
    if atom.role in QKV:
        return [_whole] if atom.whole else _parts(atom.source, _tensor_parts())
    if atom.role == "attn_bias":
        return [lambda build, _: build.mask()] if atom.whole else _parts(atom.source, _bias_parts())
    if atom.role == "is_causal":
        return [lambda *_: kind == "causal"]
    fixed: dict[str, list[Candidate]] = {
        "p": [lambda *_: _constant(atom.source, DROPOUT)],
        "scale": [lambda *_: SCALE],
        "op": [lambda *_: None],
        "output_dtype": [lambda *_: None],
        "*": [
            lambda build, _: tuple(build.whole(role) for role in QKV),
            lambda build, _: (*(build.whole(role) for role in QKV), build.mask()),
            lambda build, _: tuple(build.whole(role) for role in QKV[1:]),
        ],
        "**": [lambda *_: {}, lambda build, _: {"attn_bias": build.mask()}],
    }
    return fixed.get(atom.role, [])


def _constant(source: str, otherwise: float) -> float:
    """The number that a source spells; `otherwise` if it is not a number."""
    try:
        return float(source)
    except ValueError:
        return otherwise


def _whole(build: Build, role: str) -> Tensor:
    return build.whole(role)


def _heads_first(build: Build, role: str) -> Tensor:
    return build.leaf(role, build.batch, *build.heads, build.length(role), build.shape.width)


def _parts(source: str, tensors: Iterator[Candidate]) -> list[Candidate]:
    """Candidates for a part of an argument."""
    if source.endswith("dtype"):
        return [lambda build, _: build.dtype]
    if source.endswith("device"):
        return [lambda build, _: build.device]
    return [*tensors, *_plain_parts()]


def _tensor_parts() -> Iterator[Candidate]:
    """Tensors in the layouts from which programs make `[B, M, H, K]` within the argument."""

    def of(sizes: Callable[[int, int, int, int], tuple[int, ...]]) -> Candidate:
        return lambda build, role: build.leaf(
            role, *sizes(build.batch, build.length(role), math.prod(build.heads), build.shape.width)
        )

    yield _whole
    yield of(lambda b, m, h, k: (b, h, m, k))
    yield of(lambda b, m, h, k: (b, m, h * k))
    yield of(lambda b, m, h, k: (b * h, m, k))
    yield of(lambda b, m, h, k: (m, b, h * k))
    yield of(lambda b, m, h, k: (m, b, h, k))
    yield of(lambda b, m, h, k: (b, m, 3, h, k))
    yield of(lambda b, m, h, k: (b, m, 3 * h * k))
    yield of(lambda b, m, h, k: (b, m, 2, h, k))


def _bias_parts() -> Iterator[Candidate]:
    """Biases of the shapes from which programs make `[B, H, M, N]` within the argument, by `expand` or `view`."""

    def of(sizes: Callable[[int, int, int, int], tuple[int, ...]]) -> Candidate:
        return lambda build, _: build.bias(
            *sizes(build.batch, math.prod(build.heads), build.length("query"), build.length("key"))
        )

    yield of(lambda b, h, m, n: (b, h, m, n))
    yield of(lambda b, _, m, n: (b, 1, m, n))
    yield of(lambda b, _, __, n: (b, 1, 1, n))
    yield of(lambda _, __, m, n: (1, 1, m, n))
    yield of(lambda _, h, m, n: (1, h, m, n))
    yield of(lambda _, __, m, n: (m, n))
    yield of(lambda _, h, m, n: (h, m, n))
    yield of(lambda b, h, m, n: (b * h, m, n))
    yield of(lambda b, _, m, n: (b, m, n))
    yield of(lambda b, _, __, n: (b, n))


def _plain_parts() -> Iterator[Candidate]:
    """Flags, factors and sizes."""
    yield lambda build, _: build.kind == "causal"
    yield lambda build, _: build.kind != "causal"
    yield lambda *_: SCALE
    yield lambda build, _: build.batch
    yield lambda build, _: math.prod(build.heads)
    yield lambda build, _: build.shape.width
    yield lambda build, _: build.length("query")
    yield lambda build, _: build.length("key")
    yield lambda build, _: math.prod(build.heads) * build.shape.width
    yield lambda build, _: build.batch * math.prod(build.heads)
