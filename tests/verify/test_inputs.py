"""Made-up inputs: whatever the operator is handed must be what xformers takes, for every way a program writes it."""

from __future__ import annotations

import dataclasses
import textwrap

import pytest
import torch

from xf2sdpa.analysis.values import NONE, Mask, OneOf, Rank
from xf2sdpa.analysis.values import Tensor as TensorValue
from xf2sdpa.settings import Settings
from xf2sdpa.verify import inputs
from xf2sdpa.verify.judging.calls import operator_of
from xf2sdpa.verify.judging.old_path import find_old_path
from xf2sdpa.verify.model import SiteReport
from xf2sdpa.verify.planning.old_text import collect
from xf2sdpa.verify.planning.parts import Atom, Shadow
from xf2sdpa.verify.planning.sites import SitePlan, plan

SHAPE = inputs.Shape("small", 2, 6, 10, 3, 8)
HEAD = """
import torch
import xformers.ops as xops
from xformers.ops import LowerTriangularMask, fmha, memory_efficient_attention
"""


@pytest.fixture(autouse=True, scope="module")
def _old_path():
    with find_old_path().install():
        yield


@pytest.fixture
def site(tmp_path):
    def planned(program: str):
        file = tmp_path / "model.py"
        file.write_text(HEAD + textwrap.dedent(program))
        made = plan(collect([str(file)]), Settings())
        return made.sites[0], made.helper(made.sites[0])

    return planned


def handed(made_site, atoms):
    """What the operator is called with."""
    calls = []

    def attend(call):
        calls.append(call)
        return call.query.new_zeros(call.result_shape)

    made_site.probe(operator_of("memory_efficient_attention", attend), None).old(
        operator_of("memory_efficient_attention", attend), *atoms.values
    )
    (call,) = calls
    return call


def made(planned, shape=SHAPE, dtype=torch.float32, seed=0):
    found = inputs.make(planned[0], shape, "cpu", dtype, seed, helper=planned[1])
    assert not isinstance(found, inputs.Reason), found
    return found


def shapes(call):
    return [tuple(x.shape) for x in (call.query, call.key, call.value)]


BMHK = """
def attend(q, k, v):
    b, m, h, d = q.shape
    return memory_efficient_attention(q, k, v).reshape(b, m, h * d)
"""


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


def by_hand(old, *atoms):
    """A site whose old side computes its arguments from parts."""
    node = ("Call", 1, 0, 1, 1)
    report = SiteReport("m.py::f#0", "m.py", 1, "compat", "", "")
    parts = tuple(Atom(source, role, whole=False) for source, role in atoms)
    return SitePlan(report, Shadow("m.py::f#0", node, node, parts, old, "None", {}, {}), rank=4, mask="none"), None


NAMES = (("q", "query"), ("k", "key"), ("v", "value"))


def viewed(text):
    """The same done to all three."""
    return f"operator({', '.join(text.replace('x', f'atom{number}') for number in range(3))})"


def test_parts_of_an_argument_are_found():
    planned = by_hand(viewed("x.view(atom3, -1, atom4, 8)"), *NAMES, ("b", "query"), ("heads", "query"))
    (atoms,) = made(planned)
    assert shapes(handed(planned[0], atoms)) == [(2, 6, 3, 8), (2, 10, 3, 8), (2, 10, 3, 8)]
    assert atoms.values[3:] == [2, 3]


def test_a_length_that_both_share_means_as_many_keys_as_queries():
    planned = by_hand(viewed("x.view(-1, atom3, 3, 8)"), *NAMES, ("n", "query"))
    (atoms,) = made(planned)
    assert shapes(handed(planned[0], atoms)) == [(2, 6, 3, 8)] * 3
    assert atoms.shape.keys == atoms.shape.queries == 6


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


MASKED = """
def attend(q, k, v, causal, bias=None):
    b, m, h, d = q.shape
    {}
    return memory_efficient_attention(q, k, v, attn_bias=mask).reshape(b, m, h * d)
"""


def bias_of(planned, atoms):
    return handed(planned[0], atoms).attn_bias


