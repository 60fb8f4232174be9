"""The model of examples/families computes the same before and after the rewrite, on the CPU."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests import oracle
from xf2sdpa import cli

FAMILIES = Path(__file__).resolve().parents[1] / "examples" / "families"
MODULES = ("train", "layers", "_attention_compat")


def losses(folder: Path, monkeypatch, capsys) -> list[float]:
    """What `train.py` prints for two steps, on one image."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "argv", ["train.py", "--steps", "2", "--batch", "1", "--device", "cpu"])
    for name in MODULES:
        sys.modules.pop(name, None)
    capsys.readouterr()
    try:
        importlib.import_module("train").main()
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)
    return [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]


def test_the_families_train_alike_before_and_after(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "families"
    shutil.copytree(FAMILIES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with oracle.installed() as calls:
        before = losses(folder, monkeypatch, capsys)
    assert calls.count == 5 * len(before) == 10
    ran = CliRunner().invoke(cli.cli, ["rewrite", "--strict", "--flags", "off", str(folder)])
    assert ran.exit_code == 0, ran.output
    assert "xformers" not in (folder / "layers.py").read_text().partition("class ")[0].partition('"""\n')[2]
    with oracle.absent():
        after = losses(folder, monkeypatch, capsys)
    assert after == pytest.approx(before, rel=1e-5)
    assert after[0] != after[1]


def test_it_is_small():
    lines = sum(len(file.read_text().splitlines()) for file in FAMILIES.glob("*.py"))
    assert lines <= 200
