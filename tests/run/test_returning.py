"""Calls that an earlier run gave to the helper: a later one writes them inline where they are provable by then."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests import oracle
from tests.notebooks import book, code
from tests.projects.harness import assert_equal, execute, fresh, installed, rewrite, tree, write

HELPER = "_attention_compat.py"
MODEL = """\
import torch
import torch.nn.functional as F
from xformers.ops import LowerTriangularMask, memory_efficient_attention


def attend(q, k, v):
    return memory_efficient_attention(q, k, v, attn_bias=LowerTriangularMask())


def run(q, k, v):
    return "fast", attend(q, k, v) * 2
"""
STATED = ("def attend(q, k, v):\n", "def attend(q, k, v):\n    b, n, h, d = q.shape\n")
OTHER = """\
from xformers.ops import memory_efficient_attention
from xformers.ops.fmha import BlockDiagonalMask


def packed(q, k, v, lengths):
    return memory_efficient_attention(q, k, v, attn_bias=BlockDiagonalMask.from_seqlens(lengths))
"""

GUARDED = """\
from xf2sdpa.compat import scaled_dot_product_attention


def attend(q, k, v, mask):
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)
"""


def migrated(root: Path, files: dict[str, str]) -> dict[str, str]:
    """A project after a first run, in which `attend` went to the helper."""
    write(root, files)
    rewrite(root, "--flags", "off")
    assert "return memory_efficient_attention(q, k, v, attn_bias=LowerTriangularMask())" in tree(root)["main.py"]
    assert HELPER in tree(root)
    return tree(root)


def stated(root: Path) -> None:
    """Let the function say how many dimensions its query has."""
    file = root / "main.py"
    file.write_text(file.read_text("utf-8").replace(*STATED), "utf-8")


def test_it_becomes_inline_and_the_helper_goes(tmp_path: Path) -> None:
    before = execute(write(tmp_path / "before", {"main.py": MODEL}), installed)
    root = tmp_path / "after"
    migrated(root, {"main.py": MODEL})
    stated(root)
    output = rewrite(root, "--flags", "off").output
    assert "XF101 assumed" in output
    assert "F.scaled_dot_product_attention(" in tree(root)["main.py"]
    assert set(tree(root)) == {"main.py"}
    assert "_attention_compat" not in tree(root)["main.py"]
    assert_equal(before, execute(root, oracle.absent))


def test_the_helper_loses_what_nothing_needs_any_more(tmp_path: Path) -> None:
    old = migrated(tmp_path, {"main.py": MODEL, "packed.py": OTHER})
    stated(tmp_path)
    rewrite(tmp_path, "--flags", "off")
    new = tree(tmp_path)
    assert "class LowerTriangularMask" in old[HELPER]
    assert len(new[HELPER]) < len(old[HELPER])
    assert "class LowerTriangularMask" not in new[HELPER]
    assert new["packed.py"] == old["packed.py"]


def test_what_is_not_provable_stays_and_nothing_is_told(tmp_path: Path) -> None:
    old = migrated(tmp_path, {"main.py": MODEL, "packed.py": OTHER})
    output = rewrite(tmp_path, "--flags", "off", "--strict").output
    assert tree(tmp_path) == old
    assert "main.py" not in output
    rewrite(tmp_path, "--flags", "off", "--check")


@pytest.mark.parametrize("options", [("--style", "compat"), ("--only", "exact"), ("--ignore", "XF101")])
def test_wishes_count(options: tuple[str, str], tmp_path: Path) -> None:
    migrated(tmp_path, {"main.py": MODEL})
    stated(tmp_path)
    old = tree(tmp_path)
    rewrite(tmp_path, "--flags", "off", *options)
    assert tree(tmp_path) == old


EDITED = {
    "the helper was edited": lambda root: _append(root / HELPER, "\n\nEDITED = 1\n"),
    "another file puts its own in the place": lambda root: (root / "patch.py").write_text(
        "import main\n\nmain.memory_efficient_attention = print\n", "utf-8"
    ),
    "the file itself puts another in the place": lambda root: _append(
        root / "main.py", "\n\ndef memory_efficient_attention(*_, **__):\n    return 0\n"
    ),
}  # fmt: skip


def _append(file: Path, text: str) -> None:
    file.write_text(file.read_text("utf-8") + text, "utf-8")


@pytest.mark.parametrize("change", EDITED.values(), ids=list(EDITED))
def test_a_call_of_something_else_is_left_alone(change: object, tmp_path: Path) -> None:
    migrated(tmp_path, {"main.py": MODEL})
    stated(tmp_path)
    change(tmp_path)  # type: ignore[operator]
    old = tree(tmp_path)["main.py"]
    rewrite(tmp_path, "--flags", "off")
    assert tree(tmp_path)["main.py"] == old


def test_a_name_that_another_file_takes_from_it_stays_bound(tmp_path: Path) -> None:
    taker = (
        "from main import memory_efficient_attention as attention\n\n\ndef other(q):\n    return attention(q, q, q)\n"
    )
    migrated(tmp_path, {"main.py": MODEL, "taker.py": taker})
    stated(tmp_path)
    rewrite(tmp_path, "--flags", "off")
    assert "F.scaled_dot_product_attention(" in tree(tmp_path)["main.py"]
    with fresh(tmp_path, oracle.absent):
        assert importlib.import_module("taker").attention is not None


def test_callers_count_for_it_as_well(tmp_path: Path) -> None:
    migrated(tmp_path, {"main.py": MODEL})
    caller = (
        "from main import attend\n\n\ndef use(x, b, n, h):\n    q = x.view(b, n, h, -1)\n    return attend(q, q, q)\n"
    )
    main = (tmp_path / "main.py").read_text("utf-8").partition("def run")[0]
    write(tmp_path, {"caller.py": caller, "main.py": main})
    rewrite(tmp_path, "--flags", "off")
    assert "if q.ndim != 4:" in tree(tmp_path)["main.py"]


@pytest.mark.parametrize("comment", ["", "# As xformers does it.\n"])
def test_a_call_of_the_package_itself_becomes_inline_too(comment: str, tmp_path: Path) -> None:
    """`--helper import` makes no copy: the names come from `xf2sdpa.compat`, and nothing else names xformers."""
    write(tmp_path, {"main.py": f"{comment}{MODEL}"})
    rewrite(tmp_path, "--flags", "off", "--helper", "import")
    assert "from xf2sdpa.compat import LowerTriangularMask, memory_efficient_attention\n" in tree(tmp_path)["main.py"]
    assert ("xformers" in tree(tmp_path)["main.py"]) == bool(comment)
    before = execute(tmp_path, oracle.absent)
    stated(tmp_path)
    rewrite(tmp_path, "--flags", "off", "--helper", "import")
    assert "F.scaled_dot_product_attention(" in tree(tmp_path)["main.py"]
    assert "xf2sdpa.compat" not in tree(tmp_path)["main.py"]
    assert_equal(before, execute(tmp_path, oracle.absent))


def test_a_later_run_says_what_it_can_do_for_calls_of_the_package(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": MODEL})
    rewrite(tmp_path, "--flags", "off", "--helper", "import")
    rewrite(tmp_path, "--flags", "off", "--helper", "import", "--strict", "--check")
    stated(tmp_path)
    output = rewrite(tmp_path, "--flags", "off", "--helper", "import", "--check", status=1).output
    assert "XF101 assumed" in output


def test_a_notebook_that_calls_the_package_is_looked_at_again(tmp_path: Path) -> None:
    statement = "from xf2sdpa.compat import memory_efficient_attention\n"
    function = "def f(q):\n    b, n, h, d = q.shape\n    return memory_efficient_attention(q, q, q)\n"
    (tmp_path / "a.ipynb").write_text(book(code(statement), code(*function.splitlines())), "utf-8")
    rewrite(tmp_path, "--flags", "off", "--helper", "import")
    assert "scaled_dot_product_attention" in (tmp_path / "a.ipynb").read_text("utf-8")


def test_a_guard_that_the_package_gives_goes_where_torch_is_new_enough(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": GUARDED})
    rewrite(tmp_path, "--flags", "off", "--helper", "import", "--torch", "2.12")
    assert tree(tmp_path) == {"main.py": GUARDED}
    rewrite(tmp_path, "--flags", "off", "--helper", "import", "--torch", "2.15")
    assert "xf2sdpa" not in tree(tmp_path)["main.py"]
