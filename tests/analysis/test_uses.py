"""Which uses of a result look at its strides: with and without `.contiguous()`, run on tensors stored otherwise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import xformers.ops

from tests import oracle
from xf2sdpa.rewrite.engine import rewrite_text

HEAD = """\
import torch
import torch.nn.functional as F
import xformers.ops as xops

def attend(q, k, v, x, scale=2.0, s=2.0, number: float = 2.0):
    {shape} = q.shape
    y = xops.memory_efficient_attention(q, k, v)
"""
BARE = {
    "added and reshaped": "z = y + x\n    return z.reshape(b, -1)",
    "added and viewed": "z = s * y\n    return z.view(b, -1)",
    "joined": "return torch.cat((y, x), 1), torch.stack([y, x])",
    "reduced": "return y.mean(1), y.sum(dim=-1), torch.amax(y, 1), (y * x).std()",
    "read twice": "z = y.softmax(-1)\n    w = y.abs()\n    return (z + w).sum(1)",
    "compared": "return (y > x).any(1), torch.equal(y, x), torch.allclose(y, x)",
    "told": "print(f'{y.shape} {y}')\n    return y is None",
    "one of two": "z = y if s > 1 else x\n    return z.flatten(1)",
    "a part": "z = y[0]\n    return z.reshape(-1)",
    "written in": "y[:, 0] = 0.0\n    return y.flatten(1)",
    "copied into a part": "z = torch.zeros_like(x)\n    z[:, :n] = y\n    return z",
    "added in place": "z = torch.zeros(q.shape, dtype=q.dtype)\n    z += y\n    return z",
    "gathered": "pieces = []\n    pieces.append(y)\n    return torch.cat(pieces)",
    "activated": "z = F.gelu(torch.clamp(y, -1, 1))\n    return F.normalize(z, dim=-1).view(b, -1)",
    "annotated": "z: torch.Tensor = y\n    return z.view(b, -1)",
}
CONTIGUOUS = {
    "added first": "return y + x",
    "scaled": "return s * y",
    "scaled by a number": "return number + y",
    "scaled by a weight": "return scale + y",
    "activated": "return y.sigmoid()",
    "a part": "return y[0]",
    "listed": "return [y, x]",
    "gathered and handed on": "pieces = []\n    pieces.append(y)\n    return pieces",
    "added to what it made": "z = y * 2.0\n    return z + y",
    "through an out": "z = torch.empty(0, dtype=q.dtype)\n    torch.exp(y, out=z)\n    return z",
    "added to a number in place": "z = 0\n    z += y\n    return z",
    "multiplied from the right": "return x.mT @ y",
    "a view is written, then a sum is read": "y.view(b, -1)[:, 0] = 7.0\n    return y.sum(-1)",
    "again and again": "for i in range(2):\n        z = y.view(b, -1)\n        z += i\n    return z",
    "written behind a view": "z = y.flatten(1)\n    y[:, 0] = 7.0\n    return z",
    "a sum is read behind a view": "z = y.flatten(1)\n    z *= 2.0\n    return y.sum(1)",
}
ONE_HEAD_ONLY = {
    "added": "return x + y",
    "a gate": "return x * y.sigmoid()",
}
FORMS = {"b, n, d": (2, 5, 4), "b, n, h, d": (2, 5, 3, 4)}


def outputs(text: str, size: tuple[int, ...]) -> list[Any]:
    scope: dict[str, Any] = {}
    exec(compile(text, "<form>", "exec"), scope)
    found: list[Any] = []
    order = [1, 0, *range(2, len(size))]
    for move in (lambda t: t, lambda t: t.permute(order).contiguous().permute(order)):
        generator = torch.Generator().manual_seed(0)
        q, k, v, x = (torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(4))
        with torch.no_grad():
            result = scope["attend"](*map(move, (q, k, v)), x)
        found += result if isinstance(result, tuple | list) else [result]
    return found


def agree(body: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The new text, which gives the same values, as contiguous as before."""
    old = HEAD.format(shape=shape) + f"    {body}\n"
    new = rewrite_text(old).new
    assert "xformers" not in new
    monkeypatch.setattr(xformers.ops, "memory_efficient_attention", oracle.memory_efficient_attention)
    pairs = zip(outputs(old, FORMS[shape]), outputs(new, FORMS[shape]), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(other, one)
        assert not isinstance(one, torch.Tensor) or other.is_contiguous() or not one.is_contiguous()
    return new


@pytest.mark.parametrize("shape", FORMS)
@pytest.mark.parametrize("name", BARE)
def test_where_nobody_looks_at_strides(name: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ".contiguous()" not in agree(BARE[name], shape, monkeypatch)


@pytest.mark.parametrize("shape", FORMS)
@pytest.mark.parametrize("name", CONTIGUOUS)
def test_where_somebody_may(name: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ".contiguous()" in agree(CONTIGUOUS[name], shape, monkeypatch)


@pytest.mark.parametrize("shape", FORMS)
@pytest.mark.parametrize("name", ONE_HEAD_ONLY)
def test_what_a_tensor_of_its_own_settles(name: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (".contiguous()" in agree(ONE_HEAD_ONLY[name], shape, monkeypatch)) == (shape != "b, n, d")
