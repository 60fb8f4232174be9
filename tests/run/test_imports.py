"""The import lines of rewritten files: one from the helper, none that nothing reads, no default before it."""

from __future__ import annotations

import importlib
import shutil
import typing
from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import assert_equal, execute, fresh, imports_of_xformers, installed, rewrite, write

FAMILIES = Path(__file__).resolve().parents[2] / "examples" / "families"
CALL = """

def run(q, k, v, bias=None):
    return "fast", {call}(q, k, v, attn_bias=bias)
"""


def after(folder: Path, text: str) -> str:
    """A module after its rewrite; it computes the same without xformers as it did with it."""
    write(folder, {"main.py": text})
    before = execute(folder, installed)
    rewrite(folder)
    assert_equal(before, execute(folder, oracle.absent))
    return (folder / "main.py").read_text("utf-8")


def imports_of_helper(text: str) -> list[str]:
    return [line for line in text.splitlines() if "_attention_compat import" in line]


def test_the_families_get_one_import(tmp_path: Path) -> None:
    shutil.copytree(FAMILIES, tmp_path / "families", ignore=shutil.ignore_patterns("__pycache__"))
    rewrite(tmp_path / "families")
    text = (tmp_path / "families" / "layers.py").read_text("utf-8")
    assert imports_of_helper(text) == ["from _attention_compat import BlockDiagonalMask, memory_efficient_attention"]


@pytest.mark.parametrize(
    "lines",
    [
        "import xformers.ops as xops\nfrom xformers.ops import LowerTriangularMask",
        "from xformers.ops import LowerTriangularMask\nimport xformers.ops as xops",
        "from xformers.ops import LowerTriangularMask\nimport math\nfrom xformers import ops as xops",
    ],
)
def test_several_imports_become_one(tmp_path: Path, lines: str) -> None:
    text = after(
        tmp_path, lines + "\n\nMASK = LowerTriangularMask" + CALL.format(call="xops.memory_efficient_attention")
    )
    assert imports_of_helper(text) == ["from _attention_compat import LowerTriangularMask, memory_efficient_attention"]


def test_a_name_is_still_bound_where_a_function_imports_it_too(tmp_path: Path) -> None:
    inner = "\n\ndef other():\n    try:\n        from xformers.ops import memory_efficient_attention\n"
    inner += "    except ImportError:\n        return None\n    return memory_efficient_attention\n"
    text = "from xformers.ops import memory_efficient_attention\n"
    text = after(tmp_path, text + inner + CALL.format(call="memory_efficient_attention"))
    assert len(imports_of_helper(text)) == 2


GUARD = """\
try:
    from xformers.ops import memory_efficient_attention
except ImportError:
    pass
"""


def test_a_default_goes_that_the_import_stands_behind(tmp_path: Path) -> None:
    text = after(
        tmp_path, "memory_efficient_attention = None\n" + GUARD + CALL.format(call="memory_efficient_attention")
    )
    assert "= None\n" not in text


def test_a_default_stays_that_something_reads_before(tmp_path: Path) -> None:
    first = "memory_efficient_attention = None\nWAS = memory_efficient_attention\n"
    text = after(tmp_path, first + GUARD + CALL.format(call="memory_efficient_attention"))
    assert text.startswith(first)


def test_a_default_of_a_module_goes_with_its_last_reading(tmp_path: Path) -> None:
    text = "xformers = None\ntry:\n    import xformers.ops\nexcept ImportError:\n    pass\n"
    text = after(tmp_path, text + CALL.format(call="xformers.ops.memory_efficient_attention"))
    assert "xformers = None" not in text


def test_imports_go_that_only_the_questions_read(tmp_path: Path) -> None:
    head = "import importlib.metadata\nimport warnings\nfrom packaging import version\n\nimport xformers\n"
    text = """\
import xformers.ops

if version.parse(xformers.__version__) < version.parse("0.0.20"):
    warnings.warn("this release is too old")
"""
    text = after(tmp_path, head + text + CALL.format(call="xformers.ops.memory_efficient_attention"))
    assert "import warnings" not in text
    assert "from packaging import version" not in text
    assert "import importlib.metadata" in text, "nobody read it before"


def test_imports_stay_that_something_else_reads(tmp_path: Path) -> None:
    head = 'import warnings\n\nimport xformers.ops\n\nif xformers.__version__ < "0.0.1":\n    warnings.warn("old")\n'
    more = '\n\ndef deprecated():\n    warnings.warn("deprecated")\n'
    text = after(tmp_path, head + more + CALL.format(call="xformers.ops.memory_efficient_attention"))
    assert text.startswith("import warnings\n")


def test_an_import_goes_from_the_branch_that_only_asked(tmp_path: Path) -> None:
    text = """\
import xformers.ops


def check(model, wanted):
    if wanted:
        import xformers
        from packaging import version

        if version.parse(xformers.__version__) == version.parse("0.0.16"):
            print("xFormers 0.0.16 cannot be used")
        model.train()
"""
    text = after(tmp_path, text + CALL.format(call="xformers.ops.memory_efficient_attention"))
    assert "packaging" not in text
    assert "    if wanted:\n        model.train()\n" in text


