"""Which masks a site is handed: all that it may meet, and none that it would refuse."""

from __future__ import annotations

import pytest

from tests.verify.inputs.sites import MASKED, bias_of, made


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


def test_a_mask_that_could_be_anything_in_a_project_with_and_without_mask_objects(site):
    program = "def attend(q, k, v, mask):\n    return memory_efficient_attention(q, k, v, attn_bias=mask)\n"
    tensors = {atoms.mask for atoms in made(site(program))}
    assert tensors == {"none", "tensor", "tensor, a row closed"}
    more = program + "\ndef packed(lengths):\n    return fmha.BlockDiagonalMask.from_seqlens(lengths).make_causal()\n"
    found = {atoms.mask for atoms in made(site(more))}
    assert {"BlockDiagonalMask", "BlockDiagonalCausalMask"} <= found
