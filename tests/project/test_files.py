"""The texts of a run's files."""

from __future__ import annotations

from pathlib import Path

from xf2sdpa.project.files import Project


def test_a_file_that_is_gone_has_an_empty_text(tmp_path: Path) -> None:
    project = Project([tmp_path / "gone.py"], {"known.py": "x = 1\n"})
    assert project.text(str(tmp_path / "gone.py")) == ""
    assert project.text("known.py") == "x = 1\n"
