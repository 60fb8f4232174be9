"""Where an import of an earlier run takes SDPA from torch again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import COPY, rewrite, tree, write
from tests.rules.common import Case, examples_hold, holds
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

GUARDED = """\
import torch
from ._attention_compat import scaled_dot_product_attention


def attend(q, k, v, mask):
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)
"""
TORCHS = "from torch.nn.functional import scaled_dot_product_attention\n"
BOTH = (
    GUARDED.replace("import scaled_dot", "import memory_efficient_attention, scaled_dot")
    + "\n\nother = memory_efficient_attention\n"
)


def rewritten(text: str, reason: str | None, wish: str = "auto") -> str:
    options = Options(Settings(nan_guard=wish), compat="_attention_compat", plain_masks=reason)
    return rewrite_with(text, "model.py", options).new


def test_it_goes_where_the_pin_allows() -> None:
    assert rewritten(GUARDED, "") == GUARDED.replace(
        "from ._attention_compat import scaled_dot_product_attention\n", TORCHS
    )
    named = GUARDED.replace("import scaled_dot_product_attention", "import scaled_dot_product_attention as sdpa")
    assert TORCHS.replace("\n", " as sdpa\n") in rewritten(named, "")
    for home in ("xf2sdpa.compat", "project.models._attention_compat"):
        assert TORCHS in rewritten(GUARDED.replace("._attention_compat", home), "")


def test_other_names_stay() -> None:
    new = rewritten(BOTH, "")
    assert TORCHS in new
    assert "from ._attention_compat import memory_efficient_attention\n" in new


@pytest.mark.parametrize(
    ("reason", "wish", "stays"),
    [(None, "auto", True), ("nothing takes a gradient", "auto", True), ("", "on", True), (None, "off", False)],
)
def test_when_it_stays(reason: str | None, wish: str, stays: bool) -> None:
    assert (rewritten(GUARDED, reason, wish) == GUARDED) == stays


def test_another_module_is_none_of_ours() -> None:
    text = GUARDED.replace("._attention_compat", "._attention")
    assert rewritten(text, "") == text


def test_it_is_told() -> None:
    holds(Case(GUARDED, ("finding XF151",), has=(TORCHS,), helper=True, settings=Settings(nan_guard="off")))


def test_a_later_run_over_a_project(tmp_path: Path) -> None:
    """The pin rises, and the helper, which nothing else needs, goes with the guard."""
    (tmp_path / ".git").mkdir()
    program = (
        "import torch\nimport xformers.ops as xops\n\n\ndef attend(x, weight, b, n, h):\n"
        "    q, k, v = torch.nn.functional.linear(x, weight).view(b, n, 3, h, -1).unbind(2)\n"
        "    mask = torch.zeros(b, h, n, n, dtype=q.dtype)\n"
        "    return xops.memory_efficient_attention(q, k, v, attn_bias=mask).reshape(b, n, -1)\n"
    )
    write(tmp_path, {"model.py": program, "requirements.txt": "torch>=2.12\n"})
    rewrite(tmp_path)
    assert COPY in tree(tmp_path)
    write(tmp_path, {"requirements.txt": "torch>=2.15\n"})
    rewrite(tmp_path)
    found = tree(tmp_path)
    assert COPY not in found
    assert TORCHS in found["model.py"]
    rewrite(tmp_path)
    assert tree(tmp_path) == found


def test_one_in_an_arm_that_goes_is_not_told() -> None:
    text = (
        "import torch.nn.functional as F\nimport xformers.ops as xops\n\n\ndef attend(q, k, v):\n"
        "    if not hasattr(F, 'scaled_dot_product_attention'):\n"
        "        from ._attention_compat import scaled_dot_product_attention\n\n"
        "        return xops.memory_efficient_attention(q, k, v)\n"
        "    return F.scaled_dot_product_attention(q, k, v)\n"
    )
    holds(Case(text, ("removed XF218",), helper=True, settings=Settings(nan_guard="off")), never=("XF151",))


def test_the_examples_hold() -> None:
    examples_hold("unguarded")
