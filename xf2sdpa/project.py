"""Many files: find those that matter, rewrite them (in several processes if there are many), write them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from xf2sdpa.analysis.handed_on import (
    bindings_of_ours,
    dotted_imports,
    handed_on,
    imports_from,
    names_of_ours,
    taken_from,
)
from xf2sdpa.analysis.import_graph import imports_in
from xf2sdpa.codes import RUN_CODES, UNREADABLE, UNWRITABLE
from xf2sdpa.copyin import FILE_NAME, Copy, held, is_copy, is_untouched, with_text
from xf2sdpa.discover import Searcher, list_files
from xf2sdpa.engine import NEEDLE, Options, rewrite_text, rewrite_with
from xf2sdpa.flags.block import MARK as FLAGS_MARK
from xf2sdpa.flags.plan import add_flags
from xf2sdpa.flags.table import named as flags_named
from xf2sdpa.model import FileResult, Finding, FlagsOutcome, SiteClass, Span, TorchVersion
from xf2sdpa.placing import Imports, packages_of, places, scripts_of
from xf2sdpa.requirements import Listed
from xf2sdpa.settings import Settings
from xf2sdpa.shields import hold_back
from xf2sdpa.source import Source, SourceError, decode, read, write
from xf2sdpa.still_bound import still_bound

_HELPER = FILE_NAME.removesuffix(".py")
_KILLABLE = (3, 11, 5)
"""The first Python whose pool does not hang when its processes are gone (gh-94777); older ones end the work begun."""
PARALLEL_FROM = 4
"""Files with a call site from which on a pool of processes pays."""
_SHIPPED_ALONE = re.compile(r"(^|/)examples/community/[^/]+\.py$")
"""Files that diffusers loads one by one, without what lies beside them."""
_SWITCHES = re.compile(r"\.(enable_xformers\w*|(set_)?use_memory_efficient_attention_xformers)\(|XFormers\w*Processor")
"""Of other libraries: what these ask for is the real package."""
_CALLS = re.compile(r"\b(memory_efficient_attention|merge_attentions)")
"""As `NEEDLE`, but not in the names of other libraries' switches."""
_COMMON = frozenset({"import", "from", "as", "xformers", "mslk", "ops", "fmha", "attention"})


@dataclass
class Run:
    """All results of one run, in the order of the paths."""

    results: list[FileResult] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    """Helper modules that the rewritten files import."""
    flags: FlagsOutcome = field(default_factory=FlagsOutcome)
    """What became of H200 flags in entry points."""
    listed: list[Listed] = field(default_factory=list)
    """Lines of requirement files that list xformers, though nothing needs it any more."""

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
    compat: str | None = None
    reached: bool = False
    handed_over: Mapping[str, str] = field(default_factory=dict)
    migrating: bool = False
    alone: bool = False


Progress = Callable[[Iterable[FileResult], int], Iterable[FileResult]]


def _unwatched(results: Iterable[FileResult], _: int) -> Iterable[FileResult]:
    return results


@dataclass(frozen=True)
class Wish:
    """How to go about a run.

    Attributes:
        only_exact: leave sites that rest on an assumption.
        helper: whether calls that cannot be written inline may go to a helper module.
        new_files: whether a helper module may be made; without, only one that is there already serves.
        flags: names of the H200 flags that entry points get; None leaves every block of flags as it is.
        flags_in: the files that get them, instead of the entry points found.
        jobs: processes to use.
        progress: wraps the iteration over results, given how many there will be.
    """

    only_exact: bool = False
    helper: bool = True
    new_files: bool = True
    flags: tuple[str, ...] | None = None
    flags_in: tuple[str, ...] = ()
    jobs: int = os.cpu_count() or 1
    progress: Progress = _unwatched


