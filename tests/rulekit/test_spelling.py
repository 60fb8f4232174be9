"""How the call of SDPA is spelled: what it costs in a file with many calls."""

from __future__ import annotations

import pytest

from xf2sdpa.analysis.names import Names
from xf2sdpa.rewrite.engine import rewrite_text

FUNCTION = """

def attend_{number}(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v)
"""


def resolved(count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many names are looked up while a file with so many functions, each with a call, is rewritten."""
    asked = 0
    meaning = Names._meaning

    def counted(self: Names, name: str, *rest: object) -> str | None:
        nonlocal asked
        asked += 1
        return meaning(self, name, *rest)  # type: ignore[arg-type]

    text = "import torch\nimport xformers.ops as xops\n" + "".join(FUNCTION.format(number=n) for n in range(count))
    with monkeypatch.context() as patch:
        patch.setattr(Names, "_meaning", counted)
        result = rewrite_text(text)
    assert result.new.count("scaled_dot_product_attention(") == count
    return asked


def test_twice_the_calls_need_twice_the_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved(40, monkeypatch) < 2.2 * resolved(20, monkeypatch)


def test_where_f_and_torch_are_taken_it_gets_a_name_that_is_free() -> None:
    text = (
        "import xformers.ops as xops\n\n\ndef attend(q, k, v):\n    b, n, F, d = q.shape\n    torch = functional = 2\n"
        "    return xops.memory_efficient_attention(q, k, v)\n"
    )
    new = rewrite_text(text).new
    assert "import torch.nn.functional as torch_functional\n" in new
    assert "torch_functional.scaled_dot_product_attention(" in new
