"""What is left around an import that goes: no `try: pass`, no lost type, no dead mask, no blank first line."""

from __future__ import annotations

import importlib
import typing
from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import assert_equal, execute, fresh, installed, rewrite, write

MAIN = """\
import torch
import xformers.ops as xops
{more}

def run(q, k, v):
    b, n, h, d = q.shape
    return {path}, xops.memory_efficient_attention(q, k, v)
"""
FRAMES = [
    (
        "def backends():\n    found = []\n    try:\n        import xformers.ops  # noqa: F401\n    except Exception:\n"
        "        pass\n    else:\n        # the fast one\n        found.append('fast')\n    return found\n",
        "backends()[0] if backends() else 'eager'",
        "    found = []\n    # the fast one\n    found.append('fast')\n    return found\n",
    ),
    (
        "try:\n    import xformers\nexcept ImportError:\n    pass\nfinally:\n    PATH = 'fast'\n",
        "PATH",
        "\nPATH = 'fast'\n",
    ),
    (
        "def has():\n    try:\n        import xformers\n        import xformers.ops\n\n        return True\n"
        "    except ImportError:\n        return False\n",
        "'fast' if has() else 'eager'",
        "def has():\n    return True\n",
    ),
    (
        "import contextlib\n\nFAST = False\nwith contextlib.suppress(ImportError):\n    import xformers\n"
        "    FAST = True\n",
        "'fast' if FAST else 'eager'",
        "FAST = True\n",
    ),
]


@pytest.mark.parametrize(("more", "path", "left"), FRAMES)
def test_a_frame_becomes_what_it_does(tmp_path: Path, more: str, path: str, left: str) -> None:
    write(tmp_path, {"main.py": MAIN.format(more=more, path=path)})
    before = execute(tmp_path, installed)
    rewrite(tmp_path)
    assert_equal(before, execute(tmp_path, oracle.absent))
    text = (tmp_path / "main.py").read_text("utf-8")
    assert left in text
    assert "try:" not in text
    assert "suppress" not in text


def test_a_frame_with_text_over_several_lines_keeps_the_text(tmp_path: Path) -> None:
    more = "try:\n    import xformers\nexcept ImportError:\n    pass\nelse:\n    TEXT = str('''\n  fast\n''')\n"
    write(tmp_path, {"main.py": MAIN.format(more=more, path="TEXT.strip()")})
    report = rewrite(tmp_path).output
    assert "\nTEXT = str('''\n  fast\n''')\n" in (tmp_path / "main.py").read_text("utf-8")
    assert "XF401" not in report


def test_the_helper_leaves_a_suppressing_block(tmp_path: Path) -> None:
    text = "from contextlib import suppress\n\nimport torch\n\nwith suppress(ImportError):\n"
    text += "    import xformers.ops as xops\n\n\ndef run(q, k, v, bias=None):\n"
    text += "    return 'fast', xops.memory_efficient_attention(q, k, v, bias)\n"
    write(tmp_path, {"main.py": text})
    before = execute(tmp_path, installed)
    rewrite(tmp_path)
    assert_equal(before, execute(tmp_path, oracle.absent))
    new = (tmp_path / "main.py").read_text("utf-8")
    assert new.startswith("import torch\nfrom _attention_compat import memory_efficient_attention\n\n\ndef run")


TYPES = """\
from __future__ import annotations

import typing as t
from typing import TYPE_CHECKING, Optional, TypeVar, Union, cast

import torch

if TYPE_CHECKING:
    from xformers.ops.fmha.attn_bias import AttentionBias, BlockDiagonalMask, LowerTriangularMask
    import xformers.ops as xops

Mask = Union["BlockDiagonalMask", torch.Tensor, str]
Table = t.Dict[str, "xops.BlockDiagonalCausalMask"]
Bound = TypeVar("Bound", bound="AttentionBias")


def convert(x: Optional[Mask]) -> Table:
    return cast("LowerTriangularMask", x)


def run(q, k, v):
    return "fast", q
"""


def test_types_in_quotes_anywhere_keep_their_names(tmp_path: Path) -> None:
    call = (
        "import xformers.ops as xops\n\n\ndef attend(q, k, v):\n    return xops.memory_efficient_attention(q, k, v)\n"
    )
    write(tmp_path, {"main.py": TYPES, "model.py": call})
    report = rewrite(tmp_path).output
    assert "still need" not in report
    text = (tmp_path / "main.py").read_text("utf-8")
    assert "    from _attention_compat import AttentionBias, BlockDiagonalMask, LowerTriangularMask\n" in text
    assert 'Dict[str, "BlockDiagonalCausalMask"]' in text
    with pytest.MonkeyPatch.context() as patch, fresh(tmp_path, oracle.absent):
        patch.setattr(typing, "TYPE_CHECKING", True)
        main = importlib.import_module("main")
        assert typing.get_type_hints(main.convert)["x"]


