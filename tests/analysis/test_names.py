"""What names mean where they stand, seen by what becomes of a call: scopes, stars, layers kept on `self`, results."""

from __future__ import annotations

import sys

import pytest

from xf2sdpa.model import FileResult
from xf2sdpa.rewrite.engine import rewrite_text

HEAD = "import torch\nimport torch.nn.functional as F\nimport xformers.ops as xops\nfrom torch import nn\n\n\n"
CALL = "xops.memory_efficient_attention(q, k, v)"
INNER = "    import torch.nn.functional as F\n\n\n"
SHAPE = "b, n, h, d = q.shape"


def function(*lines: str, head: str = HEAD, given: str = "q, k, v, x") -> FileResult:
    """The result for a function of some lines; CALL and SHAPE stand for themselves."""
    body = "".join(f"    {line.replace('CALL', CALL)}\n" for line in (SHAPE, *lines))
    result = rewrite_text(f"{head}def f({given}):\n{body}")
    assert not result.failed, result.findings
    return result


def in_class(made: str) -> list[str]:
    """The classes of the calls of a module with layers."""
    text = (
        f"{HEAD}class A(nn.Module):\n    def __init__(self, c):\n        super().__init__()\n        {made}\n\n"
        "    def forward(self, q, k, v):\n        b, n, h, d = v.shape\n"
        "        return xops.memory_efficient_attention(self.p(q), k, v)\n"
    )
    result = rewrite_text(text)
    assert not result.failed, result.findings
    return [f"{site.kind.value} {site.code}" for site in result.sites]


@pytest.mark.parametrize(
    ("lines", "piece"),
    [
        (
            ("out = None", "def g():", "    nonlocal out", "    out = CALL", "g()", "return out.view(b, -1)"),
            "out.view(b, -1)",
        ),
        (("return [(out := CALL).flatten(2) for _ in q], out",), ".transpose(1, 2).contiguous()).flatten(2)"),
        (("a = CALL", "a2 = a", "return a2.view(b, n, -1)"), "a2.reshape(b, n, -1)"),
        (("a = CALL", *(f"a{i + 1} = a{i or ''}" for i in range(9)), "return a9.view(b, -1)"), "a9.view(b, -1)"),
        (("a = CALL", "while b:", "    a = a", "return a.flatten(2)"), ".contiguous()"),
        (("a = CALL", "return a.view(x.shape)"), "a.reshape(x.shape)"),
        (("a = CALL", "return a.view(x.size())"), "a.reshape(x.size())"),
        (("a = CALL", "return a.view(x)"), "a.view(x)"),
        (("a = CALL", "return a.view(dtype=torch.int8)"), "a.view(dtype=torch.int8)"),
        (("a = CALL", "return a.view(x.numel())"), "a.view(x.numel())"),
    ],
)
def test_what_is_done_with_the_result(lines: tuple[str, ...], piece: str) -> None:
    assert piece in function(*lines).new


@pytest.mark.parametrize(
    ("head", "spelling"),
    [
        ("import xformers.ops as xops\nimport torch.nn.functional as F\n\n\n", "F."),
        (
            f"from typing import TYPE_CHECKING\nimport xformers.ops as xops\n\nif TYPE_CHECKING:\n{INNER}",
            "torch.nn.functional.",
        ),
        (
            f"import torch\nimport xformers.ops as xops\n\nif torch:\n{INNER}",
            "torch.nn.functional.",
        ),
        (
            f"import torch\nimport xformers.ops as xops\n\nif torch:\n{INNER}F.relu(1)\n\n\n",
            "F.",
        ),
        ("import torch\nimport xformers.ops as xops\n\nfor F in torch.x:\n    pass\n\n\n", "torch.nn.functional."),
    ],
)
def test_how_sdpa_is_spelled(head: str, spelling: str) -> None:
    assert f"return {spelling}scaled_dot_product_attention(" in function("return CALL", head=head).new


def test_a_parameter_hides_the_name() -> None:
    new = function("return CALL", given="q, k, v, F").new
    assert "return torch.nn.functional.scaled_dot_product_attention(" in new


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("self.p = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1))", ["exact XF101"]),
        ("self.p = nn.Sequential(nn.Dropout(0.1), nn.Identity())", ["assumed XF101"]),
        ("self.p = nn.Linear(1, 2) if c else nn.Linear(3, 4)", ["exact XF101"]),
        ("self.p = nn.Linear(1, 2) if c else nn.Identity()", ["assumed XF101"]),
        ("self.p = nn.Sequential(c, nn.Linear(3, 4))", ["assumed XF101"]),
        ("self.p, self.o = nn.Linear(1, 2), nn.Identity()", ["exact XF101"]),
        ("self.p = c", ["assumed XF101"]),
    ],
)
def test_layers_kept_on_self(made: str, expected: list[str]) -> None:
    assert in_class(made) == expected


def test_two_roots_of_one_name_are_one_module() -> None:
    head = "try:\n    import xformers.ops as xops\nexcept ImportError:\n    import mslk.attention as xops\n\n\n"
    assert [site.code for site in function("return CALL", head=head).sites] == ["XF101"]


def test_a_star_alone_names_no_operator() -> None:
    head = "from .compat import *\n\n\n"
    result = function("return CALL".replace("CALL", "memory_efficient_attention(q, k, v)"), head=head)
    assert (result.sites, [finding.code for finding in result.findings]) == ([], ["XF406"])


def test_a_null_character_is_no_python() -> None:
    (finding,) = rewrite_text(f"{HEAD}\0\n# {CALL}\n").findings
    assert (finding.code, finding.is_error) == ("XF901", True)


STARRED_INDEX = pytest.mark.skipif(sys.version_info < (3, 11), reason="syntax of Python 3.11")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("x = a[*a]", marks=STARRED_INDEX),
        "print(*a, sep='')",
        "x = lambda *a, **k: (yield)",
        "x = 0xFF_FF; y = 1_0j",
    ],
)
def test_seldom_syntax_stands_in_nobodys_way(line: str) -> None:
    assert f"    {line}\n" in function("a = x", line, "return CALL").new
