"""Repositories of a forge on this machine: bare ones on disk, with real git, and what is requested of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.run.commands import EXACT, PLAIN

SLUG = "owner/name"
FILES = {"src/model.py": EXACT, "plain.py": PLAIN, "README.md": "Needs xformers.\n"}
CLEAN = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_"))},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.com",
    "GIT_COMMITTER_NAME": "somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.com",
}


@dataclass
class Pull:
    """A request, in no forge's words."""

    number: int
    head: str
    base: str
    title: str
    body: str
    draft: bool = False
    state: str = "open"
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    edits: int = 0


@dataclass
class Repo:
    """A repository, with its bare one on disk."""

    slug: str
    path: Path
    default_branch: str = "main"
    archived: bool = False
    parent: str = ""
    can_push: bool = True
    pulls: list[Pull] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=lambda: {"torch": 7})

    def git(self, *arguments: str, **extra: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            check=True, capture_output=True, env={**CLEAN, **extra},
        )  # fmt: skip
        return os.fsdecode(done.stdout).strip()

    def tip(self, branch: str) -> str:
        """The commit of a branch, empty if there is none."""
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def show(self, branch: str, path: str) -> str:
        return self.git("show", f"refs/heads/{branch}:{path}")


def commit(repo: Repo, branch: str, files: Mapping[str, str | bytes | None], message: str = "work") -> str:
    """Put a commit of somebody's onto a branch; None deletes a file."""
    index = {"GIT_INDEX_FILE": str(repo.path / "index.of.tests")}
    Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)
    tip = repo.tip(branch)
    if tip:
        repo.git("read-tree", tip, **index)
    entries = [
        f"0 {'0' * len(tip)}\t{name}" if content is None else f"100644 {_stored(repo, content)}\t{name}"
        for name, content in files.items()
    ]
    subprocess.run(
        ["git", "-C", str(repo.path), "update-index", "-z", "--index-info"],
        input=os.fsencode("".join(f"{entry}\0" for entry in entries)), check=True, env={**CLEAN, **index},
    )  # fmt: skip
    tree = repo.git("write-tree", **index)
    parents = ["-p", tip] if tip else []
    made = repo.git("commit-tree", tree, *parents, "-m", message)
    repo.git("update-ref", f"refs/heads/{branch}", made)
    return made


def _stored(repo: Repo, content: str | bytes) -> str:
    """A blob, written as git would: a process each takes most of a test's time."""
    data = content.encode() if isinstance(content, str) else content
    whole = b"blob %d\0%b" % (len(data), data)
    is_sha1 = "sha256" not in (repo.path / "config").read_text()
    name = (hashlib.sha1 if is_sha1 else hashlib.sha256)(whole).hexdigest()
    path = repo.path / "objects" / name[:2] / name[2:]
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(zlib.compress(whole))
    return name
