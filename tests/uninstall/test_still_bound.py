"""A rewritten file that imports one which keeps xformers is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import rewrite, write

CALL = """\
import xformers.ops as xops


def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v)
"""
KEEPING = """\
from xformers.ops.fmha.flash import FwOp

OPERATOR = FwOp.OPERATOR
"""


def said(folder: Path) -> list[str]:
    lines = rewrite(folder).output.splitlines()
    return [line.removeprefix(f"{folder}/") for line in lines if "XF407" in line]


@pytest.mark.parametrize(
    ("line", "place"),
    [("from .probe import OPERATOR", 2), ("from pkg import probe", 2), ("import math, pkg.probe", 2)],
)
def test_an_import_of_what_keeps_xformers(tmp_path: Path, line: str, place: int) -> None:
    write(tmp_path, {"pkg/__init__.py": "", "pkg/probe.py": KEEPING, "pkg/layers.py": f"import math\n{line}\n{CALL}"})
    (found,) = said(tmp_path)
    assert found.startswith(f"pkg/layers.py:{place}:")
    assert f"it imports {tmp_path / 'pkg/probe.py'}, which keeps it" in found


@pytest.mark.parametrize(
    "lines",
    [
        "try:\n    from .probe import OPERATOR\nexcept ImportError:\n    OPERATOR = None\n",
        "def probe():\n    from .probe import OPERATOR\n\n    return OPERATOR\n",
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from .probe import OPERATOR\n",
    ],
)
def test_an_import_that_need_not_run(tmp_path: Path, lines: str) -> None:
    write(tmp_path, {"pkg/__init__.py": "", "pkg/probe.py": KEEPING, "pkg/layers.py": f"{lines}\n{CALL}"})
    assert not said(tmp_path)


def test_a_file_that_keeps_it_only_where_it_is_there(tmp_path: Path) -> None:
    guarded = "try:\n    from xformers.ops.fmha.flash import FwOp\nexcept ImportError:\n    FwOp = None\n"
    write(
        tmp_path, {"pkg/__init__.py": "", "pkg/probe.py": guarded, "pkg/layers.py": f"from .probe import FwOp\n{CALL}"}
    )
    assert not said(tmp_path)


def test_files_that_are_rewritten_altogether(tmp_path: Path) -> None:
    write(
        tmp_path, {"pkg/__init__.py": "", "pkg/one.py": CALL, "pkg/two.py": f"from .one import attend as other\n{CALL}"}
    )
    assert not said(tmp_path)
