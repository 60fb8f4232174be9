"""A git repository, and none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.files.trees import git
from xf2sdpa.files import git as git_module


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    return root


@pytest.fixture
def no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if a program is started."""

    def refuse(*_: object) -> None:
        raise AssertionError("git was started")

    monkeypatch.setattr(git_module, "_output", refuse)
