"""What a part of an argument may be: layouts, sizes, dtypes, numbers."""

from __future__ import annotations

import pytest
import torch

from tests.verify.inputs.sites import NAMES, bias_of, by_hand, handed, made, shapes, viewed
from xf2sdpa.analysis.values import Rank
from xf2sdpa.analysis.values import Tensor as TensorValue
from xf2sdpa.verify import inputs


def test_heads_first_atom(site):
    planned = site(
        """
        def attend(q, k, v):
            b, h, m, d = q.shape
            out = memory_efficient_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
            return out.transpose(1, 2).reshape(b, h * m * d)
        """
    )
    (atoms,) = made(planned)
    assert atoms.values[0].shape == (2, 3, 6, 8)
    assert shapes(handed(planned[0], atoms))[0] == (2, 6, 3, 8)


def test_parts_of_an_argument_are_found():
    planned = by_hand(viewed("x.view(atom3, -1, atom4, 8)"), *NAMES, ("b", "query"), ("heads", "query"))
    (atoms,) = made(planned)
    assert shapes(handed(planned[0], atoms)) == [(2, 6, 3, 8), (2, 10, 3, 8), (2, 10, 3, 8)]
    assert atoms.values[3:] == [2, 3]


def test_equal_sources_are_one_value():
    roles = (("q", "query"), ("k", "key"), ("k", "value"), ("q.dtype", "key"))
    planned = by_hand("operator(atom0, atom1.to(atom3), atom2)", *roles)
    (atoms,) = made(planned)
    assert atoms.values[1] is atoms.values[2]
    assert atoms.values[3] is torch.float32


def test_one_tensor_in_three_places(site):
    planned = site(
        """
        def attend(x):
            b, m, h, d = x.shape
            return memory_efficient_attention(x, x, x).reshape(b, m, h * d)
        """
    )
    (atoms,) = made(planned)
    assert all(value is atoms.values[0] for value in atoms.values)
    assert shapes(handed(planned[0], atoms)) == [(2, 6, 3, 8)] * 3


@pytest.mark.parametrize(
    ("expression", "size"),
    [
        ("atom3", (2, 3, 6, 10)),
        ("atom3.expand(-1, 3 if len(atom3) == 2 else 4, -1, -1)", (2, 3, 6, 10)),
        ("atom3[:, None].expand(-1, atom0.shape[2], -1, -1)", (2, 6, 10)),
        ("atom3.view(atom0.shape[0], atom0.shape[2], *atom3.shape[1:])", (6, 6, 10)),
    ],
)
def test_parts_of_a_bias_are_found(expression, size):
    planned = by_hand(f"operator(atom0, atom1, atom2, {expression})", *NAMES, ("bias", "attn_bias"))
    planned[0].mask, planned[0].bias = "tensor", TensorValue(Rank(0, 1))
    found = {atoms.mask: atoms for atoms in made(planned)}
    for atoms in found.values():
        assert bias_of(planned, atoms).shape == (2, 3, 6, 10)
        assert atoms.values[3].shape == size
    assert (bias_of(planned, found["tensor, a row closed"])[:, :, 0] == float("-inf")).all()
    assert (bias_of(planned, found["tensor, a row closed"])[..., 9] == float("-inf")).all()


def test_dropout_and_scale_are_not_their_defaults(site):
    planned = site(
        """
        def attend(q, k, v, p, scale):
            b, m, h, d = q.shape
            return memory_efficient_attention(q, k, v, p=p, scale=scale, op=None).reshape(b, m, h * d)
        """
    )
    call = handed(planned[0], made(planned)[0])
    assert (call.p, call.scale) == (inputs.DROPOUT, inputs.SCALE)


def test_a_constant_dropout_is_itself(site):
    planned = site(
        """
        def attend(q, k, v):
            b, m, h, d = q.shape
            return memory_efficient_attention(q, k, v, p=0.0).reshape(b, m, h * d)
        """
    )
    assert handed(planned[0], made(planned)[0]).p == 0.0


def test_unpacked_arguments(site):
    planned = site("def attend(qkv):\n    return memory_efficient_attention(*qkv)\n")
    if planned[0].shadow is None:
        pytest.skip(planned[0].report.reason)
    assert shapes(handed(planned[0], made(planned)[0]))[1] == (2, 10, 3, 8)
