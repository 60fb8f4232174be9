"""The whole tree that some paths belong to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.projects.harness import write
from xf2sdpa.files import tree
from xf2sdpa.files.tree import files_of, roots_of, spelled


def test_a_work_tree_from_its_top(tmp_path: Path) -> None:
    write(tmp_path, {"a/b/c.py": "", "a/pyproject.toml": ""})
    assert roots_of([tmp_path / "a/b"]) == [str(tmp_path / "a")]
    (tmp_path / ".git").mkdir()
    assert roots_of([tmp_path / "a/b", tmp_path / "a/b/c.py"]) == [str(tmp_path)]


def test_the_nearest_folder_that_says_what_is_required(tmp_path: Path) -> None:
    write(tmp_path, {"p/setup.py": "", "p/src/a.py": "", "q/b.py": ""})
    assert roots_of([tmp_path / "p/src", tmp_path / "q"]) == [str(tmp_path / "p"), str(tmp_path / "q")]
    assert roots_of([tmp_path / "p/src/a.py", tmp_path / "p"]) == [str(tmp_path / "p")]
    assert roots_of([tmp_path, tmp_path / "q"]) == [str(tmp_path)]


def test_a_home_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"requirements.txt": "", "lib/a.py": ""})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert roots_of([tmp_path / "lib"]) == [str(tmp_path / "lib")]


def test_files_that_may_hold_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.py": "", "b/c.MD": "", "b/d.PNG": "", "e.ipynb": "x" * 40, "f.json": "x" * 40, "Makefile": ""})
    os.symlink("nowhere", tmp_path / "gone.txt")  # noqa: PTH211
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tree, "LARGEST", 30)
    assert files_of(["."]) == ["Makefile", "a.py", "b/c.MD", "e.ipynb"]


def test_a_tree_is_spelled_from_here_unless_it_lies_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a/b.py": ""})
    monkeypatch.chdir(tmp_path / "a")
    assert spelled(str(tmp_path / "a")) == "."
    assert spelled(str(tmp_path)) == ".."
    monkeypatch.chdir("/usr")  # which has nothing in common with the folder of a test
    assert spelled(str(tmp_path / "a")) == str(tmp_path / "a")
    assert files_of([str(tmp_path / "a")]) == [str(tmp_path / "a" / "b.py")]
    monkeypatch.setattr(os.path, "commonpath", _two_drives)
    assert spelled(str(tmp_path)) == str(tmp_path)


def _two_drives(_: object) -> str:
    raise ValueError("Paths don't have the same drive")