PLACES = [
    ("import torch\nimport xformers.ops as xops\nfrom torch import nn\n\nfrom .kinds import KIND\n", -1),
    ("import xformers.ops as xops\nimport torch\nfrom .kinds import KIND\nfrom torch import nn\n", -2),
    ("import torch\nimport xformers.ops as xops\nfrom .kinds import KIND\n", -2),
]


@pytest.mark.parametrize(("imports", "place"), PLACES)
def test_a_relative_import_stands_behind_absolute_ones(tmp_path: Path, imports: str, place: int) -> None:
    body = "\n\ndef attend(q, k, v, bias):\n    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"
    write(tmp_path, {"pk/__init__.py": "", "pk/kinds.py": "KIND = 1\n", "pk/layer.py": imports + body})
    rewrite(tmp_path)
    head = (tmp_path / "pk" / "layer.py").read_text("utf-8").partition("\n\n\n")[0].splitlines()
    assert head[place] == "from ._attention_compat import memory_efficient_attention"


def test_a_star_in_between_keeps_it_in_its_place(tmp_path: Path) -> None:
    text = "import xformers.ops as xops\nfrom torch import *\nfrom . import kinds\n\n\ndef attend(q, k, v, bias):\n"
    text += "    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"
    write(tmp_path, {"pk/__init__.py": "", "pk/kinds.py": "", "pk/layer.py": text})
    rewrite(tmp_path)
    assert (tmp_path / "pk" / "layer.py").read_text("utf-8").startswith("from ._attention_compat import")


def test_a_name_that_others_take_in_a_circle_is_bound_as_early_as_before(tmp_path: Path) -> None:
    text = "from xformers.ops import memory_efficient_attention\nimport torch\nfrom . import kinds\n\n\n"
    text += "def attend(q, k, v, bias):\n    return memory_efficient_attention(q, k, v, attn_bias=bias)\n"
    kinds = "from .layer import memory_efficient_attention\n\nKINDS = {'fast': memory_efficient_attention}\n"
    write(tmp_path, {"pk/__init__.py": "", "pk/kinds.py": kinds, "pk/layer.py": text})
    rewrite(tmp_path)
    with fresh(tmp_path, oracle.absent):
        assert importlib.import_module("pk.layer").kinds.KINDS


def test_a_comment_for_type_checkers_does_not_come_along(tmp_path: Path) -> None:
    text = "import torch\nimport xformers.ops as xops  # type: ignore[import]\n\n\ndef run(q, k, v, bias=None):\n"
    text += "    return 'fast', xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"
    write(tmp_path, {"main.py": text})
    rewrite(tmp_path)
    new = (tmp_path / "main.py").read_text("utf-8")
    assert new.startswith("import torch\nfrom _attention_compat import memory_efficient_attention\n\n\ndef run")


def test_no_blank_line_at_the_top(tmp_path: Path) -> None:
    text = "import xformers.ops as xops\n\nimport torch.nn.functional as F\n\n\ndef run(q, k, v):\n"
    text += "    b, n, h, d = q.shape\n    return 'fast', xops.memory_efficient_attention(q, k, v)\n"
    write(tmp_path, {"main.py": text})
    rewrite(tmp_path)
    assert (tmp_path / "main.py").read_text("utf-8").startswith("import torch.nn.functional as F\n\n\ndef run")


def test_a_mask_of_two_inline_calls_goes(tmp_path: Path) -> None:
    text = """\
import torch
from xformers.ops import LowerTriangularMask, memory_efficient_attention


def run(q, k, v):
    b, n, h, d = q.shape
    mask = LowerTriangularMask()
    out = memory_efficient_attention(q, k, v, attn_bias=mask)
    return "fast", memory_efficient_attention(out, k, v, attn_bias=mask)
"""
    write(tmp_path, {"main.py": text})
    before = execute(tmp_path, installed)
    rewrite(tmp_path)
    assert_equal(before, execute(tmp_path, oracle.absent))
    new = (tmp_path / "main.py").read_text("utf-8")
    assert "mask =" not in new
    assert "_attention_compat" not in new


def test_a_call_that_only_stars_explain_is_named(tmp_path: Path) -> None:
    text = "from xformers.ops import *\nfrom torch import *\n\n\ndef attend(q, k, v):\n"
    text += "    return memory_efficient_attention(q, k, v)\n"
    write(tmp_path, {"main.py": text})
    report = rewrite("--check", tmp_path).output
    assert "main.py:6:12: XF406" in report
