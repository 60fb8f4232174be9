"""What a mask is made of: whether it may be learned, whether it may close rows."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.analysis.mask_origin import Origin, origin
from xf2sdpa.analysis.names import Names

PLAIN, CLOSES, LEARNED, BOTH = Origin(), Origin(closes=True), Origin(learned=True), Origin(learned=True, closes=True)
HEAD = "import torch\n\nRELATIVE = torch.nn.Parameter(torch.zeros(2, 2))\n\n\n"
CASES = {
    "bias = torch.zeros(b, h, n, n)": PLAIN,
    "bias = q.new_zeros(b, self.heads, n, n)": PLAIN,
    "bias = torch.zeros(b, h, n, n); bias[:, :, 0] = -1e4": PLAIN,
    "bias = torch.zeros(n, n).masked_fill(mask, -1e4)": PLAIN,
    "bias = torch.full((b, h, n, n), 0.5).expand(b, self.heads, n, n)": PLAIN,
    "bias = -torch.arange(n).abs()[None]": PLAIN,
    "bias = torch.zeros(n, n).masked_fill(mask, float('-inf'))": CLOSES,
    "bias = torch.zeros(n, n).masked_fill(mask, -1e9)": CLOSES,
    "bias = torch.full((n, n), -torch.inf)": CLOSES,
    "bias = torch.zeros(n, n); bias[0] = -torch.inf": CLOSES,
    "bias = torch.zeros(n, n); bias.masked_fill_(mask, -torch.inf)": CLOSES,
    "bias = (1 - mask) * -1e9": CLOSES,
    "bias = mask.expand(b, h, n, n)": CLOSES,
    "bias = self.attn_mask": CLOSES,
    "bias = self.build_mask(q)": CLOSES,
    "bias = attn.prepare_attention_mask(mask, n, b)": CLOSES,
    "bias = torch.tril(torch.ones(n, n))": CLOSES,
    "bias = other": BOTH,
    "bias = other.detach()": CLOSES,
    "bias = self.relative_bias": BOTH,
    "bias = self.relative_bias[index].permute(2, 0, 1)[None]": BOTH,
    "bias = self.table(index)": BOTH,
    "bias = relative(q, k)": BOTH,
    "bias = torch.zeros(n, n) + self.relative_bias": BOTH,
    "bias = torch.zeros(n, n)\nfor bias in many: pass": BOTH,
    "bias = torch.zeros(n, n)\nif c: bias = bias + self.slopes * index": BOTH,
    "a, bias = many": BOTH,
    "bias = index > 0": CLOSES,
    "bias = [x for x in many]": BOTH,
    "bias = torch.zeros(n, n); bias: torch.Tensor": PLAIN,
    "bias = torch.zeros(n, n); bias += self.relative_bias": BOTH,
    "bias = RELATIVE": BOTH,
    "bias = torch.nn.Parameter(torch.zeros(n, n))": BOTH,
    "bias = torch.nn.functional.pad(torch.zeros(n, n), (0, 1))": PLAIN,
    "bias = torch.zeros(n, n, requires_grad=True)": BOTH,
    "bias = torch.zeros(n, n).requires_grad_()": BOTH,
    "bias = torch.zeros(n, n); bias.requires_grad_()": BOTH,
    "bias = torch.zeros(n, n); bias.requires_grad = True": BOTH,
}


@pytest.mark.parametrize("body", CASES)
def test_origins(body: str) -> None:
    lines = "\n    ".join(body.replace("; ", "\n").splitlines())
    text = f"{HEAD}def f(self, q, k, mask, other, index, many, attn, b, h, n, c):\n    {lines}\n    use(bias)\n"
    names = Names(ast.parse(text))
    call = next(call for call in names.calls if isinstance(call.func, ast.Name) and call.func.id == "use")
    found, wanted = origin(call.args[0], names), CASES[body]
    assert found.learned == wanted.learned, text
    assert found.closes >= wanted.closes, text
    assert found.closes == wanted.closes or wanted.learned, text


CALLED_A_MASK = """\
import torch
import torch.nn as nn


class Attend(nn.Module):
    def __init__(self, n, mask):
        super().__init__()
        self.rel = nn.Parameter(torch.zeros(n, n))
        self.table = nn.Embedding(n, n)
        self.qkv = nn.Linear(n, 3 * n)
        self.learned_mask = nn.Parameter(torch.zeros(n, n))
        self.register_parameter("pad_bias", nn.Parameter(torch.zeros(n, n)))
        self.attn_mask = mask

    def rel_mask(self, q):
        return self.rel.expand(q.shape[0], -1, -1)

    def table_mask(self, index):
        mask = self.table(index)
        return mask

    def plain_mask(self, q):
        return torch.zeros(q.shape[1], q.shape[1], dtype=self.qkv.weight.dtype, device=self.rel.device)

    def forward(self, q, mask, bias_mask=None):
        use({})


def made_mask(layer, q):
    return layer.rel[None]


def given_mask(q):
    return torch.zeros(q.shape[1], q.shape[1])


def other(layer, q, mask):
    layer(q, mask=mask)
    {}
"""


@pytest.mark.parametrize(
    ("expression", "call", "learned"),
    [
        ("self.rel_mask(q)", "", True),
        ("self.table_mask(q)", "", True),
        ("self.plain_mask(q)", "", False),
        ("self.mask_of_a_base(q)", "", False),
        ("self.learned_mask", "", True),
        ("self.pad_bias", "", True),
        ("self.attn_mask", "", False),
        ("made_mask(self, q)", "", True),
        ("given_mask(q)", "", False),
        ("library.made_mask(self, q)", "", True),
        ("mask.expand(2, 3)", "", False),
        ("mask.expand(2, 3)", "layer(q, mask=layer.rel)", True),
        ("mask.expand(2, 3)", "layer.forward(q, layer.rel[None])", True),
        ("mask.expand(2, 3)", "layer.forward(layer.rel, mask)", False),
        ("mask.expand(2, 3)", "layer.forward(*layer.rel, mask)", False),
        ("bias_mask", "layer(q, bias_mask=torch.zeros(3, requires_grad=True))", True),
        ("bias_mask", "layer(q, mask=layer.rel)", False),
    ],
)
def test_a_name_says_nothing_where_the_file_shows_that_it_is_learned(expression: str, call: str, learned: bool) -> None:
    names = Names(ast.parse(CALLED_A_MASK.format(expression, call)))
    use = next(call for call in names.calls if isinstance(call.func, ast.Name) and call.func.id == "use")
    assert origin(use.args[0], names).learned is learned


def test_whose_parameter_a_mask_of_a_lambda_is_nobody_shows() -> None:
    names = Names(ast.parse("attend = lambda q, mask: use(mask)\nattend(q, torch.nn.Parameter(bias))\n"))
    use = next(call for call in names.calls if isinstance(call.func, ast.Name) and call.func.id == "use")
    assert not origin(use.args[0], names).learned
