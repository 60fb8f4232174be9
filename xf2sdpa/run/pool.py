"""Jobs in several processes where that saves time, and an end to them when the run is interrupted."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor

from xf2sdpa.model import FileResult
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.run.jobs import Job

_KILLABLE = (3, 11, 5)
"""The first Python whose pool does not hang when its processes are gone (gh-94777); older ones end the work begun."""
PARALLEL_FROM = 4
"""Files with a call site from which on a pool of processes pays."""


def run_jobs(work: Sequence[Job], jobs: int) -> Generator[FileResult, None, None]:
    """Do the work, in several processes if there is enough of it; results come in the order of the work."""
    if len(work) < PARALLEL_FROM or jobs == 1:
        yield from map(run_job, work)
        return
    size = max(1, len(work) // (jobs * 8))
    others = multiprocessing.active_children()
    with ProcessPoolExecutor(min(jobs, len(work)), initializer=_leave_interrupts_to_the_parent) as pool:
        # Not `pool.map`, which cancels what waits: a pool whose processes are gone stumbles over that.
        chunks = [pool.submit(_run_chunk, work[start : start + size]) for start in range(0, len(work), size)]
        try:
            for chunk in chunks:
                yield from chunk.result()
        except BaseException:  # Ctrl-C above all: the pool alone would wait for all the work
            if sys.version_info < _KILLABLE:
                pool.shutdown(cancel_futures=True)
            for child in multiprocessing.active_children():
                if child not in others:
                    child.terminate()
            raise


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_chunk(jobs: Sequence[Job]) -> list[FileResult]:
    return [run_job(job) for job in jobs]


def run_job(job: Job) -> FileResult:
    """Rewrite one source; called in a process of the pool."""
    return rewrite_with(job.source.text, str(job.source.path), job.options)
