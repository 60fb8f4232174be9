"""Copies with the strides of the original, and which leaves a tensor comes from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from xf2sdpa.judging.leaves import Leaves, copy_of, floating_in, tensors_in

PACKED = torch.randn(2, 5, 3, 4, 8)
SHAPES = {
    "contiguous": torch.randn(2, 5, 4, 8),
    "heads first": torch.randn(2, 4, 5, 8).transpose(1, 2),
    "one of a packed projection": PACKED.unbind(2)[1],
    "expanded over heads": torch.randn(2, 5, 1, 8).expand(2, 5, 4, 8),
    "cut from a padded one": torch.randn(2, 4, 5, 16)[..., :8],
    "overlapping": torch.randn(20).unfold(0, 8, 2),
    "a number": torch.tensor(3.0),
    "empty": torch.empty(2, 0, 4, 8),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_copy_is_laid_out_as_the_original(name: str) -> None:
    original = SHAPES[name]
    copy = copy_of(original)
    assert torch.equal(copy, original)
    assert copy.stride() == original.stride()
    assert not copy.numel() or copy.data_ptr() != original.data_ptr()
    assert copy.requires_grad_().is_leaf


def test_a_leaf_takes_a_gradient_of_its_full_shape() -> None:
    leaves = Leaves([SHAPES["expanded over heads"]], lambda *_: True)
    (gradient,) = torch.autograd.grad((leaves.atoms[0] * 2).sum(), leaves.tensors)
    assert gradient.shape == (2, 5, 4, 8)


def test_tensors_in_containers_and_nothing_else() -> None:
    mask = SimpleNamespace(_bias=torch.zeros(1))
    atoms = [1, [torch.ones(2), torch.arange(3)], {"a": torch.zeros(2).half()}, mask]
    leaves = Leaves(atoms, lambda i, x: i == 1)
    assert [x.dtype for x in leaves.tensors] == [torch.float32, torch.float16]
    assert [x.requires_grad for x in leaves.tensors] == [False, True]
    assert leaves.atoms[0] == 1
    assert leaves.atoms[3] is mask
    assert leaves.atoms[1][1].dtype == torch.int64
    assert [x.dtype for x in leaves.in_double().tensors] == [torch.float64] * 2
    assert len(floating_in(atoms)) == 2
    assert len(tensors_in(atoms)) == 3


def test_where_a_tensor_comes_from() -> None:
    leaves = Leaves([torch.ones(2), torch.ones(2), torch.ones(2)], lambda *_: True)
    one, two, _ = leaves.atoms
    assert leaves.reached_from(one) == {0}
    assert leaves.reached_from((one * two).view(2, 1)) == {0, 1}
    assert leaves.reached_from(SimpleNamespace(_bias=two + 1)) == {1}
    assert leaves.reached_from(None) == leaves.reached_from(one.detach()) == set()


def test_a_tensor_of_inference_mode_can_be_a_leaf() -> None:
    with torch.inference_mode():
        made = torch.ones(2, 3).t()
    assert copy_of(made).requires_grad_().stride() == (1, 3)
