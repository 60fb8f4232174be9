"""The arguments of the old side's operator, one by one, and which values are taken for one."""

from __future__ import annotations

import torch

from tests.verify.inputs.sites import NAMES, SHAPE, by_hand
from xf2sdpa.verify.inputs.arguments import arguments_of, fits
from xf2sdpa.verify.inputs.tensors import Build


def build(kind="none"):
    return Build(SHAPE, 4, kind, torch.device("cpu"), torch.float32, 0)


def test_arguments_are_functions_of_their_own_atoms():
    site, _ = by_hand("f(operator(atom0 + 1, atom1, value=atom2 * atom3, p=0.5))", *NAMES, ("scale", "value"))
    found = {argument.role: argument for argument in arguments_of(site.shadow)}
    assert {role: argument.atoms for role, argument in found.items()} == {
        "query": (0,),
        "key": (1,),
        "value": (2, 3),
        "p": (),
    }
    assert (found["query"].function(1), found["value"].function(2, 3), found["p"].function()) == (2, 6, 0.5)


def test_what_is_unpacked_is_no_argument_of_its_own():
    site, _ = by_hand("operator(atom0, *atom1, atom2, p=0.5)", *NAMES)
    assert [argument.role for argument in arguments_of(site.shadow)] == ["query", "p"]


def test_an_argument_fits_by_shape_and_dtype():
    assert fits("query", torch.ones(2, 6, 3, 8), build())
    assert not fits("key", torch.ones(2, 6, 3, 8), build())
    assert not fits("query", torch.ones(2, 6, 3, 8, dtype=torch.int64), build())
    assert fits("attn_bias", torch.ones(2, 3, 6, 10), build("tensor"))
    assert not fits("attn_bias", torch.ones(6, 10), build("tensor"))
    assert not fits("attn_bias", torch.ones(2, 3, 6, 10), build("none"))
    assert not fits("attn_bias", None, build("causal"))
    assert fits("p", "anything", build())
