"""Which words of a notebook may name a class or function of the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xf2sdpa.project.notebook_words import words_of


def notebook(*cells: str, language: str = "python") -> str:
    code = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": c} for c in cells]
    return json.dumps(
        {"cells": code, "metadata": {"kernelspec": {"language": language}}, "nbformat": 4, "nbformat_minor": 5}
    )


@pytest.mark.parametrize(
    ("cell", "word", "named"),
    [
        ("from net import Block", "Block", True),
        ("net.Block()", "Block", True),
        ("build('Block')", "Block", True),
        ("Block()", "Block", True),
        ("def Block():\n    pass\n\n\nBlock()", "Block", False),
        ("# Block", "Block", False),
        ("!python -m net.Block", "Block", True),
        ("x = 1\n!python train.py --kind Block", "Block", True),
        ("%%bash\npython train.py --kind Block", "Block", True),
        ("def : Block", "Block", True),
    ],
)
def test_words(cell: str, word: str, named: bool, tmp_path: Path) -> None:
    text = notebook(cell)
    path = tmp_path / "a.ipynb"
    path.write_text(text, "utf-8")
    assert (word in words_of(str(path), text)) is named


@pytest.mark.parametrize("text", [notebook("x = 1", language="R"), notebook("from net import *"), "{"])
def test_all_of_what_cannot_be_read_word_by_word(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(text, "utf-8")
    assert words_of(str(path), text) == text
