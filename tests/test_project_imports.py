"""The import lines of rewritten files: one from the helper, none that nothing reads, no default before it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import assert_equal, execute, installed, rewrite, write

FAMILIES = Path(__file__).resolve().parents[1] / "examples" / "families"
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
