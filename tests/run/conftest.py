"""A file that the command rewrites, and a folder for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.run.commands import EXACT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "model.py"
    place.write_text(EXACT)
    return place


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder to run notebooks in. Cells run in this process, and may say what a tensor is by default."""
    monkeypatch.chdir(tmp_path)
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)
