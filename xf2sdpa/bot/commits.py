"""Commits of ours: how one is made, how it is known again, and how it gets onto a branch.

A commit carries a mark: a hash over its parent, its tree and its message. One that somebody has amended, rebased or put
another commit on does not fit its mark any more, and counts as that person's: it is never overwritten.
"""

from __future__ import annotations

import hashlib
import re
import time

from xf2sdpa.bot.git import Git, GitError
from xf2sdpa.bot.model import BotError, Identity, Signing
from xf2sdpa.bot.remotes import Place
from xf2sdpa.bot.scratch import Scratch

_MARK = "Xf2sdpa-Mark"
_PROGRAM = {"openpgp": "gpg.program", "x509": "gpg.x509.program", "ssh": "gpg.ssh.program"}


class Commits:
    """Makes and pushes commits in one repository of ours."""

    def __init__(self, git: Git, scratch: Scratch, place: Place) -> None:
        self._git = git
        self._scratch = scratch
        self._url = place.git_url

    def make(self, tree: str, parent: str, message: str, identity: Identity, signing: Signing | None) -> str:
        """Make a commit, and return its name.

        Raises:
            BotError: it cannot be signed.
        """
        message = message.strip()
        text = f"{message}{_before_trailer(message)}{_MARK}: {_mark(parent, tree, message)}\n"
        who = {"NAME": identity.name, "EMAIL": identity.email, "DATE": f"{int(time.time())} +0000"}
        extra = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        options: list[str] = []
        sign: list[str] = []
        if signing is not None:
            options = ["-c", f"gpg.format={signing.kind}"]
            options += ["-c", f"{_PROGRAM[signing.kind]}={signing.program}"] if signing.program else []
            sign = [f"-S{signing.key}"]
        try:
            made = self._git.run(
                *options, "commit-tree", "-p", parent, *sign, "-F", "-", tree,
                data=text.encode(), extra=extra, with_keys=signing is not None,
            )  # fmt: skip
        except GitError as error:
            if signing is None:
                raise
            raise BotError(f"the commit cannot be signed: {error.said.splitlines()[0]}") from None
        return made.decode().strip()

    def parent_of_ours(self, commit: str) -> str:
        """The parent of a commit of ours; empty if it is anybody else's."""
        head, _, message = self._git.run("cat-file", "commit", commit).partition(b"\n\n")
        fields = [line.partition(b" ") for line in head.split(b"\n")]
        parents = [value.decode() for key, _, value in fields if key == b"parent"]
        trees = [value.decode() for key, _, value in fields if key == b"tree"]
        text = message.decode("utf-8", "replace")
        match = re.search(rf"\n{_MARK}: ([0-9a-f]+)\n*\Z", text)
        if match is None or len(parents) != 1:
            return ""
        return parents[0] if match[1] == _mark(parents[0], trees[0], text[: match.start()].strip()) else ""

    def is_same_change(self, ours: str, parent: str, base: str, tree: str) -> bool:
        """Whether a commit of ours makes the same of the same files as the new tree makes of the base."""
        return self._scratch.changes(parent, ours) == self._scratch.changes(base, tree)

    def push(self, commit: str, branch: str, seen: str) -> None:
        """Put a commit onto a branch, if the branch is still where it was seen.

        Args:
            commit: of ours.
            branch: its branch.
            seen: where the branch was, empty if there was none.

        Raises:
            BotError: it could not be done; it says why, as far as the other side does.
        """
        lease = f"--force-with-lease=refs/heads/{branch}:{seen}"
        options = ["--quiet", "--no-verify", "--no-follow-tags", "--no-recurse-submodules", lease]
        try:
            target = f"{commit}:refs/heads/{branch}"
            self._git.run("push", *options, "--", self._url, target, to_forge=True, doing="pushing")
        except GitError as error:
            if self._arrived(commit, branch):  # the connection was lost after that
                return
            raise _refusal(error, branch) from None

    def _arrived(self, commit: str, branch: str) -> bool:
        try:
            return self._scratch.heads(self._url, [branch]).get(branch) == commit
        except GitError:
            return False


def _mark(parent: str, tree: str, message: str) -> str:
    return hashlib.sha256(f"{parent}\n{tree}\n{message}".encode("utf-8", "replace")).hexdigest()


def _before_trailer(message: str) -> str:
    """What stands between a message and a trailer: an empty line, unless there is a trailer already."""
    return "\n" if re.search(r"\n\n(?:[\w-]+: [^\n]*\n?)+\Z", message) else "\n\n"


def _refusal(error: GitError, branch: str) -> BotError:
    """What a failed push means, in words, by what the other side said."""
    said = error.said
    told = "; ".join(
        line.removeprefix("remote:").strip()
        for line in said.splitlines()
        if line.startswith("remote:") and line[7:].strip()
    )
    because = f": {told[:300]}" if told else f": {error.message}"
    low = said.lower()
    if "stale info" in low:
        return BotError(f"{branch} moved while this ran: somebody has pushed to it", "Run again.")
    if "protected branch" in low or "gh006" in low or "gh013" in low or "not allowed to" in low:
        return BotError(
            f"{branch} is protected, so it cannot be pushed to{because}",
            "Choose another branch with --branch, or have the rule let it through.",
        )
    if "workflow" in low and ("scope" in low or "permission" in low):
        return BotError(f"{branch} was not taken{because}", "The token needs the right to change workflows.")
    if "403" in low or "permission" in low or "denied" in low:
        return BotError(
            f"the token may not push to the repository{because}",
            "It needs the right to write contents; a workflow of a fork never has it, and forks are not made here.",
        )
    if "authentication failed" in low or "401" in low or "could not read username" in low:
        return BotError(f"the token is not accepted{because}", "Is it for this host, and has it not run out?")
    return BotError(f"{branch} was not taken{because}")
