"""What git lists, and what it cannot make us do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.files.trees import below, git, make
from xf2sdpa.files import git as git_module
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.search import Searcher


def test_git_lists_tracked_and_new_files_but_not_ignored_or_deleted_ones(repository: Path) -> None:
    (repository / ".gitignore").write_text("generated/\n*_local.py\n")
    make(repository, "tracked.py", "gone.py", "forced_local.py", "build/tracked.py")
    git(repository, "add", "-f", ".")
    (repository / "gone.py").unlink()
    make(repository, "new.py", "my_local.py", "generated/a.py", "sub/new.pyi")
    assert below(repository) == ["build/tracked.py", "forced_local.py", "new.py", "sub/new.pyi", "tracked.py"]


def test_git_is_asked_from_a_folder_below_its_top(repository: Path) -> None:
    (repository / ".gitignore").write_text("*_local.py\n")
    make(repository, "top.py", "src/a.py", "src/a_local.py")
    assert below(repository / "src") == ["a.py"]


def test_one_git_process_at_the_top_of_a_work_tree(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(repository, "a.py", "src/b.py")
    commands: list[str] = []
    output = git_module._output

    def spy(command: list[str], environment: dict[str, str]) -> bytes | None:
        commands.append(next(word for word in command if word in {"ls-files", "check-ignore"}))
        return output(command, environment)

    monkeypatch.setattr(git_module, "_output", spy)
    below(repository)
    assert commands == ["ls-files"]
    below(repository / "src")
    assert commands == ["ls-files", "check-ignore", "ls-files"]


def test_an_ignored_folder_is_walked_when_named(repository: Path) -> None:
    (repository / ".gitignore").write_text("generated/\n")
    make(repository, "generated/forced.py", "generated/deep/a.py", "generated/deep/venv/b.py")
    git(repository, "add", "-f", "generated/forced.py")
    assert below(repository) == ["generated/forced.py"]
    assert below(repository / "generated") == ["deep/a.py", "forced.py"]
    assert below(repository / "generated" / "deep") == ["a.py"]
    assert list_files([repository / "generated/deep/venv/b.py"]) != []


def test_they_are_where_the_whole_tree_is_asked_for(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for folder, name in ((other, "lib.py"), (repository / "inner", "own.py")):
        make(folder, name)
        git(folder, "init", "-q")
        git(folder, "add", ".")
        git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(other), "third/module")
    whole = {os.path.relpath(file, repository) for file in list_files([repository], inside=True)}
    given = {os.path.relpath(file, repository) for file in list_files([repository])}
    assert whole - given == {"third/module/lib.py", "inner/own.py"}
    (repository / "third/module/.git").unlink()  # as where a submodule is not there: no circle
    assert "third/module/lib.py" in {
        os.path.relpath(file, repository) for file in list_files([repository], inside=True)
    }


def test_submodules_and_inner_repositories_are_not_entered(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make(other, "theirs.py")
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "x")
    make(repository, "ours.py")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(other), "module.py")
    git(repository, "clone", "-q", str(other), "inner")
    assert below(repository) == ["ours.py"]
    assert below(repository / "module.py") == ["theirs.py"]


def test_an_unmerged_file_is_listed_once(repository: Path) -> None:
    make(repository, "a.py", text="one\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "one")
    git(repository, "checkout", "-q", "-b", "side")
    make(repository, "a.py", text="two\n")
    git(repository, "commit", "-q", "-am", "two")
    git(repository, "checkout", "-q", "-")
    make(repository, "a.py", text="three\n")
    git(repository, "commit", "-q", "-am", "three")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "side")
    assert below(repository) == ["a.py"]


def test_a_work_tree_of_its_own_folder(repository: Path, tmp_path: Path) -> None:
    (repository / ".gitignore").write_text("ignored.py\n")
    make(repository, "a.py")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "x")
    git(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
    make(tmp_path / "tree", "ignored.py")
    assert below(tmp_path / "tree") == ["a.py"]


def test_a_surrounding_git_command_does_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    make(other, "theirs.py")
    git(other, "init", "-q")
    (repository / ".gitignore").write_text("ignored.py\n")
    make(repository, "ours.py", "ignored.py")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert below(repository) == ["ours.py"]


def test_a_repository_cannot_make_us_run_its_programs(repository: Path, tmp_path: Path) -> None:
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    spy.chmod(0o755)
    make(repository, "a.py")
    git(repository, "add", ".")
    git(repository, "config", "core.fsmonitor", str(spy))
    git(repository, "ls-files", "--others")
    if not (tmp_path / "ran").exists():
        git(repository, "status")
    assert (tmp_path / "ran").exists(), "the spy must work, or this test shows nothing"
    (tmp_path / "ran").unlink()
    assert below(repository) == ["a.py"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("broken", ["absent", "failing"])
def test_without_a_working_git_the_folder_is_walked(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    (repository / ".gitignore").write_text("ignored.py\n")
    make(repository, "a.py", "ignored.py")
    programs = tmp_path / "programs"
    programs.mkdir()
    if broken == "failing":
        (programs / "git").write_text("#!/bin/sh\necho a.py\nexit 128\n")
        (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert below(repository) == ["a.py", "ignored.py"]


def test_names_that_are_not_utf_8(repository: Path) -> None:
    strange = os.fsdecode(b"caf\xe9 \xf0\n.py")
    make(repository, strange, text="import xformers\n")
    assert below(repository) == [strange]
    git(repository, "add", ".")
    files = list_files([repository])
    assert Searcher(files).first() == [repository / strange]
