"""Git, asked about repositories that would like it to run a program of theirs: none may run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.files.trees import git
from xf2sdpa.files.git import blobs, changed_files, commit_of, git_output
from xf2sdpa.files.listing import list_files

ROOT = Path(__file__).parents[2]
CALL = "from xformers.ops import memory_efficient_attention\n\n\ndef f(q, k, v):\n    {}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    (root / "model.py").write_text(CALL.format("return memory_efficient_attention(q, k, v)"))
    (root / ".gitignore").write_text("*.log\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    return root


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    """The file that the hostile program makes."""
    return tmp_path / "it-ran"


@pytest.fixture
def program(tmp_path: Path, sentinel: Path) -> Path:
    """A program that leaves its trace."""
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\necho ran >> {sentinel}\nexit 1\n")
    script.chmod(0o755)
    return script


def without_its_ignore_file(root: Path, program: Path, url: str) -> None:
    """Make a partial clone of it that lacks an object which a listing needs, and names a program to fetch it with."""
    git(root, "update-index", "--skip-worktree", ".gitignore")
    (root / ".gitignore").unlink()
    (root / "new.py").write_text("x = 1\n")  # whether it is ignored is asked
    found = subprocess.run(["git", "-C", str(root), "rev-parse", ":.gitignore"], capture_output=True, check=True)
    name = found.stdout.decode().strip()
    place = root / ".git" / "objects" / name[:2] / name[2:]
    place.chmod(0o644)
    place.unlink()
    for key, value in (
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", url),
        ("core.sshCommand", str(program)),
        ("protocol.ext.allow", "always"),
    ):
        git(root, "config", key, value)


def checked(folder: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "--check", "."]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=120)


@pytest.mark.parametrize("url", ["ssh://host/repository", "ext::{program}", "file://{folder}"])
def test_nothing_is_fetched(repository: Path, program: Path, sentinel: Path, url: str) -> None:
    url = url.format(program=program, folder=repository.parent)
    without_its_ignore_file(repository, program, url)
    git(repository, "config", "remote.origin.uploadpack", str(program))
    assert checked(repository).returncode == 1
    assert not sentinel.exists()


def test_a_bare_repository_in_a_clone_is_none(repository: Path, program: Path, sentinel: Path) -> None:
    """A clone brings it along with its configuration, as plain files."""
    inner = repository / "docs"
    inner.mkdir()
    git(inner, "init", "-q", "--bare", ".")
    missing = "397b4a7624e35fa60563a9c03b1213d93f7b6546"
    inside = ("--git-dir", str(inner))
    git(inner, *inside, "config", "core.bare", "false")
    git(inner, *inside, "config", "core.worktree", ".")
    git(inner, *inside, "update-index", "--add", "--cacheinfo", f"100644,{missing},.gitignore")
    git(inner, *inside, "update-index", "--skip-worktree", ".gitignore")
    for key, value in (
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", "ssh://host/repository"),
        ("core.sshCommand", str(program)),
    ):
        git(inner, *inside, "config", key, value)
    (inner / "more.py").write_text("x = 1\n")
    assert [Path(file).name for file in list_files([inner])] == ["more.py"]
    assert not sentinel.exists()


@pytest.mark.parametrize("kind", ["clean", "process"])
def test_no_filter_runs_when_files_are_compared(repository: Path, program: Path, sentinel: Path, kind: str) -> None:
    git(repository, "config", f"filter.evil.{kind}", str(program))
    git(repository, "config", "diff.evil.textconv", str(program))
    git(repository, "config", "diff.external", str(program))
    hook = repository / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_bytes(program.read_bytes())
    hook.chmod(0o755)
    (repository / ".gitattributes").write_text("*.py filter=evil diff=evil\n")
    old = (repository / "model.py").read_bytes()
    (repository / "model.py").write_text("x = 1\n")
    os.utime(repository / ".gitignore")
    commit = commit_of(str(repository), "HEAD")
    changed = changed_files(str(repository), commit, ["model.py", ".gitignore"])
    assert list(changed) == ["model.py"]
    assert list(blobs(str(repository), changed.values())) == [old]
    assert not sentinel.exists()


def test_line_ends_that_git_converts_are_no_change(repository: Path) -> None:
    path = repository / "model.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert not changed_files(str(repository), commit_of(str(repository), "HEAD"), ["model.py"])


def test_a_revision_is_no_option(repository: Path, sentinel: Path) -> None:
    assert commit_of(str(repository), f"--output={sentinel}") == ""
    assert commit_of(str(repository), "nowhere") == ""
    assert not sentinel.exists()


def test_git_reads_no_standard_input(repository: Path) -> None:
    """What is read there is the user's, and may be a terminal."""
    call = f"git_output({str(repository)!r}, 'hash-object', '--stdin')"
    code = f"from xf2sdpa.files.git import git_output; print({call})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"for me", env=environment, capture_output=True, check=True
    )
    assert b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391" in done.stdout  # the name of an empty file


def test_output_of_a_git_that_fails_is_none(repository: Path) -> None:
    assert git_output(str(repository), "no-such-command") is None
