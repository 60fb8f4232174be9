"""Git's answers about a folder, asked for without importing subprocess, which takes longer than git does.

The folder may be anybody's, and a repository's configuration can name programs: for a file-system monitor, hooks,
filters, a transport that fetches what is missing. Every question asked here is one that needs none of them, and is
asked so that git runs none. What would need a filter (is this file the one in that revision?) is answered from hashes.
"""
# No pathlib, and subprocess and hashlib only where they are needed, or a run would take twice as long:
# ruff: noqa: PTH118, PTH120, PLC0415

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# What a surrounding git command (a hook, say) would make every git below it believe.
_GIT_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"}
_NO_PROGRAMS = (
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "safe.bareRepository=explicit"),  # one that came as files of a clone brings its own configuration
)
_NO_TRANSPORT = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # for a git too old to know the line above
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}


def work_tree(folder: str) -> str | None:
    """Return the nearest folder, at or above, that holds a `.git`, without asking git."""
    place = os.path.realpath(folder)
    while not os.path.lexists(os.path.join(place, ".git")):
        place, below = os.path.dirname(place), place
        if place == below:
            return None
    return place


def git_output(folder: str, *arguments: str) -> bytes | None:
    """Return what git prints in the folder, or None if git is absent or fails."""
    try:
        return _output(_command(folder, arguments), _environment())
    except OSError:
        return None


def git_complaint(folder: str, *arguments: str) -> str:
    """Return the first line that git prints as an error, empty if there is none.

    Raises:
        OSError: git cannot be run.
    """
    printed = _output(_command(folder, arguments), _environment(), errors=True) or b""
    lines = printed.decode("utf-8", "replace").strip().splitlines()
    return lines[0] if lines else ""


def commit_of(folder: str, revision: str) -> str:
    """Return the full name of the commit that a revision means, empty if there is none."""
    if revision.startswith("-"):
        return ""
    output = git_output(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    return (output or b"").decode("ascii", "replace").strip()


def changed_files(top: str, commit: str, names: Iterable[str]) -> dict[str, str]:
    """Return those of the files below `top` that a commit has with other content, with the name of that content.

    Line ends alone are no difference: git may have been told to convert them.
    """
    listing = git_output(top, "ls-tree", "-r", "-z", "--full-tree", commit) if commit else None
    rows = (row.partition("\t") for row in os.fsdecode(listing or b"").split("\0"))
    held = {name: about.split(" ")[2] for about, _, name in rows if about.startswith("100")}
    return {name: held[name] for name in names if name in held and not _holds(os.path.join(top, name), held[name])}


def uncommitted(files: Iterable[str]) -> list[str]:
    """Those of the files that lie in a git work tree and whose content its last commit does not have."""
    found: list[str] = []
    by_tree: dict[str, dict[str, str]] = {}
    for file in files:
        real = os.path.realpath(file)
        top = work_tree(os.path.dirname(real))
        if top is not None:
            by_tree.setdefault(top, {})[os.path.relpath(real, top).replace(os.sep, "/")] = file
    for top, names in by_tree.items():
        commit = commit_of(top, "HEAD")
        listing = git_output(top, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit) if commit else None
        held = set(os.fsdecode(listing or b"").split("\0"))
        changed = changed_files(top, commit, names)
        found += [file for name, file in names.items() if name in changed or name not in held]
    return sorted(found)


def blobs(top: str, names: Iterable[str]) -> Iterator[bytes | None]:
    """Yield the content that each name of git's stands for; None where the repository lacks it."""
    for name in names:
        yield git_output(top, "cat-file", "blob", name)


def _holds(file: str, name: str) -> bool:
    """Whether a file on disk has the content that git calls by this name."""
    import hashlib

    from xf2sdpa.files.reading import read_regular

    try:
        data = read_regular(file)
    except OSError:
        return True  # nothing can be said, so nothing has changed
    digest = hashlib.sha1 if len(name) == 40 else hashlib.sha256
    spellings = {data, data.replace(b"\r\n", b"\n")}
    return any(digest(b"blob %d\0%b" % (len(spelt), spelt)).hexdigest() == name for spelt in spellings)


def _command(folder: str, arguments: Iterable[str]) -> list[str]:
    return ["git", "-C", folder, *_NO_PROGRAMS, *arguments]


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _GIT_PLACES} | _NO_TRANSPORT


def _output(command: list[str], environment: Mapping[str, str], *, errors: bool = False) -> bytes | None:
    """Return what the command prints, or None if it fails; what it prints as errors, whether it fails or not.

    Raises:
        OSError: it cannot be started.
    """
    if sys.platform == "win32":
        import subprocess

        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return done.stderr if errors else done.stdout if done.returncode == 0 else None
    # Importing subprocess takes longer than git takes to list 2,000 files.
    reading, writing = os.pipe()
    wanted, other = (2, 1) if errors else (1, 2)
    actions = [
        (os.POSIX_SPAWN_DUP2, writing, wanted),
        (os.POSIX_SPAWN_OPEN, other, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    ]
    with os.fdopen(reading, "rb") as stream:
        try:
            pid = os.posix_spawnp(command[0], command, environment, file_actions=actions)
        finally:
            os.close(writing)
        output = stream.read()
    _, status = os.waitpid(pid, 0)
    return output if errors or status == 0 else None
