"""The tables of strides, run: the same values whatever the strides, and where it is said, the same layout.

A tensor of the layouts that attention gives, `[B, M, K]` and `[B, M, H, K]`, stored otherwise, against one that is
contiguous.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from xf2sdpa.analysis import strides

STORED = {
    "sequence first": torch.randn(5, 2, 8).transpose(0, 1),
    "heads first": torch.randn(2, 3, 5, 8).transpose(1, 2),
    "sequence first, with heads": torch.randn(5, 2, 3, 8).transpose(0, 1),
}
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("softmax", "log_softmax"), (-1,)),
    **dict.fromkeys(("pow", "add", "sub", "mul", "div", "clamp"), (2.0,)),
    **dict.fromkeys(("logsumexp", "prod", "all", "any", "mean", "sum", "amax", "amin", "std", "argmax", "argmin",
                     "count_nonzero", "var"), (1,)),
    "repeat": (2, 1, 1, 1),
}  # fmt: skip


def arguments(name: str, x: torch.Tensor) -> tuple[Any, ...]:
    if name in ("maximum", "minimum"):
        return (torch.ones_like(x),)
    if name == "masked_fill":
        return (x > 0, 0.0)
    if name == "where":
        return (x > 0, torch.zeros(()))
    return ((x.shape[-1],),) if name in ("layer_norm", "rms_norm") else ARGUMENTS.get(name, ())


def results(name: str, x: torch.Tensor) -> Iterator[torch.Tensor]:
    """By the method, and by the function."""
    yield getattr(x, name)(*arguments(name, x))
    function = getattr(torch, name, None)
    if function is not None and f"torch.{name}" in strides.MAKING_FUNCTIONS | strides.SETTLING_FUNCTIONS:
        yield function(*((x > 0, x, torch.zeros(())) if name == "where" else (x, *arguments(name, x))))


@pytest.mark.parametrize("stored", STORED.values(), ids=STORED)
@pytest.mark.parametrize("name", sorted(strides.SETTLING))
def test_what_settles_the_layout(name: str, stored: torch.Tensor) -> None:
    for one, other in zip(results(name, stored), results(name, stored.contiguous()), strict=True):
        torch.testing.assert_close(one, other)
        assert one.stride() == other.stride()
    if name not in ("repeat", "count_nonzero", "logsumexp", "prod"):
        assert getattr(stored, name)().stride() == ()


@pytest.mark.parametrize("stored", STORED.values(), ids=STORED)
@pytest.mark.parametrize("name", sorted(strides.MAKING))
def test_what_makes_a_tensor(name: str, stored: torch.Tensor) -> None:
    for one, other in zip(results(name, stored), results(name, stored.contiguous()), strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)
        assert one.data_ptr() != stored.data_ptr()


@pytest.mark.parametrize("stored", STORED.values(), ids=STORED)
@pytest.mark.parametrize("dotted", sorted(n for n in strides.MAKING_FUNCTIONS if ".functional." in n))
def test_what_a_function_makes(dotted: str, stored: torch.Tensor) -> None:
    name = dotted.rpartition(".")[2]
    function = getattr(F, name, None)
    if function is None:
        pytest.skip("not in this torch")
    one, other = (function(x, *arguments(name, x)) for x in (stored, stored.contiguous()))
    torch.testing.assert_close(one, other)
    assert one.data_ptr() != stored.data_ptr()


@pytest.mark.parametrize("stored", STORED.values(), ids=STORED)
@pytest.mark.parametrize("dotted", sorted(strides.JOINING_FUNCTIONS))
def test_what_joins_copies(dotted: str, stored: torch.Tensor) -> None:
    join = getattr(torch, dotted.rpartition(".")[2])
    dims: list[dict[str, int]] = [{"dim": dim} for dim in range(-1, stored.ndim)] if "stack" not in dotted else [{}]
    dims = [{"dim": dim} for dim in range(-1, stored.ndim + 1)] if dotted == "torch.stack" else dims
    for dim in dims:
        for rest in ([], [stored], [stored.contiguous()]):
            one, other = join([stored, *rest], **dim), join([x.contiguous() for x in (stored, *rest)], **dim)
            torch.testing.assert_close(one, other)
            assert one.stride() == other.stride()


def test_the_first_operand_settles_the_layout_of_a_sum() -> None:
    x = torch.randn(2, 5, 8)
    y = STORED["sequence first"]
    for z in (x + y, x - y, x * y, x / y, x**y, x % y, x // y):
        assert z.is_contiguous()
    assert not (y + x).is_contiguous()
    assert not (torch.ones(8) + y).is_contiguous()
    assert not (2.0 * y).is_contiguous()


def test_one_head_is_laid_out_as_query() -> None:
    """The result of a 3-D call: contiguous for contiguous inputs, not where they are stored sequence first."""
    for stored, as_query in ((torch.randn(3, 2, 5, 8), True), (torch.randn(3, 5, 2, 8).transpose(1, 2), False)):
        q, k, v = (x.unsqueeze(1) for x in stored)
        for grad in (False, True):
            out = F.scaled_dot_product_attention(q.detach().requires_grad_(grad), k, v).squeeze(1)
            assert out.is_contiguous() or not as_query
