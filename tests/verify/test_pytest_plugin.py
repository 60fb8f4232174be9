"""The fixture `attention_agrees`, in a pytest of its own."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

from xf2sdpa.judging.model import Case, Check
from xf2sdpa.verify.pytest_plugin import table

ROOT = Path(__file__).parents[2]

SAMPLE = """
import torch
import torch.nn.functional as F
import xformers.ops as xops

QKV = tuple(torch.randn(2, 12, 3, 8) for _ in range(3))

def old(q, k, v):
    return xops.memory_efficient_attention(q, k, v, attn_bias=xops.LowerTriangularMask())

def new(q, k, v, causal=True):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2)

def test_agrees(attention_agrees):
    assert attention_agrees(old, new, QKV).compared

def test_disagrees(attention_agrees):
    attention_agrees(old, lambda q, k, v: new(q, k, v, False), QKV)

def test_compares_nothing(attention_agrees):
    q, k, v = QKV
    attention_agrees(old, new, (q, k[:, :, :1], v))

def test_needs_xformers(attention_agrees):
    attention_agrees(old, new, QKV, need_xformers=True)
"""


def test_a_project_keeps_a_comparison_in_its_tests(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pytest", "-p", "xf2sdpa.verify.pytest_plugin", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert "2 failed, 1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "old and new attention disagree" in done.stdout
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert "FAILS" in lines["output"]
    assert "FAILS" in lines["gradient of query"]
    assert "ok" in lines["dtype"]
    assert "old and new attention could not be compared" in done.stdout
    assert "reference: xformers" in lines["note: reference: xformers has no CPU kernels, and there is no CUDA device"]
    assert "Traceback" not in done.stdout


def test_loading_the_plugin_imports_no_torch() -> None:
    code = "import sys, xf2sdpa.verify.pytest_plugin; sys.exit('torch' in sys.modules or 'libcst' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pytest_finds_it() -> None:
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"xf2sdpa": "xf2sdpa.verify.pytest_plugin"}


def test_the_table_has_a_line_for_each_check() -> None:
    checks = (
        Check("output", False, "output: error 0.5, allowed 0.01", 0.004, 0.5, 0.01),
        Check("exact", True, "exact: not available (a reason)", available=False),
    )
    lines = table(Case("q 1×2×3×4", "float16", autocast="bfloat16", notes=("dropout",), checks=checks)).splitlines()
    assert lines[0] == "q 1×2×3×4, float16, mask none, autocast to bfloat16"
    assert " ".join(lines[2].split()) == "output FAILS 0.004 0.5 0.01 output: error 0.5, allowed 0.01"
    assert " ".join(lines[3].split()) == "exact - exact: not available (a reason)"
    assert lines[4] == "note: dropout"


def test_the_public_names_are_imported_when_they_are_asked_for() -> None:
    code = """
import sys, xf2sdpa.verify as verify
assert "torch" not in sys.modules
from xf2sdpa.judging.compare import compare_probe
assert verify.compare_probe is compare_probe
assert callable(verify.compare) and callable(verify.find_old_path)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
