"""Two runs at once on one project: the second waits, or one may delete the helper that the other's files import."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from xf2sdpa.console import say
from xf2sdpa.files.links import StrPath, project_of
from xf2sdpa.files.plain import plain

_held: set[int] = set()


def let_go() -> None:
    """Give up the lock in a process that was forked off: it is held as long as anybody has its folder open."""
    while _held:
        os.close(_held.pop())


@contextlib.contextmanager
def one_run_at_a_time(path: StrPath) -> Iterator[None]:
    """Hold the project of a path for this run, by a lock on its folder: it leaves no file, and ends with the process.

    Where there is no such lock (Windows, some network file systems) the run goes on without.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        yield
        return
    folder = project_of(path)
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield
        return
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"xf2sdpa: waiting for another run in {plain(folder)}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # no locks here
            pass
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)
