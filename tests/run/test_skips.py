"""`pytest.importorskip("xformers")`: what it imports is followed, and it goes once nothing needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import rewrite, write

MODEL = """\
import torch.nn.functional as F
import xformers.ops as xops


def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).reshape(b, n, h * d)
"""
TEST = """\
import pytest
import torch

{skip}
from model import attend


@pytest.mark.parametrize("size", [1, 2])
def test_shape(size):
    q = torch.randn(size, 3, 2, 8).half()
    assert attend(q, q, q).shape == (size, 3, 16)
"""
CALL = """

def test_operator():
    q = torch.randn(1, 3, 2, 8).half()
    assert xops.memory_efficient_attention(q, q, q{mask}).shape == q.shape
"""
FREE = "Nothing here needs xformers any more"


def after(folder: Path, test: str) -> tuple[str, str]:
    """The test file after a rewrite, and the report."""
    write(folder, {"model.py": MODEL, "tests/test_model.py": test, "requirements.txt": "xformers\n"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        report = rewrite(".").output
        assert "would be" not in rewrite("--check", ".").output
    return (folder / "tests" / "test_model.py").read_text("utf-8"), report


@pytest.mark.parametrize(
    "skip",
    [
        'pytest.importorskip("xformers")',
        'xformers = pytest.importorskip("xformers", minversion="0.0.20")',
        'xops = pytest.importorskip("xformers.ops", reason="needs it")',
    ],
)
def test_it_goes_when_nothing_reads_it(tmp_path: Path, skip: str) -> None:
    text, report = after(tmp_path, TEST.format(skip=skip))
    assert text == TEST.format(skip="").replace("\n\n\nfrom", "\n\nfrom")
    assert FREE in report
    assert "XF145" in report


def test_a_call_through_it_is_a_site(tmp_path: Path) -> None:
    skip = 'xops = pytest.importorskip("xformers.ops")'
    text, report = after(tmp_path, TEST.format(skip=skip) + CALL.format(mask=""))
    assert "importorskip" not in text
    assert "scaled_dot_product_attention" in text
    assert "2 call sites" in report
    assert FREE in report


def test_what_the_helper_has_comes_from_there(tmp_path: Path) -> None:
    skip = 'xops = pytest.importorskip("xformers.ops")'
    mask = ", xops.LowerTriangularMask().add_bias(q)"
    text, report = after(tmp_path, TEST.format(skip=skip) + CALL.format(mask=mask))
    assert "importorskip" not in text
    assert "_attention_compat import LowerTriangularMask, memory_efficient_attention" in text
    assert FREE in report


def test_pytest_goes_with_it_if_nothing_else_reads_it(tmp_path: Path) -> None:
    test = 'import pytest\nimport torch\n\nxops = pytest.importorskip("xformers.ops")\n' + CALL.format(mask="")
    text, _ = after(tmp_path, test)
    assert text.startswith("import torch\n\n\ndef")


@pytest.mark.parametrize(
    "more",
    [
        "    torch.testing.assert_close(q, xops.memory_efficient_attention(q, q, q))\n",
        "    assert xops.rope_padded(q, q, q)\n",
    ],
)
def test_it_stays_with_what_needs_it_and_is_named(tmp_path: Path, more: str) -> None:
    skip = 'xops = pytest.importorskip("xformers.ops")'
    text, report = after(tmp_path, TEST.format(skip=skip) + more)
    assert skip in text
    assert "test_model.py:4:1: XF401 note    the tests after this are skipped" in report
    assert FREE not in report


def test_a_file_that_the_run_leaves_out_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "model.py": MODEL,
            "tests/test_model.py": TEST.format(skip='pytest.importorskip("xformers")'),
            "requirements.txt": "xformers\n",
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert FREE not in rewrite("model.py").output
