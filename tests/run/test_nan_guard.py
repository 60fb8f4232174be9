"""What a project's files say of torch and of gradients, and what becomes of its masked calls."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.projects.harness import COPY, rewrite, tree, write
from xf2sdpa.run import jobs

MASKED = """\
import torch
import xformers.ops as xops


def attend(x, weight, b, n, h):
    q, k, v = torch.nn.functional.linear(x, weight).view(b, n, 3, h, -1).unbind(2)
    mask = torch.zeros(b, h, n, n, dtype=q.dtype)
    return xops.memory_efficient_attention(q, k, v, attn_bias=mask).reshape(b, n, -1)
"""
MERGED = """\
import xformers.ops as xops


def attend(q, k, v, mask=None):
    b, n, d = q.shape
    return xops.memory_efficient_attention(q, k, v, attn_bias=mask) + b
"""
APP = "from model import attend\n\nif __name__ == '__main__':\n    attend()\n"
GUARDED = "import scaled_dot_product_attention"


@pytest.mark.parametrize(
    ("files", "arguments", "guarded"),
    [
        ({}, (), True),
        ({"requirements.txt": "torch\n"}, (), True),
        ({"requirements.txt": "torch>=2.12\n"}, (), True),
        ({"requirements.txt": "torch>=2.15\n"}, (), False),
        ({"requirements.txt": "torch==2.5.1\n"}, (), False),
        ({"requirements.txt": "torch==2.3.1\n"}, (), True),  # what a run may turn into torch>=2.5
        ({"requirements.txt": "torch>=2.2,<2.4\n"}, (), False),
        ({"requirements.txt": "torch==2.5.1\n"}, ("--nan-guard", "on"), True),
        ({}, ("--torch", "2.15"), False),
        ({}, ("--nan-guard", "off"), False),
        ({"pyproject.toml": "[tool.xf2sdpa]\nnan-guard = 'off'\n"}, (), False),
        ({"app.py": APP}, (), False),
        ({"app.py": APP, "setup.py": ""}, (), True),
        ({"app.py": APP, "fit.py": "loss.backward()\n"}, (), True),
    ],
)
def test_who_is_guarded(files: dict[str, str], arguments: tuple[str, ...], guarded: bool, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, {"model.py": MASKED, **files})
    rewrite(tmp_path, "--flags", "off", *arguments)
    found = tree(tmp_path)
    assert (GUARDED in found["model.py"], COPY in found) == (guarded, guarded)
    assert "attn_mask=mask" in found["model.py"]


def test_a_release_that_the_run_itself_gives_up_excludes_nothing(tmp_path: Path) -> None:
    """`torch==2.1.2` admits no torch with the corner, but masks need 2.2, and `torch>=2.2` admits all of them."""
    write(tmp_path, {"model.py": MASKED, "requirements.txt": "torch==2.1.2\nxformers\n"})
    (tmp_path / ".git").mkdir()
    rewrite(tmp_path, "--flags", "off")
    assert (tmp_path / "requirements.txt").read_text("utf-8") == "torch>=2.2\n"
    assert GUARDED in tree(tmp_path)["model.py"]


def test_no_rule_needs_a_newer_torch_than_is_taken_for_enough() -> None:
    said = (file.read_text("utf-8") for file in Path(jobs.__file__).parents[1].rglob("*.py"))
    needed = [re.findall(r"\((\d), (\d+)\)", line) for text in said for line in re.findall(r"needs_torch\((.*)", text)]
    assert max((int(a), int(b)) for found in needed for a, b in found) == jobs._ENOUGH


def test_a_mask_by_position_is_guarded_too(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": MASKED.replace("attn_bias=mask", "mask")})
    rewrite(tmp_path)
    assert GUARDED in tree(tmp_path)["model.py"]


def test_a_part_of_a_project_says_nothing_of_the_rest(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, {"model.py": MASKED, "app.py": APP, "train.py": "loss.backward()\n"})
    rewrite(tmp_path / "model.py", tmp_path / "app.py", "--flags", "off")
    assert GUARDED in tree(tmp_path)["model.py"]


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": MASKED})
    rewrite(tmp_path)
    before = tree(tmp_path)
    rewrite(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("other", "inline"),
    [
        ("import torch\n", True),
        ("import xformers.ops as xops\n\nCAUSAL = xops.LowerTriangularMask()\n", False),
        ("from xformers.ops import AttentionBias\n", False),
        ("mask = getattr(xops, name)()\n", False),
    ],
)
def test_a_value_from_outside_is_no_object_where_nothing_makes_one(other: str, inline: bool, tmp_path: Path) -> None:
    write(tmp_path, {"model.py": MERGED, "other.py": other})
    rewrite(tmp_path)
    assert ("None if mask is None else mask.unsqueeze(-3)" in tree(tmp_path)["model.py"]) == inline
