"""The rank that the analysis gives an expression, against the rank that torch gives it."""

import ast

import pytest
import torch

from xf2sdpa.analysis.environment import Frame
from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.shapes import Walk
from xf2sdpa.analysis.values import Tensor, Unknown

EXPRESSIONS = """
x.transpose(1, 2)  x.permute(0, 2, 1, 3)  x.permute((0, 2, 1, 3))  torch.permute(x, (0, 2, 1, 3))  x.movedim(1, 2)
x.view(2, 3, 20)  x.view(-1)  x.view((2, -1))  x.view(*x.shape)  x.view(*x.shape[:-1], 5, 1)  x.view(2, -1).t()
x.reshape(2, 60)  x.reshape((2, -1))  x.reshape(x.shape[0], -1)  x.reshape(*x.shape[:2], 20)  torch.reshape(x, (2, 60))
x.reshape(x.shape[:-2] + (20,))  x.reshape_as(x)  x.contiguous().view(6, 4, 5)  (x * 2).view(2, 60)
x.flatten()  x.flatten(1)  x.flatten(2)  x.flatten(1, 2)  x.flatten(-2)  x.flatten(0, 1)  x.flatten(-3, -2)
torch.flatten(x, 1)  torch.flatten(x, 1, 2)  x.unflatten(1, (3, 1))  x.unsqueeze(0)  torch.unsqueeze(x, 1)  x.squeeze(1)
x.sum(1)  x.sum()  x.mean(-1)  x.mean((1, 2))  x.mean(-1, keepdim=True)  x.amax(1)  x.std(-1)  x.var(dim=1)  x.prod(1)
x.norm(2)  x.norm(dim=-1)  x.norm(2, -1)  x.norm(dim=-1, keepdim=True)  x.logsumexp(1)  x.cumsum(1)  x.all(1)
x[0]  x[:, 0]  x[..., 0]  x[None]  x[:, None, :, :]  x[0:1]  x[..., None]  x[x > 0]  x[[0, 1]]  x[:, 1:][0]
x.unbind(2)[0]  torch.unbind(x, 1)[1]  x.chunk(2, dim=-1)[0]  x.split(1, dim=0)[0]  x.narrow(1, 0, 1)
torch.stack([x, x])  torch.stack((x, x), dim=2)  torch.cat([x, x], 1)  x.repeat(1, 1, 1, 1, 2)  x.expand(2, 3, 4, 5)
x.tile(2)  x.broadcast_to(2, 2, 3, 4, 5)  x.expand_as(x)  x.repeat_interleave(2, dim=1)
x.new_zeros(3)  x.new_ones((2, 3))  x.new_empty(2, 3, 4, 5)  x.new_zeros(size=(2, 3))
x.swapaxes(0, 1)  x.repeat_interleave(2)  torch.repeat_interleave(x, 2, 1)
x.type_as(x)  x.to(torch.float64)  x.clone()  x.float().half()  x.mT  x.roll(1, 0)  x.triu()  x.masked_fill(x > 0, 0.0)
x @ x.transpose(-1, -2)  torch.matmul(x, x.transpose(-1, -2))  torch.einsum("bhmd,bhnd->bhmn", x, x)  x + x[0]  2 ** x
torch.zeros(2, 3)  torch.zeros((2, 3, 4))  torch.full((2, 2), 1.0)  torch.ones(x.shape)  torch.zeros_like(x)
torch.randn(1, 2, 40)  torch.randint(0, 5, (2,))  torch.arange(4)  torch.transpose(x, 1, 2)
x.index_select(1, torch.arange(2))
x.softmax(-1)  torch.softmax(x, -1)  torch.nn.functional.pad(x, (0, 1))  torch.nn.functional.normalize(x, dim=-1)
torch.view_as_real(torch.view_as_complex(x[..., :4].reshape(2, 3, 4, 2, 2).contiguous()))  torch.bmm(x[0], x[0].mT)
(x, x)[1]  [t.flatten(1) for t in (x, x)][0]  list(map(lambda t: t.unsqueeze(1), (x, x)))[1]  (x if a > 1 else x[0])
"""
LISTED = [part for line in EXPRESSIONS.splitlines() for part in line.split("  ") if part]
BEYOND = {"x.squeeze(1)", "x.norm(2)", "x.norm(2, -1)", "x.tile(2)", "x[x > 0]", "x[[0, 1]]",
          "x.view(2, -1).t()", "torch.randint(0, 5, (2,))",
          "(x if a > 1 else x[0])"}  # fmt: skip
