"""Whether a commit is still one of a branch's: a base may have been given another history since a request was opened.

A request that begins at a commit which the base no longer has would bring back what was taken out of the base on
purpose. The few last commits that are fetched for the work do not show it, so those of the base that the request's own
branch does not have are asked for: if the commit is one of the base's, one of these has it as its parent.
"""

from __future__ import annotations

import re

from xf2sdpa.bot.git import Git, GitError

_PARENT = re.compile(rb"^parent ([0-9a-f]+)$", re.MULTILINE)


def holds(git: Git, url: str, *, base: str, tip: str, branch: str, commit: str) -> bool:
    """Whether the base, at its tip, leads back to a commit that the branch begins at; False where nobody can say.

    Args:
        git: in a repository where the tip is.
        url: of the repository.
        base: the name of the base.
        tip: the commit that the base is at.
        branch: the name of the branch that begins at the commit.
        commit: the one that is looked for.
    """
    if commit in (tip, *_parents(git.run("cat-file", "--batch", data=f"{tip}\n".encode()))):
        return True
    # A repository of its own, as commits are fetched without their files, where the other side can do that.
    place = {"GIT_DIR": str(git.folder / ".git" / "history")}
    options = ["--quiet", f"--shallow-exclude=refs/heads/{branch}", "--filter=tree:0", "--no-tags"]
    options += ["--no-write-fetch-head", "--no-recurse-submodules"]
    try:
        git.init(tip, bare=True, extra=place)
        wanted = f"+refs/heads/{base}:refs/base"
        git.run("fetch", *options, "--", url, wanted, extra=place, to_forge=True, doing="fetching the base's history")
        listed = git.run("rev-list", "refs/base", extra=place)
        return commit in _parents(git.run("cat-file", "--batch", data=listed, extra=place))
    except GitError:  # the base has nothing that the branch does not have, or the other side cannot do this
        return False


def _parents(batch: bytes) -> set[str]:
    """The parents of commits, as `git cat-file --batch` prints them; what their messages quote is none."""
    found: set[str] = set()
    place = 0
    while place < len(batch):
        end = batch.index(b"\n", place)
        size = int(batch[place:end].split()[2])
        head = batch[end + 1 : end + 1 + size].partition(b"\n\n")[0]
        found.update(match.decode() for match in _PARENT.findall(head))
        place = end + size + 2
    return found
