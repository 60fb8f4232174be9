"""The project that the tests of planned flags work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flags.planned import TRAIN
from tests.flags.programs import NETS
from tests.projects import harness


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return harness.write(tmp_path, {**NETS, "train.py": TRAIN})
