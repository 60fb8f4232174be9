"""The search as a whole: what it settles for, and the reason where nothing fits."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.verify.inputs.sites import BMHK, NAMES, SHAPE, by_hand, handed, made, shapes, viewed
from xf2sdpa.analysis.values import NONE, Mask, OneOf, Rank
from xf2sdpa.analysis.values import Tensor as TensorValue
from xf2sdpa.verify import inputs


def test_a_length_that_both_share_means_as_many_keys_as_queries():
    planned = by_hand(viewed("x.view(-1, atom3, 3, 8)"), *NAMES, ("n", "query"))
    (atoms,) = made(planned)
    assert shapes(handed(planned[0], atoms)) == [(2, 6, 3, 8)] * 3
    assert atoms.shape.keys == atoms.shape.queries == 6


@pytest.mark.parametrize("rank", [2, 3])
def test_a_whole_bias_of_another_rank_than_xformers_takes_is_not_made(rank):
    planned = by_hand("operator(atom0, atom1, atom2, atom3)", *NAMES, ("bias", "attn_bias"))
    atoms = planned[0].shadow.atoms
    planned[0].shadow = dataclasses.replace(
        planned[0].shadow, atoms=(*atoms[:3], dataclasses.replace(atoms[3], whole=True))
    )
    planned[0].mask, planned[0].bias = "tensor", TensorValue(Rank(rank))
    assert isinstance(inputs.make(planned[0], SHAPE, "cpu", torch.float32, 0), inputs.Reason)


def test_kinds_that_could_not_be_made_are_named():
    planned = by_hand("operator(atom0, atom1, atom2, atom3.bias)", *NAMES, ("holder", "attn_bias"))
    planned[0].mask, planned[0].bias = "unknown", OneOf(frozenset({NONE, Mask("PagedBlockDiagonalPaddedKeysMask")}))
    maker = inputs.Maker(planned[0])
    assert maker.missing == ["PagedBlockDiagonalPaddedKeysMask", "none"]
    assert maker.make(SHAPE, "cpu", torch.float32, 0) == "needs a program: no made-up value fits q, k, v, holder"


def test_what_nobody_can_make_needs_a_program():
    planned = by_hand("operator(atom0[atom3.order], atom1, atom2)", *NAMES, ("plan", "query"))
    found = inputs.make(planned[0], SHAPE, "cpu", torch.float32, 0)
    assert found == "needs a program: no made-up value fits q, k, v, plan"
    assert isinstance(found, inputs.Reason)


def test_what_only_the_new_side_reads_is_not_guessed():
    planned = by_hand("operator(atom0, atom1, atom2)", *NAMES, ("size", ""))
    assert inputs.make(planned[0], SHAPE, "cpu", torch.float32, 0) == "needs a program: the new side reads size"


def test_a_site_without_two_sides_gives_its_own_reason(site):
    planned = site(BMHK)[0]
    planned.shadow, planned.report.reason = None, "edited by hand"
    assert inputs.make(planned, SHAPE, "cpu", torch.float32, 0) == "edited by hand"