"""What depends on sizes or values, or is not worth knowing."""


def analysed(expression: str) -> int | None:
    """The rank by the analysis, where `x` is a parameter whose shape is unpacked."""
    return rank_of(f"import torch\ndef f(x):\n    a, b, c, d = x.shape\n    return {expression}\n")


def rank_of(text: str) -> int | None:
    """The rank of what the function of a module returns."""
    tree = ast.parse(text)
    function = tree.body[1]
    assert isinstance(function, ast.FunctionDef)
    walk = Walk(ClassAttributes(Names(tree)), {})
    frame = Frame(function, None, primary=True)
    walk.frames.append(frame)
    walk.env.variables["x"] = Unknown(walk.token("x"))
    walk.block(function.body)
    (value,) = frame.returned
    return value.rank.known if isinstance(value, Tensor) else None


@pytest.mark.parametrize("expression", LISTED)
def test_the_rank_is_torchs_own(expression: str) -> None:
    x = torch.arange(120.0).reshape(2, 3, 4, 5)
    real = eval(expression, {"torch": torch, "x": x, "a": x.shape[0]})
    assert analysed(expression) == (None if expression in BEYOND else real.dim())


@pytest.mark.parametrize(
    ("expression", "rank"),
    [("x[part]", 4), ("x[part, 0]", 3), ("(x if a else x)[part][None]", 5), ("x[part if a else 0]", None)],
)
def test_a_slice_that_has_a_name_keeps_the_rank(expression: str, rank: int | None) -> None:
    text = "import torch\ndef f(x):\n    a, b, c, d = x.shape\n    part = slice(0, a)\n    return {expression}\n"
    assert rank_of(text.format(expression=expression)) == rank


JOINED = {
    "cat((x, other), 1)": 4, "cat([other, other, x])": 4, "stack([other, x])": 5, "concat((other, x[0]))": 3,
    "cat([other, other])": None, "cat([x.flatten(), other])": None, "cat([x, x[0], other])": None,
    "cat([*listed, x])": None,
}  # fmt: skip
"""What is joined has the rank of any part with two dimensions or more: an empty one with one dimension may pass."""


@pytest.mark.parametrize(("call", "rank"), JOINED.items())
def test_what_is_joined_has_the_rank_of_any_known_part(call: str, rank: int | None) -> None:
    assert rank_of(f"import torch\ndef f(x):\n    a, b, c, d = x.shape\n    return torch.{call}\n") == rank


ARMS = {
    "both assert": ("    assert x.ndim == 4", "    a, b, c, d = x.shape", 4),
    "both, but not the same": ("    assert x.ndim == 4", "    a, b, c = x.shape", None),
    "one asserts": ("    assert x.ndim == 4", "    a = 1", None),
    "one raises": ("    raise ValueError", "    a, b, c, d = x.shape", 4),
    "one makes another": ("    x = torch.ones(c, c, c, c)", "    a, b, c, d = x.shape", None),
    "one only sometimes": ("    for i in c: assert x.ndim == 4", "    assert x.ndim == 4", None),
}


@pytest.mark.parametrize(("one", "other", "rank"), ARMS.values(), ids=list(ARMS))
def test_a_rank_that_each_branch_states(one: str, other: str, rank: int | None) -> None:
    body = f"    if c:\n    {one}\n    else:\n    {other}\n"
    assert rank_of(f"import torch\ndef f(x, c):\n{body}    return x * 2\n") == rank
