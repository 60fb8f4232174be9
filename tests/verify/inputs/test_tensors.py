"""Query, key, value and bias: sizes by rank, storage, values, gradients."""

from __future__ import annotations

import pytest
import torch

from tests.verify.inputs.sites import BMHK, NAMES, bias_of, by_hand, handed, made, shapes
from xf2sdpa.verify import inputs


def test_four_dimensions(site):
    planned = site(BMHK)
    (atoms,) = made(planned)
    call = handed(planned[0], atoms)
    assert shapes(call) == [(2, 6, 3, 8), (2, 10, 3, 8), (2, 10, 3, 8)]
    assert all(x.requires_grad and x.is_leaf for x in (call.query, call.key, call.value))
    assert atoms.mask == "none"


def test_three_dimensions(site):
    planned = site(
        """
        def attend(q, k, v):
            b, m, d = q.shape
            return memory_efficient_attention(q, k, v).reshape(b, m * d)
        """
    )
    (atoms,) = made(planned)
    assert shapes(handed(planned[0], atoms)) == [(2, 6, 8), (2, 10, 8), (2, 10, 8)]


def test_rank_unknown_is_tried_as_both(site):
    planned = site("def attend(q, k, v):\n    return memory_efficient_attention(q, k, v)\n")
    assert {handed(planned[0], atoms).query.ndim for atoms in made(planned)} == {3, 4}


def test_five_dimensions_have_no_gradients_in_xformers():
    planned = by_hand("operator(atom0, atom1, atom2)", *NAMES)
    planned[0].rank = 5
    (atoms,) = made(planned)
    call = handed(planned[0], atoms)
    assert shapes(call) == [(2, 6, 3, 2, 8), (2, 10, 3, 2, 8), (2, 10, 3, 2, 8)]
    assert call.key.stride(3) == 0
    assert atoms.notes == ("made up: small, stored BMHK", "forward only: xformers has no gradients for five dimensions")


@pytest.mark.parametrize(
    ("storage", "strides"),
    [("BMHK", (144, 24, 8, 1)), ("BHMK", (144, 8, 48, 1)), ("packed", (432, 72, 8, 1))],
)
def test_storage(site, storage, strides):
    planned = site(BMHK)
    shape = inputs.Shape("stored", 2, 6, 10, 3, 8, storage)
    assert handed(planned[0], made(planned, shape)[0]).query.stride() == strides


def test_the_same_seed_gives_the_same_values(site):
    planned = site(BMHK)
    one, two, other = (made(planned, seed=seed)[0].values[0] for seed in (3, 3, 4))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_query_key_and_value_are_different_tensors(site):
    planned = site(BMHK)
    query, key, value = made(planned)[0].values
    assert not torch.equal(key, value)
    assert not torch.equal(query, key[:, :6])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_scores_are_low_enough_for_the_corner(site, dtype):
    planned = site(BMHK)
    shape = inputs.Shape("low", 1, 48, 64, 2, 32, low=True)
    call = handed(planned[0], made(planned, shape, dtype)[0])
    assert call.query.dtype == dtype
    query, key = (x.double().transpose(1, 2) for x in (call.query, call.key))
    assert (query @ key.transpose(-1, -2) * 32**-0.5).logsumexp(-1).median() < -88


TENSOR = """
def attend(q, k, v, bias):
    b, m, h, d = q.shape
    {}
    return memory_efficient_attention(q, k, v, attn_bias={}).reshape(b, m, h * d)
"""


def test_a_bias_is_stored_as_xformers_demands_and_may_be_learnt(site):
    planned = site(TENSOR.format("b, h, m, n = bias.shape", "bias"))
    odd, even = (made(planned, inputs.Shape("", 2, 6, keys, 3, 8)) for keys in (77, 16))
    assert {bias_of(planned, atoms).stride(-2) % 8 for atoms in (*odd, *even)} == {0}
    assert {atoms.mask for atoms in odd} == {"tensor", "tensor, a row closed"}
    assert {atoms.mask: bias_of(planned, atoms).requires_grad for atoms in even} == {
        "tensor": False,
        "tensor, a row closed": False,
        "tensor, learnt": True,
    }


@pytest.mark.parametrize("scale", ["1.0", "0.5", "4", "-0.25"])
@pytest.mark.parametrize("mask", ["None", "bias"])
def test_low_scores_follow_a_literal_scale(scale, mask, site):
    """About -110 times the number that the call gives, not times the default."""
    planned = site(f"""
    def attend(q, k, v, bias):
        b, m, h, d = q.shape
        out = memory_efficient_attention(q, k, v, attn_bias={mask}, scale={scale})
        return out.reshape(b, m, h * d)
    """)
    shape = inputs.Shape("low", 1, 48, 64, 2, 32, low=True)
    found = [atoms for atoms in made(planned, shape) if handed(planned[0], atoms).scale == float(scale)]
    assert found
    for atoms in found:
        call = handed(planned[0], atoms)
        scores = torch.einsum("bmhk,bnhk->bhmn", call.query, call.key) * call.scale
        assert -140 < scores.mean() < -90