def rewrite_files(files: Sequence[str], settings: Settings, wish: Wish) -> Run:
    """Rewrite the files that need it; writes nothing.

    Args:
        files: every file that may be looked at.
        settings: as configured.
        wish: how to go about it.
    """
    sources, failed = _read_matching(files)
    by_path = {source.path: source for source in sources}
    jobs = {job.source.path: job for job in _jobs(sources, settings, wish)}
    with contextlib.closing(_run(list(jobs.values()), wish.jobs)) as running:
        results = {result.path: result for result in wish.progress(running, len(jobs))}
    _settle(jobs, results, wish)
    copies: list[Copy] = []
    users = [path for path, result in results.items() if result.compat_names]
    if users:
        planned = _plan_copies(users, by_path, files)
        copies = [copy for copy in planned if wish.new_files or copy.path.exists()]
        modules = {user: copy.modules[user] for copy in copies for user in copy.modules}
        again = [replace(jobs[user], compat=modules.get(user)) for user in users]
        results.update({result.path: result for result in _run(again, wish.jobs)})
    results.update({held.path: held for held in hold_back(results.values())})
    listed = [*failed, *(r for r in results.values() if r.sites or r.findings or r.changed)]
    for result, finding in still_bound(results.values()):
        result.findings.append(finding)
    finished = _finished(copies, results, files)
    outcome = FlagsOutcome()
    if wish.flags is not None:
        wanted = flags_named(wish.flags)
        more, outcome = add_flags(listed, files, _marked(files), wanted, wish.flags_in, selected=settings.selects)
        listed += more
    return Run(sorted(listed, key=lambda result: result.path), finished, outcome)


def _settle(jobs: dict[Path, Job], results: dict[Path, FileResult], wish: Wish) -> None:
    """Look again at files that hand on less now, as the files that took it from them were rewritten."""
    for _ in range(3):
        texts = [results[path].new for path in jobs]
        taken = handed_on(texts, {_module_stem(path) for path in jobs})
        again = []
        for path, job in jobs.items():
            names = job.handed_on & _taken_from(path, taken)
            if names & names_of_ours(job.source.text) != job.handed_on & names_of_ours(job.source.text):
                jobs[path] = replace(job, handed_on=names)
                again.append(jobs[path])
        if not again:
            return
        results.update({result.path: result for result in _run(again, wish.jobs)})


def _marked(files: Sequence[str]) -> list[str]:
    """The files that hold a block of flags."""
    naming = Searcher(files).matching({b"xf2sdpa"})
    return [str(path) for path in naming if FLAGS_MARK.encode() in path.read_bytes()]


def _read_matching(files: Sequence[str]) -> tuple[list[Source], list[FileResult]]:
    """The sources that name xformers or what such files hand on, and results for those that cannot be read."""
    searcher = Searcher(files)
    sources: list[Source] = []
    failed: list[FileResult] = []
    _read_all(searcher.first(), sources, failed)
    words = set().union(*(names_of_ours(source.text) for source in sources)) - _COMMON
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
    finding = Finding(str(error.path), span, error.code, error.message, RUN_CODES[error.code].way_out, is_error=True)
    return FileResult(error.path, findings=[finding])


def _module_stem(path: Path) -> str:
    """What a file's module is called last: a package by its folder."""
    return path.parent.name if path.stem == "__init__" else path.stem