@pytest.mark.parametrize(
    "lines",
    [
        "mask = LowerTriangularMask() if causal else None",
        "mask = None if not causal else LowerTriangularMask()",
        "mask = None\n    if causal:\n        mask = LowerTriangularMask()",
    ],
)
def test_a_flag_both_ways_and_the_new_side_is_told_the_same(site, lines):
    planned = site(MASKED.format(lines))
    seen = {
        type(bias_of(planned, atoms)).__name__: [value for value in atoms.values if isinstance(value, bool)]
        for atoms in made(planned)
    }
    assert seen == {"NoneType": [False], "LowerTriangularMask": [True]}


def test_a_flag_inside_the_argument(site):
    planned = site(
        """
        def attend(q, k, v, causal):
            b, m, h, d = q.shape
            out = memory_efficient_attention(q, k, v, attn_bias=None if causal else LowerTriangularMask())
            return out.reshape(b, m, h * d)
        """
    )
    seen = {atoms.values[3]: type(bias_of(planned, atoms)).__name__ for atoms in made(planned)}
    assert seen == {True: "NoneType", False: "LowerTriangularMask"}


TENSOR = """
def attend(q, k, v, bias):
    b, m, h, d = q.shape
    {}
    return memory_efficient_attention(q, k, v, attn_bias={}).reshape(b, m, h * d)
"""


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


def test_five_dimensions_have_no_gradients_in_xformers():
    planned = by_hand("operator(atom0, atom1, atom2)", *NAMES)
    planned[0].rank = 5
    (atoms,) = made(planned)
    call = handed(planned[0], atoms)
    assert shapes(call) == [(2, 6, 3, 2, 8), (2, 10, 3, 2, 8), (2, 10, 3, 2, 8)]
    assert call.key.stride(3) == 0
    assert atoms.notes == ("made up: small, stored BMHK", "forward only: xformers has no gradients for five dimensions")


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


@pytest.mark.parametrize(
    ("maker", "name"),
    [
        ("fmha.BlockDiagonalMask.from_seqlens([m])", "BlockDiagonalMask"),
        ("fmha.BlockDiagonalMask.from_seqlens([m]).make_causal()", "BlockDiagonalCausalMask"),
        ("fmha.attn_bias.LowerTriangularFromBottomRightMask()", "LowerTriangularFromBottomRightMask"),
    ],
)
def test_mask_objects(site, maker, name):
    planned = site(MASKED.format(f"mask = {maker}"))
    (atoms,) = made(planned)
    call = handed(planned[0], atoms)
    assert type(call.attn_bias).__name__ == name
    if name.startswith("Block"):
        starts = call.attn_bias.q_seqinfo.seqstart_py
        assert (call.query.shape[0], call.query.shape[1]) == (1, starts[-1])
        assert len(set(starts)) > 2
        assert call.key.shape[1] == call.attn_bias.k_seqinfo.seqstart_py[-1] != starts[-1]


def test_a_mask_that_could_be_anything_in_a_project_with_and_without_mask_objects(site):
    program = "def attend(q, k, v, mask):\n    return memory_efficient_attention(q, k, v, attn_bias=mask)\n"
    tensors = {atoms.mask for atoms in made(site(program))}
    assert tensors == {"none", "tensor", "tensor, a row closed"}
    more = program + "\ndef packed(lengths):\n    return fmha.BlockDiagonalMask.from_seqlens(lengths).make_causal()\n"
    found = {atoms.mask for atoms in made(site(more))}
    assert {"BlockDiagonalMask", "BlockDiagonalCausalMask"} <= found


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


def test_the_awkward_shapes_are_among_those_of_each_device():
    for table in (inputs.CPU_SHAPES, inputs.GPU_SHAPES):
        assert {257, 77} <= {length for shape in table for length in (shape.queries, shape.keys)}
        assert {40, 160} <= {shape.width for shape in table}
        assert any(shape.low and shape.keys % 128 == 64 for shape in table)
        assert any(shape.queries > shape.keys for shape in table)
        assert {shape.storage for shape in table} == {"BMHK", "BHMK", "packed"}
    assert sum(shape.timed for shape in inputs.GPU_SHAPES) >= 4
