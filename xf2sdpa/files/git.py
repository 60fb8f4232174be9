"""Git's answers about a folder, asked for without importing subprocess, which takes longer than git does."""
# No pathlib, and subprocess only where it is needed, or a run would take twice as long:
# ruff: noqa: PTH118, PTH120, PLC0415

from __future__ import annotations

import os
import sys

# What a surrounding git command (a hook, say) would make every git below it believe.
_GIT_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"}


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
    # A repository may name any program as its file-system monitor; listing files must run none.
    command = ["git", "-C", folder, "-c", "core.fsmonitor=false", *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in _GIT_PLACES}
    try:
        return _output(command, environment)
    except OSError:
        return None


def _output(command: list[str], environment: dict[str, str]) -> bytes | None:
    """Return what the command prints, or None if it fails. An OSError says that it cannot be started."""
    if sys.platform == "win32":
        import subprocess

        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None
    # Importing subprocess takes longer than git takes to list 2,000 files.
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    with os.fdopen(reading, "rb") as stream:
        try:
            pid = os.posix_spawnp(command[0], command, environment, file_actions=actions)
        finally:
            os.close(writing)
        output = stream.read()
    _, status = os.waitpid(pid, 0)
    return output if status == 0 else None
