"""Where a text constructs a convolution."""

from __future__ import annotations

import pytest

from xf2sdpa.flags.convolutions import convolution_in

CONSTRUCTED = {
    "conv = nn.Conv2d(3, 8, 3)": "Conv2d",
    "conv = torch.nn.ConvTranspose1d(3, 8, 3)": "ConvTranspose1d",
    "conv = nn.LazyConv3d(8, 3)": "LazyConv3d",
    "y = F.conv2d(x, w)": "conv2d",
    "y = torch.convolution(x, w, None, 1, 0, 1, False, 0, 1)": "convolution",
    "from torch.nn import Conv2d as C\nconv = C(3, 8, 3)": "C",
    "block = Block(layer=nn.Conv2d)": "Conv2d",
    "make = {1: nn.Conv1d, 2: nn.Conv2d}[dims]": "Conv1d",
    "def block(layer=nn.Conv2d): pass": "Conv2d",
    "class Causal(nn.Conv1d):\n    pass\n\nconv = Causal(3, 8, 3)": "Causal",
    "class A(nn.Conv1d): pass\nclass B(A): pass\nconv = B(3, 8, 3)": "B",
}
NOT = [
    "if isinstance(m, nn.Conv2d): pass",
    "if issubclass(type(m), (nn.Linear, nn.Conv2d)): pass",
    "if type(m) == nn.Conv2d: pass",
    "def init(m: nn.Conv2d) -> nn.Conv2d: pass",
    "conv: nn.Conv2d | None = None",
    "from torch.nn import Conv2d",
    "class Causal(nn.Conv1d): pass",
    "print('nn.Conv2d(3, 8)')  # nn.Conv2d(3, 8)",
    "self.conv2d = None",
    "x = conv2ds(x)",
    "this is no program: nn.Conv2d(",
]


@pytest.mark.parametrize("code", CONSTRUCTED)
def test_a_convolution_is_found(code: str) -> None:
    found = convolution_in(f"import torch\nfrom torch import nn\n{code}\n")
    assert found is not None
    assert found[1] == CONSTRUCTED[code]
    assert found[0] >= 3


@pytest.mark.parametrize("code", NOT)
def test_one_that_is_only_asked_about_or_mentioned_is_none(code: str) -> None:
    assert convolution_in(f"import torch\nfrom torch import nn\n{code}\n") is None


def test_the_first_of_several_is_told() -> None:
    assert convolution_in("def f(x):\n    return F.conv1d(x, w)\n\nc = nn.Conv2d(1, 1, 1)\n") == (2, "conv1d")
