"""Many files: find those that matter, rewrite them (in several processes if there are many), write them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from xf2sdpa.analysis.handed_on import handed_on, names_of_ours
from xf2sdpa.codes import UNREADABLE
from xf2sdpa.discover import Searcher
from xf2sdpa.engine import NEEDLE, rewrite_text
from xf2sdpa.model import FileResult, Finding, SiteClass, Span, TorchVersion
from xf2sdpa.settings import Settings
from xf2sdpa.source import Source, SourceError, decode, read, write

PARALLEL_FROM = 4
"""Files with a call site from which on a pool of processes pays."""
_COMMON = frozenset({"import", "from", "as", "xformers", "mslk", "ops", "fmha", "attention"})


@dataclass
class Run:
    """All results of one run, in the order of the paths."""

    results: list[FileResult] = field(default_factory=list)

    @property
    def changed(self) -> list[FileResult]:
        """The files whose text differs."""
        return [result for result in self.results if result.changed]

    @property
    def failed(self) -> bool:
        """Whether some file could not be worked on."""
        return any(result.failed for result in self.results)

    @property
    def torch_floor(self) -> TorchVersion | None:
        """The torch version that the rewritten files need."""
        floors = [site.torch_floor for result in self.results for site in result.sites if site.torch_floor]
        return max(floors, default=None)

    def count(self, kind: SiteClass) -> int:
        """How many sites of a class there are."""
        return sum(site.kind is kind for result in self.results for site in result.sites)


@dataclass(frozen=True)
class Job:
    """One file to rewrite, as it is handed to a process."""

    source: Source
    settings: Settings
    only_exact: bool
    handed_on: frozenset[str]


Progress = Callable[[Iterable[FileResult], int], Iterable[FileResult]]


def rewrite_files(
    files: Sequence[str],
    settings: Settings,
    *,
    only_exact: bool = False,
    jobs: int | None = None,
    progress: Progress = lambda results, _: results,
) -> Run:
    """Rewrite the files that need it; writes nothing.

    Args:
        files: every file that may be looked at.
        settings: as configured.
        only_exact: leave sites that rest on an assumption.
        jobs: processes to use; as many as there are processors, if None.
        progress: wraps the iteration over results, given how many there will be.
    """
    sources, results = _read_matching(files)
    work = list(_jobs(sources, settings, only_exact=only_exact))
    results += progress(_run(work, jobs or os.cpu_count() or 1), len(work))
    return Run(sorted((r for r in results if r.sites or r.findings), key=lambda result: result.path))


def _read_matching(files: Sequence[str]) -> tuple[list[Source], list[FileResult]]:
    """The sources that name xformers or what such files hand on, and results for those that cannot be read."""
    searcher = Searcher(files)
    sources: list[Source] = []
    failed: list[FileResult] = []
    _read_all(searcher.first(), sources, failed)
    calling = [source for source in sources if NEEDLE.search(source.text)]
    words = set().union(*(names_of_ours(source.text) for source in calling)) - _COMMON
    _read_all(searcher.matching({word.encode() for word in words}), sources, failed)
    failed += [_failure(SourceError(path, 1, 0, UNREADABLE, why)) for path, why in searcher.unreadable]
    return sources, failed


def _read_all(paths: Iterable[Path], sources: list[Source], failed: list[FileResult]) -> None:
    for path in paths:
        try:
            sources.append(read(path))
        except SourceError as error:
            failed.append(_failure(error))


def _failure(error: SourceError) -> FileResult:
    span = Span(error.line, error.column, error.line, error.column)
    finding = Finding(str(error.path), span, error.code, error.message, is_error=True)
    return FileResult(error.path, findings=[finding])


def _jobs(sources: Sequence[Source], settings: Settings, *, only_exact: bool) -> Iterator[Job]:
    taken = handed_on(source.text for source in sources)
    for source in sources:
        if NEEDLE.search(source.text):
            stem = source.path.parent.name if source.path.stem == "__init__" else source.path.stem
            yield Job(source, settings, only_exact, taken.get(stem, frozenset()))


def _run(work: Sequence[Job], jobs: int) -> Iterator[FileResult]:
    if len(work) < PARALLEL_FROM or jobs == 1:
        yield from map(run_job, work)
        return
    with ProcessPoolExecutor(min(jobs, len(work))) as pool:
        yield from pool.map(run_job, work, chunksize=max(1, len(work) // (jobs * 8)))


def run_job(job: Job) -> FileResult:
    """Rewrite one source; called in a process of the pool."""
    path = str(job.source.path)
    return rewrite_text(job.source.text, path, job.settings, only_exact=job.only_exact, handed_on=job.handed_on)


def write_back(run: Run) -> None:
    """Write every changed file; one that cannot be written becomes a failure of its own and stays as it was."""
    for index, result in enumerate(run.results):
        if not result.changed:
            continue
        try:
            source = read(result.path)
            if source.text != result.old:
                raise SourceError(result.path, 1, 0, UNREADABLE, "changed while it was being rewritten")
            write(result.path, source.encode(result.new), expected=source.data)
        except SourceError as error:
            run.results[index] = _failure(error)


def rewrite_bytes(data: bytes, name: str, settings: Settings, *, only_exact: bool = False) -> tuple[FileResult, bytes]:
    """Rewrite what came on standard input: the result, and the bytes to hand back."""
    try:
        source = decode(data, Path(name))
    except SourceError as error:
        return _failure(error), data
    result = rewrite_text(source.text, name, settings, only_exact=only_exact)
    return result, source.encode(result.new)
