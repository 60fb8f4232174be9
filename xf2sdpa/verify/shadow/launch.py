"""Runs a program with the hook in each of its Python processes. Output, signals and exit status are unchanged."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from xf2sdpa.verify.options import Options
from xf2sdpa.verify.planning.old_text import OldTexts
from xf2sdpa.verify.planning.plan import Plan
from xf2sdpa.verify.shadow.handover import FOLDER, File, Handover

_BOOTSTRAP = Path(__file__).with_name("bootstrap")
_FORWARDED = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]


class LaunchError(Exception):
    """The program cannot be started."""


def handover(plan: Plan, texts: OldTexts, options: Options, reference: str) -> Handover:
    """The data for the program's processes.

    Args:
        plan: the sites.
        texts: the old texts; a rewritten file without a site runs its old text too.
        options: the options of the run.
        reference: why the reference is used in xformers' place; empty if the real xformers works.
    """
    shadows: dict[str, list[Any]] = {}
    for site in plan.sites:
        if site.shadow is not None:
            shadows.setdefault(os.path.realpath(site.report.path), []).append(site.shadow)
    files = {}
    for path, source in texts.sources.items():
        real = os.path.realpath(path)
        if real in shadows or path in texts.rewritten:
            files[real] = File(source.text, path in texts.rewritten, shadows.get(real, []))
    return Handover(files, plan.helpers, options, reference)


def run(command: Sequence[str], given: Handover, folder: Path) -> int:
    """Run a program; return its exit status as a shell would (128 plus the signal that ended it).

    Args:
        command: the program and its arguments.
        given: the data for its processes.
        folder: an empty folder for the records.

    Raises:
        LaunchError: there is no such program.
    """
    given.write(folder)
    path = os.pathsep.join(filter(None, [str(_BOOTSTRAP), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"PYTHONPATH": path, FOLDER: str(folder)}
    sys.stdout.flush()
    sys.stderr.flush()
    with _passing_on() as begun:
        try:
            child = subprocess.Popen(list(command), env=environment)
        except OSError as error:
            raise LaunchError(f"{command[0]}: cannot be started: {error.strerror or error}") from error
        begun(child)
        status = child.wait()
    return 128 - status if status < 0 else status


@contextlib.contextmanager
def _passing_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Forward signals to a child, once it is told which; those that come before wait for it.

    Ctrl-C is only ignored, as the terminal sends it to the child as well.
    """
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(number: int, _: object) -> None:
        if not children:
            early.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            children[0].send_signal(number)

    def begun(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in early:
            forward(number, None)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield begun
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
