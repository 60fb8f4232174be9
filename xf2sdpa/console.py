"""How a command ends that cannot go on: one sentence on standard error, and exit status 2."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import NoReturn

from xf2sdpa.files.plain import plain

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of the signal, as shells have it."""
UNTOLD = (errno.ENOSPC, errno.EPIPE, errno.EIO)
"""Where a report goes to that cannot be printed: a full disk, a closed pipe, a terminal that is gone."""


def give_up(message: str, advice: str = "") -> NoReturn:
    """Say why the command cannot go on, and what would help; ends it with status 2."""
    say(f"xf2sdpa: {plain(message)}" + (f"\n    help: {plain(advice)}" if advice else ""))
    sys.exit(2)


def expect(paths: Iterable[str]) -> None:
    """Give up over the first path that is not there."""
    for path in paths:
        if not os.path.lexists(path):
            give_up(f"{path}: does not exist")


def give_up_over(error: BaseException) -> NoReturn:
    """End the command with status 2 over an error that nobody foresaw; 1 would say that something would change."""
    give_up(
        f"the work broke off: {told(error)}",
        "No file is half written. Please report this, with the file if one is named; `--exclude FILE` passes it over.",
    )


@contextlib.contextmanager
def interruptible() -> Iterator[list[int]]:
    """Let Ctrl-C raise KeyboardInterrupt; yields a list that holds the signal once it came, raised or swallowed."""
    asked: list[int] = []

    def interrupt(number: int, _: object) -> NoReturn:
        asked.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before in (signal.SIG_IGN, None) or threading.current_thread() is not threading.main_thread():
        yield asked
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def say(line: str) -> None:
    """Print lines on standard error, whatever its encoding; nothing where there is none. They fit a terminal."""
    if sys.stderr is None:
        return
    if sys.stderr.isatty():
        from xf2sdpa.folding import folded, width_of  # noqa: PLC0415 - click, and only where a person watches

        line = "\n".join(piece for one in line.split("\n") for piece in folded(one, width_of(sys.stderr)))
    encoding = sys.stderr.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr, flush=True)


def told(error: BaseException) -> str:
    """What an error says, and where in our own code it was raised; enough for a report."""
    said = plain(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
    place, here = "", error.__traceback__
    while here is not None:
        file = here.tb_frame.f_code.co_filename
        if os.sep + "xf2sdpa" + os.sep in file:
            place = f" ({file.rpartition(os.sep + 'xf2sdpa' + os.sep)[2]}, line {here.tb_lineno})"
        here = here.tb_next
    return said + place


def silence() -> None:
    """Send what is still to be printed nowhere, so that the interpreter does not stumble over it at its end."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
