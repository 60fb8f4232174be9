"""What torch's own function gets wrong, or is kept from doing: the helper gives what xformers gave all the same."""

import math

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("xformers.ops")

from compat_oracle import KINDS, actual, biased_scores, case, expected, forward_and_gradients

from xf2sdpa.compat import kernels

ATTEND = F.scaled_dot_product_attention
CLOSING = [kind for kind in KINDS if "tensor" in kind or "Local" in kind or "Padded" in kind or "BottomRight" in kind]


def before_2_5(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):  # noqa: PLR0917
    """SDPA by the formula, as torch 2.1 has it: a row that the mask closes is NaN."""
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).tril().logical_not(), -math.inf)
    return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ v


@pytest.mark.parametrize("kind", CLOSING)
def test_rows_closed_by_a_mask_are_0_before_torch_2_5(kind, monkeypatch):
    monkeypatch.setattr(kernels, "_TORCH", (2, 4))
    monkeypatch.setattr(F, "scaled_dot_product_attention", before_2_5)
    for seed in range(20):
        problem = case(kind, seed)
        got, want = (forward_and_gradients(f, problem) for f in (actual, expected))
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b)


def test_some_of_these_rows_are_closed():
    problems = [case(kind, seed) for kind in CLOSING for seed in range(20)]
    closed = [(biased_scores(problem, *problem.inputs()[:2]) == -math.inf).all(-1).any() for problem in problems]
    assert sum(closed) > 30
