"""Jobs in several processes where that saves time, and an end to them when the run is interrupted."""
# ruff: noqa: PLC0415 - what makes processes costs a small run a twentieth of its time, and it makes none

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Sequence

from xf2sdpa.codes import BROKEN_OFF
from xf2sdpa.collector import collect_seldom
from xf2sdpa.console import told
from xf2sdpa.files.source import SourceError
from xf2sdpa.model import FileResult
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.run import lock
from xf2sdpa.run.jobs import Job
from xf2sdpa.run.matching import failed_result

_KILLABLE = (3, 11, 5)
"""The first Python whose pool does not hang when its processes are gone (gh-94777); older ones end the work begun."""
PARALLEL_FROM = 4
"""Files with a call site from which on a pool of processes pays."""
LARGE = 500_000
"""Characters from which on a file is worked on in a process of its own: what it might cost, it costs there."""


def run_jobs(work: Sequence[Job], jobs: int) -> Generator[FileResult, None, None]:
    """Do the work, in several processes if there is enough of it; results come in the order of the work.

    A process that dies takes its pool with it. Then what may have killed it is done alone, and the rest in a new pool.
    """
    if (len(work) < PARALLEL_FROM or jobs == 1) and not any(len(job.source.text) > LARGE for job in work):
        yield from map(run_job, work)
        return
    from concurrent.futures.process import BrokenProcessPool

    processes = min(jobs, len(work))
    size = max(1, len(work) // (jobs * 8))
    waiting = list(work)
    while waiting:
        done = 0
        try:
            for result in _in_pool(waiting, processes, size):
                yield result
                done += 1
            return
        except BrokenProcessPool:
            waiting = waiting[done:]
        # The pool hands out one piece more than it has processes, and one is on its way to each.
        suspects = (2 * processes + 1) * size
        yield from _one_by_one(waiting[:suspects])
        waiting = waiting[suspects:]


def _in_pool(work: Sequence[Job], processes: int, size: int) -> Generator[FileResult, None, None]:
    """Results of work that is dealt out in pieces of a size.

    Raises:
        BrokenProcessPool: one of the processes died.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    others = multiprocessing.active_children()
    with ProcessPoolExecutor(processes, initializer=_leave_interrupts_to_the_parent) as pool:
        try:
            # Not `pool.map`, which cancels what waits: a pool whose processes are gone stumbles over that.
            chunks = [pool.submit(_run_chunk, work[start : start + size]) for start in range(0, len(work), size)]
            for chunk in chunks:
                yield from chunk.result()
        except BaseException:  # Ctrl-C above all: the pool alone would wait for all the work
            if sys.version_info < _KILLABLE:
                pool.shutdown(cancel_futures=True)
            for child in multiprocessing.active_children():
                if child not in others:
                    child.terminate()
            raise


def _one_by_one(work: Sequence[Job]) -> Generator[FileResult, None, None]:
    """Results of work that may kill a process: a single one does all, so that it is known which file it died over."""
    from concurrent.futures.process import BrokenProcessPool

    waiting = list(work)
    while waiting:
        done = 0
        try:
            for result in _in_pool(waiting, 1, 1):
                yield result
                done += 1
            return
        except BrokenProcessPool:
            why = "the process that worked on it died, for want of memory, or by a fault of the interpreter"
            yield _broken_off(waiting[done], why)
            waiting = waiting[done + 1 :]


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lock.let_go()
    collect_seldom()


def _run_chunk(jobs: Sequence[Job]) -> list[FileResult]:
    return [run_job(job) for job in jobs]


def run_job(job: Job) -> FileResult:
    """Rewrite one source; called in a process of the pool. An error of ours costs this file, and is told with it."""
    try:
        return rewrite_with(job.source.text, str(job.source.path), job.options)
    except Exception as error:  # whatever it is
        return _broken_off(job, f"the work on it broke off: {told(error)}")


def _broken_off(job: Job, why: str) -> FileResult:
    return failed_result(SourceError(job.source.path, 1, 0, BROKEN_OFF, why))
