"""What is listed by a walk, and what it costs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.files.trees import below, git, make
from xf2sdpa.files import listing
from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.listing import list_files


def test_walk_takes_python_files_sorted_and_skips_well_known_folders(tmp_path: Path, no_git: None) -> None:
    make(tmp_path, "b.py", "a/c.pyi", "a/readme.md", "a-b/d.py", "x.pyc")
    make(tmp_path, *(f"deep/{folder}/e.py" for folder in listing.SKIPPED_FOLDERS))
    assert below(tmp_path) == sorted(["a-b/d.py", "a/c.pyi", "b.py"])


def test_a_skipped_folder_is_walked_when_it_is_named(tmp_path: Path, no_git: None) -> None:
    make(tmp_path, "venv/a.py", "venv/build/b.py")
    assert below(tmp_path / "venv") == ["a.py"]


def test_named_files_are_taken_whatever_they_are(tmp_path: Path) -> None:
    make(tmp_path, "notes.txt", "venv/a.py")
    named = [tmp_path / "notes.txt", tmp_path / "venv/a.py"]
    assert list_files(named, exclude=["*.txt", "venv/"]) == [str(file) for file in named]


def test_a_file_is_listed_once_however_often_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "src/a.py", "src/b.py")
    (tmp_path / "again").symlink_to("src")
    monkeypatch.chdir(tmp_path)
    assert list_files(["src", "src/a.py", "./src", tmp_path / "src", "again"]) == ["src/a.py", "src/b.py"]


def test_paths_are_spelled_from_the_path_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "src/a.py")
    monkeypatch.chdir(tmp_path)
    assert list_files(["."]) == ["src/a.py"]
    assert list_files(["src/"]) == ["src/a.py"]
    assert list_files(["src/../src"]) == ["src/../src/a.py"]
    assert list_files([tmp_path]) == [f"{tmp_path}/src/a.py"]


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(DiscoverError, match="does not exist") as caught:
        list_files([tmp_path, tmp_path / "nowhere"])
    assert caught.value.path == str(tmp_path / "nowhere")
    assert str(pickle.loads(pickle.dumps(caught.value))) == f"{tmp_path}/nowhere: does not exist"


def test_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(DiscoverError, match="neither file nor folder"):
        list_files([tmp_path / "pipe.py"])
    assert below(tmp_path) == []


@pytest.mark.parametrize("with_git", [False, True])
def test_links(tmp_path: Path, with_git: bool) -> None:
    root = tmp_path / "root"
    make(root, "z/real.py")
    make(tmp_path, "outside.py", "elsewhere/far.py")
    (root / "a_link_to_real.py").symlink_to("z/real.py")
    (root / "b_link_out.py").symlink_to("../outside.py")
    (root / "c_link_out.py").symlink_to("../outside.py")
    (root / "broken.py").symlink_to("nothing.py")
    (root / "ring.py").symlink_to("ring.py")
    (root / "folder.py").symlink_to("../elsewhere")
    (root / "z" / "up").symlink_to("..")
    if with_git:
        git(root, "init", "-q")
        git(root, "add", "-A")
    assert below(root) == ["b_link_out.py", "z/real.py"]


def test_a_link_to_a_folder_is_followed_when_named(tmp_path: Path) -> None:
    make(tmp_path, "real/a.py")
    (tmp_path / "link").symlink_to("real")
    assert list_files([tmp_path / "link"]) == [f"{tmp_path}/link/a.py"]


def test_hard_links_are_two_files(tmp_path: Path) -> None:
    make(tmp_path, "a.py")
    os.link(tmp_path / "a.py", tmp_path / "b.py")
    assert below(tmp_path) == ["a.py", "b.py"]


def test_a_run_without_a_match_imports_next_to_nothing(tmp_path: Path) -> None:
    make(tmp_path, "a.py")
    git(tmp_path, "init", "-q")
    code = (
        f"import os, sys; sys.path.insert(0, {str(Path(listing.__file__).parents[2])!r})\n"
        "before = set(sys.modules)\n"
        "from xf2sdpa.files.listing import list_files; from xf2sdpa.files.search import Searcher\n"
        f"assert Searcher(list_files([{str(tmp_path)!r}])).first() == []\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {
        "__future__",
        "xf2sdpa",
        "xf2sdpa.files",
        "xf2sdpa.files.errors",
        "xf2sdpa.files.git",
        "xf2sdpa.files.listing",
        "xf2sdpa.files.patterns",
        "xf2sdpa.files.search",
    }
