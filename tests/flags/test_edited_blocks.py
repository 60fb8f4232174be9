"""A block of flags that a person edited or damaged stays, and is reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.flags.planned import MARK, TRAIN, rewrite, train
from tests.flags.programs import NETS
from tests.projects import harness


@pytest.mark.parametrize("words", ["off", "safe", "h200"])
def test_an_edited_block_stays_and_is_reported(words: str, root: Path) -> None:
    rewrite(root)
    edited = train(root).replace("benchmark = True", "benchmark = False")
    (root / "train.py").write_text(edited)
    (root / "nets/attention.py").write_text(NETS["nets/attention.py"])
    result = rewrite(root, "--flags", words)
    assert "XF505 flags   the block was edited by hand" in result.output
    assert train(root) == edited


END = "# xf2sdpa: end of H200 flags\n"
WAY_OUT = "the block lost its last line, so it stays as it is: put `# xf2sdpa: end of H200 flags` back"


@pytest.mark.parametrize("arguments", [["--flags", "off"], ["--flags-in", "train.py"], ["--device", "any"]])
def test_a_block_without_its_last_line_stays_and_is_reported(
    arguments: list[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    rewrite(".")
    whole = train(root)
    damaged = whole.replace(END, "")
    assert damaged != whole
    (root / "train.py").write_text(damaged)
    result = rewrite(".", *arguments)
    assert f"train.py:7:1: XF505 flags   {WAY_OUT}" in result.output
    assert "settled already" not in result.output
    assert train(root) == damaged
    (root / "train.py").write_text(whole)
    rewrite(".", "--flags", "off")
    assert train(root) == TRAIN


def test_a_block_without_its_first_line_stays_and_is_reported(root: Path) -> None:
    rewrite(root)
    damaged = re.sub(f"{MARK}.*\n", "", train(root))
    (root / "train.py").write_text(damaged)
    result = rewrite(root, "--flags-in", root / "train.py")
    assert "train.py:9:1: XF505 flags   the block lost its first line" in result.output
    assert train(root) == damaged


def test_a_file_that_only_quotes_the_mark_gets_no_block(root: Path) -> None:
    quoting = f'import torch\n\nMARK = "{MARK}"\nBLOCK = """\n{MARK} 0a1b2c3d\n"""\n'
    harness.write(root, {"quoting.py": quoting})
    rewrite(root)
    assert MARK in train(root)
    assert "quoting.py" not in rewrite(root, "--flags", "off").output
    assert (root / "quoting.py").read_text() == quoting
