"""A folder with a file of every outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.forms import ALL
from tests.run.commands import write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path, **ALL)