def _taken_from(path: Path, taken: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The names that others take from a file; `from . import name` is one of its package's `__init__.py`."""
    names = taken.get(_module_stem(path), frozenset())
    return names | taken.get("", frozenset()) if path.stem == "__init__" else names


def _jobs(sources: Sequence[Source], settings: Settings, wish: Wish) -> Iterator[Job]:
    taken = handed_on([source.text for source in sources], {_module_stem(source.path) for source in sources})
    reached = _reached(sources)
    handed_over = _handed_over(sources, taken)
    calls = any(_CALLS.search(source.text) for source in sources)
    module = _HELPER if wish.helper else None
    for source in sources:
        if is_copy(source.text):
            continue
        stem = _module_stem(source.path)
        names = _taken_from(source.path, taken)
        alone = _SHIPPED_ALONE.search(source.path.as_posix()) is not None
        flags = stem in reached or (calls and not _SWITCHES.search(source.text))
        yield Job(source, settings, wish.only_exact, names, None if alone else module, flags, handed_over, calls, alone)


def _reached(sources: Sequence[Source]) -> set[str]:
    """Last components of the modules that files with call sites import from, and of what those import from."""
    imports = {source.path.stem: {last for last, _ in imports_from(source.text)} | _plain(source) for source in sources}
    found = set().union(*(imports[s.path.stem] for s in sources if NEEDLE.search(s.text) and not is_copy(s.text)))
    while further := set().union(*(imports[stem] for stem in found if stem in imports)) - found:
        found |= further
    return found


def _handed_over(sources: Sequence[Source], taken: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """What names stand for that one file binds to a part of xformers and another imports from it."""
    found = {}
    for source in sources:
        stem = _module_stem(source.path)
        if taken.get(stem, frozenset()) & names_of_ours(source.text):
            for name, dotted in bindings_of_ours(source.text).items():
                found[f"{stem}.{name}"] = dotted
    return found


def _plain(source: Source) -> set[str]:
    return {dotted.rpartition(".")[2] for dotted in dotted_imports(source.text)}


def _run(work: Sequence[Job], jobs: int) -> Generator[FileResult, None, None]:
    if len(work) < PARALLEL_FROM or jobs == 1:
        yield from map(run_job, work)
        return
    size = max(1, len(work) // (jobs * 8))
    others = multiprocessing.active_children()
    with ProcessPoolExecutor(min(jobs, len(work)), initializer=_leave_interrupts_to_the_parent) as pool:
        # Not `pool.map`, which cancels what waits: a pool whose processes are gone stumbles over that.
        chunks = [pool.submit(_run_jobs, work[start : start + size]) for start in range(0, len(work), size)]
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


def _run_jobs(jobs: Sequence[Job]) -> list[FileResult]:
    return [run_job(job) for job in jobs]


def run_job(job: Job) -> FileResult:
    """Rewrite one source; called in a process of the pool."""
    options = Options(
        job.settings,
        job.only_exact,
        job.handed_on,
        job.compat,
        job.handed_over,
        job.reached,
        job.migrating,
        job.alone,
    )
    return rewrite_with(job.source.text, str(job.source.path), options)


# -- the helper module -------------------------------------------------------------------------------


def _plan_copies(users: Sequence[Path], sources: Mapping[Path, Source], files: Sequence[str]) -> list[Copy]:
    """Where the helper goes, for the files that need it."""
    texts = {user: sources[user].text for user in users}
    found = places(users, texts, _imports_of(users, files), _HELPER)
    merged: dict[Path, dict[Path, str]] = {}
    for place in found:
        merged.setdefault(place.folder / FILE_NAME, {}).update(place.modules)
    return [Copy(path, modules) for path, modules in merged.items()]


def _imports_of(users: Sequence[Path], files: Sequence[str]) -> Imports:
    """How the files of the project import the users' modules."""
    absolute: set[str] = set()
    packages: set[Path] = set()
    scripts: set[Path] = set()
    around = (part for user in users for part in (user.stem, *user.resolve().parent.parts[-3:]))
    words = {part.encode() for part in around if part.isidentifier()}
    for path in Searcher(files).matching(words):
        try:
            text = read(path).text
        except SourceError:
            continue
        absolute.update(dotted_imports(text))
        packages.update(packages_of(path, text))
        scripts.update(scripts_of(path, text))
    return Imports(frozenset(absolute), frozenset(packages), frozenset(scripts))


def _finished(copies: Sequence[Copy], results: Mapping[Path, FileResult], files: Sequence[str]) -> list[Copy]:
    """The copies with the text that their users need, and what becomes of those from earlier runs.

    Copies of one top-level name are alike, each with what any of them needs: a process that comes to several of their
    folders, such as pytest, imports one of them for all.
    """
    unused, standing = _standing_copies(files, {copy.path.resolve() for copy in copies})
    names = {
        copy.path: frozenset().union(*(results[user].compat_names for user in copy.modules))
        for copy in (*copies, *standing)
    }
    alike = {copy.path for copy in (*copies, *standing) if _is_top_level(copy, files)}
    together = frozenset().union(*(names[path] | held(path) for path in alike))
    names.update(dict.fromkeys(alike, together))
    changed = [copy for old in standing if (copy := with_text(old, names[old.path])).text != copy.old]
    return [*(with_text(copy, names[copy.path]) for copy in copies), *unused, *changed]


def _standing_copies(files: Sequence[str], planned: Collection[Path]) -> tuple[list[Copy], list[Copy]]:
    """Untouched copies from earlier runs: those that nothing imports any more, with no text, and the others."""
    unused, standing = [], []
    for path in (Path(file) for file in files if file.endswith(FILE_NAME)):
        if path.name != FILE_NAME or path.resolve() in planned:
            continue
        old = read(path).text
        if is_copy(old) and is_untouched(old):
            if _has_user(path, files):
                standing.append(Copy(path, {}))
            else:
                unused.append(Copy(path, {}, old, ""))
    return unused, standing


def _is_top_level(copy: Copy, files: Sequence[str]) -> bool:
    """Whether a copy is imported by its bare name: by those who get it now, or by a file to which it is the nearest."""
    if copy.modules:
        return _HELPER in copy.modules.values()
    importing = [path for path in Searcher(files).matching({_HELPER.encode()}) if path.name != FILE_NAME]
    near = (path for path in importing if _nearest_copy(path) == copy.path.resolve())
    return any(not s.dots and s.module == _HELPER for path in near for s in imports_in(read(path).text))


def _nearest_copy(path: Path) -> Path | None:
    """The copy in the folder of a file, or in the first one above it that has one."""
    above = (folder / FILE_NAME for folder in path.resolve().parents)
    return next((copy for copy in above if copy.exists()), None)


def _has_user(copy: Path, files: Sequence[str]) -> bool:
    """Whether some file imports a helper module: one of those given, or, before it is given up, any around it."""
    around = copy.resolve().parent
    while (around / "__init__.py").exists():
        around = around.parent
    for listed in (files, list_files([around])):
        importing = (path for path in Searcher(listed).matching({_HELPER.encode()}) if path.name != FILE_NAME)
        if any(taken_from(read(path).text, _HELPER) for path in importing):
            return True
    return False


def write_back(run: Run) -> None:
    """Write every changed file; one that cannot be written becomes a failure of its own and stays as it was.

    Helper modules first: a file that imports one must find it, and stays as it was where its helper cannot be written.
    A new helper goes again if none of its users could be written. Afterwards the run tells only what happened.
    """
    stuck: dict[Path, Path] = {}
    for copy in [copy for copy in run.copies if copy.text is not None and copy.text != copy.old]:
        try:
            _write_copy(copy)
        except SourceError as error:
            run.copies.remove(copy)
            run.results.append(_failure(error))
            stuck.update(dict.fromkeys(copy.modules, copy.path))
    for index, result in enumerate(run.results):
        if not result.changed:
            continue
        try:
            if result.path in stuck:
                why = f"stays as it was: its helper module {stuck[result.path]} cannot be written"
                raise SourceError(result.path, 1, 0, UNWRITABLE, why)
            source = read(result.path)
            if source.text != result.old:
                raise SourceError(result.path, 1, 0, UNREADABLE, "changed while it was being rewritten")
            write(result.path, source.encode(result.new), expected=source.data)
        except SourceError as error:
            run.results[index] = _failure(error)
    failed = {result.path for result in run.results if result.failed}
    run.copies = [kept for copy in run.copies if (kept := _for_the_written(copy, failed)) is not None]
    run.flags.places = [place for place in run.flags.places if Path(place.path) not in failed]


def _write_copy(copy: Copy) -> None:
    if copy.text:
        write(copy.path, copy.text.encode("utf-8"))
        return
    try:
        copy.path.unlink()
    except OSError as error:
        message = f"cannot be deleted: {error.strerror or error}"
        raise SourceError(copy.path, 1, 0, UNWRITABLE, message) from error


def _for_the_written(copy: Copy, failed: Collection[Path]) -> Copy | None:
    """A copy without the users that could not be written; None for a new one that has no other: it goes again."""
    users = {user: module for user, module in copy.modules.items() if user not in failed}
    if copy.modules and not users and copy.old is None:
        copy.path.unlink(missing_ok=True)
        return None
    return replace(copy, modules=users)


def rewrite_bytes(data: bytes, name: str, settings: Settings, *, only_exact: bool = False) -> tuple[FileResult, bytes]:
    """Rewrite what came on standard input: the result, and the bytes to hand back."""
    try:
        source = decode(data, Path(name))
    except SourceError as error:
        return _failure(error), data
    result = rewrite_text(source.text, name, settings, only_exact=only_exact)
    return result, source.encode(result.new)
