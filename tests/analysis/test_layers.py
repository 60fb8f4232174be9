"""What `self.name` is, where a subclass of the same file sets it too."""

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

BASE = """\
import torch.nn as nn
import xformers.ops as xops


class Base(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.qkv = nn.Linear(d, 3 * d)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).unflatten(-1, (3, 8, -1)).unbind(2)
        return xops.memory_efficient_attention(q, k, v).flatten(2)


class Other(Base):
    def __init__(self, d):
        super().__init__(d)
        self.{attribute} = {value}
"""


@pytest.mark.parametrize(
    ("attribute", "value", "kind"),
    [
        ("proj", "nn.Flatten(0, 1)", "exact"),
        ("qkv", "nn.Linear(d, 6 * d)", "exact"),
        ("qkv", "nn.Identity()", "assumed"),
        ("qkv", "nn.Flatten(0, 1)", "compat"),
    ],
)
def test_an_attribute_that_a_subclass_sets_otherwise(attribute: str, value: str, kind: str) -> None:
    text = BASE.format(attribute=attribute, value=value)
    (site,) = rewrite_text(text, compat="_attention_compat").sites
    assert site.kind.value == kind


def test_layers_assigned_as_a_tuple() -> None:
    text = """\
import torch.nn as nn
import xformers.ops as xops


class Attention(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.q, (self.k, self.v) = nn.Linear(d, d), (nn.Linear(d, d), nn.Linear(d, d))
        {further}

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.q(x), self.k(x), self.v(x)
        return xops.memory_efficient_attention(q, k, v)
"""
    for further, kind in (("pass", "exact"), ("self.q, self.k, self.v = made(d)", "compat")):
        (site,) = rewrite_text(text.format(further=further), compat="_attention_compat").sites
        assert site.kind.value == kind