def test_a_training_script_loses_what_only_its_check_read(tmp_path: Path) -> None:
    """A script that switches on diffusers' use of xformers, in a project with a call."""
    script = """\
import warnings
from packaging import version

from diffusers.utils.import_utils import is_xformers_available


def main(unet):
    if is_xformers_available():
        import xformers

        if version.parse(xformers.__version__) == version.parse("0.0.16"):
            warnings.warn("xFormers 0.0.16 cannot be used")
        unet.enable_xformers_memory_efficient_attention()
    warnings.warn("done")
"""
    call = f"import xformers.ops as xops{CALL.format(call='xops.memory_efficient_attention')}"
    write(tmp_path, {"main.py": call, "train.py": script})
    rewrite(tmp_path)
    text = (tmp_path / "train.py").read_text("utf-8")
    assert text.startswith("import warnings\n\nfrom diffusers")
    assert "    if is_xformers_available():\n        unet.enable_xformers" in text


FROM = "from xformers.ops import AttentionBias, LowerTriangularMask, memory_efficient_attention"
AS = "from xformers.ops import AttentionBias as AB, memory_efficient_attention"
STAR = "from xformers.ops import *"
MODULE = "import xformers.ops as xops\nfrom xformers.ops import AttentionBias, memory_efficient_attention"
GUARDED = f"try:\n    {FROM}\nexcept ImportError:\n    AttentionBias = None"
QUOTED = [
    (FROM, '"AttentionBias"'),
    (FROM, '"Optional[AttentionBias]"'),
    (FROM, "'Optional[AttentionBias]'"),
    (FROM, '"AttentionBias | None"'),
    (FROM, '"None | AttentionBias"'),
    (FROM, 'Optional["AttentionBias"]'),
    (FROM, 'Optional["LowerTriangularMask | AttentionBias"]'),
    (FROM, "\"Optional['AttentionBias']\""),
    (FROM, "\"dict[Literal['a', 'b c'], Optional['AttentionBias']]\""),
    (AS, '"Optional[AB]"'),
    (STAR, '"Optional[AttentionBias]"'),
    (GUARDED, '"Optional[AttentionBias]"'),
    (MODULE, '"Optional[xops.AttentionBias]"'),
    (MODULE, "\"Optional['xops.AttentionBias']\""),
    (MODULE, "'dict[Literal[\"a\"], xops.AttentionBias]'"),
    (MODULE, 'r"xops.AttentionBias | None"'),
    (MODULE, '"Union[AttentionBias, xops.LowerTriangularMask]"'),
]


@pytest.mark.parametrize(("lines", "annotation"), QUOTED)
@pytest.mark.parametrize("shape", [True, False])
def test_what_a_quoted_annotation_names_is_still_there(
    lines: str, annotation: str, shape: bool, tmp_path: Path
) -> None:
    """Nothing but a type hint reads the name; `typing.get_type_hints` finds it without xformers."""
    text = f"""\
from typing import Literal, Optional, Union
import torch
{lines}

default: {annotation} = None


class Layer:
    bias: {annotation}


def run(q, k, v, bias: {annotation} = None) -> "tuple[str, torch.Tensor]":
    {"b, n, h, d = q.shape" if shape else "pass"}
    return "fast", memory_efficient_attention(q, k, v, attn_bias=bias)


def other(bias: {annotation}) -> {annotation}:
    return bias
"""
    after(tmp_path, text)
    assert not imports_of_xformers(tmp_path)
    with fresh(tmp_path, oracle.absent):
        main = importlib.import_module("main")
        hints = [typing.get_type_hints(part) for part in (main, main.Layer, main.run, main.other)]
    assert all("AttentionBias" in str(hint.get("bias", hint.get("default"))) for hint in hints)


def test_a_file_that_names_the_api_in_quotes_only(tmp_path: Path) -> None:
    text = 'import xformers.ops as xops\n\n\ndef kind(bias: "xops.AttentionBias | None" = None):\n    return bias\n'
    write(tmp_path, {"kinds.py": text})
    after(tmp_path, f"import xformers.ops as xops{CALL.format(call='xops.memory_efficient_attention')}")
    assert not imports_of_xformers(tmp_path)
    with fresh(tmp_path, oracle.absent):
        hints = typing.get_type_hints(importlib.import_module("kinds").kind)
    assert "AttentionBias" in str(hints["bias"])


def test_a_name_of_a_literal_is_no_name(tmp_path: Path) -> None:
    text = """\
from typing import Literal
import xformers.ops as xops


def choose(kind: "Literal['xops.AttentionBias']"):
    return kind
"""
    text = after(tmp_path, text + CALL.format(call="xops.memory_efficient_attention"))
    assert "def choose(kind: \"Literal['xops.AttentionBias']\"):" in text


def test_an_import_for_type_checkers_stays_one(tmp_path: Path) -> None:
    text = """\
from typing import TYPE_CHECKING, Optional
from xformers.ops import memory_efficient_attention

if TYPE_CHECKING:
    from xformers.ops import AttentionBias


def kind(bias: "Optional[AttentionBias]" = None):
    return bias
"""
    text = after(tmp_path, text + CALL.format(call="memory_efficient_attention"))
    assert "if TYPE_CHECKING:\n    from _attention_compat import AttentionBias\n" in text
