"""What `include` and `exclude` take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.files.trees import below, git, make
from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.listing import list_files

TREE = [
    "a.py",
    "a_pb2.py",
    "src/tests/deep/t.py",
    "src/vendor/v.py",
    "src/vendored.py",
    "tests/t.py",
    "tests_more.py",
]


@pytest.mark.parametrize(
    ("exclude", "gone"),
    [
        ("tests/", ["src/tests/deep/t.py", "tests/t.py"]),
        ("tests", ["src/tests/deep/t.py", "tests/t.py"]),
        ("/tests/", ["tests/t.py"]),
        ("tests/*", ["tests/t.py"]),
        ("*_pb2.py", ["a_pb2.py"]),
        ("*_pb2.py/", []),
        ("a?pb2.py", ["a_pb2.py"]),
        ("src?vendored.py", []),
        ("a.py", ["a.py"]),
        ("?.py", ["a.py", "src/tests/deep/t.py", "src/vendor/v.py", "tests/t.py"]),
        ("[!a-c].py", ["src/tests/deep/t.py", "src/vendor/v.py", "tests/t.py"]),
        ("[a-c].py", ["a.py"]),
        ("src[!x]vendored.py", []),
        ("**/vendor/*", ["src/vendor/v.py"]),
        ("vendor/*", []),
        ("src/**", ["src/tests/deep/t.py", "src/vendor/v.py", "src/vendored.py"]),
        ("src/**/t.py", ["src/tests/deep/t.py"]),
        ("src/**/v*.py", ["src/vendor/v.py", "src/vendored.py"]),
        ("src/*.py", ["src/vendored.py"]),
        ("SRC/", []),
        (r"\a.py", ["a.py"]),
        ("a+py", []),
    ],
)
@pytest.mark.parametrize("with_git", [False, True])
def test_exclude(tmp_path: Path, exclude: str, gone: list[str], with_git: bool) -> None:
    make(tmp_path, *TREE)
    if with_git:
        git(tmp_path, "init", "-q")
    assert below(tmp_path, exclude=[exclude]) == [name for name in TREE if name not in gone]


@pytest.mark.parametrize(
    ("include", "taken"),
    [
        (["*.txt"], ["a.py/b.txt", "a.txt", "src/c.txt"]),
        (["*.py", "src/*.txt"], ["b.py", "src/c.txt"]),
        (["src/"], ["src/c.txt", "src/d/e.md"]),
        (["src/**/*.md"], ["src/d/e.md"]),
        ([], []),
    ],
)
def test_include_is_about_files(tmp_path: Path, include: list[str], taken: list[str]) -> None:
    make(tmp_path, "a.txt", "a.py/b.txt", "b.py", "src/c.txt", "src/d/e.md")
    assert below(tmp_path, include=include) == taken


def test_an_excluded_folder_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "data/a.py", "src/b.py")
    entered: list[str] = []
    scandir = os.scandir

    def spy(path: str) -> object:
        entered.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", spy)
    assert below(tmp_path, exclude=["data/"]) == ["src/b.py"]
    assert not any("data" in path for path in entered)
    assert any("src" in path for path in entered)


def test_patterns_with_a_slash_start_at_base(tmp_path: Path) -> None:
    make(tmp_path, "src/vendor/v.py", "src/a.py", "other/src/vendor/w.py")
    assert below(tmp_path / "src", exclude=["src/vendor/"]) == ["a.py", "vendor/v.py"]
    assert below(tmp_path / "src", exclude=["src/vendor/"], base=tmp_path) == ["a.py"]
    assert below(tmp_path / "src", include=["src/*.py"], base=tmp_path) == ["a.py"]
    assert below(tmp_path / "src", exclude=["vendor/*"], base=tmp_path / "other") == ["a.py"]


def test_a_named_folder_is_not_excluded_itself(tmp_path: Path) -> None:
    make(tmp_path, "src/vendor/v.py", "src/vendor/old/w.py")
    folder = tmp_path / "src" / "vendor"
    exclude = ["vendor", "src/", "old/"]
    assert below(folder, exclude=exclude, base=tmp_path) == ["v.py"]
    assert below(folder, exclude=exclude) == ["v.py"]
    assert below(tmp_path, exclude=exclude, base=tmp_path) == []


@pytest.mark.parametrize("pattern", ["", "/", "!keep.py", "[z-a].py"])
def test_malformed_patterns(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(DiscoverError) as caught:
        list_files([tmp_path], exclude=[pattern])
    assert caught.value.path == pattern
