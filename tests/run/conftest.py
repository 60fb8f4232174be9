"""A file that the command rewrites."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.commands import EXACT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "model.py"
    place.write_text(EXACT)
    return place
