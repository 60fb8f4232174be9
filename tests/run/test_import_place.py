"""Where the helper's import goes when a guard goes, and that no empty branch stays behind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.projects.harness import rewrite, write

GUARD = """\
try:
    from xformers.ops import memory_efficient_attention

    FAST = True
except ImportError:
    FAST = False
"""
CALL = """\


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias) if FAST else None
"""
IMPORT = "from _attention_compat import memory_efficient_attention\n"


def after(folder: Path, text: str) -> str:
    write(folder, {"main.py": text})
    rewrite("--flags", "off", folder)
    new = (folder / "main.py").read_text()
    ast.parse(new)
    return new


@pytest.mark.parametrize(
    "between",
    [
        "logger = logging.getLogger(__name__)\n",
        'ENABLED = os.environ.get("X") is None\n',
        "try:\n    import flash_attn\nexcept ImportError:\n    flash_attn = None\n",
        '"""What follows is a guard."""\n',
    ],
    ids=["logger", "environment read", "another guard", "text"],
)
def test_it_goes_to_the_other_imports(tmp_path: Path, between: str) -> None:
    head = "import logging\nimport os\n"
    assert after(tmp_path, f"{head}\n{between}\n{GUARD}{CALL}") == f"{head}{IMPORT}\n{between}\nFAST = True\n{CALL}"


@pytest.mark.parametrize(
    "between",
    [
        "sys.path.insert(0, os.curdir)\n",
        'os.environ["X"] = "1"\n',
        'LIMIT = os.environ.setdefault("X", "1")\n',
        "set_up()\n",
        "memory_efficient_attention = None\n",
        "for key in os.environ:\n    pass\n",
    ],
)
def test_it_stays_where_what_lies_between_may_matter(tmp_path: Path, between: str) -> None:
    head = "import os\nimport sys\n"
    new = after(tmp_path, f"{head}\n{between}\n{GUARD}{CALL}")
    assert new.index(IMPORT) > new.index(head) + len(head)
    assert new.index(IMPORT) < new.index("FAST = True")
    assert f"{head}\n{between}" in new or between.startswith("memory")


def test_no_blank_lines_around_it(tmp_path: Path) -> None:
    guard = "if is_xformers_available():\n    from xformers.ops import memory_efficient_attention\n"
    head = "import math\nfrom tools import is_xformers_available\n"
    new = after(tmp_path, f"{head}\n{guard}{CALL.replace(' if FAST else None', '')}")
    assert new.startswith(f"import math\n{IMPORT}\n\ndef attend(")


def test_a_flag_directly_below_the_imports_keeps_its_distance(tmp_path: Path) -> None:
    assert after(tmp_path, f"import os\n{GUARD}{CALL}") == f"import os\n{IMPORT}\nFAST = True\n{CALL}"
    assert after(tmp_path, f"import os\n\n{GUARD}{CALL}") == f"import os\n{IMPORT}\nFAST = True\n{CALL}"


@pytest.mark.parametrize(
    ("branch", "left"),
    [
        ('    if FAST:\n        print("xformers", xformers.__version__)\n', ""),
        (
            "    if FAST:\n        print(xformers.__version__)\n    else:\n        q = q * 2\n",
            "    if not FAST:\n        q = q * 2\n",
        ),
        (
            "    if bias is None:\n        q = q + 1\n    elif FAST:\n        print(xformers.__version__)\n",
            "    if bias is None:\n        q = q + 1\n    elif FAST:\n        pass\n",
        ),
        (
            "    if FAST:\n        print(xformers.__version__)\n        q = q * 2\n",
            "    if FAST:\n        q = q * 2\n",
        ),
    ],
    ids=["whole", "else", "elif", "more"],
)
def test_no_empty_branch_stays(tmp_path: Path, branch: str, left: str) -> None:
    guard = GUARD.replace("    from", "    import xformers\n    from")
    body = "    return memory_efficient_attention(q, k, v, attn_bias=bias)\n"
    new = after(tmp_path, f"import math\n\n{guard}\n\ndef attend(q, k, v, bias):\n{branch}{body}")
    assert new.endswith(f"def attend(q, k, v, bias):\n{left}{body}")


def test_a_branch_with_another_import_in_it_is_not_empty(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from xformers.ops import AttentionBias\n"
    call = CALL.replace("bias):", 'bias: "AttentionBias"):').replace(" if FAST else None", "")
    new = after(tmp_path, f"{text}from xformers.ops import memory_efficient_attention\n{call}")
    assert "if TYPE_CHECKING:\n    from _attention_compat import AttentionBias\n" in new
