"""A place to work in: the files of one commit, laid out in a folder of ours, and the tree that becomes of them.

Git's own checkout would obey what the commit brings: attributes that name filters, links, submodules, line ends to
convert. So files are written byte for byte from their objects, plain files only; what is a link or a submodule is not
there at all, and goes into the new tree as it was.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from xf2sdpa.bot.git import Git, GitError
from xf2sdpa.bot.model import BotError

LARGEST = 20_000_000
"""Bytes of the largest file that is laid out; nobody's program is longer."""
_AT_ONCE = 64_000_000
"""Bytes of files that are held in memory together."""
_PLAIN = ("100644", "100755")


@dataclass(frozen=True)
class _Laid:
    """A file as it was laid out."""

    mode: str
    size: int
    inode: int
    changed_at: int


class Scratch:
    """The files of one commit in a folder."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._folder = git.folder
        self._laid: dict[str, _Laid] = {}
        self._none = ""
        """The name of no object, as long as names are there."""
        self._others: set[str] = set()
        """Names of the commit that were not laid out: links, submodules, huge files."""

    def heads(self, url: str, branches: Collection[str]) -> dict[str, str]:
        """The commits that branches of a remote are at; those that it does not have are left out."""
        refs = [f"refs/heads/{branch}" for branch in branches]
        printed = self._git.run("ls-remote", "--", url, *refs, to_forge=True, doing="asking for branches")
        rows = (row.split("\t", 1) for row in os.fsdecode(printed).splitlines() if "\t" in row)
        found = {ref: commit for commit, ref in rows}
        return {branch: found[ref] for branch, ref in zip(branches, refs, strict=True) if ref in found}

    def fetch(self, url: str, commits: Collection[str], branches: Collection[str]) -> None:
        """Fetch branches, with their last two commits and nothing else.

        Raises:
            BotError: one of the commits is not among them: somebody has pushed just now.
        """
        refs = [f"+refs/heads/{branch}:refs/remote/{branch}" for branch in branches]
        options = ["--quiet", "--depth=2", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
        self._git.run("fetch", *options, "--", url, *refs, to_forge=True, doing="fetching")
        for commit in commits:
            try:
                self._git.run("cat-file", "-e", f"{commit}^{{commit}}")
            except BotError:
                raise BotError("the branch moved while it was being fetched", "Run again.") from None

    def lay_out(self, commit: str) -> None:
        """Write the plain files of a commit into the folder; git lists them there from then on.

        Raises:
            BotError: the commit has names that git does not allow.
        """
        self._git.run("read-tree", commit)
        self._none = "0" * len(commit)
        part: list[tuple[str, str, str]] = []
        room = _AT_ONCE
        for mode, sha, name, size in self._rows(commit):
            if room < size:
                self._write_all(part)
                part, room = [], _AT_ONCE
            part.append((mode, sha, name))
            room -= size
        self._write_all(part)

    def _write_all(self, rows: Collection[tuple[str, str, str]]) -> None:
        """Write files, given as mode, object and name, from what git prints of their objects."""
        asked = "".join(f"{sha}\n" for _, sha, _ in rows).encode()
        objects = self._git.run("cat-file", "--batch", data=asked, doing="reading files")
        place = 0
        for mode, _, name in rows:
            end = objects.index(b"\n", place)
            size = int(objects[place:end].split()[2])
            place = end + 1
            self._write(name, mode, objects[place : place + size])
            place += size + 1

    def _rows(self, commit: str) -> Iterator[tuple[str, str, str, int]]:
        """Mode, object, name and size of every plain file that is to be laid out."""
        listing = self._git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit)
        for row in os.fsdecode(listing).split("\0")[:-1]:
            about, _, name = row.partition("\t")
            mode, _, sha, size = about.split()
            if mode in _PLAIN and int(size) <= LARGEST:
                yield mode, sha, name, int(size)
            else:
                self._others.add(name)

    def _write(self, name: str, mode: str, data: bytes) -> None:
        parts = name.split("/")
        if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
            raise BotError("the repository has a file name that leads out of it")
        path = self._folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755 if mode == _PLAIN[1] else 0o644)
        except FileExistsError:  # two names that are one on this disk: the first is there
            self._others.add(name)
            return
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        self._laid[name] = _laid(path, mode)

    def tree(self, new: Collection[str]) -> str:
        """The tree of the files as they are now.

        Args:
            new: names of files that were made; what else lies in the folder is none of the commit's.

        Raises:
            BotError: a new file would take the place of what was not laid out, such as a link, or is no name in it.
        """
        for name in new:
            if posixpath.isabs(name) or posixpath.normpath(name) != name:  # git would pass it over in silence
                raise BotError(f"{name} would be new, and is no name of a file in the repository")
            if not self._is_free(name):
                raise BotError(f"{name} would be new, but the repository has a link or something else in its place")
        entries = []
        for name, laid in self._laid.items():
            path = self._folder / name
            if not path.is_file():
                entries.append(f"0 {self._none}\t{name}")
            elif _laid(path, laid.mode) != laid:
                entries.append(f"{laid.mode} {self._stored(path)}\t{name}")
        entries += [f"100644 {self._stored(self._folder / name)}\t{name}" for name in new]
        if entries:
            data = os.fsencode("".join(f"{entry}\0" for entry in entries))
            self._git.run("update-index", "-z", "--index-info", data=data)
        return self._git.run("write-tree").decode().strip()

    def _is_free(self, name: str) -> bool:
        """Whether a name, below the folder, is none of the commit's, nor below one that is no folder."""
        parts = name.split("/")
        places = ["/".join(parts[: number + 1]) for number in range(len(parts))]
        path = self._folder / name
        return not self._others.intersection(places) and path.resolve() == path and self._folder in path.parents

    def _stored(self, path: Path) -> str:
        """The object of a file's bytes; git is told no name, so no attribute of a name has a say."""
        data = path.read_bytes()
        return self._git.run("hash-object", "-w", "--stdin", data=data).decode().strip()

    def naming(self, tree: str, word: str) -> list[tuple[str, int]]:
        """The text files of a tree that hold a word in any case, with the number of lines that do."""
        options = ["-I", "-i", "-c", "-z", "--no-textconv", "--no-recurse-submodules", "--fixed-strings"]
        try:
            printed = self._git.run("grep", *options, "-e", word, tree, doing="searching")
        except GitError as error:
            if error.said:
                raise
            return []
        rows = re.findall(r"([^\0]*)\0(\d+)\n", os.fsdecode(printed))
        return [(name.removeprefix(f"{tree}:"), int(count)) for name, count in rows]

    def difference(self, old: str, new: str) -> str:
        """The unified diff between two trees or commits, for a person."""
        options = ["-p", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--full-index"]
        return self._git.run("diff-tree", *options, old, new).decode("utf-8", "replace")

    def changes(self, old: str, new: str) -> bytes:
        """What differs between two trees or commits, as data: modes, objects and names."""
        return self._git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--full-index", old, new)


def _laid(path: Path, mode: str) -> _Laid:
    about = path.lstat()
    return _Laid(mode, about.st_size, about.st_ino, about.st_mtime_ns)
