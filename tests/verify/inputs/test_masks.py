"""Mask objects of xformers' classes, and the packed sequences that they belong to."""

from __future__ import annotations

import pytest

from tests.verify.inputs.sites import MASKED, handed, made


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
